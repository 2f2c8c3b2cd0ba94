"""Weights that are stored quantised: which formats are read, which are expanded to plain numbers. Free of torch."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from hcl_core.errors import SettingsError

# Methods whose weights transformers expands to plain numbers while it loads them, and the package that it needs.
_EXPANDED = {"fp8": None, "mxfp4": None, "compressed-tensors": "compressed_tensors"}
# Methods whose weights transformers computes by modules of another package, which has the engines' place.
_OTHER_MODULES = {"gptq": "gptqmodel", "awq": "gptqmodel", "hqq": "hqq", "quanto": "optimum-quanto"}


def stored_format(config: Mapping[str, Any], model: str) -> str | None:
    """The format of weights that stay quantised: ``"int8"`` or ``"nf4"``; ``None`` for plain and expanded numbers.

    Args:
        config: The content of a ``config.json``.
        model: Name of the model, for the message.

    Raises:
        SettingsError: They can be neither computed as they are nor expanded; or a package is missing for it.
    """
    if config.get("quantization_config") is None:
        if "quantization" in config:  # where mlx-lm writes the bits and group size of its own format
            raise SettingsError(
                f"the weights of {model} are quantised for MLX: give the model that they were made from"
            )
        return None
    settings, method = _settings_and_method(config)
    if method in _EXPANDED:
        package = _EXPANDED[method]
        if package is not None and importlib.util.find_spec(package) is None:
            raise SettingsError(
                f"the weights of {model} are stored by {method}, which needs a package that is not here: pip install "
                "-r requirements-quantized.txt"
            )
        return None
    if method == "bitsandbytes":
        if settings.get("load_in_8bit"):
            return "int8"
        if settings.get("load_in_4bit") and settings.get("bnb_4bit_quant_type") == "nf4":
            return "nf4"
    if method in _OTHER_MODULES:
        raise SettingsError(
            f"the weights of {model} are quantised already, by {method}, and can be computed by the package "
            f"{_OTHER_MODULES[method]} alone, which works without the early exits of this program: give the model that "
            "they were made from, and choose --dtype int8 or nf4"
        )
    raise SettingsError(
        f"the weights of {model} are quantised already, by {method}; only int8 and nf4 of bitsandbytes, "
        f"{', '.join(_EXPANDED)} can be read: give the model that they were made from, and choose --dtype int8 or nf4"
    )


def expanded_method(config: Mapping[str, Any]) -> str | None:
    """The method by which weights are stored that are expanded to plain numbers when they are loaded, if any."""
    _, method = _settings_and_method(config)
    return method if method in _EXPANDED else None


def _settings_and_method(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    quantization = config.get("quantization_config")
    settings: Mapping[str, Any] = quantization if isinstance(quantization, Mapping) else {}
    if {"load_in_4bit", "load_in_8bit"} & settings.keys():  # transformers of 2023 wrote no method
        return settings, "bitsandbytes"
    return settings, str(settings.get("quant_method", "an unknown method"))[:40]
