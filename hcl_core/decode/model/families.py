"""What the engine knows of model families: which it computes exactly, read from a model's config. Free of torch."""

from collections.abc import Mapping
from typing import Any

from hcl_core.errors import UnsupportedArchitectureError
from hcl_core.models.engines import FAST, FAST_FAMILIES, REFERENCE, EngineName

# Position scalings whose frequencies do not depend on the length of the text, so that cached keys stay valid.
STATIC_ROPE_TYPES = ("default", "linear", "llama3", "yarn")
_BY_LAYER = "by type of layer"
# Of a model whose config names no longest text, such as one with alibi.
_UNBOUNDED = 2**20
# Types of layers whose state is keys and values of tokens, as ``layer_types`` of a config names them.
_ATTENTION_TYPES = {"full_attention", "sliding_attention", "chunked_attention"}


def engine_for(config: Any) -> EngineName:
    """The engine that computes a model: the fast one where it does so exactly, else the reference."""
    is_fast = config.model_type in FAST_FAMILIES and _rope_type(config) in STATIC_ROPE_TYPES
    return FAST if is_fast else REFERENCE


def check_fast(config: Any) -> None:
    """Raise ``UnsupportedArchitectureError`` unless the fast engine computes this model exactly.

    Args:
        config: A ``transformers`` config.
    """
    if config.model_type not in FAST_FAMILIES:
        raise UnsupportedArchitectureError(
            f"model family {config.model_type!r} is not one of the fast engine's, {', '.join(FAST_FAMILIES)}"
        )
    if (rope_type := _rope_type(config)) not in STATIC_ROPE_TYPES:
        raise UnsupportedArchitectureError(
            f"position scaling {rope_type!r} is not one of the fast engine's, {', '.join(STATIC_ROPE_TYPES)}"
        )


def check_decoder_only(config: Any, *, is_stateful: bool) -> None:
    """Raise ``UnsupportedArchitectureError``, with the reason, where a model cut after a layer is not defined.

    Args:
        config: A ``transformers`` config.
        is_stateful: Whether ``transformers`` says so of the model's class.
    """
    family = config.model_type
    if family in FAST_FAMILIES and _rope_type(config) == _BY_LAYER:
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


def _rope_type(config: Any) -> str:
    rope = getattr(config, "rope_parameters", None) or {}
    is_by_layer = any(isinstance(value, Mapping) for value in rope.values())
    return _BY_LAYER if is_by_layer else str(rope.get("rope_type", "default"))


def max_positions(config: Any) -> int:
    """The longest text of the fast engine: beyond the attention window, where any layer slides, a step is not exact."""
    longest = longest_text(config)
    layer_types = getattr(config, "layer_types", None) or []
    slides = "sliding_attention" in layer_types or config.model_type == "mistral"
    window = getattr(config, "sliding_window", None) if slides else None
    return int(min(longest, window or longest))


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
