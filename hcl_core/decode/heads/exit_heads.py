"""Exit heads: how the hidden state of an early layer is read as if it were the last layer's.

``SharedHead`` changes nothing. ``LinearHead`` applies an affine map to each layer; ``fitting`` fits the maps, and a
safetensors file holds them: 8-bit numbers, their scales, and a ``HeadConfig``.
"""

import copy
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hcl_core.atomic import atomic_file, disk_errors
from hcl_core.decode.heads.head_files import FORMAT, check_belongs, find_heads, none_fitted, read_config, unreadable
from hcl_core.decode.heads.trial import noise_below, trial_states, try_head
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.linear import affine
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.errors import ExitHeadError
from hcl_core.models.catalogue import find_model
from hcl_core.models.head_records import (
    ASKED_FOR,
    FITTED,
    FITTED_FOR_OTHERS,
    NONE_FITTED,
    TRAINED_FOR_EXIT,
    HeadConfig,
    HeadTrial,
    check_exit_head,
)
from hcl_core.ports import NamedExitHead


class ExitHead(NamedExitHead, Protocol):
    """Maps the hidden state after an exit layer towards the last layer's, before the final norm."""

    def translate(self, hidden: Tensor, exit_layers: NDArray[np.int64]) -> Tensor:
        """Map ``hidden [m, hidden_size]``, row ``i`` taken after ``exit_layers[i]`` blocks, to the same shape.

        ``exit_layers`` is ascending.
        """
        ...


class SharedHead:
    """Final norm and unembedding without a map (LayerSkip, arXiv 2404.16710).

    Args:
        reason: Why it was taken.
        trial: What was measured for that.
    """

    name = "shared"
    fingerprint = "shared"

    def __init__(self, reason: str = ASKED_FOR, trial: HeadTrial | None = None) -> None:
        self.reason, self.trial = reason, trial

    def translate(self, hidden: Tensor, exit_layers: NDArray[np.int64]) -> Tensor:
        """The identity."""
        return hidden


@dataclass(frozen=True, slots=True)
class QuantizedMaps:
    """The affine maps of every layer but the last, in 8 bits.

    Row vectors: ``y = (x / input_scales) @ codes * output_scales + biases``. Inputs have scales of their own because a
    few units of the residual stream are a hundred times as large as the rest.

    Attributes:
        codes: ``[L - 1, hidden_size, hidden_size]`` int8.
        input_scales: ``[L - 1, hidden_size]`` float32, above 0.
        output_scales: Likewise.
        biases: ``[L - 1, hidden_size]`` float32.
    """

    codes: Tensor
    input_scales: Tensor
    output_scales: Tensor
    biases: Tensor

    @classmethod
    def of(cls, maps: Tensor, biases: Tensor, input_scales: Tensor) -> "QuantizedMaps":
        """Round ``maps [L - 1, hidden_size, hidden_size]`` to 8 bits by output column."""
        scaled = maps * input_scales[:, :, None]
        output_scales = (scaled.abs().amax(dim=1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        codes = (scaled / output_scales[:, None, :]).round().to(torch.int8)
        return cls(codes, input_scales.float(), output_scales.float(), biases.float())

    def map_of(self, exit_layer: int) -> Tensor:
        """``[hidden_size, hidden_size]`` float32, for row vectors."""
        index = exit_layer - 1
        scales = self.output_scales[index] / self.input_scales[index][:, None]
        return self.codes[index].float() * scales


class LinearHead:
    """An affine map per layer to the last hidden state, then final norm and unembedding.

    "Jump to Conclusions" (Din et al. 2023, arXiv 2303.09435). The last layer has no map.

    Args:
        maps: The maps.
        fingerprint: Hash of their file.
        lm: The model they were fitted for; they take its dtype and device.
        reason: Why the head was taken.
        trial: What was measured for that.
    """

    name = "linear"

    def __init__(
        self,
        maps: QuantizedMaps,
        fingerprint: str,
        lm: LanguageModel,
        reason: str = ASKED_FOR,
        trial: HeadTrial | None = None,
    ) -> None:
        self.fingerprint, self.reason, self.trial = fingerprint, reason, trial
        self._last_layer = lm.num_hidden_layers
        target: dict[str, Any] = {"device": lm.readout_device, "dtype": lm.dtype}
        with explain_out_of_memory("loading the exit head"):
            self._maps = [
                affine(maps.map_of(layer).t().to(**target), maps.biases[layer - 1].to(**target))
                for layer in range(1, lm.num_hidden_layers)
            ]

    def taken_for(self, reason: str, trial: HeadTrial | None) -> "LinearHead":
        """The same maps in the same memory, taken for another reason."""
        head = copy.copy(self)
        head.reason, head.trial = reason, trial
        return head

    def translate(self, hidden: Tensor, exit_layers: NDArray[np.int64]) -> Tensor:
        """Apply each layer's map to its rows."""
        layers, starts = np.unique(exit_layers, return_index=True)
        stops = [*starts[1:].tolist(), len(exit_layers)]
        pieces = []
        for layer, start, stop in zip(layers.tolist(), starts.tolist(), stops, strict=True):
            rows = hidden[start:stop]
            if layer != self._last_layer:
                rows = self._maps[layer - 1](rows)
            pieces.append(rows)
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]


def load_exit_head(name: str, lm: LanguageModel) -> ExitHead:
    """The exit head called ``name`` for ``lm``.

    Args:
        name: ``"shared"``; ``"linear"``: the head fitted for this model; a head's ``.safetensors`` file; or
            ``"auto"``: a fitted head if there is one, else the shared head; for a LayerSkip checkpoint always the
            shared head. A head that was fitted for other weights of the model counts if it reads these about as well.
        lm: The model.

    Raises:
        SettingsError: There is no head of that name.
        ExitHeadError: No head was fitted for this model, the file is damaged, or it was fitted for another model.
        NotEnoughMemoryError: The maps do not fit beside the model.
    """
    check_exit_head(name)
    if name == "shared":
        return SharedHead()
    if name not in ("auto", "linear"):
        return read_head(Path(name).expanduser(), lm)
    if name == "auto" and (known := find_model(lm.name)) is not None and known.is_layerskip:
        return SharedHead(TRAINED_FOR_EXIT)
    file, others = find_heads(lm)
    if file is not None:
        return read_head(file, lm, FITTED if name == "auto" else ASKED_FOR)
    tried, trial = _try(lm, tuple(others))
    if tried is not None:
        return read_maps(tried, lm, FITTED_FOR_OTHERS, trial)
    but_for = f", but for others of that name ({', '.join(other.name for other in others[:3])})" if others else ""
    if name == "auto":
        return SharedHead(NONE_FITTED + but_for, trial)
    raise none_fitted(lm, but_for)


_Files = tuple[tuple[Path, int], ...]  # and when each was written
# Of each model in memory: a trial takes a second or two, and every run asks for it.
_trials: WeakKeyDictionary[LanguageModel, dict[_Files, tuple[Path | None, HeadTrial]]] = WeakKeyDictionary()


def _try(lm: LanguageModel, files: tuple[Path, ...]) -> tuple[Path | None, HeadTrial]:
    """The one of ``files`` that reads ``lm`` best, if it does so well enough; and what was measured."""
    known, asked = _trials.setdefault(lm, {}), tuple((file, file.stat().st_mtime_ns) for file in files)
    if asked not in known:
        states, best, trial = trial_states(lm), None, None
        for file in files:
            try:
                tried = try_head(lm, read_maps(file, lm), read_config(file), states)
            except (ExitHeadError, IndexError):  # of a model of other sizes
                continue
            if trial is None or (tried.agreement or 0.0) > (trial.agreement or 0.0):
                best, trial = file, tried
        if trial is None or not trial.is_accepted:
            trial = replace(trial or HeadTrial(states.shape[1]), noise_below=noise_below(lm, SharedHead(), states))
        known[asked] = (best if trial.is_accepted else None, trial)
    return known[asked]


def read_head(file: Path, lm: LanguageModel, reason: str = ASKED_FOR) -> LinearHead:
    """Load a head for ``lm``; ``reason`` says why.

    Raises:
        ExitHeadError: As ``read_config``, or it was fitted for another model.
        NotEnoughMemoryError: The maps do not fit beside the model.
    """
    check_belongs(file, lm)
    return read_maps(file, lm, reason)


# The head that was read last for each model in memory: every run asks for one, and all may use the same maps.
_kept: WeakKeyDictionary[LanguageModel, LinearHead] = WeakKeyDictionary()


def read_maps(file: Path, lm: LanguageModel, reason: str = ASKED_FOR, trial: HeadTrial | None = None) -> LinearHead:
    """A head's file with whichever weights of that shape.

    Raises:
        ExitHeadError: It is damaged, or of a model of other sizes.
        NotEnoughMemoryError: The maps do not fit beside the model.
    """
    by_unit = (lm.num_hidden_layers - 1, lm.hidden_size)
    shapes = {"codes": (*by_unit, lm.hidden_size), "input_scales": by_unit, "output_scales": by_unit, "biases": by_unit}
    try:
        content = file.read_bytes()
        fingerprint = hashlib.blake2b(content, digest_size=16).hexdigest()
        if (kept := _kept.get(lm)) is not None and kept.fingerprint == fingerprint:
            return kept.taken_for(reason, trial)
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in shapes}
    except (OSError, SafetensorError) as error:
        raise unreadable(file, error) from None
    for name, expected in shapes.items():
        if (shape := tuple(tensors[name].shape)) != expected:
            raise ExitHeadError(f"the exit head {file} is damaged: {name} is {shape}, not {expected}")
        if tensors[name].is_floating_point() and not tensors[name].isfinite().all():
            raise ExitHeadError(f"the exit head {file} is damaged: {name} has a number that is infinite or undefined")
    if not (tensors["input_scales"] > 0).all():
        raise ExitHeadError(f"the exit head {file} is damaged: a scale is not above 0")
    _kept[lm] = LinearHead(QuantizedMaps(**tensors), fingerprint, lm, reason, trial)
    return _kept[lm]


def write_head(file: Path, maps: QuantizedMaps, config: HeadConfig) -> None:
    """Write a head's file in one step."""
    with disk_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as temporary:
        save_file(asdict(maps), temporary, {FORMAT: json.dumps(asdict(config))})
