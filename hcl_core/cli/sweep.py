"""Commands that run a sweep and watch it: sweep, status."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from hcl_core import registry
from hcl_core.api.progress import duration, follow_sweep
from hcl_core.cli.progress import bars
from hcl_core.cli.sweep_results import show_results
from hcl_core.cli.terminal import DEVICES_HELP, app, on_each, say, say_loaded, stderr, stdout
from hcl_core.cluster.ray_cluster import ClusterSettings, cluster_workers
from hcl_core.errors import SettingsError
from hcl_core.folders import runs_folder
from hcl_core.sweeps.cells import Plan, memory_of
from hcl_core.sweeps.folder import SweepFolder, seconds_left
from hcl_core.sweeps.plan import read_plan
from hcl_core.sweeps.running import ClusterEngine, LocalEngine, SweepEngine, machine_speed, run_sweep, work_of
from hcl_core.sweeps.shards import Shard
from hcl_core.text import counted, printable

# Exit codes beside 2, which a mistake has.
SOME_FAILED, OUT_OF_TIME = 1, 3
_GIB = 2**30
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


class Engine(StrEnum):
    """Where a sweep computes."""

    LOCAL = "local"
    RAY = "ray"


@app.command()
def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="The sweep; docs/sweep.md describes the format.")],
    out: Annotated[Path | None, typer.Option(help="Its folder; default runs/sweeps/<name of the file>.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it, print its plan, and run nothing.")] = False,
    budget: Annotated[str | None, typer.Option(help="Begin no question after so long, as 2h, 90m or 1h30m.")] = None,
    shard: Annotated[
        str | None, typer.Option(help="Ask every n-th question alone, from the i-th on, as i/n; `merge` joins them.")
    ] = None,
    device: Annotated[str, typer.Option(help=DEVICES_HELP)] = "auto",
    download: Annotated[
        bool, typer.Option("--download", help="Fetch models of the catalogue that are not here when their turn comes.")
    ] = False,
    engine: Annotated[Engine, typer.Option(help="Compute in this process, or on a Ray cluster (docs/cluster.md).")] = (
        Engine.LOCAL
    ),
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster's, or auto; default: one of this machine alone, while it runs.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="The most workers on the cluster; default: all it holds.")] = None,
    worker_size: Annotated[int, typer.Option(help="CPU cores or GPUs of each worker on the cluster.")] = 1,
    parts: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Workers keep answers here too (a path, s3://, gs://, hf://, ...)."),
    ] = None,
) -> None:
    """Run a grid of runs. Stopped, it goes on where it was. Exit code 1: cells failed, 3: the budget is used up."""
    seconds = None if budget is None else parse_duration(budget)
    part = None if shard is None else Shard.parse(shard)
    is_here = engine is Engine.LOCAL
    if is_here and (address, workers, worker_size, parts) != (None, None, 1, None):
        raise SettingsError("--address, --workers, --worker-size and --parts go with --engine ray")
    cluster = None if is_here else ClusterSettings(address, device, workers, worker_size, 0, parts, download)
    plan = read_plan(spec, device if is_here else None, download, say_loaded)
    if dry_run:
        _print_plan(plan, part, device if is_here else "auto")
        return
    folder = SweepFolder(out or runs_folder() / "sweeps" / spec.stem)
    ends_at = None if seconds is None else time.monotonic() + seconds
    has_time = (lambda: True) if ends_at is None else (lambda: time.monotonic() < ends_at)
    with _engine(plan, device, cluster) as computing:
        events = run_sweep(folder, plan, engine=computing, shard=part, has_time=has_time)
        failed, progress = follow_sweep(events, bars(), len(plan.cells))
    for each in failed:
        stderr.print(Text(printable(f"failed: {each.cell.describe()}: {each.error}")), soft_wrap=True)
    num_whole = sum(each.is_whole for each in progress)
    if num_whole and part is None:
        show_results(folder, folder.path)
    are = "is" if num_whole == 1 else "are"
    say(f"{num_whole:,} of {counted(len(plan.cells), 'cell')} {are} whole; saved in {folder.path}")
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
    num_whole, cells, samples = sum(each.is_whole for each in progress), len(progress), counted(wanted, "sample")
    parts = [f"{num_whole:,} of {counted(cells, 'cell')}, {done:,} of {samples}"]
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


@contextmanager
def _engine(plan: Plan, device: str, cluster: ClusterSettings | None) -> Iterator[SweepEngine]:
    """Where the sweep computes."""
    if cluster is None:
        yield LocalEngine(device)
        return
    needed = max(memory_of(cell, "cpu", on_cpu=True) for cell in plan.cells)
    with cluster_workers(replace(cluster, memory=needed)) as workers:
        yield ClusterEngine(workers)


def _print_plan(plan: Plan, shard: Shard | None, device: str) -> None:
    """The cells with their samples and seconds, and the memory of each model."""
    speed = machine_speed(device)
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
        memory[axes.model] = max(memory.get(axes.model, 0), memory_of(cell, device, on_cpu))
    stdout.print(table)
    shown = f", {duration(low)} to {duration(high)}" if is_known else ", time not known for all of them"
    shown += f"; shard {shard}" if shard else ""
    say(f"{counted(len(plan.cells), 'cell')}, {counted(num_samples, 'sample')}{shown}")
    for model, needed in memory.items():
        say(f"{model}: {needed / _GIB:.1f} GiB of memory, {free / _GIB:.1f} GiB are free{on_each(device)}")
