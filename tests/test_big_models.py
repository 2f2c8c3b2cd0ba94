"""Models too large for here: their sizes and memory by arithmetic, their architectures with random weights, reduced."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import make_decoder, make_lm, make_model, make_tokenizer, run_command, stored_question
from test_engine import assert_greedy_is_that_of_transformers
from transformers import AutoConfig, AutoModelForCausalLM

from hcl_core.decode.model import loading
from hcl_core.errors import DamagedModelError
from hcl_core.models.catalogue import CATALOGUE, find_model
from hcl_core.models.footprint import WEIGHT_FORMATS, footprint
from hcl_core.models.shapes import ModelShape
from hcl_core.records import Question, SamplingSettings

# What the configs say beside the sizes: how positions turn, and how far they go.
LLAMA_3_2_SCALING = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
POSITIONS: dict[str, dict[str, Any]] = {
    "smollm2-135m": {"rope_theta": 100_000.0, "max_position_embeddings": 8192},
    "layerskip-llama3.2-1b": {
        "rope_theta": 500_000.0,
        "max_position_embeddings": 131_072,
        "rope_scaling": LLAMA_3_2_SCALING,
    },
    "layerskip-llama2-7b": {"rope_theta": 10_000.0, "max_position_embeddings": 4096},
    "layerskip-llama3-8b": {"rope_theta": 500_000.0, "max_position_embeddings": 8192},
    "layerskip-llama2-13b": {"rope_theta": 10_000.0, "max_position_embeddings": 4096},
    "layerskip-llama2-70b": {"rope_theta": 10_000.0, "max_position_embeddings": 4096},
    "layerskip-codellama-7b": {"rope_theta": 1_000_000.0, "max_position_embeddings": 16_384},
    "layerskip-codellama-34b": {"rope_theta": 1_000_000.0, "max_position_embeddings": 16_384},
    "smollm2-360m": {"rope_theta": 100_000.0, "max_position_embeddings": 8192},
    "qwen2.5-0.5b": {"rope_theta": 1_000_000.0, "max_position_embeddings": 32_768},
    "qwen3-0.6b": {"rope_theta": 1_000_000.0, "max_position_embeddings": 40_960},
}
# Qwen's: less than a thousandth of the weights.
UNCOUNTED = ("bias", "q_norm.weight", "k_norm.weight")
QUESTION = Question("q1", "Which of the planets that can be seen without a telescope is farthest away?", ("Saturn",))


def config_of(shape: ModelShape, **others):
    return {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.num_key_value_heads,
        "head_dim": shape.head_dim,
        "tie_word_embeddings": shape.has_tied_head,
        "attention_bias": False,
        **others,
    }


def reduced(shape: ModelShape) -> ModelShape:
    """As deep, with as many heads of each kind and the same vocabulary, but narrow."""
    heads = shape.num_attention_heads
    return replace(shape, hidden_size=heads * (8 if heads < 16 else 2), intermediate_size=96, head_dim=8)


@pytest.mark.parametrize("model", CATALOGUE, ids=lambda model: model.name)
def test_weights_of_a_shape_are_those_of_transformers(model):
    with torch.device("meta"):
        whole = AutoModelForCausalLM.from_config(AutoConfig.for_model(model.family, **config_of(model.shape)))
    counted = [each for name, each in whole.named_parameters() if not name.endswith(UNCOUNTED)]
    assert sum(weights.numel() for weights in counted) == model.shape.num_weights
    assert ModelShape.of_config(whole.config.to_dict()) == model.shape
    block = whole.model.layers[0]
    assert sum(each.numel() for each in block.parameters() if each.dim() == 2) == model.shape.matrix_weights


@pytest.mark.slow
@pytest.mark.parametrize("model", CATALOGUE, ids=lambda model: model.name)
def test_greedy_is_that_of_the_truncated_model_at_the_shape_of_every_checkpoint(model):
    shape = reduced(model.shape)
    lm = make_lm(model.family, **config_of(shape), **POSITIONS[model.name], initializer_range=0.1)
    assert lm.shape == shape
    depth = shape.num_hidden_layers
    assert_greedy_is_that_of_transformers(lm, make_decoder(lm), (1, depth // 2, depth), QUESTION, 12)


def test_the_positions_of_llama_3_2_are_scaled():
    """Without the scaling the reduced model says something else: the test above is one of positions too."""
    shape = reduced(find_model("layerskip-llama3.2-1b").shape)
    positions = dict(POSITIONS["layerskip-llama3.2-1b"])
    prompt = torch.tensor([[2 + place % 250 for place in range(200)]])
    scaled = make_model("llama", **config_of(shape), **positions)
    del positions["rope_scaling"]
    plain = make_model("llama", **config_of(shape), **positions)
    with torch.no_grad():
        assert not torch.allclose(scaled(prompt).logits, plain(prompt).logits, atol=0.1)


def test_config_without_a_size_is_refused():
    with pytest.raises(DamagedModelError, match="lacks a number"):
        ModelShape.of_config({"hidden_size": 8})


# Memory.


@pytest.fixture
def folder(tmp_path):
    """A model wide enough for its matrices to be most of it."""
    path = tmp_path / "wide"
    sizes = {"vocab_size": 300, "hidden_size": 256, "intermediate_size": 768, "num_attention_heads": 8, "head_dim": 32}
    make_model("llama", attention_bias=False, initializer_range=0.1, **sizes).save_pretrained(path)
    make_tokenizer().save_pretrained(path)
    return path


@pytest.mark.parametrize("kept", WEIGHT_FORMATS.values(), ids=lambda kept: kept.name)
def test_weights_take_the_memory_that_was_foretold(folder, kept):
    placement = {"dtype": torch.bfloat16 if kept.is_quantized else getattr(torch, kept.name)}
    if kept.is_quantized:
        from hcl_core.decode.model.pretrained import _quantization

        placement |= {"quantization_config": _quantization(kept.name, torch.bfloat16), "device_map": {"": "cpu"}}
    model = AutoModelForCausalLM.from_pretrained(folder, **placement)
    shape = ModelShape.of_config(model.config.to_dict())
    held = sum(weights.numel() * weights.element_size() for weights in model.state_dict().values())
    assert held == pytest.approx(footprint(shape, kept).weights, rel=0.03)


def test_a_half_takes_half_and_four_bits_a_quarter_of_that():
    shape = find_model("layerskip-llama2-7b").shape
    sizes = {name: footprint(shape, kept).weights for name, kept in WEIGHT_FORMATS.items()}
    assert sizes["float32"] == 2 * sizes["bfloat16"] == 2 * sizes["float16"]
    assert 0.5 < sizes["int8"] / sizes["bfloat16"] < 0.53 and 0.25 < sizes["nf4"] / sizes["bfloat16"] < 0.3


@pytest.mark.parametrize("quantized", ["int8", "nf4"])
def test_quantised_weights_answer_as_transformers_own(folder, quantized):
    from hcl_core.decode.heads.hidden_states import read_text
    from hcl_core.decode.model.pretrained import _quantization

    lm, _ = loading.load_model(str(folder), quantized, "cpu")
    assert lm.dtype_name == quantized
    peer = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=_quantization(quantized, lm.dtype), dtype=lm.dtype, device_map={"": "cpu"}
    )
    text = lm.tokenize("Name a planet that has rings.")
    with torch.inference_mode():
        wanted = peer(torch.tensor([text]), output_hidden_states=True).hidden_states
        states = read_text(lm, text)
        plain = AutoModelForCausalLM.from_pretrained(folder)(torch.tensor([text]), output_hidden_states=True)
    for layer in range(lm.num_hidden_layers - 1):  # the last one is normed by transformers
        theirs, ours = wanted[layer + 1][0].float(), states[layer].float()
        exact = plain.hidden_states[layer + 1][0].float()
        # Nearer to transformers' quantised model than that is to the model it was made of.
        assert (ours - theirs).norm() < 0.5 * (theirs - exact).norm()
    settings = SamplingSettings(max_new_tokens=6)
    wave = [(layer, sample_idx) for layer in (2, 4) for sample_idx in range(3)]
    decoder = make_decoder(lm)
    finished = [
        s for step in decoder.decode(stored_question(decoder, QUESTION), settings, [wave]) for s in step.finished
    ]
    assert len(finished) == len(wave)


# In the terminal.


def test_memory_needs_no_model_for_a_name_of_the_catalogue(capsys):
    code, out, _ = run_command(capsys, "memory", "--model", "layerskip-llama2-7B", "--device", "cpu", "--json")
    found = json.loads(out)
    assert code == 0 and set(found["formats"]) == set(WEIGHT_FORMATS)
    shape = find_model("layerskip-llama2-7b").shape
    assert found["formats"]["nf4"]["weights"] == footprint(shape, WEIGHT_FORMATS["nf4"], on_cpu=True).weights


def test_memory_says_what_lacks_and_what_fits(capsys, monkeypatch):
    monkeypatch.setattr("hcl_core.decode.model.memory.free_memory", lambda device: 20 * 2**30)
    code, out, _ = run_command(capsys, "memory", "--model", "layerskip-llama2-7B", "--device", "cpu")
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert code == 0 and "lacks" in lines["float32"] and "several waves" in lines["bfloat16"]
    code, out, _ = run_command(capsys, "memory", "--device", "cpu", "--samples", 1, "--layers", "30")
    rows = [line for line in out.splitlines() if line.split()[:1] and line.split()[0] in WEIGHT_FORMATS]
    assert code == 0 and len(rows) == len(WEIGHT_FORMATS) and all(row.rstrip().endswith("fits") for row in rows)


def test_memory_of_a_folder(capsys, folder):
    code, out, _ = run_command(capsys, "memory", "--model", folder, "--device", "cpu", "--exit-head", "linear")
    assert code == 0 and "4 layers" in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model", "nobody/nothing"], "neither a name that `models` lists nor a model on this machine"),
        (["--layers", "40"], "40"),
        (["--samples", "0"], "samples"),
        (["--max-new-tokens", "0"], "max_new_tokens"),
        (["--exit-head", "round"], "shared or linear"),
        (["--device", "toaster"], "device must be"),
    ],
)
def test_memory_refuses_what_it_cannot_estimate(capsys, arguments, message):
    code, _, err = run_command(capsys, "memory", *arguments)
    assert code == 2 and message in err
