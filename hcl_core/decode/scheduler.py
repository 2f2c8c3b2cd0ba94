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

import numpy as np
from numpy.typing import NDArray

from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.forest import Forest, Lane
from hcl_core.errors import HclError
from hcl_core.models.cost import ModelCost
from hcl_core.ports import AnswerLikelihood, DecodeProgress, Decoder, DecodeRequest, NamedExitHead
from hcl_core.records import Question, SamplingSettings, StoredQuestion

T = TypeVar("T")
Step = tuple[DecodeRequest, DecodeProgress]

# Questions of one caller under way. A question set gains little from more, and each would be before a newcomer's wave.
_MOST_AT_ONCE = 4
# Samples that run at once: more would make each step longer, and a newcomer's first wave late.
_MOST_SAMPLES = 2_000
# A caller who has not taken so many steps gets no further question: else a slow judge could let them fill the memory.
_MOST_UNTAKEN = 256
# Seconds of calls between two steps; the last one may take longer.
_CALLS_SECONDS = 0.1
# Seconds until the thread looks again whether such callers have taken their steps.
_PAUSE = 0.05


def _do_nothing() -> None:
    pass


def forest_of(decoder: EngineDecoder) -> Forest:
    """A forest of the decoder's model."""
    return Forest(decoder.parts.lm, decoder.parts.budget_now, _MOST_SAMPLES)


class _Caller:
    """One call of ``Scheduler.decode_many``: its lanes, and the steps that it has not taken yet.

    If a request fails, those after it are dropped, and those before it are finished before the error is raised.

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
        self._requests: Iterator[DecodeRequest] = iter(requests)
        self._lanes: dict[Lane, DecodeRequest] = {}  # in the order of the requests
        self._error: Exception | None = None
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
            while self._wants_more():
                if (request := next(self._requests, None)) is None:
                    break
                self._lanes[forest.open(self.decoder, request)] = request
        except HclError as refused:
            self._error = refused
        except Exception as error:  # of the caller's own functions
            self.end(forest, error)
            return False
        if self._is_closed.is_set() or not (self._lanes or self.is_full):
            self.end(forest, self._error)
            return False
        return True

    @property
    def is_full(self) -> bool:
        """Whether nothing can be done before the caller takes some steps."""
        return not self._lanes and self._error is None and self._untaken.qsize() >= _MOST_UNTAKEN

    def _wants_more(self) -> bool:
        is_ready = self._error is None and not self._is_closed.is_set()
        return is_ready and len(self._lanes) < self._at_once and self._untaken.qsize() < _MOST_UNTAKEN

    def take(self, forest: Forest, lane: Lane, progress: DecodeProgress | HclError) -> None:
        """Take what a step brought to ``lane``, if it is the caller's."""
        if lane not in self._lanes:
            return
        if isinstance(progress, DecodeProgress):
            self._untaken.put((self._lanes[lane], progress))
            return
        self._error = progress
        order = list(self._lanes)
        self._close(forest, order[order.index(lane) :])

    def drop_ended(self, forest: Forest) -> None:
        """Forget the lanes that the last step has ended."""
        self._close(forest, [lane for lane in self._lanes if not forest.has(lane)])

    def end(self, forest: Forest | None, error: Exception | None = None) -> None:
        """Close all lanes, and end ``steps``: with ``error`` if there is one. Without a forest, the lanes are lost."""
        if forest is not None:
            self._close(forest, list(self._lanes))
        self._untaken.put(error)

    def _close(self, forest: Forest, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            forest.close(lane)
            del self._lanes[lane]


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
        check: Callable[[], None] = _do_nothing,
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
            self._new.append(caller)
            self._start()
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
            self._calls.append(work)
            self._start()
        return result.result()

    def scheduled_decoder(self, decoder: Decoder, check: Callable[[], None] = _do_nothing) -> "ScheduledDecoder":
        """``decoder``, an ``EngineDecoder`` of the model, through this scheduler; for ``check`` see ``decode_many``."""
        assert isinstance(decoder, EngineDecoder)
        return ScheduledDecoder(decoder, self, check)

    def scheduled_likelihood(self, likelihood: AnswerLikelihood) -> "ScheduledLikelihood":
        """``likelihood``, of the same model, between two steps."""
        return ScheduledLikelihood(likelihood, self)

    def _start(self) -> None:
        """Start the thread if none works; the lock is held."""
        if not self._is_working:
            self._is_working = True
            threading.Thread(target=self._work, name="scheduler", daemon=True).start()

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
        for lane, progress in forest.step():
            for caller in self._callers:
                caller.take(forest, lane, progress)
        for caller in self._callers:
            caller.drop_ended(forest)

    def _fail(self, error: BaseException) -> None:
        self._forest = None
        for caller in self._callers:
            failed = RuntimeError("the scheduler's thread failed")
            failed.__cause__ = error
            caller.end(None, failed)
        self._callers = []


class ScheduledDecoder:
    """A ``ports.Decoder`` that decodes through a scheduler.

    Args:
        decoder: What is scheduled.
        scheduler: Of its model.
        check: See ``Scheduler.decode_many``.
    """

    def __init__(self, decoder: EngineDecoder, scheduler: Scheduler, check: Callable[[], None] = _do_nothing) -> None:
        self._decoder, self._scheduler, self._check = decoder, scheduler, check

    @property
    def num_hidden_layers(self) -> int:
        """Deepest exit layer."""
        return self._decoder.num_hidden_layers

    @property
    def exit_head(self) -> NamedExitHead:
        """How early layers are read."""
        return self._decoder.exit_head

    def prompt_for(self, question: Question) -> str:
        """The exact text to send for ``question``; see ``ports.Decoder``."""
        return self._decoder.prompt_for(question)

    def tokenize_checked(self, stored: StoredQuestion, settings: SamplingSettings) -> list[int]:
        """Token ids of the prompt; see ``ports.Decoder``."""
        return self._decoder.tokenize_checked(stored, settings)

    def token_text(self, token_id: int) -> str:
        """One token as people should see it; see ``ports.Decoder``."""
        return self._decoder.token_text(token_id)

    def cost(self) -> ModelCost:
        """What a token costs at each exit layer."""
        return self._decoder.cost()

    def decode(
        self, stored: StoredQuestion, settings: SamplingSettings, waves: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[DecodeProgress]:
        """Sample answers wave by wave; see ``ports.Decoder``."""
        for _, progress in self.decode_many([DecodeRequest(stored, settings, waves)]):
            yield progress

    def decode_many(self, requests: Iterable[DecodeRequest], at_once: int | None = None) -> Iterator[Step]:
        """Answer several questions beside each other; see ``ports.Decoder``."""
        yield from self._scheduler.decode_many(self._decoder, requests, at_once, self._check)


class ScheduledLikelihood:
    """A ``ports.AnswerLikelihood`` that reads between two steps of a scheduler.

    Args:
        likelihood: What is scheduled.
        scheduler: Of its model.
    """

    def __init__(self, likelihood: AnswerLikelihood, scheduler: Scheduler) -> None:
        self._likelihood, self._scheduler = likelihood, scheduler

    def mean_logprobs(self, stored: StoredQuestion, completions: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
        """Mean log-probability of the tokens of each answer: ``[n]``; see ``ports.AnswerLikelihood``."""
        return self._scheduler.call(lambda: self._likelihood.mean_logprobs(stored, completions))
