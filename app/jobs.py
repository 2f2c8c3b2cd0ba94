"""Jobs: what a press of Run or Look started, each stopped by its own Stop, and the queue for loading a model."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from cachetools import LRUCache

# Where a job is started and stopped: a tab of the page, or a program.
JobKind = Literal["explore", "run_set", "lens", "fit_head", "program"]

# Presses whose work has not begun; Gradio drops the work of visitors who leave first.
_MOST_PRESSED = 1_000


class StoppedError(Exception):
    """The visitor stopped the job, or left."""


class Job:
    """One press of a button, from the press to the end of its work.

    Attributes:
        visitor: Who pressed.
        kind: On which tab.

    Args:
        visitor: See above.
        kind: See above.
    """

    def __init__(self, visitor: str, kind: JobKind) -> None:
        self.visitor, self.kind = visitor, kind
        self._stopped = threading.Event()
        self._waits_for: threading.Condition | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether its Stop was pressed, or its visitor has left."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End its work at the next step, or at once where it waits for something."""
        self._stopped.set()
        if (condition := self._waits_for) is not None:
            with condition:
                condition.notify_all()

    def check(self) -> None:
        """Raise ``StoppedError`` if it is stopped."""
        if self.is_stopped:
            raise StoppedError

    def wait_for(self, condition: threading.Condition, predicate: Callable[[], bool]) -> None:
        """Wait until ``predicate()`` holds; ``condition``, which is held, is notified of what may change it.

        Raises:
            StoppedError: The job is stopped, or was.
        """
        self._waits_for = condition
        condition.wait_for(lambda: self.is_stopped or predicate())
        self.check()


class Jobs:
    """The jobs of all visitors, and the queue of those that need a model which is not in memory."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pressed: LRUCache[tuple[str, JobKind], Job] = LRUCache(_MOST_PRESSED)
        self._active: list[Job] = []
        # The first one may load its model.
        self._queue: deque[Job] = deque()

    @property
    def num_queued(self) -> int:
        """Jobs that wait for their model, or load it."""
        return len(self._queue)

    def press(self, visitor: str, kind: JobKind) -> None:
        """A button was pressed: a Stop from now on is for this job, also before its work begins."""
        with self._changed:
            self._pressed[visitor, kind] = Job(visitor, kind)

    @contextmanager
    def work(self, visitor: str, kind: JobKind) -> Iterator[Job]:
        """The job that was pressed, or a new one where nobody pressed, from the begin of its work to the end."""
        with self._changed:
            job = self._pressed.pop((visitor, kind), None) or Job(visitor, kind)
            self._active.append(job)
        try:
            job.check()
            yield job
        finally:
            with self._changed:
                self._active.remove(job)

    def stop(self, visitor: str, kind: JobKind | None = None) -> None:
        """End the visitor's jobs of that kind, at work, waiting or only pressed; ``None``: of every kind."""
        with self._changed:
            for job in (*self._pressed.values(), *self._active):
                if job.visitor == visitor and kind in (None, job.kind):
                    job.stop()
            self._changed.notify_all()

    def forget(self, visitor: str) -> None:
        """The visitor has left: their jobs end, and presses whose work has not begun are dropped."""
        self.stop(visitor)
        with self._changed:
            for key in [key for key in self._pressed if key[0] == visitor]:
                del self._pressed[key]

    @contextmanager
    def queued(self, job: Job) -> Iterator[Iterator[int]]:
        """Wait until the job is the first in the queue; the next one is served when the block ends.

        The block gets the number of jobs before this one, again whenever it has changed; when these numbers end, the
        job is the first. They raise ``StoppedError`` if the job is stopped first.
        """
        with self._changed:
            self._queue.append(job)
        try:
            yield self._places(job)
        finally:
            with self._changed:
                self._queue.remove(job)
                self._changed.notify_all()

    def _places(self, job: Job) -> Iterator[int]:
        num_before = -1
        while num_before:
            num_before = self._next_place(job, num_before)
            if num_before:
                yield num_before

    def _next_place(self, job: Job, num_before: int) -> int:
        """The number of jobs before this one, once it is not ``num_before``."""
        with self._changed:
            job.wait_for(self._changed, lambda: self._queue.index(job) != num_before)
            return self._queue.index(job)
