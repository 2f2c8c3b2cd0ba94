"""Commands that run a sweep and watch it: sweep, status."""

import re
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from hcl_core import registry
from hcl_core.api.progress import duration, follow_sweep
from hcl_core.cli.progress import bars
from hcl_core.cli.sweep_results import show_results
from hcl_core.cli.terminal import app, say, say_loaded, stderr, stdout
from hcl_core.errors import SettingsError
from hcl_core.folders import runs_folder
from hcl_core.models.footprint import footprint
from hcl_core.sweeps.folder import SweepFolder, seconds_left
from hcl_core.sweeps.plan import Cell, Plan, Shard, read_plan
from hcl_core.sweeps.running import machine_speed, run_sweep, work_of
from hcl_core.text import printable

# Exit codes beside 2, which a mistake has.
SOME_FAILED, OUT_OF_TIME = 1, 3
_GIB = 2**30
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


@app.command()
def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="The sweep; docs/sweep.md describes the format.")],
    out: Annotated[Path | None, typer.Option(help="Its folder; default runs/sweeps/<name of the file>.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it, print its plan, and run nothing.")] = False,
    budget: Annotated[str | None, typer.Option(help="Begin no question after so long, as 2h, 90m or 1h30m.")] = None,
    shard: Annotated[
        str | None, typer.Option(help="Ask every n-th question alone, from the i-th on, as i/n; `merge` joins them.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    download: Annotated[
        bool, typer.Option("--download", help="Fetch models of the catalogue that are not here when their turn comes.")
    ] = False,
) -> None:
    """Run a grid of runs. Stopped, it goes on where it was. Exit code 1: cells failed, 3: the budget is used up."""
    seconds = None if budget is None else parse_duration(budget)
    part = None if shard is None else Shard.parse(shard)
    plan = read_plan(spec, device, download, say_loaded)
    if dry_run:
        _print_plan(plan, part, device)
        return
    folder = SweepFolder(out or runs_folder() / "sweeps" / spec.stem)
    ends_at = None if seconds is None else time.monotonic() + seconds
    has_time = (lambda: True) if ends_at is None else (lambda: time.monotonic() < ends_at)
    events = run_sweep(folder, plan, device=device, shard=part, has_time=has_time)
    failed, progress = follow_sweep(events, bars(), len(plan.cells))
    for each in failed:
        stderr.print(Text(printable(f"failed: {each.cell.describe()}: {each.error}")), soft_wrap=True)
    num_whole = sum(each.is_whole for each in progress)
    if num_whole and part is None:
        show_results(folder, folder.path)
    say(f"{num_whole:,} of {len(plan.cells):,} cells are whole; saved in {folder.path}")
    if failed:
        raise typer.Exit(SOME_FAILED)
    if num_whole < len(plan.cells):
        say("The budget is used up: the same command goes on.")
        raise typer.Exit(OUT_OF_TIME)


@app.command()
def status(run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A sweep's folder.")]) -> None:
    """Show how far a sweep is, while it runs too; it is only read."""
    folder = SweepFolder(run_dir)
    stored = folder.read()
    shard = None if stored.shard is None else Shard.parse(stored.shard)
    progress = [folder.progress(cell, shard) for cell in stored.cells]
    table = Table("cell", "samples", "", "seconds", "run", box=None)
    for column in table.columns[1:4]:
        column.justify = "right"
    for each in progress:
        share = each.num_done / each.cell.num_wanted if each.cell.num_wanted else 1
        table.add_row(
            Text(printable(each.cell.describe())),
            f"{each.num_done:,}/{each.cell.num_wanted:,}",
            "whole" if each.is_whole else f"{share:.0%}",
            f"{each.seconds:,.0f}",
            each.cell.run_id or "",
        )
    stdout.print(table)
    for each in progress:
        if each.cell.problem:
            say(f"failed: {each.cell.describe()}: {each.cell.problem}")
        if each.bad_parts:
            say(f"damaged: {each.cell.describe()}: {', '.join(each.bad_parts)}: the same `sweep` samples them again")
    done, wanted = sum(each.num_done for each in progress), sum(each.cell.num_wanted for each in progress)
    left = seconds_left(progress)
    newest = folder.newest_change()
    parts = [f"{sum(each.is_whole for each in progress):,} of {len(progress):,} cells, {done:,} of {wanted:,} samples"]
    parts += [f"shard {stored.shard}"] if stored.shard else []
    parts += [f"about {duration(left)} left"] if left else []
    parts += [f"last stored {duration(newest)} ago"] if newest is not None and done < wanted else []
    say("; ".join(parts))


def parse_duration(text: str) -> float:
    """Seconds of ``2h``, ``90m``, ``1h30m``; raises ``SettingsError`` for anything else."""
    cleaned = text.strip().lower()
    if not re.fullmatch(r"(?a:(\d{1,9}(\.\d{1,9})?[dhms])+)", cleaned):
        raise SettingsError(f"a time is a number with d, h, m or s, such as 2h, 90m or 1h30m; got {text[:40]!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([dhms])", cleaned))


def _print_plan(plan: Plan, shard: Shard | None, device: str) -> None:
    """The cells with their samples and seconds, and the memory of each model."""
    speed = machine_speed()
    free, on_cpu = registry.free_memory(device)
    table = Table("model", "exit head", "questions", "T", "seed", "strategy", "samples", "time", box=None)
    for column in (table.columns[3], table.columns[4], *table.columns[6:]):
        column.justify = "right"
    low = high = 0.0
    memory: dict[str, float] = {}
    num_samples, is_known = 0, True
    for cell in plan.cells:
        axes, work = cell.axes, work_of(cell, shard, speed)
        if (foretold := work.foretold) is None:
            is_known, text = False, "?"
        else:
            low, high = low + foretold.low, high + foretold.high
            text = f"{duration(foretold.low)} to {duration(foretold.high)}"
        names = (axes.model, axes.exit_head, axes.questions)
        table.add_row(
            *(Text(printable(name)) for name in names), f"{axes.temperature:g}", str(axes.seed), axes.strategy,
            f"{work.num_samples:,}", text,
        )  # fmt: skip
        num_samples += work.num_samples
        memory[axes.model] = max(memory.get(axes.model, 0), _memory(cell, device, on_cpu))
    stdout.print(table)
    shown = f", {duration(low)} to {duration(high)}" if is_known else ", time not known for all of them"
    say(f"{len(plan.cells):,} cells, {num_samples:,} samples{shown}{f'; shard {shard}' if shard else ''}")
    for model, needed in memory.items():
        say(f"{model}: {needed / _GIB:.1f} GiB of memory, {free / _GIB:.1f} GiB are free")


def _memory(cell: Cell, device: str, on_cpu: bool) -> int:
    """Bytes that the model of a cell and one answer take."""
    return footprint(
        registry.model_shape(cell.request.model),
        registry.weight_format(cell.dtype, device),
        on_cpu=on_cpu,
        has_linear_head=cell.request.exit_head != "shared",
        max_new_tokens=cell.request.sampling.max_new_tokens,
        exit_layer=max(cell.exit_layers),
    ).minimum
