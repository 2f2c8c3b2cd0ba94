"""GGUF files unpacked by ``transformers``, and what it would leave out of them without a word."""

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.utils import logging as transformers_logging

from hcl_core.decode.model.gguf_header import num_weights_in
from hcl_core.decode.model.memory import free_memory
from hcl_core.decode.model.pretrained import (
    check_shapes,
    explain_damage,
    quiet_transformers,
    shape_of_config,
)
from hcl_core.decode.model.weight_files import check_held
from hcl_core.errors import NotEnoughMemoryError, UnsupportedArchitectureError

_GIB = 2**30
# Bytes a weight while a file is unpacked: two float32 copies and the file; SmolLM2's took 1,073 MiB for 513 MiB.
_PEAK_BYTES = 2.1 * 4
# Where llama.cpp stores the divisors of a model's rotary frequencies; transformers reads none of them.
_FACTORS, _LONG_FACTORS = "rope_freqs.weight", ("rope_factors_long.weight", "rope_factors_short.weight")
# Numbers of Llama 3.1 and its successors, from their configs; llama.cpp's converter stores the factors made of them.
_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
# Ways to split a text that transformers lacks and that give the tokens of the one it takes instead, GPT-2's. SmolLM's
# parts digits, and no token of its vocabulary joins digits.
_LIKE_GPT2 = ("default", "gpt-2", "smollm")

logger = logging.getLogger(__name__)


def convert_gguf(gguf_file: Path, target: Path) -> None:
    """Unpack a GGUF into a ``transformers`` folder with float32 safetensors.

    Args:
        gguf_file: The weights, quantised or not, tokenizer included.
        target: An existing empty folder.

    Raises:
        DamagedModelError: The file is incomplete or damaged.
        UnsupportedArchitectureError: ``transformers`` cannot read the model from such a file, or no engine computes it.
        NotEnoughMemoryError: The unpacked weights do not fit.
    """
    source: dict[str, Any] = {"pretrained_model_name_or_path": gguf_file.parent, "gguf_file": gguf_file.name}
    source |= {"local_files_only": True, "trust_remote_code": False}
    num_held = num_weights_in(gguf_file)
    with explain_damage(gguf_file, "GGUF"):
        reader = GGUFReader(gguf_file)
        factors = _check(reader, gguf_file.name)
        config = AutoConfig.from_pretrained(**source)
        shape, _ = shape_of_config(config)  # refused before the work
        check_held(gguf_file, shape, num_held)
    if factors is not None:
        config.rope_parameters = _llama3_scaling(config, factors, gguf_file.name)
    transformers_logging.enable_progress_bar()  # minutes for a large file: the only load that shows its progress
    try:
        with explain_damage(gguf_file, "GGUF"), quiet_transformers():
            model, report = AutoModelForCausalLM.from_pretrained(
                **source,
                config=config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # the report has them
            )
            tokenizer = AutoTokenizer.from_pretrained(**source)
    finally:
        transformers_logging.disable_progress_bar()
    check_shapes(gguf_file, report)
    if lacking := sorted(map(str, report["missing_keys"])):
        raise UnsupportedArchitectureError(
            f"transformers does not find {len(lacking)} of the weights in {gguf_file.name}, such as {lacking[0][:80]}: "
            "give the model that it was made from"
        )
    # The weights are plain float32 now, but transformers still treats them as a GGUF, which it cannot save.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _check(reader: GGUFReader, name: str) -> torch.Tensor | None:
    """The divisors of the rotary frequencies, where the file has some; raises as ``convert_gguf``."""
    fields = {key: field.contents() for key, field in reader.fields.items() if key.split(".")[0] != "tokenizer"}
    family = str(fields.get("general.architecture"))
    # transformers calls some by other names: gpt-oss, qwen2moe, qwen3moe.
    known = {supported.replace("_", "") for supported in GGUF_SUPPORTED_ARCHITECTURES}
    if family.replace("-", "").replace("_", "") not in known:
        raise UnsupportedArchitectureError(
            f"{name} holds a model of the family {family[:40]!r}, which transformers cannot read from a GGUF file: "
            "give the model that it was made from"
        )
    if int(fields.get("split.count") or 0) > 1:
        raise UnsupportedArchitectureError(
            f"{name} is one of {fields['split.count']} parts of a GGUF file: merge them first "
            "(llama-gguf-split --merge)"
        )
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    if _scales_positions(fields, family) or tensors.keys() & set(_LONG_FACTORS):
        raise UnsupportedArchitectureError(
            f"{name} scales positions, which transformers does not read from a GGUF file: give the model that it was "
            "made from"
        )
    needed, free = (
        _PEAK_BYTES * sum(int(tensor.n_elements) for tensor in reader.tensors),
        free_memory(torch.device("cpu")),
    )
    if needed > free:
        raise NotEnoughMemoryError(
            f"unpacking {name} needs {needed / _GIB:.1f} GiB of memory, and {free / _GIB:.1f} GiB are free: give a "
            "smaller model"
        )
    split = reader.fields.get("tokenizer.ggml.pre")
    if split is not None and (kind := split.contents()) not in {*GGUF_PRE_TOKENIZER_SPLITS, *_LIKE_GPT2}:
        logger.warning(
            "%s: transformers does not know how its tokenizer splits texts (%s): some of its tokens may be others than "
            "the model learned with",
            name,
            str(kind)[:40],
        )
    return torch.from_numpy(tensors[_FACTORS].data.copy()).float() if _FACTORS in tensors else None


def _scales_positions(fields: Mapping[str, Any], family: str) -> bool:
    """Whether the metadata has a scaling of positions; transformers reads that of gpt-oss alone."""
    if family == "gpt-oss":
        return False
    is_scaled = fields.get(f"{family}.rope.scaling.type") not in (None, "none")
    return is_scaled or fields.get(f"{family}.rope.scale_linear") not in (None, 1.0)


def _llama3_scaling(config: Any, factors: torch.Tensor, name: str) -> dict[str, Any]:
    """The rope parameters that give the stored divisors; raises ``UnsupportedArchitectureError`` if none do."""
    scaling = {**config.rope_parameters, "rope_type": "llama3", "factor": float(factors.max()), **_LLAMA3}
    scaled = copy.deepcopy(config)
    scaled.rope_parameters = scaling
    wanted, _ = ROPE_INIT_FUNCTIONS["llama3"](scaled, torch.device("cpu"))
    dim = 2 * len(factors)
    plain = float(scaling["rope_theta"]) ** -(torch.arange(0, dim, 2).float() / dim)
    if wanted.shape != factors.shape or not torch.allclose(plain / factors, wanted, rtol=1e-3, atol=0):
        raise UnsupportedArchitectureError(
            f"{name} scales positions in another way than Llama 3, which transformers does not read from a GGUF file: "
            "give the model that it was made from"
        )
    return scaling
