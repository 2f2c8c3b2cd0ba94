"""The progress bar of a run, in a terminal or a notebook."""

from collections.abc import Generator
from contextlib import closing

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from hcl_core import pipeline
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
