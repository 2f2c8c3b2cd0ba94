"""Sweeps: a file is checked as a whole, and what is divided or stopped is the same in the end."""

import json

import pytest
from conftest import run_command

from hcl_core.sweeps.folder import SweepFolder
from hcl_core.sweeps.plan import SweepError, read_plan


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
