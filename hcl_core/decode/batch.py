"""The requests of one caller as lanes of a forest, or of several: a forest for each replica of the model."""

import math
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING

from hcl_core.decode.forest import Event, Forest, Lane, Step
from hcl_core.errors import HclError
from hcl_core.ports import DecodeProgress, DecodeRequest

if TYPE_CHECKING:
    from hcl_core.decode.engine import EngineDecoder

# Questions at once where the caller does not say.
DEFAULT_AT_ONCE = 32


class Requests:
    """The requests of one caller, in order, for one batch or for several in threads of their own.

    If one fails, those after it are dropped, and those before it are finished before the caller gets the error.

    Attributes:
        error: What failed, and is still to be raised; of several the one of the first request.

    Args:
        requests: Taken one at a time.
    """

    def __init__(self, requests: Iterable[DecodeRequest]) -> None:
        self.error: HclError | None = None
        self._waiting, self._failed = enumerate(requests), math.inf
        self._lock = threading.Lock()

    def take(self) -> tuple[int, DecodeRequest] | None:
        """The next request and its number; ``None`` if there is none, or something has failed."""
        with self._lock:
            return None if self.error is not None else next(self._waiting, None)

    def fail(self, number: int, error: HclError) -> None:
        """Note what failed."""
        with self._lock:
            if number < self._failed:
                self._failed, self.error = number, error

    def has_dropped(self, number: int) -> bool:
        """Whether the request of that number, or one before it, has failed."""
        return number >= self._failed


class Batch:
    """Requests that are answered in one forest, and the lanes of those under way.

    Args:
        decoder: Answers the requests.
        requests: Of the caller.
    """

    def __init__(self, decoder: "EngineDecoder", requests: Requests) -> None:
        self._decoder, self._requests = decoder, requests
        self._lanes: dict[Lane, tuple[int, DecodeRequest]] = {}  # in the order of the requests

    def __len__(self) -> int:
        return len(self._lanes)

    def open_next(self, forest: Forest) -> bool:
        """Open a lane for the next request; whether there was one, and nothing has failed."""
        if (taken := self._requests.take()) is None:
            return False
        number, request = taken
        try:
            self._lanes[forest.open(self._decoder, request)] = taken
        except HclError as refused:
            self._requests.fail(number, refused)
        return self._requests.error is None

    def take(self, forest: Forest, events: Iterable[Event]) -> Iterator[Step]:
        """The steps of the batch among the events of a step; lanes that ended, failed or were dropped are forgotten."""
        for lane, progress in events:
            if lane not in self._lanes:
                continue
            number, request = self._lanes[lane]
            if not isinstance(progress, DecodeProgress):
                self._requests.fail(number, progress)
            elif not self._requests.has_dropped(number):
                yield request, progress
        for lane, (number, _) in list(self._lanes.items()):
            if self._requests.has_dropped(number) or not forest.has(lane):
                self._close(forest, lane)

    def steps(self, forest: Forest, at_once: int) -> Generator[Step, None, None]:
        """Take requests until none is left, and answer so many at once, in a forest that nobody else uses."""
        while True:
            while len(self) < at_once and self.open_next(forest):
                pass
            if not self:
                return
            yield from self.take(forest, forest.step())

    def close(self, forest: Forest) -> None:
        """End all lanes."""
        for lane in list(self._lanes):
            self._close(forest, lane)

    def _close(self, forest: Forest, lane: Lane) -> None:
        forest.close(lane)
        del self._lanes[lane]


def decode_many(
    forest: Forest, decoder: "EngineDecoder", requests: Iterable[DecodeRequest], at_once: int | None
) -> Iterator[Step]:
    """Answer ``requests`` in an idle forest; see ``ports.Decoder.decode_many``."""
    asked = Requests(requests)
    batch = Batch(decoder, asked)
    try:
        yield from batch.steps(forest, at_once or DEFAULT_AT_ONCE)
    finally:
        batch.close(forest)
    if asked.error is not None:
        raise asked.error
