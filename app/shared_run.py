"""A run under way, watched by everybody who asked for the same.

The run's thread takes its next step when a watcher has seen all before, so it is never ahead of the fastest one. The
model decodes on meanwhile (``decode.scheduler``).
"""

import threading
import time
from collections import deque
from collections.abc import Generator
from dataclasses import replace

from app.jobs import Job, StoppedError
from app.live import LiveEvent, Notice, Waiting
from hcl_core import pipeline

RunEvent = Notice | LiveEvent


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
