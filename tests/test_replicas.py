"""Replicas of one model on several devices, here two on one CPU: answers, errors and runs are those of one."""

import inspect
import json
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import FakeEmbedder, contents, make_decoder, make_lm, run_command
from fake_runs import sample_keys
from test_forest import COLD, GREEDY, STRATEGIES, WARM, alone, requests, together
from test_resume import ROOT

import hcl_core
from hcl_core import registry
from hcl_core.decode.batch import Requests
from hcl_core.decode.forest import Forest
from hcl_core.decode.model import loading
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.decode.replicas import ReplicatedDecoder
from hcl_core.decode.strategy import decoder_of
from hcl_core.errors import ContextTooLongError, ExitHeadError, HclError, NotEnoughMemoryError, SettingsError
from hcl_core.pipeline import Decoding, WaveDone
from hcl_core.pipeline.request import RunRequest
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.starting import start
from hcl_core.ports import DecodeProgress, DecodeRequest
from hcl_core.records import Question, SamplingSettings
from hcl_core.runs.folder import RunFolder
from hcl_core.settings.layers import LayerRange
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import Strategy

WAIT = 20  # seconds that no test should take
CPU = torch.device("cpu")


def replicas(count=2, strategy="early_exit"):
    return [decoder_of(make_decoder(make_lm()).parts, Strategy.parse(strategy)) for _ in range(count)]


def decoding_threads():
    return [thread for thread in threading.enumerate() if thread.name == "decoding"]


def fails(*arguments):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


# The decoder.


@pytest.mark.parametrize(("count", "at_once"), [(2, 1), (2, 2), (2, None), (3, 1), (7, None)])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_step_of_a_question_is_that_of_one_decoder(strategy, count, at_once):
    decoders = replicas(count, strategy)
    asked = requests(decoders[0], settings=(WARM, GREEDY, COLD))
    assert together(ReplicatedDecoder(decoders), asked, at_once) == [alone(decoders[0], one) for one in asked]
    assert decoding_threads() == []


def test_where_all_have_a_place_questions_are_dealt_by_turns(monkeypatch):
    decoders = replicas()
    opened: dict[Any, list[str]] = {each.parts.lm: [] for each in decoders}
    original = Forest.open

    def noted(forest, decoder, request):
        opened[decoder.parts.lm].append(request.stored.question.id)
        return original(forest, decoder, request)

    monkeypatch.setattr(Forest, "open", noted)
    together(ReplicatedDecoder(decoders), requests(decoders[0]))
    assert list(opened.values()) == [["q0", "q2", "q4"], ["q1", "q3"]]


def test_the_error_of_the_first_request_counts_whichever_comes_first():
    asked = Requests([])
    for number in (3, 1, 2):
        asked.fail(number, HclError(f"number {number}"))
    assert str(asked.error) == "number 1"
    assert [asked.has_dropped(number) for number in range(4)] == [False, True, True, True]


def test_a_question_goes_to_whoever_has_a_place(monkeypatch):
    decoders = replicas()
    asked = requests(decoders[0])
    opened: dict[Any, list[str]] = {each.parts.lm: [] for each in decoders}
    original, may_step = Forest.open, threading.Event()

    def noted(forest, decoder, request):
        opened[decoder.parts.lm].append(request.stored.question.id)
        if len(opened[decoders[0].parts.lm]) == len(asked) - 1:
            may_step.set()
        return original(forest, decoder, request)

    busy, block = decoders[1].parts.lm, decoders[1].parts.lm.block

    def waits(*arguments):
        assert may_step.wait(WAIT)
        return block(*arguments)

    monkeypatch.setattr(Forest, "open", noted)
    monkeypatch.setattr(busy, "block", waits)
    together(ReplicatedDecoder(decoders), asked, at_once=1)
    assert [opened[each.parts.lm] for each in decoders] == [["q0", "q2", "q3", "q4"], ["q1"]]


@pytest.mark.parametrize("wrong", [{"waves": [[(9, 0)]]}, {"settings": replace(WARM, max_new_tokens=600)}])
@pytest.mark.parametrize("places", [[0], [1], [4], [1, 2], [2, 3]])
def test_questions_before_the_first_that_fails_are_finished_and_its_error_is_raised(wrong, places):
    decoders = replicas()
    asked = requests(decoders[0])
    for place in places:
        asked[place] = replace(asked[place], **wrong)
    progress: dict[DecodeRequest, list[DecodeProgress]] = {request: [] for request in asked}

    def answer(decoder):
        for request, step in decoder.decode_many(asked):
            progress[request].append(step)

    with pytest.raises((SettingsError, ContextTooLongError)) as expected:
        list(decoders[0].decode_many(asked))
    with pytest.raises(expected.type) as raised:
        answer(ReplicatedDecoder(decoders))
    assert str(raised.value) == str(expected.value)
    before = asked[: places[0]]
    assert [progress[request] for request in before] == [alone(decoders[0], request) for request in before]
    assert decoding_threads() == []


@pytest.mark.parametrize("which", [0, 1])
def test_memory_that_runs_out_on_one_device_is_the_same_error(monkeypatch, which):
    decoders = replicas()
    asked = requests(decoders[0])
    monkeypatch.setattr(decoders[which].parts.lm, "block", fails)
    seen = []
    with pytest.raises(NotEnoughMemoryError, match="out of memory while decoding"):
        for request, step in ReplicatedDecoder(decoders).decode_many(asked):
            seen.append((request, step))
    other = replicas(1)[0]
    before = asked[:which]  # those of the other device
    assert [[step for each, step in seen if each is one] for one in before] == [alone(other, one) for one in before]
    assert decoding_threads() == []


def test_an_unexpected_error_of_one_device_reaches_the_caller_and_ends_the_other(monkeypatch):
    decoders = replicas()
    monkeypatch.setattr(decoders[1].parts.lm, "block", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        together(ReplicatedDecoder(decoders), requests(decoders[0]))
    assert decoding_threads() == []


@pytest.mark.parametrize("num_good", [0, 3])
def test_an_error_of_the_requests_themselves_reaches_the_caller(num_good):
    decoders = replicas()

    def asked():
        yield from requests(decoders[0])[:num_good]
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(ReplicatedDecoder(decoders).decode_many(asked(), at_once=1))
    assert decoding_threads() == []


def test_closing_ends_every_thread_and_policy(monkeypatch):
    decoders = replicas()
    lanes, original = [], Forest.open

    def noted(forest, *arguments):
        lanes.append(original(forest, *arguments))
        return lanes[-1]

    monkeypatch.setattr(Forest, "open", noted)
    steps: Any = ReplicatedDecoder(decoders).decode_many(requests(decoders[0]))
    with closing(steps):
        next(steps)
        assert len(decoding_threads()) == 2
    assert decoding_threads() == [] and len(lanes) == 5
    assert all(inspect.getgeneratorstate(lane.policy) == inspect.GEN_CLOSED and lane.tree is None for lane in lanes)


def test_no_question_is_no_progress():
    assert list(ReplicatedDecoder(replicas()).decode_many([])) == []


def test_devices_that_take_different_heads_are_refused(monkeypatch):
    first, second = replicas()
    monkeypatch.setattr(second.exit_head, "fingerprint", "another", raising=False)
    with pytest.raises(ExitHeadError, match="name one by --exit-head"):
        ReplicatedDecoder([first, second])


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


def run_of(tiny_folder, tmp_path, out, device, *options):
    questions = tmp_path / "questions.jsonl"
    lines = [json.dumps({"question": f"Name a number above {number}", "answers": ["a", "e"]}) for number in range(12)]
    questions.write_text("\n".join(lines), encoding="utf-8")
    command = ["run", "--model", tiny_folder, "--questions", questions, "--out", out, "--device", device]
    return [*map(str, [*command, "--samples", 20, "--max-new-tokens", 12, "--temperature", 1.5, *options])]


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
    longer = ("--samples", 40, "--max-new-tokens", 20)
    code = (
        "import torch; from hcl_core import __main__, cli; from hcl_core.decode.model import loading; "
        "loading.choose_devices = lambda names: (torch.device('cpu'),) * len(names.split(',')); cli.main()"
    )
    command = [sys.executable, "-c", code, *run_of(tiny_folder, tmp_path, killed, first, *longer)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while not list(killed.glob("samples/part-*.parquet")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.kill()
    assert 0 < len(sample_keys(RunFolder(killed))) < 12 * 4 * 40
    for out in (killed, whole):
        assert run_command(capsys, *run_of(tiny_folder, tmp_path, out, second, *longer))[0] == 0
    assert parts(killed) == parts(whole)
    assert RunFolder(killed).manifest().run_id == RunFolder(whole).manifest().run_id
