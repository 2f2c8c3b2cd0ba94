"""Every family of the fast engine against the reference, token for token, and against itself in other company."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_decoder, make_tokenizer
from test_engine import assert_same, states_by_layer
from test_families import ALL_LAYERS, GREEDY, QUESTION, decode, expected_tokens, make_reference
from test_forest import alone, requests, together

from hcl_core.decode.heads.hidden_states import read_text, write_texts
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.families import window_of
from hcl_core.decode.model.family import table
from hcl_core.decode.model.truncation import BlockStack
from hcl_core.decode.strategy import decoder_of
from hcl_core.errors import UnsupportedArchitectureError
from hcl_core.models.attention_kinds import ATTENTION_KINDS
from hcl_core.models.engines import FAST_FAMILIES
from hcl_core.records import SamplingSettings
from hcl_core.settings.strategies import Strategy

# Longer than the windows of ``FAMILIES``: the last tokens no longer see the prompt.
WARM = SamplingSettings(temperature=1.0, top_p=0.95, max_new_tokens=20)
LONG_GREEDY = SamplingSettings(temperature=0, max_new_tokens=20)
KEYS = [(layer, idx) for layer in ALL_LAYERS for idx in range(4)]
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0, 1.5], "long_factor": [2.0, 4.0]}
# Families, and what one family can be beside its usual form.
CASES: dict[str, tuple[str, dict[str, Any]]] = {family: (family, {}) for family in FAST_FAMILIES} | {
    "phi3-longrope": (
        "phi3",
        {
            "rope_parameters": LONGROPE | {"partial_rotary_factor": 0.5},
            "original_max_position_embeddings": 128,
            "sliding_window": None,
        },
    ),
    "gpt2-scaled-by-layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True, "n_inner": 48}),
    "gpt_neox-one-after-another": ("gpt_neox", {"use_parallel_residual": False, "rotary_pct": 0.5}),
    "gemma3_text-capped": ("gemma3_text", {"final_logit_softcapping": 4.0}),
    "olmo3-yarn": (
        "olmo3",
        {"rope_parameters": {"full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    ),
    "qwen3_moe-some-plain": ("qwen3_moe", {"mlp_only_layers": [1], "norm_topk_prob": True}),
    "mixtral-window": ("mixtral", {"sliding_window": 8}),
    "llama-dynamic": ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}),
}


def make_both(case, seed=0, **overrides):
    """The same tiny random model in the fast and in the reference engine."""
    family, settings = CASES[case]
    reference, model = make_reference(family, seed, **(settings | overrides))
    fast = CausalLM(model, make_tokenizer())
    return fast, reference


@pytest.mark.parametrize("case", CASES)
def test_the_fast_engine_is_the_reference_token_for_token(case):
    for seed in range(2):
        both = make_both(case, seed)
        for settings in (LONG_GREEDY, WARM):
            ours, theirs = (decode(make_decoder(lm), settings, [KEYS]) for lm in both)
            for key in KEYS:
                assert ours[key].completion_token_ids == theirs[key].completion_token_ids, key
                np.testing.assert_allclose(ours[key].token_logprobs, theirs[key].token_logprobs, atol=2e-4)


def without_compiling(monkeypatch):
    """Torch's own switch: uncompiled, ``flex_attention`` is traced anew for every shape, which takes most of a test."""
    monkeypatch.setattr("torch.nn.attention.flex_attention._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


@pytest.mark.parametrize(
    "options", [{}, {"is_fused": True}, *({"attention": kind} for kind in ATTENTION_KINDS[1:])], ids=str
)
@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_states_in_bfloat16_are_as_exact_as_those_of_transformers(case, options, monkeypatch):
    without_compiling(monkeypatch)
    family, settings = CASES[case]
    _, model = make_reference(family, 1, **settings)
    lm = CausalLM(model.to(torch.bfloat16), make_tokenizer(), **options)
    exact = copy.deepcopy(model).float()
    prompt = lm.tokenize(make_decoder(lm).prompt_for(QUESTION))
    for layer, (tokens, states) in states_by_layer(lm, max_new_tokens=12).items():
        ids = torch.tensor([[*prompt, *tokens[:-1]]])
        theirs, truth = (
            BlockStack(each).run(ids, len(ALL_LAYERS))[0][layer - 1][0, len(prompt) - 1 :] for each in (model, exact)
        )
        errors = ((each.float() - truth).norm(dim=-1) / truth.norm(dim=-1) for each in (states, theirs))
        has_experts = family in ("mixtral", "qwen3_moe")
        ours, theirs = (each.median() if has_experts else each.mean() for each in errors)
        assert ours < max(1.5 * theirs, 1e-3), f"layer {layer}: {ours:.4f}, {theirs:.4f}"
        if has_experts:
            break  # rounding can send a token to other experts, and deeper layers of later tokens see that


@pytest.mark.parametrize("family", FAST_FAMILIES)
def test_a_question_has_the_same_answers_in_company(family):
    lm, _ = make_both(family, initializer_range=0.2)
    decoder = make_decoder(lm)
    asked = requests(decoder, (WARM, LONG_GREEDY), layers=((1, 3), (2,), (3,)))
    assert together(decoder, asked) == [alone(decoder, request) for request in asked]


@pytest.mark.parametrize("family", FAST_FAMILIES)
def test_waves_and_memory_change_no_answer(family):
    lm, _ = make_both(family, seed=1)
    whole = decode(make_decoder(lm), WARM, [KEYS])
    for waves, budget in (([KEYS[:3], KEYS[3:7], KEYS[7:]], None), ([KEYS], 30_000), ([[KEYS[9]]], None)):
        parts = decode(make_decoder(lm, budget), WARM, waves)
        assert_same(parts, {key: whole[key] for key in parts})


@pytest.mark.parametrize("family", FAST_FAMILIES)
def test_texts_are_read_and_written_as_the_reference_does(family):
    both = make_both(family)
    token_ids = list(range(2, 24))
    ours, theirs = (read_text(lm, token_ids) for lm in both)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)
    written, expected = (write_texts(lm, token_ids, 3, 12, SamplingSettings(0.8, max_new_tokens=12)) for lm in both)
    assert torch.equal(written[0], expected[0])
    torch.testing.assert_close(written[1], expected[1], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", FAST_FAMILIES)
def test_logits_of_some_tokens_are_those_of_all(family):
    lm, reference = make_both(family)
    hidden, tokens = torch.randn(5, lm.hidden_size), torch.tensor([3, 250, 17])
    logits = lm.unembed(lm.final_norm(hidden), lm.logits_buffer(5))
    torch.testing.assert_close(lm.logits_of(hidden, tokens), logits[:, tokens], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits, reference.unembed(hidden, reference.logits_buffer(5)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("strategy", ["self_speculative:2", "dynamic:probability:0.99999"])
@pytest.mark.parametrize("family", ["gemma2", "gemma3_text", "gpt2", "gpt_neox"])
def test_other_strategies_give_the_whole_models_answers(family, strategy):
    lm, _ = make_both(family)
    _, model = make_reference(family)
    decoder = decoder_of(make_decoder(lm).parts, Strategy.parse(strategy))
    expected = expected_tokens(lm, model, max(ALL_LAYERS), lm.tokenize(decoder.prompt_for(QUESTION)))
    layer = 1 if strategy.startswith("self") else max(ALL_LAYERS)
    samples = decode(decoder, GREEDY, [[(layer, idx) for idx in range(3)]])
    assert {sample.completion_token_ids for sample in samples.values()} == {tuple(expected)}


@pytest.mark.parametrize(
    ("family", "without"),
    [
        ("mistral", {"sliding_window": None}),
        ("qwen3", {"use_sliding_window": False}),
        ("phi3", {"sliding_window": None}),
        ("olmo3", {"sliding_window": 200}),
        ("gemma2", {"sliding_window": 200}),
        ("gemma2", {"attn_logit_softcapping": None}),
        ("gemma2", {"final_logit_softcapping": None}),
        ("gemma3_text", {"sliding_window": 200}),
    ],
)
def test_windows_and_caps_are_felt(family, without: dict[str, Any]):
    """Else the comparisons above would say nothing about them."""
    models = [make_both(family)[0], make_both(family, **without)[0]]
    found = [decode(make_decoder(lm), WARM, [KEYS]) for lm in models]
    with_it, without_it = ([each[max(ALL_LAYERS), idx].token_logprobs for idx in range(4)] for each in found)
    assert all(a != b for a, b in zip(with_it, without_it, strict=True))


def test_windows_of_layers_are_read_from_the_config():
    from transformers import AutoConfig

    def windows(family, **settings):
        config = AutoConfig.for_model(family, num_hidden_layers=4, **settings)
        return [window_of(config, layer) for layer in range(4)]

    assert windows("mistral", sliding_window=48) == windows("phi3", sliding_window=48) == [48] * 4
    assert windows("qwen2", use_sliding_window=True, sliding_window=40, max_window_layers=2) == [None, None, 40, 40]
    assert windows("qwen2", use_sliding_window=False, sliding_window=40) == windows("llama") == [None] * 4
    assert windows("gemma2", sliding_window=40) == [40, None, 40, None]
    assert windows("olmo3", sliding_window=40) == [40, 40, 40, None]


def test_a_run_is_bounded_by_the_length_that_a_scaling_was_made_for():
    assert make_both("phi3-longrope")[0].max_positions == 128
    assert make_both("mistral")[0].max_positions == 256  # whatever its window


@pytest.mark.parametrize("case", CASES)
def test_the_shape_has_the_weights_of_the_blocks(case):
    """But for routers, and an intermediate size that two thirds make no whole number of."""
    family, settings = CASES[case]
    _, model = make_reference(family, **settings)
    lm = CausalLM(model, make_tokenizer())
    blocks = BlockStack(model).blocks
    matrices = sum(weights.numel() for weights in blocks.parameters() if weights.dim() > 1)
    assert lm.num_hidden_layers * lm.shape.matrix_weights == pytest.approx(matrices, rel=0.02)
    assert (lm.shape.row_weights < lm.shape.matrix_weights) == (family in ("mixtral", "qwen3_moe"))


def test_each_family_has_its_parts():
    assert set(table.FAMILIES) == set(FAST_FAMILIES)


@pytest.mark.parametrize(
    ("family", "settings"),
    [("gemma3_text", {"use_bidirectional_attention": True}), ("gpt2", {"add_cross_attention": True})],
)
def test_a_model_that_attends_to_more_is_not_the_fast_engines(family, settings):
    from transformers import AutoConfig

    from hcl_core.decode.model.families import check_fast

    with pytest.raises(UnsupportedArchitectureError, match="more than the tokens before"):
        check_fast(AutoConfig.for_model(family, **settings))
