"""Checkpoints read by ``transformers``: safetensors only, no remote code, no network."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from hcl_core.decode.model.causal_lm import CausalLM, check_architecture, check_family
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.errors import DamagedModelError, NotEnoughMemoryError
from hcl_core.models.shapes import ModelShape

# No network, no code of a model's.
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}

# A load from disk takes about a second: bars would only clutter the terminal.
transformers_logging.disable_progress_bar()


def read_shape(checkpoint: Checkpoint) -> ModelShape:
    """Sizes of a checkpoint's model, from its config alone.

    Raises:
        UnsupportedArchitectureError: The engine does not know the family or its position scaling.
        DamagedModelError: The config is missing or damaged.
    """
    with _explain_damage(checkpoint):
        # Checked by name first: for an unknown family, transformers raises an error about its own version.
        check_family(json.loads((checkpoint.path / "config.json").read_text(encoding="utf-8")).get("model_type"))
        config = AutoConfig.from_pretrained(checkpoint.path, **_LOCAL)
    check_architecture(config)
    return ModelShape.of_config(config.to_dict())


@contextmanager
def _explain_damage(checkpoint: Checkpoint) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, SafetensorError) as error:
        problem = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DamagedModelError(f"{checkpoint.model} cannot be loaded: {problem[:300]}") from error


def load_causal_lm(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    quantized: str | None = None,
    spread_over: dict[int, int] | None = None,
) -> CausalLM:
    """Read a checkpoint from disk: safetensors only, no remote code, no network.

    Args:
        checkpoint: A folder found by ``checkpoints.resolve``.
        dtype: Of the weights in memory and of the hidden states; of a quantised model, of what is not quantised.
        device: Of the weights.
        quantized: ``"int8"`` or ``"nf4"``: format of the blocks' matrices, by ``bitsandbytes``; ``None``: ``dtype``.
        spread_over: Bytes for each GPU if the blocks are spread over several, by ``accelerate``; else ``None``.

    Raises:
        DamagedModelError: A file or a weight is missing or damaged.
        NotEnoughMemoryError: The GPUs do not hold all blocks.
    """
    placement: dict[str, Any] = {"device_map": "auto", "max_memory": spread_over} if spread_over else {}
    if quantized is not None:
        placement = {"device_map": {"": device}} | placement
        placement["quantization_config"] = _quantization(quantized, dtype)
    with _explain_damage(checkpoint):
        model, report = AutoModelForCausalLM.from_pretrained(
            checkpoint.path,
            dtype=dtype,
            use_safetensors=True,
            attn_implementation="eager",
            output_loading_info=True,
            **placement,
            **_LOCAL,
        )
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.path, **_LOCAL)
    # transformers fills missing weights with random numbers, with no more than a line in its log.
    if lacking := sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]])):
        raise DamagedModelError(f"{checkpoint.model} lacks {len(lacking)} of its weights, such as {lacking[0][:80]}")
    if spread_over and any(parameter.device.type != "cuda" for parameter in model.parameters()):
        raise NotEnoughMemoryError(f"{checkpoint.model} does not fit on the GPUs together: choose a smaller model")
    return CausalLM(model if placement else model.to(device), tokenizer, checkpoint.model, release=True)


def convert_gguf(gguf_file: Path, target: Path) -> None:
    """Unpack a GGUF into a ``transformers`` folder with float32 safetensors.

    Args:
        gguf_file: The quantised weights, tokenizer included.
        target: An existing empty folder.
    """
    source = {"pretrained_model_name_or_path": gguf_file.parent, "gguf_file": gguf_file.name}
    transformers_logging.enable_progress_bar()  # half a minute: the only load that shows its progress
    try:
        model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    finally:
        transformers_logging.disable_progress_bar()
    # The weights are plain float32 now, but transformers still treats them as a GGUF, which it cannot save.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(**source).save_pretrained(target)


def _quantization(quantized: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    if quantized == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
