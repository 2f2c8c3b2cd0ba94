"""Several devices by name: what is refused, what is foretold, and runs on two, whose parts are those of one."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest
import torch
from conftest import FakeEmbedder, contents, make_lm, run_command
from fake_runs import sample_keys
from test_replicas import decoding_threads
from test_resume import ROOT

import hcl_core
from hcl_core import registry
from hcl_core.decode.forest import Forest
from hcl_core.decode.model import loading
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.errors import HclError, NotEnoughMemoryError
from hcl_core.pipeline import Decoding, WaveDone
from hcl_core.pipeline.request import RunRequest
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.starting import start
from hcl_core.records import Question, SamplingSettings
from hcl_core.runs.folder import RunFolder
from hcl_core.settings.layers import LayerRange
from hcl_core.settings.prompts import PromptTemplate

CPU = torch.device("cpu")


# Their names.


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_several_gpus_are_named_with_commas_between(two_gpus):
    assert loading.choose_devices("cuda:1,cuda:0") == (torch.device("cuda", 1), torch.device("cuda", 0))
    assert loading.choose_devices("cpu") == (CPU,)


TOGETHER = "several devices are CUDA GPUs by their numbers, each once and with a comma alone between"
BAD_DEVICES = {
    "cuda:0,cuda:0": TOGETHER,
    "cuda:0, cuda:1": TOGETHER,
    "cuda:0,": TOGETHER,
    ",": TOGETHER,
    "cpu,cpu": TOGETHER,
    "cuda:0,cpu": TOGETHER,
    "cuda,cuda:1": TOGETHER,
    "cuda:0,tpu:1": TOGETHER,
    "cuda:0,cuda:\u0661": TOGETHER,
    "cuda:0,cuda:2": "device cuda:2 is not here: 2 CUDA devices were found; use cpu",
    "cuda:0,cuda:256": "device must be auto, cpu, cuda, cuda:N or mps; got 'cuda:256'",
    "cuda:256": "device must be auto, cpu, cuda, cuda:N or mps; got 'cuda:256'",
}


@pytest.mark.parametrize("devices", BAD_DEVICES)
def test_bad_devices_are_one_sentence_and_exit_code_2(two_gpus, tiny_folder, capsys, devices):
    for command in (["run", "--question", "Why?"], ["memory"]):
        code, _, printed = run_command(capsys, *command, "--model", tiny_folder, "--device", devices)
        assert code == 2 and BAD_DEVICES[devices] in " ".join(printed.split())


@pytest.mark.parametrize("command", [["lens", "--prompt", "a"], ["fit-head"], ["speed"]], ids=lambda each: each[0])
def test_other_commands_say_that_they_take_one(two_gpus, tiny_folder, capsys, command):
    code, _, printed = run_command(capsys, *command, "--model", tiny_folder, "--device", "cuda:0,cuda:1")
    assert code == 2 and "only runs and sweeps take several devices; give one; got" in " ".join(printed.split())


def test_memory_is_foretold_for_each_device_before_any_weights_are_read(two_gpus, tiny_folder, capsys, monkeypatch):
    monkeypatch.setattr(loading, "free_memory", lambda device: (2**40, 2**20)[device.index])
    monkeypatch.setattr(loading, "load_causal_lm", lambda *_: pytest.fail("read"))
    with pytest.raises(NotEnoughMemoryError, match=r"tiny-llama in float32 needs .* are free on cuda:1: choose"):
        loading.load_replicas(str(tiny_folder), "float32", "cuda:0,cuda:1")
    assert registry.free_memory("cuda:0,cuda:1") == (2**20, False)
    _, printed, _ = run_command(capsys, "memory", "--model", tiny_folder, "--device", "cuda:0,cuda:1")
    assert "1.0 MiB are free on each device" in " ".join(printed.split()) and "lacks" in printed


# Runs, whose parts are those of one device, byte for byte.


@pytest.fixture
def two_cpus(monkeypatch):
    """``cpu,cpu`` is two devices: two models on one CPU are of no use but to tests."""
    monkeypatch.setattr(loading, "choose_devices", lambda devices: (CPU,) * len(devices.split(",")))
    monkeypatch.setattr(registry, "load_embedder", FakeEmbedder)


def run_of(tiny_folder, tmp_path, out, device, *options, samples=20, max_new_tokens=12):
    questions = tmp_path / "questions.jsonl"
    lines = [json.dumps({"question": f"Name a number above {number}", "answers": ["a", "e"]}) for number in range(12)]
    questions.write_text("\n".join(lines), encoding="utf-8")
    command = ["run", "--model", tiny_folder, "--questions", questions, "--out", out, "--device", device]
    limits = ["--samples", samples, "--max-new-tokens", max_new_tokens]
    return [*map(str, [*command, *limits, "--temperature", 1.5, *options])]


def parts(folder):
    return {name: content for name, content in contents(folder).items() if "samples" in name.split("/")}


def without_manifest(folder):
    return {name: content for name, content in contents(folder).items() if name != "manifest.json"}


@pytest.mark.parametrize("at_once", [(), ("--questions-at-once", 1)], ids=["usual", "one at once"])
def test_a_run_has_the_id_and_the_parts_of_one_device(two_cpus, tiny_folder, tmp_path, capsys, at_once):
    one, two = tmp_path / "one", tmp_path / "two"
    for out, device in ((one, "cpu"), (two, "cpu,cpu")):
        assert run_command(capsys, *run_of(tiny_folder, tmp_path, out, device, *at_once))[0] == 0
    assert parts(one) == parts(two) and len(parts(one)) > 1
    manifests = [RunFolder(out).manifest() for out in (one, two)]
    assert manifests[0].run_id == manifests[1].run_id and manifests[0].view_id == manifests[1].view_id
    assert [each.device for each in manifests] == ["cpu", "cpu,cpu"]
    assert without_manifest(one) == without_manifest(two)


def test_a_run_that_fails_keeps_what_one_device_keeps(two_cpus, tiny_folder, tmp_path, capsys, monkeypatch):
    original = Forest.open

    def refused(forest, decoder, request):
        if request.stored.question.text.endswith("7"):
            raise HclError("not this one")
        return original(forest, decoder, request)

    monkeypatch.setattr(Forest, "open", refused)
    kept = []
    for device in ("cpu", "cpu,cpu"):
        out = tmp_path / device
        code, _, printed = run_command(capsys, *run_of(tiny_folder, tmp_path, out, device))
        assert code == 2 and "not this one" in printed
        kept.append(parts(out))
    assert kept[0] == kept[1] and len(kept[0]) == 7


@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
def test_a_run_counts_each_sample_in_the_order_of_the_questions_and_can_be_stopped(tmp_path, device):
    lms = [make_lm() for _ in device.split(",")]
    asked = [Question(f"q{number}", f"Name a number above {number}", ("a",)) for number in range(9)]
    sampling = SamplingSettings(temperature=1.5, max_new_tokens=8)
    template = PromptTemplate("file", "Q: {question}\nA:")
    request = RunRequest("tiny", tuple(asked), "own", LayerRange(1, None, 1), 5, sampling, template)

    def events(folder):
        checkpoint = Checkpoint("tiny", "tiny", tmp_path)
        return start(
            request, lms[0], checkpoint, tmp_path / folder, embeddings=Embeddings(FakeEmbedder), others=lms[1:]
        )

    _, whole = events("whole")
    told = list(whole)
    assert [each.question.id for each in told if isinstance(each, WaveDone)] == [each.id for each in asked]
    counts = [each.num_done for each in told if isinstance(each, Decoding | WaveDone)]
    assert counts == sorted(counts) and counts[-1] == 9 * 4 * 5 and len(set(counts)) > 9
    _, stopped = events("stopped")
    assert next(each for each in stopped if isinstance(each, WaveDone)).question == asked[0]
    stopped.close()
    assert decoding_threads() == [] and len(parts(tmp_path / "stopped")) == 1
    list(events("stopped")[1])
    assert parts(tmp_path / "stopped") == parts(tmp_path / "whole")


def test_a_sweep_and_a_model_of_the_python_api_have_them_too(two_cpus, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    run_of(tiny_folder, tmp_path, tmp_path, "cpu")
    spec: dict[str, Any] = {
        "models": [str(tiny_folder)],
        "questions": [str(tmp_path / "questions.jsonl")],
        "exit_heads": ["shared"],
    }
    spec |= {"temperatures": [1.5], "samples": 5, "max_new_tokens": 8}
    for device in ("cpu", "cpu,cpu"):
        hcl_core.sweep(spec, folder=tmp_path / device, device=device, progress=False)
    assert parts(tmp_path / "cpu") == parts(tmp_path / "cpu,cpu") != {}
    model = hcl_core.load_model(str(tiny_folder), device="cpu,cpu")
    assert model.others[0] is not model.lm and repr(model).endswith("float32 on cpu,cpu)")
    run = hcl_core.run(
        model, questions=tmp_path / "questions.jsonl", samples=2, folder=tmp_path / "run", progress=False
    )
    assert RunFolder(run.folder).manifest().device == "cpu,cpu"


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), [("cpu,cpu", "cpu"), ("cpu", "cpu,cpu")])
def test_a_killed_run_goes_on_with_other_devices(two_cpus, tiny_folder, tmp_path, capsys, first, second):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    longer = {"samples": 40, "max_new_tokens": 20}
    code = (
        "import torch; from hcl_core import __main__, cli; from hcl_core.decode.model import loading; "
        "loading.choose_devices = lambda names: (torch.device('cpu'),) * len(names.split(',')); cli.main()"
    )
    command = [sys.executable, "-c", code, *run_of(tiny_folder, tmp_path, killed, first, **longer)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not list(killed.glob("samples/part-*.parquet")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.kill()
    assert 0 < len(sample_keys(RunFolder(killed))) < 12 * 4 * 40
    for out in (killed, whole):
        assert run_command(capsys, *run_of(tiny_folder, tmp_path, out, second, **longer))[0] == 0
    assert parts(killed) == parts(whole)
    assert RunFolder(killed).manifest().run_id == RunFolder(whole).manifest().run_id
