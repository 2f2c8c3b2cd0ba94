"""Models of other shapes as local folders, for what is measured of models that are not here.

``widened``: SmolLM2 with more of everything. Added numbers of a state are zero and added blocks add nothing, so that it
gives SmolLM2's answers for another price. ``random``: random weights of any shape with SmolLM2's tokenizer.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from bench.random_models import random_model, set_spread
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.shapes import ModelShape
from hcl_core.registry import load_model

_HEAD_DIM, _HEADS_A_GROUP = 64, 3  # SmolLM2's


def shape_of(num_layers: int, hidden_size: int) -> ModelShape:
    """A Llama of SmolLM2's proportions and vocabulary."""
    heads = hidden_size // _HEAD_DIM
    groups = next(number for number in range(max(1, heads // _HEADS_A_GROUP), 0, -1) if heads % number == 0)
    vocab_size = DEFAULT_MODEL.shape.vocab_size
    return ModelShape(num_layers, hidden_size, round(hidden_size * 8 / 3), heads, groups, _HEAD_DIM, vocab_size, True)


def save_random(folder: Path, num_layers: int, hidden_size: int, spread: float) -> None:
    """A random model whose logits have the standard deviation ``spread``."""
    model = random_model(shape_of(num_layers, hidden_size), torch.float32, "cpu")
    set_spread(model, spread)
    _save(folder, model)


def save_widened(folder: Path, num_layers: int, num_groups: int) -> None:
    """SmolLM2 with ``num_layers`` blocks, and ``num_groups`` groups of attention heads."""
    small = AutoModelForCausalLM.from_pretrained(_default_folder(), use_safetensors=True)
    config = small.config
    heads = num_groups * _HEADS_A_GROUP
    wide = AutoConfig.for_model(
        **config.to_dict()
        | {
            "num_hidden_layers": num_layers,
            "hidden_size": heads * _HEAD_DIM,
            "intermediate_size": round(heads * _HEAD_DIM * 8 / 3),
            "num_attention_heads": heads,
            "num_key_value_heads": num_groups,
            "head_dim": _HEAD_DIM,
        }
    )
    model = AutoModelForCausalLM.from_config(wide).eval()
    kept = [layer * num_layers // config.num_hidden_layers for layer in range(config.num_hidden_layers)]
    # A norm divides by the mean over all numbers of a state, the added zeros too.
    norm_scale = (config.hidden_size / wide.hidden_size) ** 0.5
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        _fill(model.model.embed_tokens.weight, small.model.embed_tokens.weight)
        _fill(model.model.norm.weight, small.model.norm.weight * norm_scale)
        for number, place in enumerate(kept):
            named = dict(model.model.layers[place].named_parameters())
            for name, weight in small.model.layers[number].named_parameters():
                _fill(named[name], weight * (norm_scale if "norm" in name else 1))
    _save(folder, model)


def _fill(wide: torch.Tensor, small: torch.Tensor) -> None:
    wide[tuple(slice(0, size) for size in small.shape)] = small


def _save(folder: Path, model: Any) -> None:
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(_default_folder()).save_pretrained(folder)


def _default_folder() -> Path:
    return load_model(DEFAULT_MODEL.name, "float32")[1].path
