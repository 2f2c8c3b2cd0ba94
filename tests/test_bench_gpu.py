"""The GPU benchmark on tiny shapes and a CPU: that it measures what it says, not how fast."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import make_lm

from bench import gpu, gpu_parts
from bench.engine import counted, ours
from bench.estimate import Gpu, Protocol
from bench.random_models import copy_on, random_model, set_spread, word_tokenizer
from bench.recorded import Work, recorded, sharing_of
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.models.attention_kinds import ATTENTION_KINDS as KINDS
from hcl_core.models.shapes import ModelShape
from hcl_core.records import Question, SamplingSettings
from hcl_core.registry import load_questions, make_decoder
from hcl_core.settings.prompts import load_template

SHAPE = gpu.TINY["tiny"]


@pytest.mark.slow
def test_the_command_writes_every_measurement_and_prints_the_tables(tmp_path, monkeypatch, capsys):
    out = tmp_path / "gpu.json"
    options = ["--device", "cpu", "--tiny", "--repeats", "1", "--questions-at-once", "3", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["bench.gpu", *options])
    gpu.main()
    found, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert found["card"]["limits"]["bandwidth"] > 0 and found["left_out"] == [] and "tests" not in found
    assert list(found["models"]["tiny"]) == list(gpu.SPREADS) and "0 failed or were skipped" in printed
    for label, row in found["models"]["tiny"].items():
        question, replicas = row["a question"], row["replicas"]
        assert sum(question["terms"].values()) == pytest.approx(question["seconds"])
        assert question["share_of_limit"] == pytest.approx(question["limit"] / question["seconds"])
        assert min(row["batched"]["seconds"], row["one at a time"]["seconds"], question["estimate"]["total"]) > 0
        assert [name for name in row if name.startswith("attention")] == [f"attention {kind}" for kind in KINDS]
        assert all(min(row[f"attention {kind}"][each] for each in ("question", "in_a_set")) > 0 for kind in KINDS)
        strategies = [each["strategy"] for each in row["drafting"]["rows"]]
        assert strategies == ["early_exit", "self_speculative:4", "self_speculative:4"]
        assert replicas["ratio"] == pytest.approx(replicas["seconds"]["one"] / replicas["seconds"]["all"])
        counts = ("num_replicas", "equal", "num_questions", "equal_alone", "num_alone")
        assert [replicas[name] for name in counts] == [2, 3, 3, 3, 3]
        assert label in printed and "by_tree (own)" in printed and "3 of 3" in printed
    shared, unshared = (
        found["models"]["tiny"][label]["a question"]["sharing"]["blocks"] for label in reversed(gpu.SPREADS)
    )
    assert shared < unshared <= 1


def test_replicas_have_the_same_weights():
    model = random_model(SHAPE, torch.bfloat16, "cpu")
    set_spread(model, 12)
    torch.manual_seed(1)
    copied, tokens = copy_on(model, "cpu"), torch.arange(3, 60)[None]
    assert copied.dtype == torch.bfloat16 and torch.equal(copied(tokens).logits, model(tokens).logits)


def test_replicas_that_answer_otherwise_are_found_out():
    models = [random_model(SHAPE, torch.float32, "cpu", seed) for seed in (0, 1)]
    questions = load_questions("starter").load(2)
    tokenizer = word_tokenizer([load_template().render(question.text) for question in questions])
    decoders = [make_decoder(CausalLM(model, tokenizer), "shared", load_template()) for model in models]
    found = gpu_parts.time_replicas(decoders, questions, gpu.TINY_PROTOCOL)
    assert (found["equal"], found["equal_alone"]) == (1, 1)  # each answers one question


def test_a_kind_of_attention_that_fails_leaves_the_model_its_own(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no compiler")

    lm = make_lm()
    monkeypatch.setattr(gpu_parts, "answers", fail)
    with pytest.raises(RuntimeError):
        gpu_parts.time_attention(lm, "flex", [], gpu.TINY_PROTOCOL)
    assert lm.attention == "by_tree"


def test_the_tables_say_what_failed_and_what_was_skipped():
    row = {"a question": {"error": "out of memory"}, "replicas": {"skipped": "no time left"}}
    table = gpu.main_table({("7b", "nothing shared"): row}, "attention gathered")
    assert [list(column.cells) for column in table.columns][2:] == [["error"]] * 7 + [[""]] * 4
    table = gpu.replica_table({("7b", "nothing shared"): row})
    assert [list(column.cells) for column in table.columns][2:] == [["skipped"]] * 6


@pytest.mark.parametrize(
    ("is_cuda", "options", "message"),
    [
        (False, [], "--device cpu --tiny"),
        (True, ["--devices", "cuda:0,cuda:7"], "device cuda:7 is not here: 2 CUDA devices were found"),
        (True, ["--devices", "cuda:0;cuda:1"], "device must be"),
        (True, ["--out", "there.json"], "there.json is there already: name another --out"),
        (True, ["--singles", "0"], "--ours-only leaves them out"),
        (True, ["--device", "cpu", "--devices", "cuda:0"], "--devices names GPUs"),
    ],
)
def test_what_cannot_be_measured_is_said_at_once(is_cuda, options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").touch()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(sys, "argv", ["bench.gpu", *options])
    with pytest.raises(SystemExit):
        gpu.parse_options()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "devices"),
    [
        ([], ["cuda:0", "cuda:1"]),
        (["--devices", "cuda:1,cuda:0"], ["cuda:1", "cuda:0"]),
        (["--device", "cpu"], ["cpu"] * 2),
    ],
)
def test_all_visible_gpus_are_taken_unless_some_are_named(options, devices, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(sys, "argv", ["bench.gpu", "--out", str(tmp_path / "new.json"), *options])
    found = gpu.parse_options()
    assert (found.device, found.devices) == (devices[0], devices)


def test_the_tests_for_cuda_are_reported_by_their_last_line(monkeypatch):
    asked = []

    def run(command, **options):
        asked.append(command)
        return SimpleNamespace(stdout=b"...\n9 passed in 3s\n")

    monkeypatch.setattr("subprocess.run", run)
    found = gpu_parts.cuda_tests(limit=60)
    assert (found["summary"], found["output"]) == ("9 passed in 3s", "...\n9 passed in 3s")
    assert asked[0][4:6] == ["-m", "cuda"]


def test_tests_for_cuda_that_hang_are_stopped_and_named(monkeypatch):
    slow = "print('test_slow', flush=True); import time; time.sleep(100)"
    run = subprocess.run
    monkeypatch.setattr("subprocess.run", lambda command, **options: run([sys.executable, "-c", slow], **options))
    found = gpu_parts.cuda_tests(limit=3)
    assert (found["summary"], found["output"]) == ("stopped after 3 s", "test_slow\n\nstopped after 3 s")


@pytest.mark.parametrize(("free", "does_fit"), [(10**9, False), (10**11, True)])
def test_a_model_is_measured_where_it_fits(free, does_fit):
    assert gpu.fits(ModelShape(32, 4096, 11008, 32, 32, 128, 32000), free, on_cpu=False) is does_fit


def test_operations_and_bytes_are_those_of_the_calls():
    shape = ModelShape(2, 8, 16, 2, 1, 4, 100)
    matrices, head = 8 * (2 * 3 * 4 + 3 * 16), 100 * 8
    work = Work(blocks=[(0, 5), (1, 5), (0, 3)], readouts=[7, 1])
    assert work.operations(shape) == 2 * (13 * matrices + 8 * head)
    assert work.bytes_moved(shape) == 2 * (3 * matrices + 2 * head) + 6 * 4 * 100 * 8


def test_the_calls_of_a_run_are_recorded():
    lm, question, settings = make_lm(), Question("q", "Name a planet", ("Mars",)), SamplingSettings(max_new_tokens=4)
    with recorded(lm) as work:
        ours(lm, question, (2, 4), 3, settings)
    with counted(lm) as count:
        ours(lm, question, (2, 4), 3, settings)
    assert sum(rows for _, rows in work.blocks) == count["block_rows"] and sum(work.readouts) == count["readouts"]
    assert [layer for layer, _ in work.blocks[:4]] == [0, 1, 2, 3]  # the prompt
    assert not {"block", "unembed"} & vars(lm).keys()


def test_sharing_is_what_is_left_of_the_unshared_work():
    # A prompt of 9 tokens through 2 blocks, its first 4 apart; then 3 rows through both, of 2 answers of 3 tokens at 2
    # layers.
    prompt = [(0, 4), (1, 4), (0, 5), (1, 5)]
    work = Work(blocks=[*prompt, (0, 3), (1, 3)], readouts=[2, 4], num_prompt_calls=len(prompt))
    assert work.prompt_tokens == 9
    sharing = sharing_of(work, (1, 2), Protocol(samples=2, tokens=3))
    assert (sharing.blocks, sharing.readouts) == (6 / (2 * 3 * 3), 6 / (2 * 3 * 2))


def test_the_limit_is_the_longer_of_bytes_and_operations():
    card = Gpu("card", bandwidth=10, flops=100, bandwidth_reach=1, flops_reach=1)
    assert (card.seconds(50, 200), card.seconds(5, 200)) == (5, 2)


@torch.inference_mode()
@pytest.mark.parametrize("spread", gpu.SPREADS.values())
def test_logits_have_the_spread_that_was_set(spread):
    model = random_model(SHAPE, torch.float32, "cpu")
    set_spread(model, spread)
    logits = model(torch.arange(3, 60)[None]).logits
    assert logits.std().item() == pytest.approx(spread, rel=0.1)


def test_random_weights_are_made_on_their_device():
    model = random_model(SHAPE, torch.bfloat16, "meta")
    assert {(each.device.type, each.dtype) for each in model.parameters()} == {("meta", torch.bfloat16)}


def test_the_tokenizer_has_a_token_a_word_and_gives_the_text_back():
    tokenizer = word_tokenizer(["Name a planet.\nAnswer: Mars"])
    token_ids = tokenizer("Name a planet.\nAnswer:").input_ids
    assert len(token_ids) == 7 and tokenizer.decode(token_ids) == "Name a planet.\nAnswer:"
