"""The Python API: the text that shows it runs as it stands, and its tables say what the page and the terminal say."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from conftest import FakeEmbedder, contents, make_lm, run_command
from rich.console import Console
from rich.progress import Progress

import hcl_core
import hcl_core.cli.models  # its command is one of the terminal's
from hcl_core import registry
from hcl_core.api.progress import progress_bars
from hcl_core.cli.terminal import app as cli_app
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.errors import HclError, SettingsError
from hcl_core.judges.names import NO_JUDGE
from hcl_core.ports import Judgement
from hcl_core.records import Weights
from hcl_core.scores.best_layers import describe_best
from hcl_core.scores.intervals import uncertainty

REPO = Path(__file__).parent.parent
TEXT = (REPO / "docs" / "python.md").read_text(encoding="utf-8")
SMALL: dict[str, Any] = {"accept": ["Mars", "Venus"], "samples": 4, "max_new_tokens": 4, "progress": False}


class EvenJudge:
    """An answer of an even number of letters is right: a tiny model's noise gives both kinds."""

    name, stamp = "even", "even 1"

    def judge(self, question, answers):
        return [Judgement("incorrect" if len(answer) % 2 else "correct", "its length") for answer in answers]


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Every name is that of a tiny model of 30 layers, and every judge of right and wrong counts letters."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HCL_RUNS", raising=False)
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    lm = make_lm(num_hidden_layers=30)
    monkeypatch.setattr(registry, "load_replicas", lambda name, *_: ((lm,), Checkpoint("tiny", "tiny", tmp_path)))
    monkeypatch.setattr(registry, "load_embedder", FakeEmbedder)
    load_judge = registry.load_judge
    monkeypatch.setattr(registry, "load_judge", lambda name, *_: load_judge(name) if name == NO_JUDGE else EvenJudge())


def test_importing_it_loads_nothing_else_and_shows_its_names():
    code = (
        "import sys, hcl_core; before = {m for m in sys.modules if m.startswith('hcl_core')}; "
        "assert before == {'hcl_core'} and not {'pandas', 'torch', 'rich'} & sys.modules.keys(), before; "
        "assert set(hcl_core.__all__) <= set(dir(hcl_core)); "
        "print(*(f'{name}={callable(getattr(hcl_core, name))}' for name in hcl_core.__all__)); "
        "assert not {'torch', 'gradio', 'app'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"{name}=True" for name in hcl_core.__all__]
    with pytest.raises(AttributeError, match="nothing"):
        getattr(hcl_core, "nothing")  # noqa: B009


@pytest.mark.slow
def test_the_text_runs_as_it_stands(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) > 4
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert names["run"].folder == Path("planets") and len(names["answers"]) == 15 * 50 == names["samples"].num_rows
    assert "HCB" in {trace.name for trace in names["figure"].data}
    assert names["figure"].layout.title.text.replace("<br>", " ") == str(names["best"])


def test_its_tables_say_what_the_terminal_says(tiny, capsys):
    run = hcl_core.run("any", "Name a planet.", layers=[2, 30], **SMALL)
    assert run.is_complete and run.folder.parent == Path("runs") and "tiny" in repr(run)
    code, out, _ = run_command(capsys, "score", run.folder, "--json")
    told = json.loads(out)
    assert code == 0 and told["optimal_layer"] == run.verdict.optimal_layer is not None
    assert told["best_set"] == list(run.verdict.best_set) and told["verdict"] == run.verdict.kind
    for row, layer in zip(run.scores.to_dict("records"), told["layers"], strict=True):
        assert (row["exit_layer"], row["hcb_score"]) == (layer["exit_layer"], layer["hcb_score"])
        assert [row["hcb_ci_low"], row["hcb_ci_high"]] == layer["hcb_ci"]
    right = run.answers[run.answers["outcome"] == "correct"].groupby("exit_layer").size()
    assert right.reindex([2, 30], fill_value=0).tolist() == run.scores["num_correct"].tolist()
    assert run.answers["cluster_id"].dtype == pd.Int32Dtype()
    assert str(run.verdict) == describe_best(run.verdict)
    weighed = run.weighed(creativity=1)
    assert weighed.verdict == uncertainty(run.table, Weights(1, 0)).best and weighed.folder == run.folder


def test_a_comparison_says_what_the_terminal_says(tiny, capsys):
    runs = [hcl_core.run("any", "Name a planet.", layers=[2, 30], seed=seed, **SMALL) for seed in (0, 1)]
    made = hcl_core.compare(*runs)
    code, out, _ = run_command(capsys, "compare", *(run.folder for run in runs), "--json")
    told = json.loads(out)
    assert code == 0 and made.settings_that_differ == told["settings_that_differ"] and made.num_questions == 1
    assert [made.p_same_optimal, *made.optimal_layers] == [told["p_same_optimal"], *told["optimal_layers"]]
    for row, layer in zip(made.differences.to_dict("records"), told["layers"], strict=True):
        shown = {"difference": row["hcb_score"], "ci": [row["hcb_score_low"], row["hcb_score_high"]]}
        assert row["exit_layer"] == layer["exit_layer"] and shown == layer["hcb_score"]


def test_the_lens_has_a_row_for_each_layer_and_token(tiny):
    look = hcl_core.lens("any", "The sky is", max_new_tokens=3, top=2)
    positions = look.settles["position"].tolist()
    assert len(look.tokens) == 30 * len(positions) and look.tokens["exit_layer"].tolist()[:: len(positions)][-1] == 30
    last = look.tokens[look.tokens["exit_layer"] == 30]
    assert (last["kl_to_last"] == 0).all() and (last["final_rank"] == 1).all()
    assert last["token_text"].tolist() == look.settles["token_text"].tolist()
    assert {len(texts) for texts in look.tokens["top_token_texts"]} == {2}
    wrong: list[dict[str, Any]] = [{}, {"prompt": "a", "question": "b"}]
    for arguments in wrong:
        with pytest.raises(SettingsError, match="a question or a prompt"):
            hcl_core.lens("any", **arguments)


def test_a_run_interrupted_goes_on_with_the_same_call(tiny, monkeypatch, tmp_path):
    folder = tmp_path / "mine"

    class Interrupted(Progress):
        def update(self, *arguments, **changes):
            if list(folder.glob("samples/part-*")):
                raise KeyboardInterrupt

    def call():
        chosen: dict[str, Any] = {"layers": [2, 30], "samples": 40, "max_new_tokens": 4, "progress": False}
        return hcl_core.run("any", questions="starter", limit=4, folder=folder, **chosen)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as caught:
        patch.setattr("hcl_core.api.running.progress_bars", lambda *_: Interrupted(disable=True))
        call()
    stopped = hcl_core.open_run(folder)
    assert not stopped.is_complete and 0 < len(stopped.answers) < 320 and "not finished" in repr(stopped)
    parts = contents(folder / "samples")
    finished = call()  # while the interrupt's traceback holds on to the first call, as a notebook's does
    assert caught.tb is not None and finished.is_complete and len(finished.answers) == 320
    assert parts.items() <= contents(folder / "samples").items()


def test_saved_and_opened_it_is_the_same_run(tiny, tmp_path, capsys):
    run = hcl_core.run("any", "Name a planet.", layers="2,30", **SMALL)
    opened = hcl_core.open_run(run.save(tmp_path / "copy"))
    pd.testing.assert_frame_equal(opened.scores, run.scores)
    pd.testing.assert_frame_equal(opened.answers, run.answers)
    assert contents(tmp_path / "copy").keys() == contents(run.folder).keys()
    with pytest.raises(SettingsError, match="exists already"):
        run.save(tmp_path / "copy")
    assert run_command(capsys, "import", run.save(tmp_path / "run.zip"))[0] == 0


def test_an_open_question_has_plausibility_in_its_tables_and_its_figure(tiny):
    run = hcl_core.run("any", "Name it.", layers=[29, 30], **SMALL | {"accept": ()})
    assert run.questions[0].is_open and {"plausibility_ci_low", "token_plausibility"} <= set(run.scores)
    names = [trace.name for trace in run.plot().data if trace.name]
    assert "Plausibility" in names and "Hallucination" not in names
    assert run.answers["plausibility"].between(0, 1).sum() > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "give either a question"),
        ({"question": "Why?", "questions": "starter"}, "give either a question"),
        ({"questions": "starter", "accept": "Mars"}, "accept goes with a question"),
        ({"question": "Why?", "limit": 3}, "go with a set"),
        ({"question": "Why?", "layers": "40"}, "exit layer 40 does not exist"),
        ({"question": "Why?", "layers": []}, "list of exit layers"),
        ({"question": "Why?", "samples": 0}, "samples"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_folder(tiny, arguments, said):
    with pytest.raises(HclError, match=said):
        hcl_core.run("any", progress=False, **arguments)
    assert not Path("runs").exists()


def test_one_accepted_idea_is_not_read_letter_by_letter(tiny):
    run = hcl_core.run("any", "Name it.", layers=[30], **SMALL | {"accept": "United States | USA"})
    assert run.questions[0].answers == (("United States", "USA"),)


def test_the_bar_is_shown_in_a_terminal_and_not_when_it_is_silenced():
    terminal = Console(force_terminal=True)
    shown = [progress_bars(terminal, is_shown).disable for is_shown in (True, False)]
    assert shown == [False, True] and progress_bars(Console(force_terminal=False)).disable
    assert not progress_bars(Console(force_jupyter=True)).disable


def test_a_preset_is_that_of_the_terminal_and_an_argument_replaces_it(tiny, monkeypatch):
    asked: list[Any] = []

    class AskedError(Exception):
        pass

    def start(request, *_, **__):
        asked.append(request)
        raise AskedError

    monkeypatch.setattr("hcl_core.api.running.start", start)
    monkeypatch.setattr("hcl_core.cli.models.start", start)
    for arguments in ({}, {"samples": 3, "layers": [2, 30]}, {"temperature": 0.6}):
        options = [f"--{name}={str(value).strip('[]')}" for name, value in arguments.items()]
        with pytest.raises(AskedError):
            hcl_core.run("any", questions="starter", limit=2, preset="paper", **arguments)
        with pytest.raises(AskedError):
            cli_app(["run", "--questions=starter", "--limit=2", "--preset=paper", *options], standalone_mode=False)
        here, there = asked[-2:]
        assert replace(here, model=there.model, layers=there.layers) == there
        assert here.layers.resolve(30) == there.layers.resolve(30)
    assert asked[0].judge == "paper" and asked[0].preset == asked[4].preset == "paper"
    assert asked[2].preset == "paper, but layers, samples" and asked[2].num_samples == 3
    with pytest.raises(SettingsError, match="preset must be one of paper"):
        hcl_core.run("any", questions="starter", preset="none")


GRID: dict[str, Any] = {
    "models": ["smollm2-135m"],
    "questions": [{"set": "starter", "limit": 2}],
    "exit_heads": ["shared"],
    "temperatures": [0.5, 1.5],
    "layers": [2, 30],
    "samples": 4,
    "max_new_tokens": 4,
}


def test_a_sweep_is_that_of_the_terminal(tiny, tmp_path, capsys):
    made = hcl_core.sweep(GRID, folder=tmp_path / "here", progress=False)
    file = tmp_path / "grid.yaml"
    file.write_text(json.dumps(GRID), encoding="utf-8")  # JSON is YAML
    assert run_command(capsys, "sweep", file, "--out", tmp_path / "there")[0] == 0
    there = hcl_core.open_sweep(tmp_path / "there")
    pd.testing.assert_frame_equal(made.cells.drop(columns="seconds"), there.cells.drop(columns="seconds"))
    pd.testing.assert_frame_equal(made.stability, there.stability)
    stored = pd.read_parquet(tmp_path / "here" / "table.parquet")
    pd.testing.assert_frame_equal(stored, made.cells, check_dtype=False)
    assert made.is_complete and not made.problems and made.cells["temperature"].tolist() == [0.5, 1.5]
    for run, best in zip(made.runs, made.cells["best_layer"], strict=True):
        assert run.verdict.optimal_layer == best
    assert [trace.x[0] for trace in made.plot().data] == made.cells["best_layer"].tolist()


def test_a_sweep_that_has_no_time_goes_on_with_the_same_call(tiny, tmp_path):
    stopped = hcl_core.sweep(GRID, folder=tmp_path / "s", progress=False, budget=0)
    assert not stopped.is_complete and stopped.cells.empty and "0 of 2 cells" in repr(stopped)
    assert hcl_core.sweep(GRID, folder=tmp_path / "s", progress=False).is_complete


def test_a_cell_that_fails_is_named_and_the_others_go_on(tiny, tmp_path):
    made = hcl_core.sweep(GRID | {"exit_heads": ["shared", "linear"]}, folder=tmp_path / "s", progress=False)
    assert not made.is_complete and len(made.cells) == 2 and len(made.problems) == 2
    assert all("linear head" in cell for cell in made.problems)


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({"samplez": 3, "temperatures": [20]}, {}, r"temperatures 1(.|\n)*samplez|samplez(.|\n)*temperatures 1"),
        ({}, {"shard": "3/2"}, "a shard is"),
        ({}, {"folder": None}, "give its folder"),
    ],
)
def test_a_mistake_in_a_sweep_is_told_before_anything_runs(tiny, tmp_path, changes, arguments, said):
    with pytest.raises(SettingsError, match=said):
        hcl_core.sweep(GRID | changes, **{"folder": tmp_path / "s", "progress": False} | arguments)
    assert not (tmp_path / "s").exists()


def test_duckdb_reads_a_run_as_it_is(tiny):
    run = hcl_core.run("any", "Name a planet.", layers=[2, 30], **SMALL | {"samples": 30})
    run.save("planets")
    query = next(block for block in re.findall(r'duckdb\.sql\("""(.*?)"""\)', TEXT, re.DOTALL))
    counted = duckdb.sql(query).df()
    assert counted["exit_layer"].tolist() == [2, 30]
    assert counted["num_right"].tolist() == run.scores["num_correct"].tolist() and counted["num_right"].sum() > 0
    assert counted["num_tokens"].tolist() == run.answers.groupby("exit_layer")["num_tokens"].mean().tolist()
