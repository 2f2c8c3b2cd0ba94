"""Sweeps: a file is checked as a whole, and what is divided or stopped is the same in the end."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import run_command

from hcl_core.errors import SweepError
from hcl_core.runs.folder import RunFolder
from hcl_core.sweeps.folder import SweepFolder
from hcl_core.sweeps.plan import read_plan


@pytest.fixture
def spec(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    questions = tmp_path / "q.jsonl"
    lines = [json.dumps({"question": f"Name a number above {number}", "answers": ["a", "e"]}) for number in range(5)]
    questions.write_text("\n".join(lines), encoding="utf-8")
    file = tmp_path / "sweep.yaml"
    file.write_text(
        f"models: [{tiny_folder}]\nquestions: [{questions}]\nexit_heads: [shared]\ntemperatures: [0.5, 1.5]\n"
        "samples: 4\nmax_new_tokens: 6\n",
        encoding="utf-8",
    )
    return file


def parts(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.glob("*/samples/*.parquet")}


def test_every_mistake_is_named_at_once(spec):
    spec.write_text(spec.read_text().replace("[0.5, 1.5]", "[20]") + "layers: '9'\nsamplez: 3\n", encoding="utf-8")
    spec.write_text(spec.read_text().replace("questions: [", "questions: [nowhere, "), encoding="utf-8")
    with pytest.raises(SweepError) as error:
        read_plan(spec)
    for expected in ("samplez: unknown key", "temperatures 1", "exit layer 9 does not exist", "questions 1"):
        assert expected in str(error.value)


def test_what_would_fail_when_its_turn_comes_is_named_before_anything_runs(spec, tmp_path, capsys):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no head")
    questions = tmp_path / "long.jsonl"
    questions.write_text(json.dumps({"question": "word " * 900, "answers": ["a"]}), encoding="utf-8")
    text = spec.read_text(encoding="utf-8").replace("questions: [", f"questions: [{questions}, ")
    spec.write_text(text.replace("[shared]", f"[shared, linear, {damaged}]"), encoding="utf-8")
    code, _, told = run_command(capsys, "sweep", spec, "--out", tmp_path / "o")
    assert code == 2 and not (tmp_path / "o").exists()
    lines = told[told.index("error: ") :].splitlines()
    assert len(lines) == 4 and "has mistakes" in lines[0]
    assert lines[1].startswith("- models 1, exit_heads 2: no exit head was fitted for this model")
    assert lines[2].startswith(f"- models 1, exit_heads 3: the exit head {damaged} cannot be read")
    assert lines[3].startswith("- models 1, questions 1: question ") and "exceed this model's window" in lines[3]


def test_a_missing_chat_template_and_a_head_of_another_model_are_named_at_once(spec, tmp_path, capsys):
    head = Path(__file__).parent.parent / "assets" / "exit_heads" / "smollm2-135m.safetensors"
    text = spec.read_text(encoding="utf-8").replace("[shared]", f"['{head}']") + "template: chat\njudge: paperr\n"
    spec.write_text(text, encoding="utf-8")
    code, _, told = run_command(capsys, "sweep", spec, "--dry-run")
    assert code == 2
    for expected in (
        "was fitted for smollm2-135m",
        "models 1, questions 1: this model's tokenizer has no chat",
        "judge",
    ):
        assert expected in told


def test_merged_shards_are_the_undivided_sweep(spec, tmp_path, capsys):
    whole, merged = tmp_path / "whole", tmp_path / "merged"
    assert run_command(capsys, "sweep", spec, "--out", whole)[0] == 0
    shards = [tmp_path / "shard1", tmp_path / "shard2"]
    for number, shard in enumerate(shards, 1):
        assert run_command(capsys, "sweep", spec, "--out", shard, "--shard", f"{number}/2")[0] == 0
    assert run_command(capsys, "merge", *reversed(shards), "--out", merged)[0] == 0
    assert parts(merged) == parts(whole) and len(parts(whole)) == 10
    assert run_command(capsys, "verify", merged)[0] == 0


def test_a_sweep_without_time_stops_and_goes_on(spec, tmp_path, capsys):
    assert run_command(capsys, "sweep", spec, "--out", tmp_path / "o", "--budget", "0s")[0] == 3
    assert run_command(capsys, "status", tmp_path / "o")[0] == 0
    assert run_command(capsys, "sweep", spec, "--out", tmp_path / "o")[0] == 0


def test_a_second_process_on_a_sweep_is_refused(spec, tmp_path, capsys):
    with SweepFolder(tmp_path / "o").writing():
        code, _, told = run_command(capsys, "sweep", spec, "--out", tmp_path / "o")
    assert code == 2 and "another process runs a sweep" in told


def test_the_example_of_the_text_is_a_sweep():
    plan = read_plan(Path(__file__).parent.parent / "docs" / "sweep.yaml")
    assert len(plan.cells) == 4 and {cell.request.sampling.temperature for cell in plan.cells} == {0.6, 1.0}


def samples(path):
    """By run, in the order of their keys."""
    folders = {folder.parent.name: RunFolder(folder.parent) for folder in path.glob("*/manifest.json")}
    return {name: sorted(run.samples(), key=lambda each: each.key) for name, run in folders.items()}


@pytest.mark.slow
def test_a_sweep_that_is_killed_at_any_moment_is_in_the_end_as_if_it_were_not(spec, tmp_path, capsys):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_command(capsys, "sweep", spec, "--out", whole)[0] == 0
    command = [sys.executable, "-m", "hcl_core", "sweep", str(spec), "--out", str(killed)]
    for number in range(4):
        with (tmp_path / f"log{number}").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            # The first time it is under way for sure; then anywhere between its start and its end.
            while number == 0 and process.poll() is None and not list(killed.glob("*/samples/*.parquet")):
                time.sleep(0.02)
            time.sleep(random.Random(number).uniform(0, 6 if number else 0.1))
            process.kill()
            process.wait(60)
    assert run_command(capsys, "sweep", spec, "--out", killed)[0] == 0
    assert run_command(capsys, "verify", killed)[0] == 0
    assert samples(killed) == samples(whole) and sum(map(len, samples(whole).values())) > 100


def test_a_damaged_part_of_a_sweep_is_found_and_named(spec, tmp_path, capsys):
    assert run_command(capsys, "sweep", spec, "--out", tmp_path / "o")[0] == 0
    part = sorted((tmp_path / "o").glob("*/samples/*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:-40])
    code, out, told = run_command(capsys, "verify", tmp_path / "o")
    assert code != 0 and part.name in out + told
