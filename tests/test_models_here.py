"""What stands in the way of a model is said before Run is pressed."""

import psutil
import pytest

from app.language import Translator
from app.models_here import notice_on_model
from app.views.base import sentence
from hcl_core.models.catalogue import CATALOGUE

GATED = next(model for model in CATALOGUE if model.is_gated and model.parameters < 2_000)
LARGEST = max(CATALOGUE, key=lambda model: model.parameters)


@pytest.fixture
def here(monkeypatch):
    """Sets which models are on the machine, and its memory in gigabytes."""

    def set_machine(names=(), gigabytes=24):
        monkeypatch.setattr("hcl_core.registry.is_available", lambda model: model.name in names)
        memory = psutil.virtual_memory()._replace(total=gigabytes * 10**9)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    return set_machine


def test_nothing_is_said_of_a_model_that_is_here_or_not_known(here):
    here(["smollm2-135m"])
    assert notice_on_model("smollm2-135m") is None and notice_on_model("somebody/else") is None


def test_an_absent_model_is_fetched_and_a_gated_one_needs_access(here):
    here()
    assert notice_on_model("smollm2-135m").key == "model_absent"
    gated = notice_on_model(GATED.name)
    assert gated.key == "model_gated" and "HF_TOKEN" in sentence(gated, Translator("en"))


def test_a_model_that_no_memory_holds_is_said_to_be_too_large(here):
    here([LARGEST.name])
    said = sentence(notice_on_model(LARGEST.name), Translator("en"))
    assert "24.0 GB" in said and notice_on_model(LARGEST.name).values["size"] == pytest.approx(138, rel=0.02)
    here([LARGEST.name], gigabytes=1_000)
    assert notice_on_model(LARGEST.name) is None


def test_a_model_of_ones_own_can_be_too_large(here, monkeypatch):
    monkeypatch.setattr("hcl_core.registry.model_shape", lambda name: LARGEST.shape)
    monkeypatch.setattr("hcl_core.registry.model_engine", lambda name: "fast")
    here()
    assert notice_on_model("mine").key == "model_too_large" and notice_on_model("mine", is_public=True) is None
    here(gigabytes=1_000)
    assert notice_on_model("mine") is None


def test_a_model_of_the_reference_engine_is_said_to_be_slower(monkeypatch):
    monkeypatch.setattr("hcl_core.registry.model_shape", lambda name: GATED.shape)
    monkeypatch.setattr("hcl_core.registry.model_engine", lambda name: "reference" if name == "mine" else "fast")
    assert "reference engine" in sentence(notice_on_model("mine"), Translator("en"))
    assert notice_on_model("another") is None
