"""Runs that several visitors watch: decoded once, seen by all, ended by the last; models that stay or go."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import make_lm
from test_handlers import form, loads, service  # noqa: F401

from app import library
from app.jobs import Job, StoppedError
from app.live import LiveEvent, Loading, Waiting
from app.messages import Message, message_of
from app.run_line import Pace
from hcl_core import registry
from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.errors import JudgeError, LimitError, NotEnoughMemoryError
from hcl_core.pipeline import Finished, Started, WaveDone
from hcl_core.pipeline.estimate import Foretold

WAIT = 20  # seconds that no test should take


@pytest.fixture
def decoded(monkeypatch):
    """Ids of the questions that were decoded."""
    ids: list[str] = []
    policy = EngineDecoder.policy

    def counted(self, request):
        ids.append(request.stored.question.id)
        return policy(self, request)

    monkeypatch.setattr(EngineDecoder, "policy", counted)
    return ids


def events_of(service, visitor, **changes):  # noqa: F811
    return service.run(form(**changes).request(), visitor)


def waves_of(events):
    """Number of answers after each wave."""
    return [live.event.num_done for live in events if isinstance(live, LiveEvent) and isinstance(live.event, WaveDone)]


def next_wave(events):
    return next(live for live in events if isinstance(live, LiveEvent) and isinstance(live.event, WaveDone))


def last_of(events):
    return list(events)[-1]


def wait_until_ended(service):  # noqa: F811
    """Block until the threads of all runs have ended."""
    for thread in threading.enumerate():
        if thread.name == "run":
            thread.join(WAIT)
    assert not service._runs._by_request and not service._runs._writers


def test_equal_requests_are_one_decode_and_all_see_every_wave(service, decoded):  # noqa: F811
    visitors = [events_of(service, f"visitor {number}") for number in range(5)]
    for events in visitors:
        next(event for event in events if isinstance(event, LiveEvent))  # all watch before the first wave
    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(waves_of, visitors)) == [[32, 96]] * 5
    assert len(decoded) == 1


def test_a_run_that_gets_no_thread_is_forgotten_and_can_be_asked_again(service, decoded, monkeypatch):  # noqa: F811
    with monkeypatch.context() as no_threads:
        no_threads.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError("can't start new thread")))
        with pytest.raises(RuntimeError, match="can't start"):
            list(events_of(service, "first"))
    assert not service._runs._by_request
    assert waves_of(events_of(service, "second")) == [32, 96]


def test_requests_that_differ_are_decoded_each(service, decoded):  # noqa: F811
    with ThreadPoolExecutor(3) as pool:
        seen = list(pool.map(lambda seed: waves_of(events_of(service, f"visitor {seed}", seed=seed)), range(3)))
    assert [waves[-1] for waves in seen] == [96] * 3 and len(decoded) == 3
    assert len([run for run in library.stored_runs(with_own=True) if not run.is_shipped]) == 3


def test_the_more_runs_the_smaller_the_first_wave(service):  # noqa: F811
    runs = [events_of(service, f"visitor {seed}", seed=seed) for seed in range(5)]
    assert [next_wave(events).event.num_done for events in runs] == [4 * 8, 4 * 4, 4 * 2, 4 * 2, 4 * 1]
    assert [waves_of(events)[-1] for events in runs] == [96] * 5


def test_who_joins_late_sees_what_came_before_and_everything_after(service, decoded):  # noqa: F811
    first = events_of(service, "first")
    wave = next_wave(first)
    late = events_of(service, "late")
    joined: Any = next(late)
    assert joined.event is wave.event and joined.run is wave.run
    view = joined.run.view(wave.event.question.id)
    assert len(view.samples) == 32
    assert waves_of(late) == [96] == waves_of(first)
    assert len(decoded) == 1


def test_who_joins_before_the_first_wave_sees_that_the_run_has_begun(service):  # noqa: F811
    first, late = events_of(service, "first"), events_of(service, "late")
    began = next(event for event in first if isinstance(event, LiveEvent))
    joined: Any = next(late)
    assert isinstance(began.event, Started) and joined.event is began.event
    first.close()
    late.close()


def test_the_stop_of_one_watcher_does_not_stop_the_other(service, decoded):  # noqa: F811
    first, second = events_of(service, "first"), events_of(service, "second")
    next_wave(first)
    next(second)
    service.jobs.stop("first")
    with pytest.raises(StoppedError):
        next(first)
    assert waves_of(second) == [96] and len(decoded) == 1


def test_the_run_ends_when_its_last_watcher_stops_and_whole_waves_stay(service):  # noqa: F811
    first, second = events_of(service, "first"), events_of(service, "second")
    wave = next_wave(first)
    next(second)
    first.close()
    service.jobs.stop("second")
    with pytest.raises(StoppedError):
        next(second)
    wait_until_ended(service)
    assert wave.run.folder.manifest().finished_at is None and len(wave.run.folder.samples()) == 32
    assert not any(model.is_used for model in service.models._models.values())


def test_a_watcher_who_is_blocked_is_stopped_at_once(service, monkeypatch):  # noqa: F811
    release, judging = threading.Event(), threading.Event()

    def wait_for_release(*_):
        judging.set()
        assert release.wait(WAIT)
        return []

    monkeypatch.setattr("hcl_core.judges.alias.AliasJudge.judge", wait_for_release)
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(list, events_of(service, "visitor"))
        assert judging.wait(WAIT)
        service.jobs.stop("visitor")
        assert isinstance(watching.exception(WAIT), StoppedError)  # the judge is still at work
        release.set()
    wait_until_ended(service)


def test_an_error_of_a_run_reaches_all_who_watch_it(service, monkeypatch):  # noqa: F811
    def fail(*_):
        raise JudgeError("no verdict today")

    monkeypatch.setattr("hcl_core.judges.alias.AliasJudge.judge", fail)
    visitors = [events_of(service, f"visitor {number}") for number in range(3)]
    for events in visitors:
        next(event for event in events if isinstance(event, LiveEvent))
    for events in visitors:
        with pytest.raises(JudgeError, match="no verdict today"):
            list(events)


def test_a_run_that_writes_the_same_folder_waits_for_it(service, decoded):  # noqa: F811
    first, other = events_of(service, "first"), events_of(service, "other", exit_head="shared")
    folder = next_wave(first).run.folder
    waiting: Any = next(other)
    assert isinstance(waiting, Waiting) and waiting.reason == "folder" and waiting.seconds > 0
    assert waves_of(first) == [96]
    finished: Any = list(other)[-1]
    assert isinstance(finished.event, Finished) and finished.run.folder.path == folder.path
    assert len(decoded) == 1


def test_a_run_that_waits_for_a_folder_can_be_stopped(service):  # noqa: F811
    first, other = events_of(service, "first"), events_of(service, "other", exit_head="shared")
    next_wave(first)
    next(other)
    service.jobs.stop("other")
    with pytest.raises(StoppedError):
        next(other)
    assert waves_of(first) == [96]
    wait_until_ended(service)


# The line.


@pytest.fixture
def one_at_once(service, monkeypatch):  # noqa: F811
    """Only one run is decoded at a time, and each is foretold to take eight seconds."""
    service._runs._line._at_once = 1
    monkeypatch.setattr(service, "foretell", lambda *_: Foretold(8, 8, True))
    return service


def test_runs_beyond_those_at_once_are_told_their_place_and_the_time(one_at_once):
    runs = [events_of(one_at_once, f"visitor {seed}", seed=seed) for seed in range(4)]
    next_wave(runs[0])
    told = [message_of(next_place(run)) for run in runs[1:]]
    assert [each.key for each in told] == ["waiting_turn_seconds"] * 3
    assert [each.values["place"] for each in told] == [1, 2, 3]
    first, second, third = (int(str(each.values["seconds"])) for each in told)
    assert 0 < first < 8 <= second < 16 <= third < 24  # the first run has begun, and eight seconds a run in line
    with ThreadPoolExecutor(4) as pool:
        assert [waves[-1] for waves in pool.map(waves_of, runs)] == [96] * 4
    wait_until_ended(one_at_once)
    assert one_at_once._runs.num_waiting == 0 and not one_at_once._runs._line._under_way


def next_place(events):
    return next(event for event in events if isinstance(event, Waiting))


def test_the_line_goes_in_the_order_of_asking_and_closes_up_where_somebody_leaves(one_at_once):
    first, second, third = (events_of(one_at_once, name, seed=seed) for seed, name in enumerate("abc"))
    next_wave(first)
    assert next_place(second).num_before == 0 and next_place(third).num_before == 1
    second.close()
    assert next_place(third).num_before == 0
    assert waves_of(first) == [96] and waves_of(third)[-1] == 96


def test_who_asks_for_what_waits_joins_it_and_takes_no_further_place_in_line(one_at_once, decoded):
    first, second, joined = (events_of(one_at_once, name, seed=seed) for seed, name in ((0, "a"), (1, "b"), (1, "c")))
    next_wave(first)
    assert next_place(second).num_before == next_place(joined).num_before == 0
    assert one_at_once._runs.num_waiting == 1
    assert waves_of(first) == [96]
    with ThreadPoolExecutor(2) as pool:
        assert [waves[-1] for waves in pool.map(waves_of, (second, joined))] == [96, 96]
    assert len(decoded) == 2


def test_a_line_that_needs_too_long_takes_no_more(one_at_once):
    one_at_once._runs._line._most_waiting = 0.0
    first, second, third = (events_of(one_at_once, name, seed=seed) for seed, name in enumerate("abc"))
    next_wave(first)
    next_place(second)
    with pytest.raises(LimitError, match="the 1 runs in line need about 8 s, and this public page lets 0 s wait"):
        list(third)
    second.close()
    first.close()


def test_the_time_in_line_follows_what_runs_have_taken_there():
    pace = Pace()
    pace.ended(2.0, True, 100.0)
    assert pace.factor == 1
    for number in range(1, 30):
        pace.ended(2.0, number < 29, 100.0 + 6 * number)
    assert pace.factor == pytest.approx(3, rel=0.01)
    pace.ended(2.0, True, 900.0)  # nobody waited meanwhile
    assert pace.factor == pytest.approx(3, rel=0.01)


def test_fifty_who_press_together_are_all_answered(service):  # noqa: F811
    service._runs._line._at_once = 4
    with ThreadPoolExecutor(50) as pool:
        asked = [events_of(service, f"visitor {number}", seed=number % 25, num_samples=2) for number in range(50)]
        ends: list[Any] = list(pool.map(last_of, asked))
    assert all(isinstance(each.event, Finished) for each in ends)
    wait_until_ended(service)
    assert service.places.num_taken == 0


# Models.


@pytest.fixture
def small_memory(service, monkeypatch, tmp_path):  # noqa: F811
    """Room for two models; the names of those that were loaded."""
    loaded: list[str] = []

    def load(name, *_):
        if len(service.models._models) == 2:
            raise NotEnoughMemoryError(f"{name} does not fit")
        loaded.append(name)
        return (make_lm(),), Checkpoint(name, "tiny", tmp_path)

    monkeypatch.setattr(registry, "load_replicas", load)
    return loaded


def in_memory(service):  # noqa: F811
    return set(service.models._models)


def use(service, name):  # noqa: F811
    list(service.lenses.look(name, "shared", "Once", False, 1, "visitor"))


def test_models_that_fit_are_kept(service, small_memory):  # noqa: F811
    for name in ("a", "b", "a", "b"):
        use(service, name)
    assert small_memory == ["a", "b"] and in_memory(service) == {"a", "b"}


def test_the_model_that_was_not_used_for_longest_goes(service, small_memory):  # noqa: F811
    for name in ("a", "b", "a", "c"):
        use(service, name)
    assert in_memory(service) == {"a", "c"}


def test_a_model_that_is_used_stays(service, small_memory):  # noqa: F811
    running = events_of(service, "first", model="a")
    next_wave(running)
    for name in ("b", "c"):
        use(service, name)
    assert in_memory(service) == {"a", "c"}
    assert waves_of(running) == [96]


def test_who_needs_room_waits_until_a_model_is_not_used(service, small_memory):  # noqa: F811
    first, second = events_of(service, "first", model="a"), events_of(service, "second", model="b", seed=1)
    next_wave(first)
    next_wave(second)
    third = events_of(service, "third", model="c", seed=2)
    assert next(third) == Loading("c")
    waiting: Any = next(third)
    assert waiting.reason == "memory" and waiting.num_before == 0 and waiting.seconds > 0
    # Meanwhile newcomers stand in the queue, also for a model in memory.
    newcomer = events_of(service, "newcomer", model="b", seed=3)
    assert next(newcomer) == Waiting(1)
    newcomer.close()
    assert waves_of(first) == [96]
    assert waves_of(third)[-1] == 96 and in_memory(service) == {"b", "c"}
    assert waves_of(second)[-1] == 96


def test_a_model_that_fits_in_no_memory_is_an_error(service, monkeypatch):  # noqa: F811
    def load(name, *_):
        raise NotEnoughMemoryError(f"{name} does not fit")

    monkeypatch.setattr(registry, "load_replicas", load)
    with pytest.raises(NotEnoughMemoryError, match="large does not fit"):
        use(service, "large")
    assert not service.jobs._queue


def test_who_waits_for_room_can_be_stopped(service, small_memory):  # noqa: F811
    first, second = events_of(service, "first", model="a"), events_of(service, "second", model="b", seed=1)
    next_wave(first)
    next_wave(second)
    third = events_of(service, "third", model="c", seed=2)
    while not isinstance(next(third), Waiting):
        pass
    service.jobs.stop("third")
    with pytest.raises(StoppedError):
        next(third)
    assert not service.jobs._queue and waves_of(first)[-1] == waves_of(second)[-1] == 96


def test_a_model_that_was_loaded_before_has_an_estimate(service, small_memory):  # noqa: F811
    models = service.models
    use(service, "a")
    assert models._seconds_to_load("a") is None  # nobody loads it now
    models._loading, models._load_seconds["a"] = ("a", 0.0), 10**9
    assert models._seconds_to_load("a") > 0 and models._seconds_to_load("b") is None


@pytest.mark.parametrize(
    ("reason", "place"),
    [("model", {"before": 2}), ("memory", {"before": 2}), ("folder", {"before": 2}), ("turn", {"place": 3})],
)
def test_a_visitor_who_waits_is_told_place_and_time_where_known(reason, place):
    unknown, known = message_of(Waiting(2, None, reason)), message_of(Waiting(2, 3.2, reason))
    assert unknown.values == place and known == Message(f"{unknown.key}_seconds", place | {"seconds": 4})


def test_a_job_waits_no_longer_than_until_its_stop():
    job, changed = Job("visitor", "explore"), threading.Condition()

    def wait():
        with changed:
            job.wait_for(changed, lambda: False)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        job.stop()
        assert isinstance(waiting.exception(WAIT), StoppedError)
