"""Stop belongs to one press of one button: jobs, their order, and what is left of visitors who leave."""

import threading
from contextlib import closing
from typing import Any

import pytest
from test_handlers import EQUAL, by, form, loads, run, service  # noqa: F401

from app.handlers import dataset, lens, shown_question
from app.handlers.dataset import SetChoice
from app.jobs import Job, Jobs, StoppedError
from app.live import Waiting
from app.messages import Message
from hcl_core import registry
from hcl_core.errors import RunFolderError

WAIT = 20  # seconds that no test should take


def wait_until_queued(jobs, number):
    """Block until so many jobs stand in the queue."""
    with jobs._changed:
        assert jobs._changed.wait_for(lambda: len(jobs._queue) == number, WAIT)


class Waiter(threading.Thread):
    """A job in a thread of its own: the places it was told, then what it did with the model, or that it was stopped."""

    def __init__(self, jobs: Jobs, visitor: str, log: list[str]) -> None:
        super().__init__(daemon=True)
        self.jobs, self.visitor, self.log = jobs, visitor, log
        self.places: list[int] = []

    def run(self) -> None:
        try:
            with self.jobs.work(self.visitor, "explore") as job, self.jobs.queued(job) as places:
                with self.jobs._changed:
                    self.jobs._changed.notify_all()
                self.places += list(places)
                self.log.append(self.visitor)
        except StoppedError:
            self.log.append(f"{self.visitor} stopped")


@pytest.fixture
def held():
    """Jobs of which a first one has the model until the test lets it go."""
    jobs, release, is_held = Jobs(), threading.Event(), threading.Event()

    def hold():
        with jobs.work("first", "explore") as job, jobs.queued(job) as places:
            assert list(places) == []
            is_held.set()
            release.wait(WAIT)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    assert is_held.wait(WAIT)
    yield jobs, lambda: (release.set(), thread.join(WAIT))
    release.set()


def test_jobs_have_the_model_in_the_order_in_which_they_came(held):
    jobs, release = held
    log: list[str] = []
    waiters: list[Waiter] = []
    for number in range(5):
        waiters.append(Waiter(jobs, str(number), log))
        waiters[-1].start()
        wait_until_queued(jobs, number + 2)
    release()
    for waiter in waiters:
        waiter.join(WAIT)
    assert log == ["0", "1", "2", "3", "4"]
    assert all(waiter.places == sorted(waiter.places, reverse=True) for waiter in waiters)
    assert waiters[4].places[0] == 5 and not jobs._queue and not jobs._active


def test_a_job_that_is_stopped_while_it_waits_leaves_the_queue(held):
    jobs, release = held
    log: list[str] = []
    waiters = [Waiter(jobs, visitor, log) for visitor in ("a", "b")]
    for number, waiter in enumerate(waiters):
        waiter.start()
        wait_until_queued(jobs, number + 2)
    jobs.stop("a", "explore")
    waiters[0].join(WAIT)
    assert log == ["a stopped"]
    release()
    waiters[1].join(WAIT)
    assert log == ["a stopped", "b"]


def test_a_stop_is_for_the_jobs_of_its_own_tab():
    jobs = Jobs()
    with jobs.work("v", "explore") as explored, jobs.work("v", "lens") as looked, jobs.work("w", "lens") as other:
        jobs.stop("v", "lens")
        assert [job.is_stopped for job in (explored, looked, other)] == [False, True, False]


def test_a_stop_before_the_work_begins_is_for_that_press_alone():
    jobs = Jobs()
    jobs.press("v", "explore")
    jobs.stop("v", "explore")
    with pytest.raises(StoppedError), jobs.work("v", "explore"):
        pytest.fail("a stopped job was begun")
    with jobs.work("v", "explore") as job:
        assert not job.is_stopped


def test_a_stop_with_nothing_to_stop_is_forgotten():
    jobs = Jobs()
    jobs.stop("v", "explore")
    with jobs.work("v", "explore") as job:
        assert not job.is_stopped


def test_nothing_is_left_of_a_visitor_who_leaves_before_the_work_begins():
    jobs = Jobs()
    jobs.press("v", "lens")
    jobs.forget("v")
    assert not jobs._pressed


def test_stop_in_the_lens_leaves_the_run_alone_and_the_reverse(service):  # noqa: F811
    visit = by(service)
    running: Any = run(service)
    next(update for update in running if update.result)
    looking: Any = lens.read_prompt(visit, "tiny", "shared", "Once", False, 2, "entropy")
    assert next(looking).status == Message("looking")  # it takes its turn between two steps of the run
    service.jobs.stop(visit.visitor, "lens")
    assert [update.status for update in looking] == [Message("stopped_look")]
    assert list(running)[-1].status.key == "run_done"

    running = run(service, seed=1)
    next(update for update in running if update.result)
    looking = lens.read_prompt(visit, "tiny", "shared", "Once", False, 2, "entropy")
    assert next(looking).status == Message("looking")  # it takes its turn between two steps of the run
    service.jobs.stop(visit.visitor, "explore")
    with pytest.raises(StoppedError):
        list(running)
    assert list(looking)[-1].status == Message("lens_done")


def test_stop_while_the_model_loads_ends_the_run(service, monkeypatch):  # noqa: F811
    load = registry.load_model

    def load_slowly(*options):
        service.jobs.stop("visitor", "explore")  # as another thread does meanwhile
        return load(*options)

    monkeypatch.setattr(registry, "load_model", load_slowly)
    assert list(run(service))[-1].status.key == "stopped_empty"
    assert not service._live and not service.jobs._queue


def test_nothing_is_kept_of_a_visitor_who_leaves_while_the_run_is_prepared(service, monkeypatch):  # noqa: F811
    load = registry.load_model

    def leave_meanwhile(*options):
        service.forget("visitor")
        return load(*options)

    monkeypatch.setattr(registry, "load_model", leave_meanwhile)
    assert list(run(service))[-1].status.key == "stopped_empty"
    assert not service._live and not service.jobs._active and not service.jobs._pressed


def test_a_consumer_who_leaves_lets_the_next_one_have_the_model(service):  # noqa: F811
    with closing(run(service)) as running:
        next(update for update in running if update.result)
        kept = running  # a reference that outlives the visitor
    assert not service.jobs._queue
    assert list(run(service, visitor="next", seed=1))[-1].status.key == "run_done"
    assert next(kept, None) is None


def test_two_runs_of_one_visitor_are_both_in_memory(service):  # noqa: F811
    visit = by(service)
    one = [update.result.shown for update in run(service) if update.result and update.result.shown.is_live][-1]
    choice = SetChoice("starter", 2, None, 1)
    sets = [update.result for update in dataset.run(visit, choice, form(num_samples=4), EQUAL) if update.result]
    assert shown_question.show(visit, one, EQUAL).shown == one
    assert dataset.show(visit, sets[0].shown, EQUAL).manifest.id == sets[0].shown.run_id != one.run_id
    service.forget(visit.visitor)
    with pytest.raises(RunFolderError, match="no longer in memory"):
        shown_question.show(visit, one, EQUAL)


def test_a_waiting_job_says_its_place_when_it_changes():
    jobs = Jobs()
    told: list[Waiting] = []
    with jobs.work("a", "explore") as first, jobs.queued(first) as mine:
        assert list(mine) == []
        with jobs.queued(second := Job("b", "explore")) as places:
            told.append(Waiting(next(places)))
            second.stop()
            with pytest.raises(StoppedError):
                next(places)
    assert told == [Waiting(1)]
