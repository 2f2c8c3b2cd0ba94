"""What the engine knows of model families: which it computes exactly, read from a model's config. Free of torch."""

from collections.abc import Mapping
from typing import Any

from hcl_core.errors import SettingsError, UnsupportedArchitectureError

SUPPORTED_FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
# Position scalings whose frequencies do not depend on the length of the text, so that cached keys stay valid.
STATIC_ROPE_TYPES = ("default", "linear", "llama3", "yarn")


def check_architecture(config: Any) -> None:
    """Raise ``UnsupportedArchitectureError`` unless the engine computes this model exactly.

    Args:
        config: A ``transformers`` config.
    """
    check_family(getattr(config, "model_type", None))
    rope = getattr(config, "rope_parameters", None) or {}
    is_by_layer = any(isinstance(value, Mapping) for value in rope.values())
    rope_type = "by type of layer" if is_by_layer else rope.get("rope_type", "default")
    if rope_type not in STATIC_ROPE_TYPES:
        raise UnsupportedArchitectureError(
            f"position scaling {rope_type!r} is not supported; supported are {', '.join(STATIC_ROPE_TYPES)}"
        )


def check_family(family: object) -> None:
    """Raise ``UnsupportedArchitectureError`` unless ``family`` is a supported ``model_type``."""
    if family not in SUPPORTED_FAMILIES:
        raise UnsupportedArchitectureError(
            f"model family {family!r} is not supported; supported are {', '.join(SUPPORTED_FAMILIES)}"
        )


def max_positions(config: Any) -> int:
    """The context, or the attention window where any layer slides: beyond it, a trie step is not exact."""
    layer_types = getattr(config, "layer_types", None) or []
    slides = "sliding_attention" in layer_types or config.model_type == "mistral"
    window = getattr(config, "sliding_window", None) if slides else None
    return int(min(config.max_position_embeddings, window or config.max_position_embeddings))


def stored_format(config: Mapping[str, Any], model: str) -> str | None:
    """The format of weights that are stored quantised: ``"int8"`` or ``"nf4"``; ``None`` for plain numbers.

    Args:
        config: The content of a ``config.json``.
        model: Name of the model, for the message.

    Raises:
        SettingsError: They are quantised by something else than ``bitsandbytes``' int8 and nf4.
    """
    if (quantization := config.get("quantization_config")) is None:
        if "quantization" in config:  # where mlx-lm writes the bits and group size of its own format
            raise SettingsError(
                f"the weights of {model} are quantised for MLX: give the model that they were made from"
            )
        return None
    settings: Mapping[str, Any] = quantization if isinstance(quantization, Mapping) else {}
    if settings.get("quant_method") == "bitsandbytes" or {"load_in_4bit", "load_in_8bit"} & settings.keys():
        if settings.get("load_in_8bit"):
            return "int8"
        if settings.get("load_in_4bit") and settings.get("bnb_4bit_quant_type") == "nf4":
            return "nf4"
    method = str(settings.get("quant_method", "an unknown method"))[:40]
    raise SettingsError(
        f"the weights of {model} are quantised already, by {method}; only int8 and nf4 of bitsandbytes can be read: "
        "give the model that they were made from, and choose --dtype int8 or nf4"
    )
