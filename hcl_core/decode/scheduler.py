"""The scheduler: one thread decodes for everybody who shares a model, and does other work with it between two steps.

A caller's questions are lanes of one ``forest``, which serves all callers by turns. Each caller takes its own progress
from a queue of its own.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

from hcl_core.decode.batch import Batch, Requests
from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.forest import Event, Forest, Step
from hcl_core.errors import HclError
from hcl_core.ports import DecodeRequest

T = TypeVar("T")

# Questions of one caller under way. A question set gains little from more, and each would be before a newcomer's wave.
_MOST_AT_ONCE = 4
# Samples that run at once: more would make each step longer, and a newcomer's first wave late.
_MOST_SAMPLES = 4_000
# A caller who has not taken so many steps gets no further question: else a slow judge could let them fill the memory.
_MOST_UNTAKEN = 256
# Seconds of calls between two steps; the last one may take longer.
_CALLS_SECONDS = 0.1
# Seconds until the thread looks again whether such callers have taken their steps.
_PAUSE = 0.05


def do_nothing() -> None:
    """The check of a caller who never stops."""


def forest_of(decoder: EngineDecoder) -> Forest:
    """A forest of the decoder's model."""
    return decoder.new_forest(_MOST_SAMPLES)


class _Caller:
    """One call of ``Scheduler.decode_many``: its batch, and the steps that it has not taken yet.

    Args:
        decoder: Answers the requests.
        requests: See ``Scheduler.decode_many``.
        at_once: See ``Scheduler.decode_many``.
        check: See ``Scheduler.decode_many``.
    """

    def __init__(
        self, decoder: EngineDecoder, requests: Iterable[DecodeRequest], at_once: int, check: Callable[[], None]
    ) -> None:
        self.decoder, self._at_once, self._check = decoder, at_once, check
        self._requests = Requests(requests)
        self._batch = Batch(decoder, self._requests)
        # Without a bound: the thread of all callers must not wait for one of them.
        self._untaken: SimpleQueue[Step | Exception | None] = SimpleQueue()
        self._is_closed = threading.Event()

    def steps(self) -> Generator[Step, None, None]:
        """What the thread of the scheduler brings, to the end; raises the caller's error."""
        try:
            while (step := self._untaken.get()) is not None:
                if isinstance(step, Exception):
                    raise step
                yield step
        finally:
            self._is_closed.set()

    def open_lanes(self, forest: Forest) -> bool:
        """Open lanes for further requests; whether the caller still needs steps."""
        try:
            self._check()
        except Exception as error:  # stopped, or out of time: at once
            self.end(forest, error)
            return False
        try:
            while self._may_open() and self._batch.open_next(forest):
                pass
        except HclError as refused:
            self._requests.error = refused
        except Exception as error:  # of the caller's own functions
            self.end(forest, error)
            return False
        if self._is_closed.is_set() or not (self._batch or self.is_full):
            self.end(forest, self._requests.error)
            return False
        return True

    @property
    def is_full(self) -> bool:
        """Whether nothing can be done before the caller takes some steps."""
        return not self._batch and self._requests.error is None and self._untaken.qsize() >= _MOST_UNTAKEN

    def _may_open(self) -> bool:
        is_open = not self._is_closed.is_set()
        return is_open and len(self._batch) < self._at_once and self._untaken.qsize() < _MOST_UNTAKEN

    def take(self, forest: Forest, events: Sequence[Event]) -> None:
        """Take what a step brought to the caller's lanes."""
        for step in self._batch.take(forest, events):
            self._untaken.put(step)

    def end(self, forest: Forest | None, error: Exception | None = None) -> None:
        """Close all lanes, and end ``steps``: with ``error`` if there is one. Without a forest, the lanes are lost."""
        if forest is not None:
            self._batch.close(forest)
        self._untaken.put(error)


class Turn:
    """One thread at a time computes on a device; another that waits comes before one that has just had its turn.

    A plain lock would be taken again by the thread that has just released it.
    """

    def __init__(self) -> None:
        self._door, self._device = threading.Lock(), threading.Lock()

    def __enter__(self) -> None:
        with self._door:
            self._device.acquire()

    def __exit__(self, *_: object) -> None:
        self._device.release()


class Scheduler:
    """Decodes for many threads with one model.

    The thread that decodes lives while there is something to do. Should it fail, every caller that waits gets an error,
    and the next step begins with a new forest.

    Args:
        turn: Held for each step and each call. Schedulers of models on one device share it.
        make_forest: The forest of all callers, from the decoder of one of them.
    """

    def __init__(self, turn: Turn, make_forest: Callable[[EngineDecoder], Forest] = forest_of) -> None:
        self._turn, self._make_forest = turn, make_forest
        self._lock = threading.Lock()  # guards what callers hand over: the next three
        self._new: list[_Caller] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._is_working = False
        # The thread's own.
        self._callers: list[_Caller] = []
        self._forest: Forest | None = None

    def decode_many(
        self,
        decoder: EngineDecoder,
        requests: Iterable[DecodeRequest],
        at_once: int | None = None,
        check: Callable[[], None] = do_nothing,
    ) -> Iterator[Step]:
        """Answer ``requests`` beside those of other callers; see ``ports.Decoder.decode_many``.

        Args:
            decoder: Answers them.
            requests: Taken by the scheduler's thread.
            at_once: The most questions under way; ``None`` and larger numbers: four.
            check: Called by the scheduler's thread before each step; what it raises ends the iterator.

        Raises:
            HclError: As ``ports.Decoder``.
            RuntimeError: The scheduler's thread failed.
        """
        caller = _Caller(decoder, requests, min(at_once or _MOST_AT_ONCE, _MOST_AT_ONCE), check)
        with self._lock:
            self._start()
            self._new.append(caller)
        yield from caller.steps()

    def call(self, function: Callable[[], T]) -> T:
        """Do other work with the model between two steps.

        Args:
            function: Called by the scheduler's thread.

        Returns:
            What it returns; what it raises is raised.
        """
        result: Future[T] = Future()

        def work() -> None:
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)

        with self._lock:
            self._start()
            self._calls.append(work)
        return result.result()

    def _start(self) -> None:
        """Start the thread if none works, before there is anything to do: the lock is held, for which it waits.

        Where the system has no thread left, this raises, nothing is left behind, and the next caller tries again.
        """
        if not self._is_working:
            threading.Thread(target=self._work, name="scheduler", daemon=True).start()
            self._is_working = True

    def _work(self) -> None:
        while self._take_new():
            with self._turn:
                self._do_calls()
                try:
                    self._step()
                except BaseException as error:
                    self._fail(error)
            if self._callers and all(caller.is_full for caller in self._callers):
                time.sleep(_PAUSE)

    def _take_new(self) -> bool:
        """Take new callers over; whether there is anything to do. If not, the thread ends."""
        with self._lock:
            self._callers += self._new
            self._new.clear()
            self._is_working = bool(self._callers or self._calls)
            return self._is_working

    def _do_calls(self) -> None:
        """Short calls do not wait for a step each, and long ones let others have their steps."""
        until = time.monotonic() + _CALLS_SECONDS
        while self._calls and time.monotonic() < until:
            self._calls.popleft()()

    def _step(self) -> None:
        """One step of the forest for all callers."""
        if not self._callers:
            return
        if self._forest is None:
            self._forest = self._make_forest(self._callers[0].decoder)
        forest = self._forest
        self._callers = [caller for caller in self._callers if caller.open_lanes(forest)]
        if not self._callers:
            return
        events = forest.step()
        for caller in self._callers:
            caller.take(forest, events)

    def _fail(self, error: BaseException) -> None:
        self._forest = None
        for caller in self._callers:
            failed = RuntimeError("the scheduler's thread failed")
            failed.__cause__ = error
            caller.end(None, failed)
        self._callers = []
