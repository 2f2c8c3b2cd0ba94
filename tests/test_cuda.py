"""The engine on a CUDA GPU, against transformers there; the same tests on a CPU show that they test something."""

import numpy as np
import pytest
import torch
from conftest import FAMILIES, NUM_LAYERS, make_decoder, make_lm
from test_engine import ALL_LAYERS, QUESTION, assert_greedy_is_that_of_transformers, decode, states_by_layer, wave

from bench.random_models import random_model, word_tokenizer
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.strategy import decoder_of
from hcl_core.models.footprint import WEIGHT_FORMATS, footprint, wave_bytes
from hcl_core.models.shapes import ModelShape
from hcl_core.records import SamplingSettings
from hcl_core.settings.strategies import Strategy

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
CUDA = pytest.param("cuda", marks=[pytest.mark.cuda, needs_cuda])
on_each_device = pytest.mark.parametrize("device", ["cpu", CUDA])


@on_each_device
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_answers_are_those_of_generate(family, device):
    lm = make_lm(family, device=device)
    assert_greedy_is_that_of_transformers(lm, make_decoder(lm), ALL_LAYERS, QUESTION, 24, generated=ALL_LAYERS)


@on_each_device
@pytest.mark.parametrize("family", FAMILIES)
def test_states_in_bfloat16_are_those_of_transformers(family, device):
    lm = make_lm(family, dtype="bfloat16", device=device)
    prompt = lm.tokenize(make_decoder(lm).prompt_for(QUESTION))
    for layer, (tokens, states) in states_by_layer(lm, max_new_tokens=6).items():
        with torch.inference_mode():
            ids = torch.tensor([[*prompt, *tokens[:-1]]], device=device)
            theirs = lm.peer(ids, output_hidden_states=True).hidden_states[layer][0, len(prompt) - 1 :].float()
            ours = (lm.final_norm(states) if layer == NUM_LAYERS else states).float()  # transformers norms the last
        # Each block rounds a few times: two units in the last place a block, relative to the whole state.
        assert (ours - theirs).norm() < 2 * layer * torch.finfo(lm.dtype).eps * theirs.norm()


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
@needs_cuda
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
