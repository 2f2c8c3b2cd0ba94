"""A run whose process is killed by the operating system, and that another process resumes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import FakeEmbedder, run_command
from fake_runs import sample_keys

from hcl_core import registry
from hcl_core.runs.folder import RunFolder

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(tiny_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(registry, "load_embedder", FakeEmbedder)
    questions = tmp_path / "questions.jsonl"
    lines = [json.dumps({"question": f"Name a number above {number}", "answers": ["a", "e"]}) for number in range(12)]
    questions.write_text("\n".join(lines), encoding="utf-8")

    def command(out):
        options = ["--model", tiny_folder, "--questions", questions, "--out", out]
        options += ["--samples", 60, "--max-new-tokens", 30, "--temperature", 1.5]
        return ["run", *map(str, options)]

    killed, whole = RunFolder(tmp_path / "killed"), RunFolder(tmp_path / "whole")
    process = subprocess.Popen(
        [sys.executable, "-m", "hcl_core", *command(killed.path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while not list(killed.path.glob("samples/part-*.parquet")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.kill()
    process.wait()
    num_before = len(sample_keys(killed))
    assert 0 < num_before < 12 * 4 * 60
    assert killed.manifest().finished_at is None
    for folder in (killed, whole):
        assert run_command(capsys, *command(folder.path))[0] == 0
    assert killed.manifest().finished_at is not None

    def by_key(folder):
        return {sample.key: (sample.answer, sample.completion_token_ids) for sample in folder.samples()}

    assert by_key(killed) == by_key(whole)
    assert len(by_key(whole)) == 12 * 4 * 60
