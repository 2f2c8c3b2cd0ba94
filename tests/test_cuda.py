"""The engine on a CUDA GPU, beside the tests of ``test_engine`` that run there; a CPU runs them too, but for memory."""

import numpy as np
import pytest
import torch
from conftest import FAMILIES, NUM_LAYERS, make_decoder, make_lm
from test_engine import ALL_LAYERS, DEVICES, QUESTION, assert_states_are_those_of_transformers, decode, wave

from bench.random_models import random_model, word_tokenizer
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.strategy import decoder_of
from hcl_core.models.footprint import WEIGHT_FORMATS, footprint, wave_bytes
from hcl_core.models.shapes import ModelShape
from hcl_core.records import SamplingSettings
from hcl_core.settings.strategies import Strategy

on_each_device = pytest.mark.parametrize("device", DEVICES)


@on_each_device
@pytest.mark.parametrize("family", FAMILIES)
def test_states_in_bfloat16_are_those_of_transformers(family, device):
    assert_states_are_those_of_transformers(make_lm(family, dtype="bfloat16", device=device))


@on_each_device
@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_in_company_is_the_answer_alone_up_to_the_last_bits(family, device):
    decoder, settings = make_decoder(make_lm(family, device=device)), SamplingSettings(0, max_new_tokens=10)
    together = decode(decoder, settings, [wave(ALL_LAYERS, range(8))])
    for layer in ALL_LAYERS:
        alone = decode(decoder, settings, [[(layer, 5)]])[layer, 5]
        assert alone.completion_token_ids == together[layer, 5].completion_token_ids
        np.testing.assert_allclose(alone.token_logprobs, together[layer, 5].token_logprobs, atol=1e-4)


@on_each_device
def test_greedy_self_speculation_is_full_decoding(device):
    parts = make_decoder(make_lm(device=device)).parts
    settings = SamplingSettings(temperature=0, max_new_tokens=12)
    full = decode(decoder_of(parts, Strategy.parse("early_exit")), settings, [[(NUM_LAYERS, 0)]])
    drafted = decode(decoder_of(parts, Strategy.parse("self_speculative:3")), settings, [[(2, 0)]])
    assert drafted[2, 0].completion_token_ids == full[NUM_LAYERS, 0].completion_token_ids


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_model_and_a_wave_take_the_memory_that_was_estimated():
    shape, settings = ModelShape(4, 1024, 2816, 8, 8, 128, 32_000), SamplingSettings(1.0, 1.0, max_new_tokens=8)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    model = random_model(shape, torch.bfloat16, "cuda")
    lm = CausalLM(model, word_tokenizer([QUESTION.text]), release=True)
    needs = footprint(shape, WEIGHT_FORMATS["bfloat16"], max_new_tokens=8)
    assert torch.cuda.memory_allocated() - before == pytest.approx(needs.weights, rel=0.03)
    decode(make_decoder(lm), settings, [wave(ALL_LAYERS, range(100))])
    at_most = needs.minimum + 100 * wave_bytes(shape, 2, 8, ALL_LAYERS)
    assert torch.cuda.max_memory_allocated() - before < at_most
