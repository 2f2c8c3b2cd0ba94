"""The progress bars of a run and of a sweep, in a terminal or a notebook."""

from collections.abc import Generator
from contextlib import closing

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from hcl_core import pipeline
from hcl_core.sweeps.folder import CellProgress, seconds_left
from hcl_core.sweeps.running import Failed, Loading, SweepEvent
from hcl_core.text import printable


def progress_bars(console: Console, is_shown: bool = True) -> Progress:
    """Progress bars on ``console``, if it is a terminal or a notebook; each task has a field ``unit``."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"))
    is_shown = is_shown and (console.is_terminal or console.is_jupyter)
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, disable=not is_shown)


def follow_run(events: Generator[pipeline.Event, None, None], bars: Progress) -> pipeline.Finished:
    """Show progress until the run is finished. An interrupt ends the run, whose whole waves are stored by then."""
    with closing(events):
        started = next(events)  # an error is raised here, before a bar is shown
        assert isinstance(started, pipeline.Started)
        with bars:
            task = bars.add_task("Starting", total=started.num_wanted, completed=started.num_present, unit="samples")
            for event in events:
                if isinstance(event, pipeline.Finished):
                    bars.update(task, description="Done")
                    return event
                elif not isinstance(event, pipeline.Started):
                    description = Text(printable(event.question.text)[:40]).markup
                    bars.update(task, description=description, completed=event.num_done)
    raise AssertionError("a run ends with Finished")


def follow_sweep(
    events: Generator[SweepEvent, None, None], bars: Progress, num_cells: int
) -> tuple[list[Failed], list[CellProgress]]:
    """Show progress of all samples and the time left; returns the cells that failed, and how far each has come.

    An interrupt ends the sweep, whose whole waves are stored by then.
    """
    failed: list[Failed] = []
    progress: dict[str, CellProgress] = {}
    with closing(events), bars as shown:
        task = shown.add_task("Starting", total=None, unit="samples")
        for event in events:
            if isinstance(event, Loading):
                shown.update(task, description=Text(f"Loading {printable(event.model)[:40]}").markup)
            elif isinstance(event, Failed):
                failed.append(event)
            else:
                progress[event.progress.cell.key] = event.progress
                _show_cell(shown, task, event.progress, list(progress.values()), num_cells)
    return failed, list(progress.values())


def _show_cell(bars: Progress, task: TaskID, last: CellProgress, progress: list[CellProgress], num_cells: int) -> None:
    left = seconds_left(progress) if len(progress) == num_cells else None
    cell = f"cell {sum(each.is_whole for each in progress) + 1}/{num_cells} " if not last.is_whole else ""
    text = f"{cell}{last.cell.model} T {last.cell.temperature:g}"[:40]
    bars.update(
        task,
        description=Text(printable(text)).markup,
        total=sum(each.cell.num_wanted for each in progress),
        completed=sum(each.num_done for each in progress),
        unit="samples" if left is None else f"samples, {duration(left)} left",
    )


def duration(seconds: float) -> str:
    """A time for people, in its two largest units: ``1 h 20 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:.1f} days"
