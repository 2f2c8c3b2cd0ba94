"""What people write in Python beside what the text shows: it simply works, or one clear error says what is wanted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_python_api import SMALL, tiny  # noqa: F401  (a fixture)

import hcl_core
from hcl_core import registry
from hcl_core.errors import HclError
from hcl_core.questions.own import make_question

# As somebody without a type checker calls it.
API: Any = hcl_core
pytestmark = pytest.mark.usefixtures("tiny")


def settings_of(**arguments):
    run = API.run("any", **({"question": "Name a planet"} | SMALL | {"layers": [4]} | arguments))
    return run.manifest.settings, run.questions


@pytest.mark.parametrize(
    ("argument", "value", "name", "expected"),
    [
        ("layers", 30, "exit_layers", (30,)),
        ("layers", np.int64(30), "exit_layers", (30,)),
        ("layers", range(2, 7, 2), "exit_layers", (2, 4, 6)),
        ("layers", np.array([6, 2]), "exit_layers", (2, 6)),
        ("layers", pd.Series([6, 2]), "exit_layers", (2, 6)),
        ("layers", {6, 2}, "exit_layers", (2, 6)),
        ("samples", np.int32(3), "num_samples", 3),
    ],
)
def test_layers_and_numbers_of_other_kinds_are_taken(argument, value, name, expected):
    settings, _ = settings_of(**{argument: value})
    assert getattr(settings, name) == expected


def test_numbers_of_numpy_make_the_run_of_pythons():
    given = {"temperature": np.float32(0.6), "top_p": np.float64(0.9), "top_k": np.int8(0), "seed": np.uint64(3)}
    numpys, _ = settings_of(**given)
    pythons, _ = settings_of(temperature=0.6, top_p=0.9, top_k=0, seed=3)
    assert numpys == pythons


@pytest.mark.parametrize("name", ["question", "questions"])
def test_several_texts_are_open_questions(name):
    arguments = {"question": None, "accept": (), name: ["Why? ", "What?"]}
    _, questions = settings_of(**arguments)
    assert [(each.text, each.is_open) for each in questions] == [("Why? ", True), ("What?", True)]


def test_a_record_is_a_question():
    record = make_question("Name a moon", ["Titan"])
    for arguments in ({"question": record}, {"question": None, "questions": [record]}):
        assert settings_of(**{"accept": ()} | arguments)[1] == (record,)


def test_accepted_ideas_of_other_kinds_are_taken():
    accepted = [1969, 2.5, ["US", "USA"], ("Mars",), "Sun|Sol", np.int64(3)]
    _, (question,) = settings_of(accept=accepted)
    assert question.ideas == (("1969",), ("2.5",), ("US", "USA"), ("Mars",), ("Sun", "Sol"), ("3",))
    assert settings_of(accept=1969)[1][0].ideas == (("1969",),)


def test_paths_are_taken_where_files_are(tmp_path):
    (tmp_path / "set.jsonl").write_text('{"question": "Why?", "answers": ["x"]}', encoding="utf-8")
    _, (question,) = settings_of(question=None, accept=(), questions=tmp_path / "set.jsonl", folder=tmp_path / "run")
    assert question.text == "Why?"
    run = API.open_run(tmp_path / "run")
    assert API.compare(tmp_path / "run", str(run.folder)).num_questions == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"layers": 2.5}, "layers must be 'all', .* got float 2.5"),
        ({"layers": [1, "2"]}, "layers must be 'all', .* got list"),
        ({"layers": True}, "layers must be"),
        ({"layers": []}, "a list of exit layers must be ascending and not empty"),
        ({"layers": None, "samples": "3"}, "samples must be a whole number; got str '3'"),
        ({"samples": 2.0}, "samples must be a whole number"),
        ({"temperature": "hot"}, "temperature must be a number; got str 'hot'"),
        ({"top_k": 1.5}, "top_k must be a whole number"),
        ({"seed": None}, "seed must be a whole number; got NoneType"),
        ({"judge": 3}, "judge must be a text"),
        ({"ideas": ["accepted"]}, "ideas must be a text"),
        ({"preset": 1}, "preset must be a text"),
        ({"template": 1}, "template must be a text"),
        ({"strategy": 1}, "strategy must be a text"),
        ({"exit_head": 1}, "exit_head must be a text"),
        ({"folder": 1}, "folder must be a path"),
        ({"progress": "no"}, "progress must be True or False"),
        ({"save_states": 1.5}, "save_states must be"),
        ({"accept": [None]}, "accept must be a text or a list of them; got NoneType"),
        ({"accept": {"a": 1}}, "accept must be a text or a list"),
        ({"accept": [["a", None]]}, "an accepted answer must be a text"),
        ({"question": 3, "accept": ()}, "questions must be a text or a list of them; got int 3"),
        ({"question": ["a?", 3], "accept": ()}, "a question must be a text or .*; got int 3"),
        ({"question": ["a?", "b?"]}, "accept goes with one question"),
        ({"question": [], "accept": ()}, "at least; got none"),
        ({"question": None, "accept": (), "questions": {"a?": "b"}}, "questions must be a text or a list"),
        ({"question": None, "accept": (), "questions": "starter", "limit": 0}, "limit must be a whole number from 1"),
        ({"question": None, "accept": (), "questions": "starter", "split": 1}, "split must be a text"),
        ({"question": None, "accept": (), "questions": "starter", "shuffle_seed": "x"}, "shuffle_seed must be"),
        ({"question": None, "accept": (), "questions": "starter", "min_answers": 0}, "min_answers must be"),
        ({"model": 3}, "model must be a text or a path; got int 3"),
        ({"model": None}, "model must be a text or a path; got NoneType"),
    ],
)
def test_what_has_no_meaning_is_one_clear_error(arguments, problem):
    given = {"model": "any", "question": "Name a planet"} | SMALL | {"layers": [4]} | arguments
    with pytest.raises(HclError, match=problem):
        API.run(**given)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: API.load_model(3), "name must be a text"),
        (lambda: API.load_model("any", dtype=16), "dtype must be a text"),
        (lambda: API.load_model("any", device=0), "device must be a text or a list"),
        (lambda: API.lens("any", 3), "prompt or question must be a text"),
        (lambda: API.lens("any", "Hi", answer=4), "answer must be a text"),
        (lambda: API.lens("any", "Hi", top="many"), "top must be a whole number"),
        (lambda: API.lens("any", "Hi", max_new_tokens=0), "max_new_tokens must be a whole number from 1"),
        (lambda: API.lens("any", "Hi", whole_text="yes"), "whole_text must be True or False"),
        (lambda: API.lens("any", "Hi", site=1), "site must be a text"),
        (lambda: API.lens(None, "Hi"), "model must be a text"),
        (lambda: API.open_run(3), "folder must be a path"),
        (lambda: API.open_run(b"run"), "folder must be a path"),
        (lambda: API.open_run("run", judge=3), "judge must be a text"),
        (lambda: API.open_run("run", ideas=3), "ideas must be a text"),
        (lambda: API.compare(1, 2), "folder must be a path"),
        (lambda: API.sweep(3), "spec must be a path"),
        (lambda: API.sweep({}, folder=3), "folder must be a path|mistakes"),
        (lambda: API.sweep("grid.yaml", budget="2h"), "budget must be a number"),
        (lambda: API.sweep("grid.yaml", shard=1), "shard must be a text"),
        (lambda: API.sweep("grid.yaml", download="no"), "download must be True or False"),
        (lambda: API.open_sweep(3), "folder must be a path"),
    ],
)
def test_every_function_says_what_it_wants(call, problem):
    with pytest.raises(HclError, match=problem):
        call()


def test_a_run_says_what_it_wants(finished, tmp_path):
    run = API.open_run(finished.path)
    assert run.weighed(np.float32(0.8)).weights.creativity == 0.8
    for call in (lambda: run.weighed("0.8"), lambda: run.weighed(0.5, scaling=1), lambda: run.save(3)):
        with pytest.raises(HclError, match="must be"):
            call()


def test_devices_and_number_formats_of_torch_are_taken(monkeypatch):
    asked = []
    found = registry.load_replicas
    monkeypatch.setattr(registry, "load_replicas", lambda *given: asked.append(given) or found(*given))
    API.load_model("any", dtype=torch.float16, device=torch.device("cuda", 1))
    API.load_model(Path("any"), device=["cuda:0", torch.device("cuda:1")])
    assert asked == [("any", "float16", "cuda:1"), ("any", "auto", "cuda:0,cuda:1")]
