"""Runs under way, each watched by everybody who asked for the same: it is decoded once, and all see it.

Runs that differ in accepted answers or judge alone have the same samples: the later ones follow the first, each judges
and stores for itself, and the first goes on as long as somebody watches any of them.

A thread of its own drives a run. It takes the run's next step when a watcher has seen all before, so it is never ahead
of the fastest one. The model decodes on meanwhile (``decode.scheduler``).
"""

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial

from app.jobs import Job, StoppedError
from app.live import LiveEvent, Notice, Waiting
from hcl_core import pipeline
from hcl_core.errors import LimitError
from hcl_core.pipeline.request import RunRequest
from hcl_core.runs.folder import RunFolder

# Seconds after which a run in line says anew how long it will wait.
_RENEWED_AFTER = 2.0

RunEvent = Notice | LiveEvent
Start = Callable[["SharedRun"], Generator[RunEvent, None, None]]


class _Watcher:
    """What somebody has not taken yet: every wave, and of the steps and places before each only the last."""

    def __init__(self) -> None:
        self.untaken: deque[RunEvent] = deque()
        self.waits = False

    def add(self, event: RunEvent) -> None:
        if self.untaken and (_is_step(self.untaken[-1]) or isinstance(self.untaken[-1], Waiting)):
            self.untaken.pop()
        self.untaken.append(event)


class SharedRun:
    """A run under way.

    Attributes:
        model: Name of its model.
        foretold: Seconds that it would take alone; ``None`` where that is not known.

    Args:
        model: See above.
        lock: Of ``SharedRuns``; held by whoever calls a method that says so.
    """

    def __init__(self, model: str, lock: threading.RLock) -> None:
        self.model = model
        self._news = threading.Condition(lock)  # for watchers: an event, or the end
        self._asked = threading.Condition(lock)  # for the run's thread: a watcher waits, or has left
        self._watchers: list[_Watcher] = []
        self._latest: RunEvent | None = None
        self.foretold: float | None = None
        self._progress = _Progress()
        self._is_ended = False
        self._error: BaseException | None = None
        self._follows: SharedRun | None = None

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody watches it."""
        return not self._watchers

    def check(self) -> None:
        """Raise ``StoppedError`` if nobody watches it."""
        if self.is_abandoned:
            raise StoppedError

    def seconds_left(self) -> float | None:
        """Estimate of the time until it is finished; ``None`` before the first answers."""
        return self._progress.seconds_left()

    def join(self) -> _Watcher:
        """A new watcher, who gets the latest state at once and everything after it. The lock is held."""
        watcher = _Watcher()
        if self._latest is not None:
            watcher.add(self._latest)
        self._watchers.append(watcher)
        return watcher

    def leave(self, watcher: _Watcher) -> None:
        """``watcher`` takes nothing more. The lock is held."""
        self._watchers.remove(watcher)
        self._asked.notify_all()
        if self._follows is not None:
            self._follows.tell_followers()

    def take(self, watcher: _Watcher, job: Job) -> RunEvent | None:
        """The next event for ``watcher``; ``None`` at the end.

        Raises:
            StoppedError: ``job`` was stopped.
            Exception: Whatever ended the run.
        """
        with self._news:
            watcher.waits = True
            self._asked.notify_all()
            job.wait_for(self._news, lambda: bool(watcher.untaken) or self._is_ended)
            watcher.waits = False
            if watcher.untaken:
                return watcher.untaken.popleft()
            if self._error is not None:
                raise self._error
            return None

    def tell_followers(self) -> None:
        """A run that follows this one may have been left by its watchers. The lock is held."""
        self._news.notify_all()

    def events_for(self, follower: "SharedRun") -> Generator[pipeline.Event, None, None]:
        """What this run tells, for a run of the same samples that goes on by itself when this one has ended, or failed.

        Raises:
            StoppedError: Nobody watches ``follower``.
        """
        with self._news:
            watcher = self.join()
            follower._follows = self
        try:
            while True:
                with self._news:
                    watcher.waits = True
                    self._asked.notify_all()
                    self._news.wait_for(lambda: watcher.untaken or self._is_ended or follower.is_abandoned)
                    watcher.waits = False
                    follower.check()
                    if not watcher.untaken:
                        return
                    event = watcher.untaken.popleft()
                if isinstance(event, LiveEvent):
                    yield event.event
        finally:
            with self._news:
                follower._follows = None
                self.leave(watcher)

    def publish(self, event: RunEvent, num_beside: int) -> None:
        """Give ``event`` to all watchers, and wait until one of them has taken all; the run's thread calls it.

        Args:
            event: A live one gets the time left.
            num_beside: Other runs under way.

        Raises:
            StoppedError: Nobody watches.
        """
        with self._news:
            self._progress.add(event)
            if isinstance(event, LiveEvent):
                event = replace(event, seconds_left=self._progress.seconds_left(), num_beside=num_beside)
            if not _is_step(event):
                self._latest = event
            for watcher in self._watchers:
                watcher.add(event)
            self._news.notify_all()
            self._asked.wait_for(lambda: self.is_abandoned or any(each.waits for each in self._up_to_date()))
            self.check()

    def end(self, error: BaseException | None) -> None:
        """No event comes any more. The lock is held."""
        self._is_ended, self._error = True, error
        self._news.notify_all()

    def _up_to_date(self) -> list[_Watcher]:
        return [watcher for watcher in self._watchers if not watcher.untaken]


class SharedRuns:
    """The runs of all visitors, by what was asked for: some are under way, the others wait in line.

    Args:
        at_once: The most that are under way.
        most_waiting: Foretold seconds of those that wait, above which no further one may; ``None``: any number.
    """

    def __init__(self, at_once: int = 16, most_waiting: float | None = None) -> None:
        self._at_once, self._most_waiting = at_once, most_waiting
        self._lock = threading.RLock()
        self._by_request: dict[RunRequest, SharedRun] = {}
        self._under_way: list[SharedRun] = []
        self._line: list[SharedRun] = []  # in the order of their coming
        self._pace = Pace()
        self._writers: dict[str, SharedRun] = {}  # by the name of the folder that they write
        self._of_samples: dict[str, list[tuple[SharedRun, RunFolder]]] = {}  # by the id that the samples have
        self._changed = threading.Condition(self._lock)  # a run has ended, or nobody watches it any more

    @property
    def num_under_way(self) -> int:
        """Runs that the models decode and somebody watches, at least 1."""
        with self._lock:
            return max(1, sum(not run.is_abandoned for run in self._under_way))

    @property
    def num_waiting(self) -> int:
        """Runs in line."""
        return len(self._line)

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
        if is_new:
            # With who asks: a GPU may be lent to each visitor for a limited time.
            drive = partial(contextvars.copy_context().run, self._drive, shared, request, start)
            threading.Thread(target=drive, name="run", daemon=True).start()
        try:
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
        """Wait until ``shared`` may be decoded beside others; it is then under way until it ends.

        Raises:
            LimitError: The runs in line need too long already.
            StoppedError: Nobody watches ``shared`` any more.
        """
        with self._lock:
            if len(self._under_way) < self._at_once and not self._line:
                self._under_way.append(shared)
                return
            waiting = sum(run.foretold or 0.0 for run in self._line)
            if self._most_waiting is not None and waiting > self._most_waiting:
                raise LimitError(
                    f"the {len(self._line)} runs in line need about {waiting:.0f} s, and this public page lets "
                    f"{self._most_waiting:.0f} s wait: press Run again in some minutes"
                )
            self._line.append(shared)
        try:
            while (place := self._place(shared)) is not None:
                yield place
                self._wait_for_change(shared, place)
                shared.check()
        finally:
            with self._lock:
                self._line.remove(shared)
                self._changed.notify_all()

    def _place(self, shared: SharedRun) -> Waiting | None:
        """Its place in the line; ``None`` once it is under way, then it is among these too."""
        with self._lock:
            if self._may_begin(shared):
                self._under_way.append(shared)
                return None
            num_before = self._line.index(shared)
            return Waiting(num_before, self._seconds_to_turn(num_before), "turn")

    def _wait_for_change(self, shared: SharedRun, place: Waiting) -> None:
        """Until its place is another, or is to be told anew."""

        def has_changed() -> bool:
            return shared.is_abandoned or self._may_begin(shared) or self._line.index(shared) != place.num_before

        with self._lock:
            self._changed.wait_for(has_changed, _RENEWED_AFTER)

    def _may_begin(self, shared: SharedRun) -> bool:
        return self._line[0] is shared and len(self._under_way) < self._at_once

    def _seconds_to_turn(self, num_before: int) -> float | None:
        """Until one of those under way has ended, and then one after the other of those in line before."""
        left = [self._seconds_of(run) for run in self._under_way]
        before = [run.foretold for run in self._line[:num_before]]
        if None in left or None in before:
            return None
        first_end = min((each for each in left if each is not None), default=0.0)
        return first_end + self._pace.factor * sum(each for each in before if each is not None)

    def _seconds_of(self, run: SharedRun) -> float | None:
        """Estimate of the time until a run under way is finished; before its first answers, as if it had just begun."""
        if (left := run.seconds_left()) is not None or run.foretold is None:
            return left
        return run.foretold * len(self._under_way)

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
                    shared.publish(event, self.num_under_way - 1)
        except BaseException as failure:
            error = failure
        with self._lock:
            self._writers = {name: writer for name, writer in self._writers.items() if writer is not shared}
            if shared in self._under_way:
                self._under_way.remove(shared)
                self._pace.ended(shared.foretold, bool(self._line), time.monotonic())
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


class Pace:
    """How long one run after another of a line really takes, as a multiple of what was foretold for decoding it.

    Attributes:
        factor: The last runs count most.
    """

    def __init__(self) -> None:
        self.factor = 1.0
        self._last_end: float | None = None

    def ended(self, foretold: float | None, has_line: bool, now: float) -> None:
        """A run has ended; with a line behind it, the time since the end before is what it has taken of the line's."""
        if self._last_end is not None and foretold:
            self.factor = 0.75 * self.factor + 0.25 * (now - self._last_end) / foretold
        self._last_end = now if has_line else None


class _Progress:
    """How many answers a run had, and when."""

    def __init__(self) -> None:
        self._began_at = 0.0
        self._num_before = self._num_done = self._num_wanted = 0

    def add(self, event: RunEvent) -> None:
        """Take note of an event."""
        inner = event.event if isinstance(event, LiveEvent) else None
        if isinstance(inner, pipeline.Started):
            self._began_at, self._num_wanted = time.monotonic(), inner.num_wanted
            self._num_before = self._num_done = inner.num_present
        elif isinstance(inner, pipeline.Decoding | pipeline.WaveDone):
            self._num_done = inner.num_done

    def seconds_left(self) -> float | None:
        """Estimate of the time for the answers that are missing; ``None`` before the first ones."""
        if self._num_done == self._num_before:
            return None
        seconds_each = (time.monotonic() - self._began_at) / (self._num_done - self._num_before)
        return seconds_each * (self._num_wanted - self._num_done)


def _is_step(event: RunEvent) -> bool:
    return isinstance(event, LiveEvent) and isinstance(event.event, pipeline.Decoding)
