"""Products with packed matrices against ``nn.Linear``: ``python -m bench.products``.

For the shapes of SmolLM2's block, at numbers of rows that a step has, with matrices that are not in the cache, as in a
pass through a model. Below the table: what ``--dtype fastest`` chooses by these rates.
"""

import argparse
import itertools

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from bench.engine import seconds
from bench.machine import describe
from hcl_core.decode.model.linear import affine, fastest_dtype

SHAPES = ((576, 576), (1536, 576), (576, 1536))  # out, in
ROWS = (1, 16, 64, 128, 300)
COLD_BYTES = 128 * 2**20


def main() -> None:
    """Print GFLOP/s by shape, rows, dtype and kind of product."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
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
    console.print(f"GFLOP/s; --dtype fastest takes {str(fastest_dtype()).removeprefix('torch.')} here", highlight=False)


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
