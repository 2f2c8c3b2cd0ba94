"""The GPU benchmark on tiny shapes and a CPU: that it measures what it says, not how fast."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import make_lm

from bench import gpu
from bench.engine import counted, ours
from bench.estimate import Gpu, Protocol
from bench.random_models import random_model, set_spread, word_tokenizer
from bench.recorded import Work, recorded, sharing_of
from hcl_core.models.attention_kinds import ATTENTION_KINDS
from hcl_core.models.shapes import ModelShape
from hcl_core.records import Question, SamplingSettings

SHAPE = gpu.TINY["tiny"]


def test_the_command_writes_every_measurement_and_prints_the_table(tmp_path, monkeypatch, capsys):
    out = tmp_path / "gpu.json"
    options = ["--device", "cpu", "--tiny", "--repeats", "1", "--questions-at-once", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["bench.gpu", *options])
    gpu.main()
    found = json.loads(out.read_text())
    assert found["tests"] == "not run" and found["card"]["bandwidth"] > 0 and found["left_out"] == []
    assert list(found["models"]["tiny"]) == list(gpu.SPREADS)
    printed = capsys.readouterr().out
    for label, row in found["models"]["tiny"].items():
        assert sum(row["terms"].values()) == pytest.approx(row["question"])
        assert row["share_of_limit"] == pytest.approx(row["limit"] / row["question"])
        assert min(row["batched"], row["one_at_a_time"], row["set_a_question"], row["estimate"]["total"]) > 0
        assert row["own_attention"] == "by_tree" and list(row["attention"]) == list(ATTENTION_KINDS)
        assert all(min(took["question"], took["set_a_question"]) > 0 for took in row["attention"].values())
        assert [each["strategy"] for each in row["speed"]] == ["early_exit", "self_speculative:4", "self_speculative:4"]
        assert label in printed and "by_tree (own)" in printed
    shared, unshared = (found["models"]["tiny"][label]["sharing"]["blocks"] for label in reversed(gpu.SPREADS))
    assert shared < unshared <= 1


def test_a_kind_of_attention_that_fails_is_named_and_the_others_are_measured(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("no compiler")

    lm = make_lm()
    monkeypatch.setattr(gpu, "answer_set", fail)
    assert gpu.time_attention(lm, "flex", [], [], SamplingSettings()) == {"error": "RuntimeError: no compiler"}
    assert lm.attention == "by_tree"


def test_without_a_gpu_the_command_says_what_can_be_run(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench.gpu"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "--device cpu --tiny" in capsys.readouterr().err


def test_the_tests_for_cuda_are_reported_by_their_last_line(monkeypatch):
    asked = []

    def run(command, **options):
        asked.append(command)
        return SimpleNamespace(stdout="...\n9 passed in 3s\n")

    monkeypatch.setattr("subprocess.run", run)
    assert gpu.cuda_tests() == "9 passed in 3s" and asked[0][1:5] == ["-m", "pytest", "-m", "cuda"]


@pytest.mark.parametrize(("free", "does_fit"), [(10**9, False), (10**11, True)])
def test_a_model_is_measured_where_it_fits(monkeypatch, free, does_fit):
    monkeypatch.setattr(gpu, "free_memory", lambda device: free)
    assert gpu.fits(ModelShape(32, 4096, 11008, 32, 32, 128, 32000), "cuda") is does_fit


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
    # A prompt of 9 tokens through 2 blocks; then 3 rows through both, of 2 answers of 3 tokens at 2 layers.
    work = Work(blocks=[(0, 9), (1, 9), (0, 3), (1, 3)], readouts=[2, 4])
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
