"""Products with packed matrices against ``nn.Linear``: ``python -m bench.products``.

For the shapes of SmolLM2's block, at numbers of rows that a step has, with matrices that are not in the cache, as in a
pass through a model. Below the table: what ``--dtype fastest`` chooses by these rates.

``--engine`` times a whole question of SmolLM2 too, with packed products and by the path of a machine that has none
(no AVX, or an ARM), which is forced here: the ratio says what packing gives, and nothing of such a machine's speed.
"""

import argparse
import itertools
import statistics
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from bench.engine import ours, seconds
from bench.machine import describe
from hcl_core.decode.model.linear import affine, fastest_dtype
from hcl_core.records import SamplingSettings
from hcl_core.registry import load_model, load_questions

SHAPES = ((576, 576), (1536, 576), (576, 1536))  # out, in
ROWS = (1, 16, 64, 128, 300)
COLD_BYTES = 128 * 2**20


def main() -> None:
    """Print GFLOP/s by shape, rows, dtype and kind of product."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--engine", action="store_true", help="time a whole question too, packed and not")
    options = parser.parse_args()
    console = Console(width=120)
    console.print(describe(), highlight=False)
    table = Table("out x in", "rows", "float32", "packed", "ratio", "bfloat16", "packed", "ratio", box=None)
    for shape, num_rows in itertools.product(SHAPES, ROWS):
        cells = []
        for dtype in (torch.float32, torch.bfloat16):
            plain, packed = rates(shape, num_rows, dtype, options.repeats)
            cells += [f"{plain:.0f}", f"{packed:.0f}", f"{packed / plain:.2f}x"]
        table.add_row(f"{shape[0]} x {shape[1]}", str(num_rows), *cells)
    console.print(table)
    if options.engine:
        console.print(whole_question(options.repeats), highlight=False, soft_wrap=True)
    console.print(f"GFLOP/s; --dtype fastest takes {str(fastest_dtype()).removeprefix('torch.')} here", highlight=False)


def whole_question(repeats: int) -> str:
    """Seconds of one question in float32 with packed products and without, medians of interleaved repeats."""
    packed, _ = load_model("smollm2-135m", "float32", "cpu")
    with patch.object(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT"):
        plain, _ = load_model("smollm2-135m", "float32", "cpu")
    question = load_questions("starter").load(1)[0]
    layers, settings = tuple(range(2, 31, 2)), SamplingSettings(0.6, 0.9, 0, 16, 0)
    times = [
        [seconds(lambda lm=lm: ours(lm, question, layers, 50, settings)) for lm in (packed, plain)]  # type: ignore[misc]
        for _ in range(repeats + 1)
    ][1:]
    of_packed, of_plain = (statistics.median(each) for each in zip(*times, strict=True))
    ratio = statistics.median(slow / fast for fast, slow in times)
    return (
        f"one question, 15 layers x 50 samples x at most 16 tokens: {of_packed:.2f} s with packed products, "
        f"{of_plain:.2f} s without, {ratio:.2f} times as long"
    )


@torch.inference_mode()
def rates(shape: tuple[int, int], num_rows: int, dtype: torch.dtype, repeats: int) -> tuple[float, float]:
    """GFLOP/s of ``nn.Linear`` and of the packed product, the best of interleaved repeats."""
    count = max(2, COLD_BYTES // (shape[0] * shape[1] * dtype.itemsize))
    layers = [nn.Linear(shape[1], shape[0], bias=False, dtype=dtype) for _ in range(count)]
    products = [affine(layer.weight) for layer in layers]
    rows = torch.randn(num_rows, shape[1]).to(dtype)
    times = [
        (seconds(lambda: [layer(rows) for layer in layers]), seconds(lambda: [product(rows) for product in products]))
        for _ in range(repeats + 1)
    ]
    plain, packed = (min(each) for each in zip(*times[1:], strict=True))
    flops = 2 * num_rows * shape[0] * shape[1] * count / 1e9
    return flops / plain, flops / packed


if __name__ == "__main__":
    main()
