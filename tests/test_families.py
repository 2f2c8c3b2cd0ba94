"""The reference engine: every family of transformers, token for token the truncated model's own ``generate``."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from conftest import VOCAB_SIZE, make_decoder, make_tokenizer, run_command, stored_question
from scipy.stats import chisquare

from hcl_core import registry
from hcl_core.decode.heads.hidden_states import read_text, write_texts
from hcl_core.decode.model.reference_lm import ReferenceLM
from hcl_core.decode.model.truncation import BlockStack
from hcl_core.decode.plausibility import WholeModel
from hcl_core.decode.strategy import decoder_of
from hcl_core.errors import UnsupportedArchitectureError
from hcl_core.records import Question, SamplingSettings
from hcl_core.settings.strategies import Strategy

QUESTION = Question("q1", "Name a planet", ("Mars",))
NUM_LAYERS, NUM_TOKENS = 3, 8
ALL_LAYERS = range(1, NUM_LAYERS + 1)
GREEDY = SamplingSettings(temperature=0, max_new_tokens=NUM_TOKENS)

SIZES = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "initializer_range": 0.3,
}
WINDOW: dict[str, Any] = {"sliding_window": 8}  # shorter than the prompt
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
# What a family's config needs beside ``SIZES``, or has that others have not; ``None`` leaves a size out.
FAMILIES: dict[str, dict[str, Any]] = {
    "gemma": {},
    "gemma2": WINDOW | {"query_pre_attn_scalar": 8, "final_logit_softcapping": 5.0, "attn_logit_softcapping": 3.0},
    "gemma3_text": WINDOW | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "phi3": WINDOW,
    "olmo": {},
    "olmo2": {},
    "olmo3": WINDOW,
    "gpt2": {},
    "gpt_neox": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "falcon": {"head_dim": None},
    "bloom": {},
    "smollm3": {"no_rope_layers": [1, 0, 1]},
    "granite": {
        "embedding_multiplier": 2.0,
        "logits_scaling": 3.0,
        "residual_multiplier": 0.5,
        "attention_multiplier": 0.2,
    },
    "mixtral": EXPERTS | {"num_local_experts": 4},
    "qwen3_moe": EXPERTS | {"num_experts": 4},
    "gpt_oss": EXPERTS | WINDOW | {"num_local_experts": 4},
    "ministral": WINDOW,
    "cohere": {"logit_scale": 0.3},
    "cohere2": WINDOW,
    "stablelm": {},
    "mpt": {},
    "granitemoeshared": EXPERTS | {"num_local_experts": 4, "residual_multiplier": 0.5, "shared_intermediate_size": 32},
    "deepseek_v3": EXPERTS
    | {
        "num_key_value_heads": 4,
        "q_lora_rank": 16,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
        "n_routed_experts": 4,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
    },
    "exaone4": WINDOW | {"sliding_window_pattern": 2},
    "phi": {},
    "llama": {},
    "mistral": WINDOW,
    "qwen2": {},
    "qwen3": WINDOW | {"use_sliding_window": True, "max_window_layers": 1},
}


def make_reference(family: str, seed: int = 0, **overrides):
    """A tiny random model of ``family`` in the reference engine, and ``transformers``' own."""
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {name: value for name, value in (SIZES | FAMILIES[family] | overrides).items() if value is not None}
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **settings)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for weights in model.parameters():  # biases and norms that are not trivial
        if weights.dim() == 1:
            weights.data += 0.2 * torch.randn_like(weights)
    return ReferenceLM(model, make_tokenizer()), model


def decode(decoder, settings, waves):
    """All samples of ``waves`` by key."""
    steps = decoder.decode(stored_question(decoder, QUESTION), settings, waves)
    return {(each.exit_layer, each.sample_idx): each for step in steps for each in step.finished}


@torch.inference_mode()
def generated(model, exit_layer, prompt_ids):
    """Greedy tokens of the model cut to ``exit_layer`` blocks."""
    ids = torch.tensor([prompt_ids])
    with BlockStack(model).cut_to(exit_layer):
        tokens = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NUM_TOKENS, pad_token_id=1
        )
    return tokens[0, ids.shape[1] :].tolist()


def expected_tokens(lm, model, exit_layer, prompt_ids):
    """The same, up to where an answer ends: after a token that ends a text, or a line break after text."""
    tokens = generated(model, exit_layer, prompt_ids)
    for count in range(1, len(tokens) + 1):
        text = lm.detokenize(tokens[:count])
        if tokens[count - 1] in lm.stop_token_ids or "\n" in text.lstrip():
            return tokens[:count]
    return tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_is_that_of_the_truncated_model_on_every_layer(family):
    lm, model = make_reference(family)
    decoder = make_decoder(lm)
    prompt_ids = lm.tokenize(decoder.prompt_for(QUESTION))
    samples = decode(decoder, GREEDY, [[(layer, idx) for layer in ALL_LAYERS for idx in (0, 1)]])
    for layer in ALL_LAYERS:
        expected = expected_tokens(lm, model, layer, prompt_ids)
        assert [list(samples[layer, idx].completion_token_ids) for idx in (0, 1)] == [expected] * 2, f"layer {layer}"


@pytest.mark.parametrize("family", ["gemma2", "gpt2", "granite"])
def test_first_tokens_follow_the_truncated_models_distribution(family):
    lm, model = make_reference(family, initializer_range=0.1)
    decoder, num_samples = make_decoder(lm), 3000
    settings = SamplingSettings(temperature=0.8, top_p=1.0, max_new_tokens=1, seed=5)
    samples = decode(decoder, settings, [[(layer, idx) for layer in ALL_LAYERS for idx in range(num_samples)]])
    ids = torch.tensor([lm.tokenize(decoder.prompt_for(QUESTION))])
    for layer in ALL_LAYERS:
        with BlockStack(model).cut_to(layer), torch.inference_mode():
            probs = (model(ids).logits[0, -1].double() / 0.8).softmax(-1).numpy()
        drawn = [samples[layer, idx].completion_token_ids[0] for idx in range(num_samples)]
        counts = np.bincount(drawn, minlength=VOCAB_SIZE)
        order = np.argsort(-probs)
        starts = np.flatnonzero(np.diff(np.cumsum(probs[order]) // 0.02, prepend=-1))  # bins of a fiftieth or more
        observed, expected = (np.add.reduceat(each[order], starts) for each in (counts, probs * num_samples))
        assert len(observed) > 5
        assert chisquare(observed, expected).pvalue > 1e-3, f"layer {layer}"


@pytest.mark.parametrize("family", ["gemma2", "gpt2", "mixtral"])
def test_waves_layers_and_memory_change_no_answer(family):
    lm, _ = make_reference(family, seed=1)
    settings = SamplingSettings(temperature=1.0, top_p=0.95, max_new_tokens=6)
    keys = [(layer, idx) for layer in ALL_LAYERS for idx in range(8)]
    whole = decode(make_decoder(lm), settings, [keys])
    for waves, budget in (([keys[:3], keys[3:12], keys[12:]], None), ([keys], 40_000), ([[keys[9]]], None)):
        parts = decode(make_decoder(lm, budget), settings, waves)
        assert parts
        for key, sample in parts.items():
            assert sample.completion_token_ids == whole[key].completion_token_ids
            np.testing.assert_allclose(sample.token_logprobs, whole[key].token_logprobs, atol=1e-4)


def test_the_prompt_runs_once(monkeypatch):
    lm, _ = make_reference("gemma2")
    lengths, original = [], lm.run
    monkeypatch.setattr(lm, "run", lambda ids, *rest: (lengths.append(ids.shape[1]), original(ids, *rest))[1])
    decode(make_decoder(lm), GREEDY, [[(layer, idx) for layer in ALL_LAYERS] for idx in range(2)])
    assert lengths[0] > NUM_TOKENS
    assert set(lengths[1:]) == {1}  # each token once, and nothing at all in the second wave


@pytest.mark.parametrize("strategy", ["self_speculative:2", "self_speculative", "dynamic:probability:0.99999"])
def test_other_strategies_give_the_whole_models_answers(strategy):
    lm, model = make_reference("gemma3_text")
    decoder = decoder_of(make_decoder(lm).parts, Strategy.parse(strategy))
    expected = expected_tokens(lm, model, NUM_LAYERS, lm.tokenize(decoder.prompt_for(QUESTION)))
    layer = 1 if strategy.startswith("self") else NUM_LAYERS
    samples = decode(decoder, GREEDY, [[(layer, idx) for idx in range(3)]])
    assert {sample.completion_token_ids for sample in samples.values()} == {tuple(expected)}


def test_the_whole_models_log_probabilities_are_those_of_transformers():
    lm, model = make_reference("olmo2")
    parts = make_decoder(lm).parts
    stored = stored_question(make_decoder(lm), QUESTION)
    prompt_ids, completions = lm.tokenize(stored.prompt), [(7, 9, 30), (7, 9), (8,), (7, 12, 40, 41)]
    for completion, ours in zip(completions, WholeModel(parts).token_logprobs(stored, completions), strict=True):
        with torch.inference_mode():
            logprobs = model(torch.tensor([[*prompt_ids, *completion]])).logits[0].log_softmax(-1)
        theirs = [logprobs[len(prompt_ids) + place - 1, token] for place, token in enumerate(completion)]
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@torch.inference_mode()
def test_texts_are_read_and_written_after_every_layer():
    lm, model = make_reference("gemma2")
    token_ids = list(range(2, 14))
    states = read_text(lm, token_ids)
    hidden = model(torch.tensor([token_ids]), output_hidden_states=True).hidden_states
    torch.testing.assert_close(states[0], hidden[1][0])
    tokens, written = write_texts(lm, token_ids, 3, 4, SamplingSettings(0, max_new_tokens=4))
    again = read_text(lm, [*token_ids, *tokens[1].tolist()])
    torch.testing.assert_close(written[:, 1], again[:, len(token_ids) - 1 : -1], atol=1e-4, rtol=1e-3)


def save(folder, family):
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {name: value for name, value in (SIZES | FAMILIES[family]).items() if value is not None}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **settings)).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)


@pytest.mark.parametrize(("family", "engine"), [("opt", "reference"), ("cohere2", "reference"), ("gpt2", "fast")])
def test_a_folder_is_loaded_by_the_engine_that_can(tmp_path, family, engine):
    save(tmp_path, family)
    lm, _ = registry.load_model(str(tmp_path), "float32", "cpu")
    assert (lm.engine, lm.num_hidden_layers) == (engine, NUM_LAYERS)
    assert (registry.model_shape(str(tmp_path)), registry.model_engine(str(tmp_path))) == (lm.shape, engine)
    assert decode(make_decoder(lm), GREEDY, [[(2, 0)]])[2, 0].completion_token_ids


def test_the_terminal_says_which_engine_it_is(tmp_path, capsys):
    save(tmp_path, "opt")
    assert run_command(capsys, "models", "--check", tmp_path)[:2] == (0, "reference engine\n")
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    code, _, error = run_command(capsys, "models", "--check", tmp_path)
    assert (code, error.count("\n")) == (2, 1) and "'t5' is no language model" in error


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "mamba", "num_hidden_layers": 2, "hidden_size": 32}, "recurrent state"),
        ({"model_type": "t5"}, "no language model that writes"),
        ({"model_type": "bart"}, "an encoder with a decoder"),
        ({"model_type": "no_such_family"}, "'no_such_family' is not one that the installed transformers"),
    ],
)
def test_families_that_cannot_be_cut_are_refused_with_the_reason(tmp_path, config, reason):
    (tmp_path / "config.json").write_text(json.dumps(config))
    make_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UnsupportedArchitectureError, match=reason) as refused:
        registry.load_model(str(tmp_path), "float32", "cpu")
    assert "\n" not in str(refused.value)


def test_a_model_that_looks_ahead_is_refused():
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model("gpt2", **SIZES)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    block = model.transformer.h[1].register_forward_hook(
        lambda _, __, output: output + output.mean(dim=1, keepdim=True) * 5
    )
    with pytest.raises(UnsupportedArchitectureError, match="later tokens"):
        ReferenceLM(model, make_tokenizer())
    block.remove()
    ReferenceLM(model, make_tokenizer())
