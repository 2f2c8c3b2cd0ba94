"""Commands on what sweeps brought: sweep-table, merge."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from hcl_core.cli.tables import number
from hcl_core.cli.terminal import app, say, stderr, stdout
from hcl_core.errors import RunFolderError
from hcl_core.sweeps.folder import SweepFolder
from hcl_core.sweeps.merging import merge_sweeps
from hcl_core.sweeps.results import SweepResults, results_of, write_results
from hcl_core.text import counted, printable


@app.command("sweep-table")
def sweep_table(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A sweep's folder.")],
    out: Annotated[Path | None, typer.Option(help="Where the table and the figure go; default the folder.")] = None,
) -> None:
    """Print the best layer of each finished cell, how stable it is, and what it took; needs no model."""
    folder = SweepFolder(run_dir)
    show_results(folder, out or run_dir)


@app.command()
def merge(
    run_dirs: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of a sweep's shards.")],
    out: Annotated[Path, typer.Option(help="The new folder.")],
) -> None:
    """Join the shards of a sweep: the samples are, to the byte, those of a sweep on one machine; needs no model."""
    with stderr.status("Merging"):
        folder = merge_sweeps([SweepFolder(path) for path in run_dirs], out)
    show_results(folder, out)


def show_results(folder: SweepFolder, out: Path) -> None:
    """Print the results of a sweep, and write them."""
    results = results_of(folder)
    if not results.cells:
        raise RunFolderError(f"{folder.path} has no finished cell yet: `status` says how far it is")
    print_results(results)
    out.mkdir(parents=True, exist_ok=True)
    write_results(results, out)
    say(f"Saved as table.parquet, table.csv, stability.csv and figure.svg in {out}")


def print_results(results: SweepResults) -> None:
    """A row a cell, then a row for each two neighbouring temperatures."""
    axes = ("model", "exit head", "questions", "T", "seed", "strategy")
    table = Table(*axes, "best", "with", "best set", "HCB", "95%", "wrong", "seconds", box=None)
    for column in (table.columns[3], table.columns[4], *table.columns[6:]):
        column.justify = "right"
    for cell in results.cells:
        names = (cell.model, cell.exit_head, cell.questions)
        interval = "" if cell.hcb_low is None else f"{cell.hcb_low:.2f}-{cell.hcb_high:.2f}"
        table.add_row(
            *(Text(printable(name)) for name in names), f"{cell.temperature:g}", str(cell.seed), cell.strategy,
            str(cell.best_layer or "none"), f"{cell.p_best:.0%}", cell.best_set, _number(cell.hcb), interval,
            _number(cell.hallucination), f"{cell.seconds:,.0f}",
        )  # fmt: skip
    stdout.print(table)
    stdout.print("Best set: the fewest layers that hold the best one with 95%. Wrong: of the best layer.")
    if results.num_missing:
        are = "is" if results.num_missing == 1 else "are"
        say(f"{counted(results.num_missing, 'cell')} {are} not finished and not in the table.")
    if not results.stability:
        return
    table = Table(
        "model", "exit head", "questions", "seed", "T", "best layers", "same best", "rank correlation", box=None
    )
    for column in table.columns[3:]:
        column.justify = "right"
    for each in results.stability:
        names = (each.model, each.exit_head, each.questions)
        table.add_row(
            *(Text(printable(name)) for name in names), str(each.seed),
            f"{each.temperature:g} and {each.next_temperature:g}",
            f"{each.best_layer or 'none'} and {each.next_best_layer or 'none'}",
            "" if each.p_same is None else f"{each.p_same:.0%}", _number(each.rank_correlation),
        )  # fmt: skip
    stdout.print()
    stdout.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else number(value, digits=2)
