"""A chart of a sweep: the best layer of each cell with the set that holds it, and what the cell took."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hcl_core.sweeps.results import CellResult, SweepResults

# Inches of a row, and of what stands above and below the rows.
_ROW, _AROUND = 0.28, 1.1


def draw_figure(results: "SweepResults", file: Path) -> None:
    """Write the chart as SVG, a row a cell from top to bottom."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    cells = results.cells
    rows = range(len(cells))
    # Names of models are text, never mathematics.
    with rc_context({"text.parse_math": False, "svg.hashsalt": "hcl", "svg.fonttype": "none"}):
        figure = Figure(figsize=(10, _AROUND + _ROW * max(1, len(cells))), layout="constrained")
        best, cost = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        for row, cell in zip(rows, cells, strict=True):
            if cell.best_layer is not None:
                best.plot([cell.best_low, cell.best_high], [row, row], color="#7a8aa0", linewidth=4)
                best.plot([cell.best_layer], [row], "o", color="#1d4f91")
        best.set_xlabel("best layer (dot), layers that hold it with 95% (bar)")
        best.set_xlim(0, max((cell.num_hidden_layers for cell in cells), default=1) + 1)
        best.set_yticks(list(rows), [_label(cell) for cell in cells])
        best.set_ylim(len(cells) - 0.5, -0.5)
        cost.barh(list(rows), [cell.seconds for cell in cells], color="#7a8aa0")
        cost.set_xlabel("seconds of decoding")
        figure.savefig(file, format="svg", metadata={"Date": None})


def _label(cell: "CellResult") -> str:
    return (
        f"{Path(cell.model).name[:24]} · {Path(cell.exit_head).name[:12]} · {cell.questions[:24]} · "
        f"T {cell.temperature:g} · {cell.seed} · {cell.strategy[:24]}"
    )
