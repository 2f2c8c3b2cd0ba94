"""Runs wait here for their turn to be decoded, and are told how long that will take."""

import threading
import time
from collections.abc import Generator

from app.live import Waiting
from app.shared_run import SharedRun
from hcl_core.errors import LimitError

# Seconds after which a run in line says anew how long it will wait.
_RENEWED_AFTER = 2.0


class RunLine:
    """The runs under way, and those that wait in line, in the order of their coming.

    Args:
        changed: Told when a run has ended, or nobody watches it any more; its lock is held by whoever calls a method
            that says so.
        at_once: The most that are under way.
        most_waiting: Foretold seconds of those that wait, above which no further one may; ``None``: any number.
    """

    def __init__(self, changed: threading.Condition, at_once: int, most_waiting: float | None) -> None:
        self._changed = changed
        self._at_once, self._most_waiting = at_once, most_waiting
        self._under_way: list[SharedRun] = []
        self._line: list[SharedRun] = []
        self._pace = Pace()

    @property
    def num_under_way(self) -> int:
        """Runs that the models decode and somebody watches, at least 1."""
        with self._changed:
            return max(1, sum(not run.is_abandoned for run in self._under_way))

    @property
    def num_waiting(self) -> int:
        """Runs in line."""
        return len(self._line)

    def wait_for_turn(self, shared: SharedRun) -> Generator[Waiting, None, None]:
        """Wait until ``shared`` may be decoded beside others; it is then under way until it ends.

        Raises:
            LimitError: The runs in line need too long already.
            StoppedError: Nobody watches ``shared`` any more.
        """
        with self._changed:
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
            with self._changed:
                self._line.remove(shared)
                self._changed.notify_all()

    def _place(self, shared: SharedRun) -> Waiting | None:
        """Its place in the line; ``None`` once it is under way, then it is among these too."""
        with self._changed:
            if self._may_begin(shared):
                self._under_way.append(shared)
                return None
            num_before = self._line.index(shared)
            return Waiting(num_before, self._seconds_to_turn(num_before), "turn")

    def _wait_for_change(self, shared: SharedRun, place: Waiting) -> None:
        """Until its place is another, or is to be told anew."""

        def has_changed() -> bool:
            return shared.is_abandoned or self._may_begin(shared) or self._line.index(shared) != place.num_before

        with self._changed:
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

    def ended(self, shared: SharedRun) -> None:
        """``shared`` is not under way any more, if it was. The lock is held."""
        if shared in self._under_way:
            self._under_way.remove(shared)
            self._pace.ended(shared.foretold, bool(self._line), time.monotonic())


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
