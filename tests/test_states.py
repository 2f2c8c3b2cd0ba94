"""Hidden states of answers: those of transformers, and a part a question that an interrupted call goes on with."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FakeEmbedder, contents, make_lm, make_model, run_command
from rich.progress import Progress
from test_families import make_reference

import hcl_core
from hcl_core import registry
from hcl_core.api.models import Model
from hcl_core.api.states import store_states
from hcl_core.decode.answer_states import AnswerStates
from hcl_core.decode.engine import EngineParts
from hcl_core.decode.heads.exit_heads import SharedHead
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.records import Question, StoredQuestion
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.states import part_file
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.transfer.unpacking import unpack_run

SMALL: dict[str, Any] = {"layers": [2, 4], "samples": 3, "max_new_tokens": 4, "temperature": 1.5, "progress": False}


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(registry, "load_embedder", FakeEmbedder)
    return Model(make_lm(), Checkpoint("tiny", "tiny", tmp_path))


def ask(model, **arguments):
    return hcl_core.run(model, questions="starter", limit=2, **SMALL | arguments)


@pytest.mark.parametrize("layers", ["exit", [1, 4]])
def test_the_states_are_those_of_transformers(model, layers):
    run = ask(model, save_states=layers)
    reference = make_model("llama").eval()
    rows, hidden = run.states.rows, run.states.hidden
    assert len(rows) == len(hidden) and hidden.shape[1] == reference.config.hidden_size
    prompts = {each.question.id: each.prompt for each in RunFolder(run.folder).questions()}
    samples = RunFolder(run.folder).samples()
    assert len(samples) == 2 * 2 * 3
    for sample in samples:
        prompt = model.lm.tokenize(prompts[sample.question_id])
        with torch.inference_mode():
            out = reference(torch.tensor([[*prompt, *sample.completion_token_ids]]), output_hidden_states=True)
        own = (rows[["question_id", "exit_layer", "sample_idx"]] == list(sample.key)).all(axis=1)
        assert sorted(rows[own]["layer"].unique()) == ([sample.exit_layer] if layers == "exit" else layers)
        for layer, of_layer in rows[own].groupby("layer"):
            assert of_layer["token_idx"].tolist() == list(range(-1, len(sample.completion_token_ids)))
            assert of_layer["token_id"].tolist() == [prompt[-1], *sample.completion_token_ids]
            states = torch.from_numpy(hidden[of_layer.index])
            if layer == 4:  # transformers has the last one after the final norm
                states = reference.model.norm(states)
            expected = out.hidden_states[layer][0, len(prompt) - 1 :]
            torch.testing.assert_close(states.detach(), expected, atol=2e-4, rtol=1e-3)


def test_they_join_the_answers_and_go_on_where_they_stopped(model):
    run = ask(model)
    with pytest.raises(RunFolderError, match="save_states="):
        _ = run.states
    again = ask(model, save_states="exit")
    assert again.folder == run.folder
    rows = again.states.rows.merge(run.answers, on=["question_id", "exit_layer", "sample_idx"])
    assert len(rows) == len(again.states.rows) and rows["outcome"].notna().all()
    part_file(run.folder, 1).unlink()
    with pytest.raises(RunFolderError, match="not whole"):
        _ = hcl_core.open_run(run.folder).states
    first = part_file(run.folder, 0).stat().st_mtime_ns
    finished = ask(model, save_states="exit")
    np.testing.assert_array_equal(finished.states.hidden, again.states.hidden)
    assert part_file(run.folder, 0).stat().st_mtime_ns == first
    of_other = ask(model, save_states=[1])
    assert set(of_other.states.rows["layer"]) == {1}


def test_a_damaged_part_is_made_again(model):
    run = ask(model, save_states="exit")
    part_file(run.folder, 0).write_bytes(b"PAR1")
    with pytest.raises(RunFolderError, match="not whole"):
        _ = hcl_core.open_run(run.folder).states
    np.testing.assert_array_equal(ask(model, save_states="exit").states.hidden, run.states.hidden)


def test_a_run_with_states_is_checked_copied_and_taken_in_like_any_other(model, tmp_path, capsys):
    run = ask(model, save_states="exit")
    assert run_command(capsys, "verify", run.folder)[0] == 0
    copied = hcl_core.open_run(run.save(tmp_path / "copy"))
    np.testing.assert_array_equal(copied.states.hidden, run.states.hidden)
    for source in (run.folder, run.save(tmp_path / "run.zip")):
        taken = unpack_run(source, tmp_path / f"into-{source.suffix}").folder
        assert not [name for name in contents(taken.path) if "states" in str(name)]
        pd.testing.assert_frame_equal(hcl_core.open_run(taken.path).scores, run.scores)


@pytest.mark.parametrize("layers", [[5], "0", "deep", []])
def test_a_layer_that_is_none_is_told_before_anything_runs(model, layers):
    with pytest.raises(SettingsError):
        ask(model, save_states=layers)
    assert not Path("runs").exists()


def test_an_interrupted_part_is_not_there(model, monkeypatch):
    run = ask(model)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "answer_states", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store_states(RunFolder(run.folder), model.lm, None, Progress(disable=True))
    assert list((run.folder / "states").iterdir()) == []


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("memory_budget", [1, None])
def test_both_engines_give_transformers_states_however_little_memory_there_is(family, memory_budget):
    lm, model = (make_lm(), make_model("llama")) if family == "llama" else make_reference(family)
    stored = StoredQuestion(Question("q", "Why?", ()), "Q: Why?\nA:")
    reader = AnswerStates(EngineParts(lm, SharedHead(), PromptTemplate("file", "{question}"), memory_budget), stored)
    prompt = lm.tokenize(stored.prompt)
    completions = [(5, 6, 7), (5, 6), (5, 6, 7), (8,), (5, 9, 9, 9)]
    read = dict(reader.read(completions, [1, 2]))
    assert read.keys() == set(completions) and reader.last_prompt_token == prompt[-1]
    for completion, states in read.items():
        with torch.inference_mode():
            out = model(torch.tensor([[*prompt, *completion]]), output_hidden_states=True)
        expected = torch.stack([out.hidden_states[layer][0, len(prompt) - 1 :] for layer in (1, 2)])
        torch.testing.assert_close(torch.from_numpy(states), expected, atol=2e-4, rtol=1e-3)
