"""Matrix products whose result for a row is bitwise independent of the other rows of the batch.

Else answers would change with the wave and the memory budget. oneDNN's products with pre-packed weights are used where
available, torch's own elsewhere. Both are independent from a smallest number of rows on; fewer are padded with zeros.
With bfloat16 that needs a processor's tiles left alone, see ``hcl_core``.

oneDNN compiles and caches a kernel for each number of rows: 3 ms and half a megabyte each. So rows are padded to one of
few numbers, see ``pad_rows``.

On other devices rows are not padded, and whether a row's last bits depend on the other rows is up to the library there.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

# MKL sums in another order below 12 rows. ``models.footprint.MIN_READOUT_ROWS`` is the same number.
MIN_ROWS = 16

Product = Callable[[Tensor], Tensor]


class PackedLinear:
    """An affine map whose matrix is stored in the order in which oneDNN's kernels read it.

    ``nn.Linear`` packs its matrix at every call; on a CPU this is up to twice as fast for a few rows, and 1.2 times as
    fast for hundreds (``python -m bench.products``).

    Args:
        weight: ``[out, in]``, float32 or bfloat16, on a CPU.
        bias: ``[out]`` or ``None``.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
        self._bias = None if bias is None else bias.detach()

    def __call__(self, rows: Tensor) -> Tensor:
        """``[n, in]`` to ``[n, out]``."""
        product = torch.ops.mkldnn._linear_pointwise(pad_rows(rows), self._packed, self._bias, "none", [], "")
        return product[: len(rows)]


def product_with(linear: nn.Module, *, release: bool = False) -> Product:
    """``linear`` as a function of rows.

    Args:
        linear: ``nn.Linear``, GPT-2's ``Conv1D``, or their replacement in a quantised model.
        release: Free its weights if they were packed; ``linear`` can't be used afterwards.
    """
    if type(linear) not in (nn.Linear, Conv1D):
        return lambda rows: linear(pad_rows(rows, MIN_ROWS))[: len(rows)]
    weights: Any = linear  # ``Conv1D`` stores its matrix transposed
    product = affine(weights.weight.T if isinstance(linear, Conv1D) else weights.weight, weights.bias)
    if release and isinstance(product, PackedLinear):
        weights.weight = nn.Parameter(weights.weight.new_empty(0), requires_grad=False)
    return product


def affine(weight: Tensor, bias: Tensor | None = None) -> Product:
    """``rows @ weight.T + bias`` of ``weight [out, in]`` and ``bias [out]``."""
    if _can_pack(weight):
        return PackedLinear(weight, bias)
    return lambda rows: F.linear(pad_rows(rows, MIN_ROWS), weight, bias)[: len(rows)]


@torch.inference_mode()
def fastest_dtype() -> torch.dtype:
    """bfloat16 where this CPU multiplies with it clearly faster than with float32, else float32.

    Measured at the call, in a tenth of a second: processors differ in how fast their bfloat16 is, and some emulate it.
    """
    rates = []
    for dtype in (torch.float32, torch.bfloat16):
        products = [affine(torch.ones(1536, 576, dtype=dtype)) for _ in range(24)]  # more than a cache can hold
        rows = torch.ones(64, 576, dtype=dtype)
        times = []
        for _ in range(4):
            started = time.perf_counter()
            for product in products:
                product(rows)
            times.append(time.perf_counter() - started)
        rates.append(1 / min(times))
    return torch.bfloat16 if rates[1] > 1.25 * rates[0] else torch.float32


def _can_pack(weight: Tensor) -> bool:
    """Whether this machine has products with ``weight`` packed."""
    return (
        weight.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        # Below AVX-512, oneDNN packs no bfloat16.
        and (weight.dtype == torch.float32 or weight.dtype == torch.bfloat16 and _packs_bfloat16())
        and torch.backends.cpu.get_cpu_capability().startswith("AVX")  # row independence was verified on AVX CPUs only
    )


def _packs_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def pad_rows(rows: Tensor, minimum: int = 2) -> Tensor:
    """``[n, width]`` with zero rows added: to at least ``minimum`` rows, and to one of few numbers of rows.

    Those are 2, 4 and 8, then every 8th up to 64, every 16th up to 256, and every 32nd. At least 2, because oneDNN sums
    a single row in another order. Rows that are not on a CPU come back as they are.
    """
    if rows.device.type != "cpu":
        return rows
    count = max(len(rows), minimum)
    step = next((step for stop, step in ((2, 2), (4, 4), (64, 8), (256, 16)) if count <= stop), 32)
    missing = -(-count // step) * step - len(rows)
    return rows if missing == 0 else F.pad(rows, (0, 0, 0, missing))
