"""The scheduler: many threads decode with one model, each sees its own progress, errors and end."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import make_decoder, make_lm, stored_question

from hcl_core.ahead import ahead
from hcl_core.decode import scheduler as scheduler_module
from hcl_core.decode.forest import Forest
from hcl_core.decode.scheduled import ScheduledDecoder, ScheduledLikelihood
from hcl_core.decode.scheduler import Scheduler, Turn
from hcl_core.errors import ContextTooLongError, NotEnoughMemoryError
from hcl_core.ports import DecodeProgress, DecodeRequest
from hcl_core.records import Question, SamplingSettings

NO_THREAD = RuntimeError("can't start new thread")
WAIT = 20  # seconds that no test should take
SAMPLING = SamplingSettings(temperature=1.0, max_new_tokens=6)
KEYS = [(layer, index) for layer in (1, 4) for index in range(4)]


class StubLane:
    def __init__(self, request) -> None:
        self.request, self.num_steps = request, 0


class StubForest:
    """A request is a number of steps; each step moves every lane on by one. It steps when ``may_step`` is set."""

    def __init__(self) -> None:
        self.lanes: list[StubLane] = []
        self.opened: list[Any] = []
        self.stepping = threading.Event()
        self.may_step = threading.Semaphore(10**6)
        self.error: Exception | None = None

    @property
    def is_idle(self):
        return not self.lanes

    def has(self, lane):
        return lane in self.lanes

    def open(self, decoder, request):
        if isinstance(request, Exception):
            raise request
        self.opened.append(request)
        self.lanes.append(StubLane(request))
        return self.lanes[-1]

    def close(self, lane):
        if lane in self.lanes:
            self.lanes.remove(lane)

    def step(self):
        self.stepping.set()
        assert self.may_step.acquire(timeout=WAIT)
        if self.error is not None:
            raise self.error
        events: list[Any] = []
        for lane in list(self.lanes):
            lane.num_steps += 1
            if isinstance(lane.request, str):  # fails at once
                events.append((lane, NotEnoughMemoryError(lane.request)))
                self.close(lane)
                continue
            events.append((lane, DecodeProgress((), 0, lane.num_steps, wave_done=False)))
            if lane.num_steps == lane.request:
                self.close(lane)
        return events


@pytest.fixture
def forest():
    return StubForest()


@pytest.fixture
def scheduler(forest):
    return Scheduler(Turn(), lambda decoder: forest)


def steps_of(scheduler, requests, **options):
    return [(request, progress.num_nodes) for request, progress in scheduler.decode_many(None, requests, **options)]


def wait_until_idle(scheduler):
    """Block until the thread has ended."""
    for thread in threading.enumerate():
        if thread.name == "scheduler":
            thread.join(WAIT)
    assert not scheduler._is_working


def test_callers_get_their_own_progress_in_order(scheduler):
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda number: steps_of(scheduler, [number]), range(1, 9)))
    assert got == [[(number, step) for step in range(1, number + 1)] for number in range(1, 9)]


def test_callers_share_one_step(scheduler, forest):
    forest.may_step = threading.Semaphore(0)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(steps_of, scheduler, [3])
        assert forest.stepping.wait(WAIT)  # the first has its lane, and the second comes meanwhile
        other = pool.submit(steps_of, scheduler, [2])
        while not scheduler._new:
            pass
        forest.may_step.release(3)
        assert len(one.result(WAIT)) == 3 and len(other.result(WAIT)) == 2


def test_an_error_of_one_lane_ends_its_caller_alone(scheduler):
    with ThreadPoolExecutor(2) as pool:
        good, bad = pool.submit(steps_of, scheduler, [50]), pool.submit(steps_of, scheduler, ["no room"])
        with pytest.raises(NotEnoughMemoryError, match="no room"):
            bad.result(WAIT)
        assert len(good.result(WAIT)) == 50


@pytest.mark.parametrize("failing", ["no room", ContextTooLongError("too long")], ids=["in a step", "refused"])
def test_requests_before_one_that_fails_are_finished_and_those_after_it_dropped(scheduler, forest, failing):
    seen: list[Any] = []
    with pytest.raises((NotEnoughMemoryError, ContextTooLongError)):
        for request, progress in scheduler.decode_many(None, [3, failing, 9]):
            seen.append((request, progress.num_nodes))
    assert [each for each in seen if each[0] == 3] == [(3, 1), (3, 2), (3, 3)]
    assert (9, 2) not in seen and forest.is_idle


def test_closing_frees_the_lanes_at_the_next_step(scheduler, forest):
    with closing(scheduler.decode_many(None, [10**9, 10**9])) as steps:
        next(steps)
        assert len(forest.lanes) == 2
    wait_until_idle(scheduler)
    assert forest.is_idle


def test_what_check_raises_ends_the_caller_alone(scheduler, forest):
    class StopError(Exception):
        pass

    stopped = threading.Event()

    def check():
        if stopped.is_set():
            raise StopError

    steps = scheduler.decode_many(None, [10**9], check=check)
    next(steps)
    stopped.set()
    with pytest.raises(StopError):
        list(steps)
    assert steps_of(scheduler, [2]) == [(2, 1), (2, 2)]
    wait_until_idle(scheduler)
    assert forest.is_idle


def test_an_error_of_the_requests_themselves_ends_the_caller_alone(scheduler):
    def requests():
        yield 2
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        steps_of(scheduler, requests())
    assert steps_of(scheduler, [1]) == [(1, 1)]


def test_an_unexpected_error_reaches_every_caller_and_the_next_has_a_new_forest():
    forests = [StubForest(), StubForest()]
    forests[0].error = ZeroDivisionError()
    forests[0].may_step = threading.Semaphore(0)
    made: Any = iter(forests)
    scheduler = Scheduler(Turn(), lambda decoder: next(made))
    with ThreadPoolExecutor(2) as pool:
        callers = [pool.submit(steps_of, scheduler, [5]) for _ in range(2)]
        assert forests[0].stepping.wait(WAIT)
        forests[0].may_step.release(2)
        outcomes = [caller.exception(WAIT) for caller in callers]
    # The second may have come after the failure; then it has the new forest.
    assert isinstance(outcomes[0] or outcomes[1], RuntimeError)
    assert steps_of(scheduler, [2]) == [(2, 1), (2, 2)]


def test_no_more_questions_of_a_caller_are_open_than_asked_for(scheduler, forest):
    most = 0
    for _ in scheduler.decode_many(None, [2] * 9, at_once=2):
        most = max(most, len(forest.lanes))
    assert most <= 2 and len(forest.opened) == 9


def test_a_caller_who_takes_nothing_gets_no_further_question(scheduler, forest, monkeypatch):
    monkeypatch.setattr(scheduler_module, "_MOST_UNTAKEN", 4)
    monkeypatch.setattr(scheduler_module, "_PAUSE", 0.001)
    with closing(scheduler.decode_many(None, [1] * 100, at_once=1)) as steps:
        next(steps)
        assert steps_of(scheduler, [50])  # meanwhile another caller has all of its steps
        assert len(forest.opened) - 1 < 10  # without the other caller's
        assert sum(1 for _ in steps) == 99


def test_a_call_returns_its_value_or_raises_between_two_steps(scheduler, forest):
    steps = scheduler.decode_many(None, [10**9])
    next(steps)
    names = {scheduler.call(lambda: threading.current_thread().name) for _ in range(3)}
    assert names == {"scheduler"}
    with pytest.raises(ZeroDivisionError):
        scheduler.call(lambda: 1 // 0)
    next(steps)
    steps.close()


def test_the_thread_ends_when_nothing_is_left_to_do(scheduler):
    assert scheduler.call(lambda: 7) == 7
    wait_until_idle(scheduler)
    assert scheduler.call(lambda: 8) == 8


def test_two_models_of_one_device_never_compute_at_once():
    turn, inside, most = Turn(), [], []

    class Watched(StubForest):
        def step(self):
            inside.append(self)
            most.append(len(inside))
            events = super().step()
            inside.remove(self)
            return events

    make_forest: Any = lambda decoder: Watched()  # noqa: E731
    schedulers = [Scheduler(turn, make_forest) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda scheduler: steps_of(scheduler, [200]), schedulers))
    assert set(most) == {1} and len(most) == 600


# The engine behind the scheduler.


@pytest.fixture(scope="module")
def lm():
    return make_lm()


def requests_of(decoder):
    return [
        DecodeRequest(
            stored_question(decoder, Question(f"q{number}", f"Name a planet, {number}.", ("Mars",))),
            SAMPLING,
            [KEYS[:4], KEYS[4:]],
        )
        for number in range(4)
    ]


def samples_of(steps):
    samples: dict[str, list[Any]] = {}
    for request, progress in steps:
        samples.setdefault(request.stored.question.id, []).extend(progress.finished)
    return samples


def test_scheduled_answers_are_those_of_the_decoder_alone(lm):
    decoder = make_decoder(lm)
    alone = samples_of(decoder.decode_many(requests_of(decoder), 1))
    scheduler = Scheduler(Turn())
    with ThreadPoolExecutor(3) as pool:
        scheduled = ScheduledDecoder(decoder, scheduler)
        runs = [pool.submit(lambda: samples_of(scheduled.decode_many(requests_of(decoder), 2))) for _ in range(3)]
        assert [run.result(WAIT) for run in runs] == [alone] * 3


def test_a_scheduled_decoder_is_the_decoder_in_everything_else(lm):
    decoder = make_decoder(lm)
    scheduled = ScheduledDecoder(decoder, Scheduler(Turn()))
    (request, *_) = requests_of(decoder)
    assert scheduled.num_hidden_layers == decoder.num_hidden_layers and scheduled.cost() == decoder.cost()
    assert scheduled.exit_head is decoder.exit_head and scheduled.token_text(70) == decoder.token_text(70)
    assert scheduled.prompt_for(request.stored.question) == request.stored.prompt
    assert scheduled.tokenize_checked(request.stored, SAMPLING) == decoder.tokenize_checked(request.stored, SAMPLING)
    finished = [sample for step in scheduled.decode(request.stored, SAMPLING, [KEYS]) for sample in step.finished]
    assert sorted(finished, key=lambda sample: sample.key) == sorted(
        (sample for step in decoder.decode(request.stored, SAMPLING, [KEYS]) for sample in step.finished),
        key=lambda sample: sample.key,
    )


def test_a_question_that_is_too_long_is_an_error_of_its_caller(lm):
    decoder = make_decoder(lm)
    scheduler = Scheduler(Turn())
    long = DecodeRequest(stored_question(decoder, Question("q", "long " * 600, ("x",))), SAMPLING, [KEYS])
    with pytest.raises(ContextTooLongError):
        list(scheduler.decode_many(decoder, [long]))


def test_answers_are_read_by_the_schedulers_thread():
    scheduler = Scheduler(Turn())
    reader: Any = SimpleNamespace(mean_logprobs=lambda *asked: (threading.current_thread().name, *asked))
    stored: Any = "stored"
    assert ScheduledLikelihood(reader, scheduler).mean_logprobs(stored, [(1,)]) == ("scheduler", "stored", [(1,)])


def test_the_schedulers_forest_is_the_engines(lm):
    assert isinstance(scheduler_module.forest_of(make_decoder(lm)), Forest)


def test_where_no_thread_is_left_the_next_caller_tries_again(monkeypatch):
    scheduler = Scheduler(Turn())
    with monkeypatch.context() as no_threads:
        no_threads.setattr(threading.Thread, "start", Mock(side_effect=NO_THREAD))
        for _ in range(2):
            with pytest.raises(RuntimeError, match="can't start"):
                scheduler.call(lambda: 1)
            assert not scheduler._calls and not scheduler._is_working
    assert scheduler.call(lambda: 2) == 2


def test_sources_that_work_ahead_end_where_one_of_them_gets_no_thread(monkeypatch):
    start, started = threading.Thread.start, list[threading.Thread]()

    def only_one(thread):
        if started:
            raise NO_THREAD
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", only_one)
    with pytest.raises(RuntimeError, match="can't start"):
        next(ahead(*((number for number in itertools.count()) for _ in range(2))))
    assert not started[0].is_alive()
