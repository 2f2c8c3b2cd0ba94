"""Scratch memory by device, and the rows that go through a block or a readout together."""

import pytest
import torch
from conftest import make_lm

from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.models.attention_kinds import ATTENTION_OFF_CPU
from hcl_core.models.catalogue import CATALOGUE, find_model
from hcl_core.models.footprint import (
    MIN_READOUT_ROWS,
    WEIGHT_FORMATS,
    footprint,
    pooled_row_scratch,
    readout_rows,
    row_scratch,
    sample_bytes,
    scratch_bytes,
    wave_bytes,
)

MIB = 2**20


@pytest.mark.parametrize(("device_type", "mib"), [("cpu", 96), ("cuda", 1024), ("mps", 1024)])
def test_scratch_memory_is_a_fixed_number_by_device(device_type, mib):
    assert scratch_bytes(device_type) == mib * MIB


def test_the_footprint_holds_the_scratch_memory_of_its_device():
    shape, weight_format = find_model("layerskip-llama2-7b").shape, WEIGHT_FORMATS["bfloat16"]
    assert footprint(shape, weight_format, on_cpu=True).readouts == 2 * scratch_bytes("cpu")
    assert footprint(shape, weight_format, on_cpu=False).readouts == 2 * scratch_bytes("cuda")


@pytest.mark.parametrize("model", CATALOGUE, ids=lambda model: model.name)
def test_a_chunk_on_a_gpu_has_so_many_rows_that_operations_take_longer_than_weights(model):
    assert scratch_bytes("cuda") // row_scratch(model.shape, 128, 50) >= 440


@torch.inference_mode()
def test_the_scratch_memory_of_a_row_is_activations_paths_and_scores():
    lm = make_lm()
    row = 4 * (3 * 128 + 6 * 64 + 2 * 5 * 2 * 16 + 3 * 4 * (3 + 5))
    assert PromptCache.of(lm, [2, 3, 4]).scratch_bytes(5) == row_scratch(lm.shape, 3, 5) == row


@pytest.mark.parametrize("model", CATALOGUE, ids=lambda model: model.name)
def test_a_chunk_over_a_pool_has_so_many_rows_too(model):
    row = pooled_row_scratch(model.shape, ATTENTION_OFF_CPU, 2, 128, 50, 50_000, scores_in_memory=False)
    assert scratch_bytes("cuda") // row >= 400


@torch.inference_mode()
def test_the_scratch_memory_of_a_row_over_a_pool_is_what_its_kind_makes():
    shape = make_lm().shape
    activations, texts = 4 * (3 * 128 + 6 * 64), 16 * (33 + 5)

    def row(kind, scores_in_memory=False):
        return pooled_row_scratch(shape, kind, 4, 33, 5, 1000, scores_in_memory=scores_in_memory)

    keys, columns = 4 * 2 * (5 + 2) * 2 * 2 * 16, 2 * (33 + 16 * 5)  # two key heads, keys and values
    assert row("gathered") == activations + texts + keys + 5 * 2 * columns
    assert row("gathered", scores_in_memory=True) - row("gathered") == 12 * 4 * columns
    assert row("masked") == activations + texts + 5 * 1000
    assert row("flex", scores_in_memory=True) == row("flex") <= row("masked")


def test_an_answer_has_a_slot_in_every_layer_of_a_pool_and_on_a_cpu_in_those_that_it_runs():
    shape = find_model("smollm2-135m").shape
    whole = sample_bytes(shape, 2, 50, shape.num_hidden_layers)
    assert wave_bytes(shape, 2, 50, [3, 7], on_cpu=True) == sum(sample_bytes(shape, 2, 50, each) for each in (3, 7))
    assert wave_bytes(shape, 2, 50, [3, 7]) == 2 * whole
    assert footprint(shape, WEIGHT_FORMATS["bfloat16"], exit_layer=3).sample == whole
    assert footprint(shape, WEIGHT_FORMATS["bfloat16"], exit_layer=3, on_cpu=True).sample < whole


def test_readouts_on_a_cpu_are_as_many_rows_as_fit_its_scratch_memory():
    lm = make_lm()
    assert lm.readout_rows(2) == readout_rows(lm.vocab_size, 2, "cpu") == 96 * MIB // (4 * 2 * lm.vocab_size)
    assert readout_rows(10**9, 1, "cpu") == MIN_READOUT_ROWS


def test_readouts_on_a_gpu_leave_room_for_the_tables_of_a_draw():
    assert readout_rows(32_000, 1, "cuda") == 1024 * MIB // (4 * 4 * 32_000)
