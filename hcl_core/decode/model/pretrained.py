"""Checkpoints read by ``transformers``: safetensors only, no remote code, no network."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.checkpoints import Checkpoint, Location
from hcl_core.decode.model.families import check_decoder_only, engine_for, longest_text
from hcl_core.decode.model.family.table import parts_of
from hcl_core.decode.model.gguf_header import num_weights_in
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.memory import is_out_of_memory
from hcl_core.decode.model.quantised import expanded_method
from hcl_core.decode.model.reference_lm import ReferenceLM, shape_of
from hcl_core.decode.model.weight_files import check_held, read_json_object, weights_hash
from hcl_core.errors import (
    DamagedModelError,
    HclError,
    NotEnoughMemoryError,
    UnsupportedArchitectureError,
    file_and_cause,
)
from hcl_core.models.engines import FAST, EngineName
from hcl_core.models.shapes import ModelShape, check_number_of_parts
from hcl_core.text import one_line

# No network, no code of a model's.
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
# An adapter beside the weights is neither applied nor opened, which could be a pickle: it is looked for where none is.
_NO_ADAPTER: dict[str, Any] = {"adapter_kwargs": {"subfolder": "no-adapter"}}

# What a config calls them, of which each makes modules.
_NUMBERS_OF_PARTS = ("num_hidden_layers", "num_experts", "num_local_experts", "n_routed_experts")

logger = logging.getLogger(__name__)

# A load from disk takes about a second: bars would only clutter the terminal.
transformers_logging.disable_progress_bar()


def read_shape(location: Location) -> tuple[ModelShape, EngineName]:
    """Sizes of a model, from its config alone, and the engine that computes it.

    Raises:
        UnsupportedArchitectureError: No engine can: the family is unknown, or cannot be cut after a layer.
        DamagedModelError: The config is missing or damaged.
    """
    if location.path.is_file():  # a GGUF file that is not unpacked yet
        with explain_damage(location.path, "GGUF"):
            return _shape_of_gguf(location.path, location.path.stat().st_mtime_ns)
    # Checked by name first: for an unknown family, transformers raises an error about its own version.
    stored = read_json_object(location.path / "config.json")
    if (family := stored.get("model_type")) not in CONFIG_MAPPING_NAMES:
        if "auto_map" in stored:
            raise UnsupportedArchitectureError(
                f"{location.model} is computed by code of its own (auto_map), which is never run here; transformers "
                f"{transformers.__version__} itself does not know the model family {family!r}"
            )
        raise UnsupportedArchitectureError(
            f"model family {family!r} is not one that the installed transformers, {transformers.__version__}, knows"
        )
    with explain_damage(location.path, "config.json"):
        return _shape_of_folder(location.path, (location.path / "config.json").stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _shape_of_folder(folder: Path, _changed_ns: int) -> tuple[ModelShape, EngineName]:
    """Kept, since making a model without weights takes long and a page asks at every change of its form."""
    return shape_of_config(AutoConfig.from_pretrained(folder, **_LOCAL))


@lru_cache(maxsize=16)
def _shape_of_gguf(file: Path, _changed_ns: int) -> tuple[ModelShape, EngineName]:
    """Kept, since reading a large vocabulary takes seconds."""
    num_held = num_weights_in(file)
    gguf: dict[str, Any] = {"gguf_file": file.name}
    shape, engine = shape_of_config(AutoConfig.from_pretrained(file.parent, **gguf, **_LOCAL))
    check_held(file, shape, num_held)
    return shape, engine


def shape_of_config(config: Any) -> tuple[ModelShape, EngineName]:
    """Sizes of a model, from a ``transformers`` config, and its engine; raises as ``read_shape``, or anything."""
    if (engine := engine_for(config)) == FAST:
        return ModelShape.of_config(config.to_dict()), engine
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if model_class is None:
        raise UnsupportedArchitectureError(
            f"model family {config.model_type!r} is no language model that writes token by token"
        )
    check_decoder_only(config, is_stateful=getattr(model_class, "_is_stateful", False))
    for name in _NUMBERS_OF_PARTS:
        if isinstance(number := getattr(config.get_text_config(), name, None), int):
            check_number_of_parts(name, number)
    with torch.device("meta"):
        return shape_of(AutoModelForCausalLM.from_config(config)), engine


@contextmanager
def explain_damage(folder: Path, part: str) -> Iterator[None]:
    """Turn whatever the libraries raise about ``part`` of a model's folder into ``DamagedModelError``."""
    try:
        yield
    except DamagedModelError as error:
        if str(folder) in str(error):
            raise
        raise DamagedModelError(f"{folder}: {error}: fetch the model again, or give another") from error
    except HclError:
        raise
    except ImportError as error:  # which says what to install
        raise DamagedModelError(f"the {part} of {folder} cannot be loaded: {_in_a_line(error)}") from error
    except Exception as error:  # they have no common error class; tokenizers raises Exception itself
        if is_out_of_memory(error):
            raise
        raise DamagedModelError(
            f"the {part} of {folder} cannot be loaded ({_in_a_line(error)}): fetch the model again, or give another"
        ) from error


def _in_a_line(error: Exception) -> str:
    """What an error of a library says, and its kind, without which many say little."""
    return f"{type(error).__name__}: {one_line(file_and_cause(error))[:300]}"


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No tables in the terminal: what matters of the loading report is said here, in one line."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)


def load_causal_lm(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    device: torch.device,
    quantized: str | None = None,
    spread_over: dict[int, int] | None = None,
) -> LanguageModel:
    """Read a checkpoint from disk: safetensors only, no remote code, no network.

    Args:
        checkpoint: A folder found by ``checkpoints.resolve``.
        dtype: Of the weights in memory and of the hidden states; of a quantised model, of what is not quantised.
        device: Of the weights.
        quantized: ``"int8"`` or ``"nf4"``: format of the blocks' matrices, by ``bitsandbytes``; ``None``: ``dtype``.
        spread_over: Bytes for each GPU if the blocks are spread over several, by ``accelerate``; else ``None``.

    Raises:
        DamagedModelError: A file or a weight is missing or damaged, or the tokenizer is of another model.
        NotEnoughMemoryError: The GPUs do not hold all blocks.
    """
    folder = checkpoint.path
    weights = weights_hash(folder)
    placement: dict[str, Any] = {"device_map": "auto", "max_memory": spread_over} if spread_over else {}
    stored = read_json_object(folder / "config.json")
    if expanded_method(stored) is not None:
        with explain_damage(folder, "config.json"):
            config = AutoConfig.from_pretrained(folder, **_LOCAL)
        config.quantization_config["dequantize"] = True
        placement["config"] = config
    if quantized is not None:
        placement = {"device_map": {"": device}} | placement
        if "quantization_config" not in stored:
            placement["quantization_config"] = _quantization(quantized, dtype)
    with explain_damage(folder, "model"), quiet_transformers():
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            attn_implementation="eager",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the report has them
            **_NO_ADAPTER,
            **placement,
            **_LOCAL,
        )
    _check_report(checkpoint, report)
    tokenizer = read_tokenizer(folder)
    if spread_over and any(parameter.device.type != "cuda" for parameter in model.parameters()):
        raise NotEnoughMemoryError(f"{checkpoint.model} does not fit on the GPUs together: choose a smaller model")
    engine = engine_for(model.config)
    if "device_map" not in placement:
        if engine == FAST:
            place(model, device, readout_device(device))
        else:
            model.to(device)
    named: dict[str, Any] = {"name": checkpoint.model, "weights_hash": weights, "revision": checkpoint.revision}
    if engine == FAST:
        return CausalLM(model, tokenizer, **named, release=True)
    return ReferenceLM(model, tokenizer, **named)


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint; raises ``DamagedModelError`` where it cannot be read."""
    with explain_damage(folder, f"tokenizer (read by tokenizers {tokenizers.__version__})"), quiet_transformers():
        return AutoTokenizer.from_pretrained(folder, **_LOCAL)


def read_longest_text(folder: Path) -> int:
    """Tokens of the longest text of a checkpoint of the fast engine, from its config alone."""
    with explain_damage(folder, "config.json"):
        return longest_text(AutoConfig.from_pretrained(folder, **_LOCAL))


def readout_device(device: torch.device) -> torch.device:
    """Where a model whose blocks are on ``device`` is read out: on the CPU for an Apple GPU.

    Draws are made in float64, which Metal lacks.
    """
    return torch.device("cpu") if device.type == "mps" else device


def place(model: Any, device: torch.device, readouts: torch.device) -> None:
    """Move the blocks of ``model`` to ``device``, its final norm and unembedding to ``readouts``.

    An embedding that is the unembedding too stays with it.
    """
    parts = parts_of(model)
    is_tied = parts.head.weight is parts.embedding.weight
    read_out = [parts.final_norm.module, parts.head, *([parts.embedding] if is_tied else [])]
    for part in model.get_decoder().children():
        if all(part is not other for other in read_out):
            part.to(device)
    for part in read_out:
        part.to(readouts)


def _check_report(checkpoint: Checkpoint, report: Mapping[str, Any]) -> None:
    """Say which weights of the files are not used; raise ``DamagedModelError`` for those that the files lack.

    ``transformers`` fills missing weights with random numbers.
    """
    folder = checkpoint.path
    check_shapes(folder, report)
    lacking = sorted(map(str, report["missing_keys"]))
    if lacking == ["lm_head.weight"]:
        raise DamagedModelError(
            f"{folder} lacks the weights lm_head.weight: if its embeddings serve as them, its config.json must say "
            '"tie_word_embeddings": true'
        )
    if lacking:
        raise DamagedModelError(f"{folder} lacks {len(lacking)} of its weights, such as {lacking[0][:80]}")
    if unused := sorted(map(str, report["unexpected_keys"])):
        logger.warning(
            "%s: %d of the tensors in its weight files are not used, such as %s: its config.json has no place for them",
            checkpoint.model,
            len(unused),
            unused[0][:80],
        )
    if any(folder.glob("adapter_*")):
        logger.warning("%s: the adapter beside its weights is not used; merge it into them first", checkpoint.model)


def check_shapes(path: Path, report: Mapping[str, Any]) -> None:
    """Raise ``DamagedModelError`` where weights have other shapes than the config says, by the report of a load."""
    if differing := sorted(report["mismatched_keys"]):
        name, *shapes = differing[0]
        stored, wanted = (tuple(shape) for shape in shapes)
        raise DamagedModelError(
            f"{path} holds weights of other shapes than its config says, such as {str(name)[:80]}: {wanted} was "
            f"wanted; got {stored}: fetch the model again"
        )


def _quantization(quantized: str, dtype: torch.dtype) -> BitsAndBytesConfig:
    if quantized == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
