"""A page on several devices, here two on one CPU: each run is on one of them, with the answers of a single one."""

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import contents, make_lm
from test_device_lists import parts, without_manifest
from test_handlers import LetterEmbedder
from test_shared_runs import (
    WAIT,
    decoded,  # noqa: F401
    events_of,
    next_place,
    next_wave,
    use,
    wait_until_ended,
    waves_of,
)

import app.service
from app.jobs import StoppedError
from app.live import LiveEvent
from app.places import RunClock
from app.run_line import Pace, RunLine
from app.service import Service
from app.shared_run import SharedRun
from hcl_core import registry
from hcl_core.decode.forest import Forest
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.plausibility import WholeModel
from hcl_core.errors import ExitHeadError
from hcl_core.models.lens_records import LensTable
from hcl_core.pipeline import Finished
from hcl_core.pipeline.estimate import Foretold

DEVICES = ("first", "second", "third")


@pytest.fixture
def page_on(monkeypatch, tmp_path):
    """Makes a page on so many devices; each page has a runs folder of its own."""
    names: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()

    def load(name, dtype, device):
        lms = tuple(make_lm() for _ in device.split(","))
        names.update(zip(lms, DEVICES, strict=False))
        return lms, Checkpoint(name, "tiny", tmp_path)

    monkeypatch.setattr(LanguageModel, "device_name", property(lambda lm: names[lm]))
    monkeypatch.setattr(registry, "load_replicas", load)
    monkeypatch.setattr(registry, "load_embedder", LetterEmbedder)

    def make(num_devices=2):
        monkeypatch.setenv("HCL_RUNS", str(tmp_path / f"runs on {num_devices}"))
        return Service(device=",".join(["cpu"] * num_devices))

    return make


@pytest.fixture
def page(page_on):
    return page_on(2)


def device_of(live):
    """Name of the device that computes a run."""
    return live.run.manifest.device


def finished(events):
    """The folder of a run that is watched to its end."""
    *_, last = events
    assert isinstance(last.event, Finished)
    return last.run.folder


# Which device computes a run.


def test_runs_go_to_the_device_with_the_fewest_and_know_who_shares_it(page):
    runs = [events_of(page, f"visitor {seed}", seed=seed) for seed in range(5)]
    waves = [next_wave(events) for events in runs]
    assert [device_of(live) for live in waves] == ["first", "second", "first", "second", "first"]
    assert [live.event.num_done for live in waves] == [4 * 8, 4 * 8, 4 * 4, 4 * 4, 4 * 2]  # the more share a device
    assert [live.num_beside for live in waves] == [0, 0, 1, 1, 2]
    with ThreadPoolExecutor(5) as pool:
        assert [waves[-1] for waves in pool.map(waves_of, runs)] == [96] * 5
    assert page.models.names == ("tiny",)


def test_what_a_run_takes_of_the_models_time_is_its_part_of_its_own_device(page, monkeypatch):
    sharing = []

    class NotedClock(RunClock):
        def __init__(self, most, num_running):
            super().__init__(most, num_running)
            sharing.append(num_running)

    monkeypatch.setattr(app.service, "RunClock", NotedClock)
    first, second, third = (events_of(page, f"visitor {seed}", seed=seed) for seed in range(3))
    for events in (first, second, third):
        next_wave(events)
    assert [num_running() for num_running in sharing] == [2, 1, 2] and page.num_runs_under_way == 3
    for events in (first, second, third):
        events.close()


def test_a_run_that_is_stopped_frees_its_place_on_its_device(page):
    first, second = events_of(page, "first", seed=1), events_of(page, "second", seed=2)
    next_wave(first), next_wave(second)
    page.jobs.stop("second")
    with pytest.raises(StoppedError):
        next(second)
    third, fourth = events_of(page, "third", seed=3), events_of(page, "fourth", seed=4)
    assert device_of(next_wave(third)) == "second"
    assert finished(first) and device_of(next_wave(fourth)) == "first"
    assert finished(third) and finished(fourth)
    wait_until_ended(page)
    assert not page.models.find("tiny").is_used and page.places.num_taken == 0


def test_a_run_that_nobody_watches_any_more_leaves_its_device_to_others():
    lock = threading.RLock()
    line, runs = (
        RunLine(threading.Condition(lock), 10, None, num_devices=2),
        [SharedRun("tiny", lock) for _ in range(4)],
    )
    watchers = [run.join() for run in runs]
    for run in runs[:3]:
        assert list(line.wait_for_turn(run)) == []
    assert [run.device for run in runs[:3]] == [0, 1, 0] and line.num_sharing(runs[0]) == 2
    with lock:
        runs[2].leave(watchers[2])
        runs[0].leave(watchers[0])  # both end in a moment
    assert line.num_sharing(runs[1]) == 1
    assert list(line.wait_for_turn(runs[3])) == [] and runs[3].device == 0 and line.num_sharing(runs[3]) == 1


def test_models_share_the_turn_of_a_device_and_devices_have_turns_of_their_own(page):
    use(page, "a")
    use(page, "b")
    one, other = (page.models.find(name).replicas for name in "ab")
    turns = [[replica.scheduler._turn for replica in replicas] for replicas in (one, other)]
    assert turns[0] == turns[1] and turns[0][0] is not turns[0][1]
    busy, idle = events_of(page, "first", model="a"), events_of(page, "second", model="b", seed=1)
    assert [device_of(next_wave(events)) for events in (busy, idle)] == ["first", "second"]
    busy.close()
    idle.close()


def test_devices_compute_at_the_same_time(page, monkeypatch):
    steps, both = Forest.step, threading.Barrier(2)
    met = set()

    def meet_once(forest):
        if forest not in met:
            met.add(forest)
            both.wait(WAIT)
        return steps(forest)

    monkeypatch.setattr(Forest, "step", meet_once)
    runs = [events_of(page, f"visitor {seed}", seed=seed) for seed in range(2)]
    with ThreadPoolExecutor(2) as pool:
        assert [waves[-1] for waves in pool.map(waves_of, runs)] == [96, 96]


# What they compute.


@pytest.mark.parametrize("accepted", ["Mars\nVenus", ""], ids=["closed", "open"])
def test_runs_at_once_have_the_ids_and_the_bytes_of_runs_on_one_device(page_on, accepted):
    page = page_on(1)
    alone = [finished(events_of(page, f"visitor {seed}", seed=seed, accepted=accepted)) for seed in range(2)]
    page = page_on(2)
    runs = [events_of(page, f"visitor {seed}", seed=seed, accepted=accepted) for seed in range(2)]
    for events in runs:
        next(event for event in events if isinstance(event, LiveEvent))  # both are under way
    with ThreadPoolExecutor(2) as pool:
        beside = list(pool.map(finished, runs))
    assert [folder.manifest().device for folder in (*alone, *beside)] == ["first", "first", "first", "second"]
    for one, other in zip(alone, beside, strict=True):
        assert one.manifest().id == other.manifest().id and one.path.name == other.path.name
        assert without_manifest(one.path) == without_manifest(other.path) and len(parts(one.path)) == 2
        assert ("plausibility.parquet" in contents(one.path)) == (not accepted)


def test_answers_to_open_questions_are_read_by_the_device_of_the_run(page, monkeypatch):
    read_by, read = set(), WholeModel.mean_logprobs

    def noted(whole_model, *given):
        read_by.add(whole_model._parts.lm.device_name)
        return read(whole_model, *given)

    monkeypatch.setattr(WholeModel, "mean_logprobs", noted)
    closed, open_one = events_of(page, "first"), events_of(page, "second", accepted="", seed=1)
    next_wave(closed)
    assert waves_of(open_one) == [32, 96] and read_by == {"second"}
    assert waves_of(closed) == [96]


def test_equal_requests_are_one_decode_on_one_device(page, decoded):  # noqa: F811
    visitors = [events_of(page, f"visitor {number}") for number in range(3)]
    for events in visitors:
        next(event for event in events if isinstance(event, LiveEvent))
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(waves_of, visitors)) == [[32, 96]] * 3
    assert len(decoded) == 1


def test_a_stopped_run_goes_on_with_another_device(page_on):
    whole = finished(events_of(page_on(1), "visitor"))
    page = page_on(2)
    stopped = events_of(page, "visitor")
    wave = next_wave(stopped)
    assert device_of(wave) == "first"
    stopped.close()
    wait_until_ended(page)
    assert 0 < len(wave.run.folder.samples()) < 96
    other = events_of(page, "other", seed=1)
    next_wave(other)
    again = events_of(page, "visitor")
    assert device_of(next_wave(again)) == "second"
    folder = finished(again)
    other.close()
    assert folder.path == wave.run.folder.path and folder.path.name == whole.path.name
    assert parts(folder.path) == parts(whole.path)


def test_a_run_that_follows_another_is_beside_those_of_its_device_and_can_go_on_by_itself(page, monkeypatch):
    first = events_of(page, "first")
    next_wave(first)
    beside = [events_of(page, name, seed=seed) for seed, name in ((1, "second"), (2, "third"))]
    for events in beside:
        next_wave(events)  # on the second device, and on the first
    follower = events_of(page, "follower", accepted="Mars")
    joined = next_wave(follower)
    assert joined.num_beside == 1 and page.num_runs_under_way == 3
    for events in (*beside, first):
        events.close()
    folder = finished(follower)
    assert len(folder.samples()) == 96
    wait_until_ended(page)


def test_a_lens_is_read_meanwhile_by_the_device_with_the_fewest_runs(page, monkeypatch):
    asked, read = [], registry.read_layers_along_answer
    monkeypatch.setattr(
        registry, "read_layers_along_answer", lambda lm, *given, **more: asked.append(lm) or read(lm, *given, **more)
    )
    running = events_of(page, "visitor")
    next_wave(running)
    *_, table = page.lenses.look("tiny", "shared", "Once", False, 2, "looker")
    assert isinstance(table, LensTable) and asked == [page.models.find("tiny").replicas[1].lm]
    assert waves_of(running) == [96]


def test_a_device_that_takes_another_head_is_an_error_of_its_runs_alone(page):
    use(page, "tiny")
    other = page.models.find("tiny").replicas[1].lm
    load = registry.make_decoder

    def other_head(lm, *given, **more):
        decoder = load(lm, *given, **more)
        if lm is other:
            decoder.exit_head.fingerprint = "another"
        return decoder

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "make_decoder", other_head)
        first = events_of(page, "first")
        next_wave(first)
        with pytest.raises(ExitHeadError, match="the devices do not agree on an exit head"):
            list(events_of(page, "second", seed=1))
    assert waves_of(first) == [96]
    wait_until_ended(page)
    assert page._runs.least_used_device == 0 and not page._runs._line._under_way


# The line.


def test_the_line_is_told_the_time_of_the_devices_together(page, monkeypatch):
    page._runs._line._at_once = 2
    monkeypatch.setattr(page, "foretell", lambda *_: Foretold(8, 8, True))
    runs = [events_of(page, f"visitor {seed}", seed=seed) for seed in range(5)]
    begun = [next(live for live in events if isinstance(live, LiveEvent)) for events in runs[:2]]
    assert [device_of(live) for live in begun] == ["first", "second"]
    places = [next_place(events) for events in runs[2:]]
    assert [place.num_before for place in places] == [0, 1, 2]
    # Each device has one run, of eight seconds; then one after the other of the line ends each four seconds.
    assert [place.seconds for place in places] == [8, 12, 16]
    with ThreadPoolExecutor(5) as pool:
        assert [waves[-1] for waves in pool.map(waves_of, runs)] == [96] * 5
    wait_until_ended(page)


def test_the_time_in_line_is_at_first_that_of_devices_beside_each_other():
    assert (Pace().factor, Pace(4).factor) == (1, 0.25)
