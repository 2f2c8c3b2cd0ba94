"""Exit heads fitted from the page: progress, stop, going on, and where it is offered."""

from dataclasses import replace

import pytest
from conftest import make_lm
from test_handlers import by

from app.handlers import head
from app.language import Translator
from app.messages import FitStep, Message
from app.service import Service
from app.settings import PageSettings
from app.views.base import status_line
from app.views.head import head_note
from hcl_core import registry
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.errors import LimitError, SettingsError
from hcl_core.folders import shipped_heads_folder
from hcl_core.models.head_records import FitSettings

WORDS = Translator("en")


@pytest.fixture
def service(monkeypatch, tmp_path):
    """With a tiny model, and nothing fitted yet."""
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "load_replicas", lambda name, *_: ((make_lm(),), Checkpoint(name, "t", tmp_path)))
    monkeypatch.setattr(head, "_SETTINGS", FitSettings(num_tokens=13_000))
    return Service()


def keys(updates):
    return [update.status.key for update in updates if isinstance(update.status, Message)]


def steps(updates):
    return [update.status.progress for update in updates if isinstance(update.status, FitStep)]


def test_a_fit_shows_its_progress_and_the_next_run_takes_the_head(service):
    assert head.head_of(by(service), make_lm().name).config is None
    *before, last = head.fit(by(service), make_lm().name)
    phases = list(dict.fromkeys(each.phase for each in steps(before)))
    assert phases == ["reading", "solving", "measuring"]
    assert any(update.status.seconds_left for update in before if isinstance(update.status, FitStep))
    assert keys([last]) == ["fit_done"] and last.head.config.num_tokens >= 13_000
    assert registry.load_exit_head("auto", make_lm()).name == "linear"
    note = head_note(last.head, WORDS)
    assert note.count("<th scope=row>") == make_lm().num_hidden_layers and "100%" in note


def test_a_fit_that_is_stopped_goes_on_where_it_was(service, tmp_path):
    updates = head.fit(by(service), "tiny")
    read = 0
    while not read:
        update = next(updates)
        read = update.status.progress.num_done if isinstance(update.status, FitStep) else 0
    service.jobs.stop(by(service).visitor, "fit_head")
    assert keys(updates)[-1] == "fit_stopped"
    assert head.head_of(by(service), "tiny").config is None
    assert steps(head.fit(by(service), "tiny"))[0].num_done >= read
    assert not list((tmp_path / "cache" / "fits").iterdir())  # nothing is left of what was read


def test_others_take_their_turns_while_a_head_is_fitted(service):
    updates = head.fit(by(service), "tiny")
    for _ in range(4):
        next(updates)
    assert service.models.find("tiny").first.scheduler.call(lambda: 7) == 7
    updates.close()
    assert not service.models.find("tiny").is_used and not service.places.num_taken


def test_a_public_page_fits_none_and_does_not_offer_it(service):
    public = Service(PageSettings(public=True))
    with pytest.raises(LimitError, match="this page fits no exit heads"):
        list(head.fit(by(public), "tiny"))
    known = head.head_of(by(public), "layerskip-llama2-7b")
    assert not known.is_offered and "A fit reads" not in head_note(replace(known, is_trained_for_exit=False), WORDS)


def test_without_a_model_nothing_is_fitted(service):
    with pytest.raises(SettingsError, match="choose the model"):
        list(head.fit(by(service), " "))
    assert head_note(head.head_of(by(service), ""), WORDS) == ""


def test_the_offer_says_what_it_takes_and_names_are_text(service):
    note = head_note(head.head_of(by(service), "<b>mine"), WORDS)
    assert "&lt;b&gt;mine" in note and "13,000 tokens" in note and "<b>" not in note
    trained = head_note(head.head_of(by(service), "layerskip-llama3.2-1b"), WORDS)
    assert "trained for early exit" in trained


def test_time_and_size_are_foretold(service, monkeypatch):
    monkeypatch.setattr(registry, "known_head", lambda *_: None)
    known = head.head_of(by(service), "smollm2-135m")
    few, many = (service.head_fits.foretell("smollm2-135m", FitSettings(num_tokens=each)) for each in (10_000, 50_000))
    assert few.middle < many.middle < 5 * few.middle and service.head_fits.foretell("mine", FitSettings()) is None
    shipped = shipped_heads_folder() / "smollm2-135m.safetensors"
    assert known.num_bytes == pytest.approx(shipped.stat().st_size, rel=0.02)
    note = head_note(replace(known, config=None), WORDS)
    assert "minutes" in note and "10 MB" in note


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_every_phase_has_a_sentence(service, language):
    words = Translator(language)
    for update in head.fit(by(service), "tiny"):
        assert "{" not in status_line(update.status, words)


def test_a_fit_that_was_stopped_before_its_turn_ends(service):
    service.jobs.press(by(service).visitor, "fit_head")
    service.jobs.stop(by(service).visitor)
    assert keys(head.fit(by(service), "tiny")) == ["fit_stopped"]
