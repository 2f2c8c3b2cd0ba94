"""What stands in the way of a model is said before Run is pressed."""

import json

import huggingface_hub.constants
import psutil
import pytest
from test_handlers import by, controls, form

from app.handlers import explore
from app.handlers.links import read_link
from app.handlers.models import ModelFacts, facts_of, num_hidden_layers
from app.handlers.opening import open_page
from app.language import Translator
from app.models_here import notice_on_model, standing_of
from app.render.explore import depth_parts
from app.service import Service
from app.settings import PageSettings
from app.views.base import sentence
from app.views.models import choice_label, model_facts
from hcl_core import registry
from hcl_core.errors import NotHereError
from hcl_core.models.catalogue import CATALOGUE

GATED = next(model for model in CATALOGUE if model.is_gated and model.parameters < 2_000)
LARGEST = max(CATALOGUE, key=lambda model: model.parameters)


@pytest.fixture
def hub_cache(monkeypatch, tmp_path):
    """Puts the config of a model, and nothing else, into an empty cache of the Hub."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    def put(name, **sizes):
        folder = tmp_path / f"models--{name.replace('/', '--')}"
        snapshot = folder / "snapshots" / "c0ffee"
        snapshot.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("c0ffee")
        config = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100} | sizes
        (snapshot / "config.json").write_text(json.dumps(config))

    return put


@pytest.fixture
def here(monkeypatch):
    """Sets which models are on the machine, and its memory in gigabytes."""

    def set_machine(names=(), gigabytes=24):
        monkeypatch.setattr("hcl_core.registry.is_available", lambda model: model.name in names)
        memory = psutil.virtual_memory()._replace(total=gigabytes * 10**9)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    return set_machine


def test_nothing_is_said_of_a_model_that_is_here_and_what_is_not_known_of_another(here):
    here(["smollm2-135m"])
    assert notice_on_model("smollm2-135m") is None and notice_on_model("somebody/else", is_public=True) is None
    assert notice_on_model("somebody/else").key == "model_unknown"
    assert notice_on_model("./no/such/folder") is None  # a run says that there is none


def test_a_model_of_which_the_config_alone_is_here_is_foretold_and_said_to_be_absent(here, hub_cache):
    here()
    hub_cache("somebody/else", num_hidden_layers=12)
    assert notice_on_model("somebody/else").key == "model_absent"
    with pytest.raises(NotHereError):
        registry.model_shape("somebody/else")
    assert registry.shape_and_engine("somebody/else", config_is_enough=True)[0].num_hidden_layers == 12


@pytest.fixture(params=["folder", "file"])
def own_model(request, tiny_folder, tmp_path):
    """A model of one's own by its path, and its layers."""
    if request.param == "folder":
        return str(tiny_folder), 4
    gguf = pytest.importorskip("test_gguf_files")
    gguf.write_gguf(tmp_path / "tiny.gguf", gguf.make_llama())
    return str(tmp_path / "tiny.gguf"), gguf.NUM_LAYERS


def test_a_model_of_ones_own_that_is_here_has_its_layers_and_a_foretold_time(own_model):
    (name, depth), visit = own_model, by(Service())
    estimated = explore.estimate(visit, form(model=name, first_layer=2, last_layer=depth))
    assert estimated.num_layers == depth - 1 and estimated.foretold.middle > 0
    last = depth_parts(num_hidden_layers(visit, name))["last_layer"]
    assert (last["maximum"], last["value"]) == (depth, depth)
    opened = open_page(visit, read_link({"model": name, "first": "2"}, []), controls(first_layer=16, last_layer=30))
    assert (opened.values["first_layer"], opened.values["last_layer"]) == (2, depth)
    assert isinstance(opened.estimate, explore.Estimate) and opened.estimate.num_layers == depth - 1
    assert opened.notices == []
    assert num_hidden_layers(by(Service(PageSettings(public=True))), name) is None


@pytest.mark.parametrize("model", CATALOGUE, ids=lambda model: model.name)
def test_a_link_with_another_model_of_the_list_brings_that_models_layers(model):
    opened = open_page(by(Service()), read_link({"model": model.name}, []), controls(first_layer=16, last_layer=30))
    depth = model.num_hidden_layers
    assert (opened.values["first_layer"], opened.values["last_layer"]) == (depth // 2 + 1, depth)
    assert isinstance(opened.estimate, explore.Estimate) and opened.estimate.num_layers == depth - depth // 2
    assert opened.notices == []


def test_a_choice_is_marked_with_what_stands_in_its_way(here):
    here([])
    marks = {model.name: choice_label(model, standing_of(model), Translator("en")) for model in CATALOGUE}
    assert marks["smollm2-135m"] == "smollm2-135m · 30 layers · 0.3\u00a0GB · not here yet"
    assert marks[GATED.name].endswith("not here yet · needs access")
    assert marks[LARGEST.name].endswith("GB · not here yet · needs access · too large for this machine")
    here([LARGEST.name], gigabytes=1_000)
    assert choice_label(LARGEST, standing_of(LARGEST), Translator("de")).endswith("80 Schichten · 138,0\u00a0GB")


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_the_facts_of_every_model_name_its_licence_and_what_verified_it(language):
    words = Translator(language)
    for model in CATALOGUE:
        facts = model_facts(ModelFacts(model.name, model, model.shape, model.engine), words)
        for expected in (model.licence, model.verified.date, model.verified.test, model.repo_id):
            assert expected in facts
        seen = words("facts_verified_checkpoint", date=model.verified.date)
        assert (f" · {seen}</summary>" in facts) == model.verified.is_checkpoint


def test_of_a_model_of_ones_own_no_licence_is_claimed_and_a_public_page_looks_at_none(monkeypatch):
    facts = model_facts(facts_of(by(Service()), "<b>mine"), Translator("en"))
    assert "licence not known here" in facts and "&lt;b&gt;mine" in facts and "verified" not in facts
    public = by(Service(PageSettings(public=True)))
    monkeypatch.setattr(registry, "shape_and_engine", lambda *_, **__: pytest.fail("it looked"))
    assert facts_of(public, "/etc") is None and model_facts(None, Translator("en")) == ""


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
    monkeypatch.setattr(registry, "shape_and_engine", lambda *_, **__: (LARGEST.shape, "fast"))
    monkeypatch.setattr(registry, "is_here", lambda _: True)
    here()
    assert notice_on_model("mine").key == "model_too_large" and notice_on_model("mine", is_public=True) is None
    here(gigabytes=1_000)
    assert notice_on_model("mine") is None


def test_a_model_of_the_reference_engine_is_said_to_be_slower(monkeypatch):
    engines = {"mine": "reference"}
    monkeypatch.setattr(registry, "shape_and_engine", lambda name, **_: (GATED.shape, engines.get(name, "fast")))
    monkeypatch.setattr(registry, "is_here", lambda _: True)
    assert "reference engine" in sentence(notice_on_model("mine"), Translator("en"))
    assert notice_on_model("another") is None
