"""What the engine knows of model families: which it computes exactly, read from a model's config. Free of torch."""

from collections.abc import Mapping
from typing import Any

from hcl_core.errors import UnsupportedArchitectureError
from hcl_core.models.engines import FAST, FAST_FAMILIES, REFERENCE, EngineName

# Position scalings whose frequencies do not depend on the length of the text, so that cached keys stay valid.
STATIC_ROPE_TYPES = ("default", "linear", "llama3", "yarn")
_BY_LAYER = "by type of layer"
# Position scalings whose frequencies change beyond the length that a model was first made for; no text is longer.
_BOUND_ROPE_TYPES = ("longrope", "dynamic")
# Families in which every layer has the window; in others, those do whose type says so.
_ALL_SLIDE = ("mistral", "phi3", "mixtral", "qwen3_moe")
# Families that can have a position scaling for each type of layer.
_ROPE_BY_LAYER = ("gemma3_text", "olmo3")
# Of a model whose config names no longest text, such as one with alibi.
_UNBOUNDED = 2**20
# Types of layers whose state is keys and values of tokens, as ``layer_types`` of a config names them.
_ATTENTION_TYPES = {"full_attention", "sliding_attention", "chunked_attention"}


def engine_for(config: Any) -> EngineName:
    """The engine that computes a model: the fast one where it does so exactly, else the reference."""
    return REFERENCE if _not_fast(config) else FAST


def check_fast(config: Any) -> None:
    """Raise ``UnsupportedArchitectureError`` unless the fast engine computes this model exactly.

    Args:
        config: A ``transformers`` config.
    """
    if reason := _not_fast(config):
        raise UnsupportedArchitectureError(reason)


def _not_fast(config: Any) -> str | None:
    """Why the fast engine does not compute this model; ``None``: it does."""
    family = config.model_type
    if family not in FAST_FAMILIES:
        return f"model family {family!r} is not one of the fast engine's, {', '.join(FAST_FAMILIES)}"
    rope_types = (*STATIC_ROPE_TYPES, *_BOUND_ROPE_TYPES)
    if unknown := [rope_type for rope_type in _rope_types(config) if rope_type not in rope_types]:
        return f"position scaling {unknown[0]!r} is not one of the fast engine's, {', '.join(rope_types)}"
    if getattr(config, "use_bidirectional_attention", False) or getattr(config, "add_cross_attention", False):
        return f"this model of the family {family!r} attends to more than the tokens before each token"
    return None


def check_decoder_only(config: Any, *, is_stateful: bool) -> None:
    """Raise ``UnsupportedArchitectureError``, with the reason, where a model cut after a layer is not defined.

    Args:
        config: A ``transformers`` config.
        is_stateful: Whether ``transformers`` says so of the model's class.
    """
    family = config.model_type
    if family in FAST_FAMILIES and _BY_LAYER in _rope_types(config):
        check_fast(config)  # transformers would leave it out
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedArchitectureError(
            f"model family {family!r} cannot be read at its early layers: it is an encoder with a decoder"
        )
    layer_types = set(getattr(config.get_text_config(), "layer_types", None) or [])
    if is_stateful or layer_types - _ATTENTION_TYPES:
        raise UnsupportedArchitectureError(
            f"model family {family!r} cannot be read at its early layers: it keeps a recurrent state, which answers "
            "cannot share"
        )


def _rope_types(config: Any) -> list[str]:
    rope = getattr(config, "rope_parameters", None) or {}
    if not any(isinstance(value, Mapping) for value in rope.values()):
        return [str(rope.get("rope_type", "default"))]
    if config.model_type not in _ROPE_BY_LAYER:
        return [_BY_LAYER]
    return [str(rope[kind].get("rope_type", "default")) if rope.get(kind) else "none" for kind in rotary_kinds(config)]


def rotary_kinds(config: Any) -> list[str]:
    """The types of layers that have a rotary embedding of their own; empty: one embedding serves all layers."""
    return sorted(set(config.layer_types)) if config.model_type in _ROPE_BY_LAYER else []


def window_of(config: Any, layer: int) -> int | None:
    """How many of the last tokens a layer (from 0) attends to, the token itself among them; ``None``: all."""
    layer_types = getattr(config, "layer_types", None)
    slides = config.model_type in _ALL_SLIDE or bool(layer_types and layer_types[layer] == "sliding_attention")
    window = getattr(config, "sliding_window", None) if slides else None
    return int(window) if window else None


def longest_text(config: Any) -> int:
    """The longest text that the model is made for.

    Where the scaling of positions changes with the length of a text, it is the length up to which it does not.
    """
    longest = getattr(config, "max_position_embeddings", None) or getattr(config, "max_seq_len", None)
    rope = getattr(config, "rope_parameters", None) or {}
    by_layer = [value for value in rope.values() if isinstance(value, Mapping)] or [rope]
    originals = [
        each.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
        for each in by_layer
        if each.get("rope_type", "default") not in STATIC_ROPE_TYPES
    ]
    return int(min(number for number in (longest, *originals, _UNBOUNDED) if number))
