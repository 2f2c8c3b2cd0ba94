"""The places of a page: how many runs and looks there may be, and how much of the model's time who has had."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.settings import PageSettings
from hcl_core.errors import LimitError

_AN_HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for something.

    Attributes:
        visitor: Id of the browser's session.
        address: Of the machine or the router that they call from.
    """

    visitor: str
    address: str = ""


class Places:
    """The runs and looks that there are, by who has asked for them; limits of a caller hold on a public page alone.

    Args:
        settings: With the limits.
    """

    def __init__(self, settings: PageSettings) -> None:
        self._settings, self._lock = settings, threading.Lock()
        self._of_visitor: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()

    @property
    def num_taken(self) -> int:
        """Places of all callers."""
        with self._lock:
            return self._of_visitor.total()

    @contextmanager
    def take(self, caller: Caller) -> Iterator[None]:
        """A place for the ``with`` block; raises ``LimitError`` if there is none for this caller."""
        with self._lock:
            self._check(caller)
            self._of_visitor[caller.visitor] += 1
            self._of_address[caller.address] += 1
        try:
            yield
        finally:
            with self._lock:
                for counter, key in ((self._of_visitor, caller.visitor), (self._of_address, caller.address)):
                    counter[key] -= 1
                    if not counter[key]:
                        del counter[key]

    def _check(self, caller: Caller) -> None:
        settings = self._settings
        if settings.is_public and (number := self._of_visitor[caller.visitor]) >= settings.most_places_a_visitor:
            raise LimitError(
                f"{number} of your runs and looks are under way or wait, and this public page allows "
                f"{settings.most_places_a_visitor} at once: wait until one ends, or stop one"
            )
        if settings.is_public and (number := self._of_address[caller.address]) >= settings.most_places_an_address:
            raise LimitError(
                f"{number} runs and looks from your network address are under way or wait, and this public page "
                f"allows {settings.most_places_an_address} at once: press Run again in a minute"
            )
        if (number := self._of_visitor.total()) >= settings.most_places:
            raise LimitError(
                f"{number} runs and looks are under way or wait, and this page has {settings.most_places} places: "
                "press Run again in a minute"
            )


class Account:
    """The seconds of one run or look.

    Attributes:
        caller: Who pays.
        foretold: Count while it is under way.
        taken: Count at its end; none where it never got so far.
    """

    def __init__(self, caller: Caller, foretold: float) -> None:
        self.caller, self.foretold, self.taken = caller, foretold, 0.0


class SecondsBook:
    """The seconds of models that callers have had in the last hour; those of what is under way count as foretold.

    Args:
        settings: With the limits.
        clock: Seconds.
    """

    def __init__(self, settings: PageSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock, self._lock = settings, clock, threading.Lock()
        self._open: list[Account] = []
        self._ended: deque[tuple[float, Account]] = deque()

    @contextmanager
    def account(self, caller: Caller, foretold: float) -> Iterator[Account]:
        """For the ``with`` block; raises ``LimitError`` if the caller has had too much for so many seconds more."""
        account = Account(caller, foretold)
        with self._lock:
            if self._settings.is_public:
                self._check(caller, foretold)
            self._open.append(account)
        try:
            yield account
        finally:
            with self._lock:
                self._open.remove(account)
                self._ended.append((self._clock(), account))

    def _check(self, caller: Caller, foretold: float) -> None:
        while self._ended and self._ended[0][0] < self._clock() - _AN_HOUR:
            self._ended.popleft()
        seconds = [(each.caller, max(each.foretold, each.taken)) for each in self._open]
        seconds += [(each.caller, each.taken) for _, each in self._ended]
        most, all_of = self._settings.most_seconds_a_visitor, self._settings.most_seconds_an_address
        had = sum(each for payer, each in seconds if payer.visitor == caller.visitor)
        if had + foretold > most:
            raise LimitError(
                f"your runs have had {had:.0f} s of this page's models within an hour, and this one needs about "
                f"{foretold:.0f} s; this public page allows {most} s: ask for less, or wait"
            )
        had = sum(each for payer, each in seconds if payer.address == caller.address)
        if had + foretold > all_of:
            raise LimitError(
                f"runs from your network address have had {had:.0f} s of this page's models within an hour, and this "
                f"one needs about {foretold:.0f} s; this public page allows {all_of} s: ask for less, or wait"
            )


class RunClock:
    """The part of its device's time that a run has had: each second counts by the number of runs that share it.

    Args:
        most: Seconds that it may have; ``None``: any number.
        num_running: How many share the time now.
        clock: Seconds.

    Attributes:
        seconds: That it has had.
    """

    def __init__(
        self, most: float | None, num_running: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._num_running, self._clock = most, num_running, clock
        self._last: float | None = None
        self.seconds = 0.0

    def check(self) -> None:
        """Count the time since the last call; raises ``LimitError`` once it was too much."""
        now = self._clock()
        if self._last is not None:
            self.seconds += (now - self._last) / max(1, self._num_running())
        self._last = now
        if self._most is not None and self.seconds > self._most:
            raise LimitError(
                f"this run was stopped after {self.seconds:.0f} s of the model's time; this public page gives "
                f"{self._most:.0f} s to a run: whole waves of answers stay, ask for fewer layers, answers or tokens"
            )
