"""Runs under way, each watched by everybody who asked for the same: it is decoded once, and all see it.

Runs that differ in accepted answers or judge alone have the same samples: the later ones follow the first, each judges
and stores for itself, and the first goes on as long as somebody watches any of them.
"""

import contextvars
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial

from app.jobs import Job
from app.live import Waiting
from app.run_line import RunLine
from app.shared_run import RunEvent, SharedRun
from hcl_core import pipeline
from hcl_core.pipeline.request import RunRequest
from hcl_core.runs.folder import RunFolder

Start = Callable[[SharedRun], Generator[RunEvent, None, None]]


class SharedRuns:
    """The runs of all visitors, by what was asked for: some are under way, the others wait in line.

    Args:
        at_once: The most that are under way.
        most_waiting: Foretold seconds of those that wait, above which no further one may; ``None``: any number.
        num_devices: Each run is computed by one of them.
    """

    def __init__(self, at_once: int = 16, most_waiting: float | None = None, num_devices: int = 1) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)  # a run has ended, or nobody watches it any more
        self._line = RunLine(self._changed, at_once, most_waiting, num_devices)
        self._by_request: dict[RunRequest, SharedRun] = {}
        self._writers: dict[str, SharedRun] = {}  # by the name of the folder that they write
        self._of_samples: dict[str, list[tuple[SharedRun, RunFolder]]] = {}  # by the id that the samples have

    @property
    def num_under_way(self) -> int:
        """See ``RunLine``."""
        return self._line.num_under_way

    def num_sharing(self, shared: SharedRun) -> int:
        """See ``RunLine``."""
        return self._line.num_sharing(shared)

    @property
    def least_used_device(self) -> int:
        """See ``RunLine``."""
        return self._line.least_used_device

    @property
    def num_waiting(self) -> int:
        """See ``RunLine``."""
        return self._line.num_waiting

    def is_written(self, run_id: str) -> bool:
        """Whether a run writes, or is about to write, the folder of that id."""
        with self._lock:
            return run_id in self._writers

    def watch(self, request: RunRequest, job: Job, start: Start) -> Generator[RunEvent, None, None]:
        """The events of the run that was asked for, joined where it is under way, else begun.

        When the last watcher leaves, it ends at its next step.

        Args:
            request: What was asked for.
            job: Of the watcher.
            start: Makes the run's events, in a thread of the run.

        Raises:
            StoppedError: ``job`` was stopped.
            Exception: Whatever ended the run.
        """
        with self._lock:
            shared = self._by_request.get(request)
            is_new = shared is None
            if shared is None:
                shared = self._by_request[request] = SharedRun(request.model, self._lock)
            watcher = shared.join()
        try:
            if is_new:
                # With who asks: a GPU may be lent to each visitor for a limited time.
                drive = partial(contextvars.copy_context().run, self._drive, shared, request, start)
                threading.Thread(target=drive, name="run", daemon=True).start()
            while (event := shared.take(watcher, job)) is not None:
                yield event
        finally:
            with self._lock:
                shared.leave(watcher)
                if shared.is_abandoned:
                    self._forget(request, shared)

    def wait_for_folder(self, name: str, shared: SharedRun) -> Generator[Waiting, None, None]:
        """Wait until no other run writes the folder called ``name``; it is then ``shared``'s until that ends.

        Raises:
            StoppedError: Nobody watches ``shared`` any more.
        """
        while True:
            with self._lock:
                if (writer := self._writers.setdefault(name, shared)) is shared:
                    return
            if not writer.is_abandoned:  # else it ends in a moment
                yield Waiting(1, writer.seconds_left(), "folder")
            with self._lock:
                self._changed.wait_for(lambda: name not in self._writers or shared.is_abandoned)
            shared.check()

    def wait_for_turn(self, shared: SharedRun) -> Generator[Waiting, None, None]:
        """See ``RunLine``."""
        return self._line.wait_for_turn(shared)

    def followed_by(self, shared: SharedRun, run_id: str, folder: RunFolder) -> pipeline.Followed | None:
        """The run under way that gets the samples which ``shared`` wants too; ``None``: ``shared`` gets them itself.

        Args:
            shared: A run that begins; from now on others can follow it.
            run_id: Of the samples.
            folder: That ``shared`` writes.
        """
        with self._lock:
            under_way = self._of_samples.setdefault(run_id, [])
            first = next(iter(under_way), None)
            under_way.append((shared, folder))
            if first is not None:
                shared.device = self.least_used_device  # it reads answers, and may have to go on by itself
        return first and pipeline.Followed(first[1], first[0].events_for(shared))

    def seconds_left(self, model: str) -> float | None:
        """Estimate of the time until all runs with that model are finished; ``None`` where unknown."""
        with self._lock:
            runs = {*self._by_request.values(), *self._writers.values()}
            known = [run.seconds_left() for run in runs if run.model == model]
        return None if not known or None in known else max(seconds for seconds in known if seconds is not None)

    def _drive(self, shared: SharedRun, request: RunRequest, start: Start) -> None:
        """The thread of a run."""
        error: BaseException | None = None
        try:
            with closing(start(shared)) as events:
                for event in events:
                    shared.publish(event, self._line.num_sharing(shared) - 1)
        except BaseException as failure:
            error = failure
        with self._lock:
            self._writers = {name: writer for name, writer in self._writers.items() if writer is not shared}
            self._line.ended(shared)
            others = {
                run_id: [each for each in runs if each[0] is not shared] for run_id, runs in self._of_samples.items()
            }
            self._of_samples = {run_id: runs for run_id, runs in others.items() if runs}
            shared.end(error)
            self._forget(request, shared)

    def _forget(self, request: RunRequest, shared: SharedRun) -> None:
        """Who asks for the same from now on begins a new run. The lock is held."""
        if self._by_request.get(request) is shared:
            del self._by_request[request]
        self._changed.notify_all()
