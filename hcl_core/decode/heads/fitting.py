"""Fit a linear exit head: ridge regression from each layer's hidden state to the last one's, over a stream of text.

    texts -> hidden states -> Moments (normal equations, float64)  -> ridge maps -> [refined] -> 8 bits -> file
                           -> a bounded number of held-out positions -> strength, agreement, cross-entropy

Memory does not grow with the number of tokens. What was read is saved in the cache from time to time, so a fit that was
stopped resumes from there.
"""

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hcl_core.atomic import atomic_file, disk_errors
from hcl_core.decode.heads.exit_heads import LinearHead, QuantizedMaps, SharedHead, write_head
from hcl_core.decode.heads.fidelity import measure
from hcl_core.decode.heads.head_files import read_config
from hcl_core.decode.heads.refining import RefinedMaps
from hcl_core.decode.heads.ridge import STRENGTHS, Moments, best_strength
from hcl_core.decode.heads.texts import CHOOSING_FOLD, NUM_FOLDS, REPORTING_FOLD, SelfWritten, TextFile, TextSource
from hcl_core.decode.model.finite import check_rows
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.errors import SettingsError
from hcl_core.folders import cache_folder
from hcl_core.models.head_records import MAX_HELD_OUT, Fidelity, FitProgress, FitSettings, HeadConfig

# To be raised when the same settings would read other text or fit other maps.
FIT_VERSION = 1
_MAX_REFINED = 12_288  # positions of the fitted text for the gradient steps
_SECONDS_BETWEEN_SAVES = 20.0


@dataclass(slots=True)
class _Read:
    """What the fit needs of the text that was read.

    Attributes:
        moments: Of the fitted text.
        choosing: Held-out states to choose the strength by, each ``[L, n, hidden_size]``.
        reporting: Held-out states to report on, likewise.
        refining: States of the fitted text for the gradient steps, likewise.
        refining_weights: ``[n]`` each, their weights.
        num_batches: Batches read.
    """

    moments: Moments
    choosing: list[Tensor] = field(default_factory=list)
    reporting: list[Tensor] = field(default_factory=list)
    refining: list[Tensor] = field(default_factory=list)
    refining_weights: list[Tensor] = field(default_factory=list)
    num_batches: int = 0

    _LISTS = ("choosing", "reporting", "refining", "refining_weights")

    def save(self, file: Path) -> None:
        """Replace ``file`` in one step."""
        with disk_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"inputs": self.moments.inputs, "cross": self.moments.cross}
        tensors |= {
            name: torch.cat(getattr(self, name), dim=-1 if name == "refining_weights" else 1)
            for name in self._LISTS
            if getattr(self, name)
        }
        with atomic_file(file) as temporary:
            save_file(tensors, temporary, {"num_batches": str(self.num_batches)})

    def load(self, file: Path) -> None:
        """Resume from ``file`` if it can be read."""
        try:
            with safe_open(file, framework="pt") as opened:
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
                num_batches = int(opened.metadata()["num_batches"])
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return
        self.moments.inputs.copy_(tensors["inputs"])
        self.moments.cross.copy_(tensors["cross"])
        for name in self._LISTS:
            setattr(self, name, [tensors[name]] if name in tensors else [])
        self.num_batches = num_batches


@dataclass(slots=True)
class _Fitted:
    """The map of every layer but the last, as far as it is fitted.

    Attributes:
        maps: ``[hidden_size, hidden_size]`` each, for row vectors.
        biases: ``[hidden_size]`` each.
        strengths: Ridge strength of each.
        scales: ``[L - 1, hidden_size]`` standard deviation of each unit, above 0.
    """

    maps: list[Tensor]
    biases: list[Tensor]
    strengths: list[float]
    scales: Tensor

    @classmethod
    def empty(cls, lm: LanguageModel) -> "_Fitted":
        """None fitted yet."""
        return cls([], [], [], torch.empty(lm.num_hidden_layers - 1, lm.hidden_size))


@torch.no_grad()
def fit_head(
    lm: LanguageModel, revision: str, settings: FitSettings, out: Path, clock: Callable[[], float] = time.monotonic
) -> Generator[FitProgress | HeadConfig, None, None]:
    """Fit a head for ``lm`` and write it to ``out``; the last thing yielded is its config.

    Args:
        lm: The model.
        revision: Of the model, for the config.
        settings: What to read and how to fit.
        out: The head's file.
        clock: Seconds; decides how often the state is saved.

    Raises:
        SettingsError: The text is missing or too short, or the model has one layer only.
        ExitHeadError: ``out`` is there and is no exit head.
        NotEnoughMemoryError: The sums or states do not fit.
        NotFiniteError: A hidden state or a logit is infinite or undefined.
    """
    if out.exists():
        read_config(out)  # an older head may be replaced, nothing else
    if lm.num_hidden_layers < 2:
        raise SettingsError(f"{lm.name} has one layer: there is no earlier one to fit a head for")
    with explain_out_of_memory("fitting the exit head"):
        source: TextSource = TextFile(lm, settings) if settings.texts else SelfWritten(lm, settings)
        state_file = _state_file(lm, source, settings)
        read = _Read(Moments(lm.num_hidden_layers, lm.hidden_size, lm.readout_device))
        yield from _read_texts(lm, source, settings, read, state_file, clock)
        fitted = _Fitted.empty(lm)
        yield from _solve(read, fitted)
        if settings.refine_steps:
            yield from _refine(lm, read, settings, fitted)
        maps = QuantizedMaps.of(torch.stack(fitted.maps), torch.stack(fitted.biases), fitted.scales)
        before, after = yield from _report(lm, maps, torch.cat(read.reporting, dim=1))
    config = HeadConfig(
        model=lm.name,
        revision=revision,
        weights_hash=lm.weights_hash,
        texts=source.name,
        texts_hash=source.texts_hash,
        num_tokens=sum(source.sizes) * source.text_length,
        answer_weight=settings.answer_weight,
        refine_steps=settings.refine_steps,
        seed=settings.seed,
        dtype=lm.dtype_name,
        strengths=tuple(fitted.strengths),
        before=before,
        after=after,
    )
    write_head(out, maps, config)
    state_file.unlink(missing_ok=True)
    yield config


def _read_texts(
    lm: LanguageModel,
    source: TextSource,
    settings: FitSettings,
    read: _Read,
    state_file: Path,
    clock: Callable[[], float],
) -> Iterator[FitProgress]:
    """Fill ``read``, resuming from ``state_file`` if there is one."""
    read.load(state_file)
    length, num_texts = source.text_length, sum(source.sizes)
    quota = -(-MAX_HELD_OUT // max(1, num_texts // NUM_FOLDS))  # positions of each held-out text
    refine_quota = -(-_MAX_REFINED // num_texts) if settings.refine_steps else 0
    saved_at = clock()
    while True:
        num_read = sum(source.sizes[: read.num_batches])
        try:
            yield FitProgress("reading", num_read * length, num_texts * length)
        except GeneratorExit:  # stopped
            read.save(state_file)
            raise
        if read.num_batches == len(source.sizes):
            return
        states, weights = source.batch(read.num_batches)
        check_rows(lm, states.flatten(1), np.arange(1, lm.num_hidden_layers + 1))
        folds = torch.arange(num_read, num_read + states.shape[1]) % NUM_FOLDS
        fitted = (folds != CHOOSING_FOLD) & (folds != REPORTING_FOLD)
        read.moments.add(states[:, fitted].flatten(1, 2), weights[fitted].flatten())
        for fold, held_out in ((CHOOSING_FOLD, read.choosing), (REPORTING_FOLD, read.reporting)):
            held_out.append(_spread(states[:, folds == fold], quota).flatten(1, 2))
        if refine_quota:
            read.refining.append(_spread(states[:, fitted], refine_quota).flatten(1, 2))
            read.refining_weights.append(_spread(weights[None, fitted], refine_quota).flatten())
        read.num_batches += 1
        if clock() - saved_at > _SECONDS_BETWEEN_SAVES:
            read.save(state_file)
            saved_at = clock()


def _solve(read: _Read, fitted: _Fitted) -> Iterator[FitProgress]:
    """Fill ``fitted`` with the ridge map of each layer at the strength that its held-out text prefers."""
    choosing = torch.cat(read.choosing, dim=1)
    num_maps = len(fitted.scales)
    for index in range(num_maps):
        maps, biases, deviations = read.moments.solve(index)
        best = best_strength(maps, biases, choosing[index], choosing[-1])
        fitted.strengths.append(STRENGTHS[best])
        fitted.maps.append(maps[best].float().cpu())
        fitted.biases.append(biases[best].float().cpu())
        fitted.scales[index] = deviations.clamp_min(1e-6 * float(deviations.max()) or 1.0)
        yield FitProgress("solving", index + 1, num_maps)


def _refine(lm: LanguageModel, read: _Read, settings: FitSettings, fitted: _Fitted) -> Iterator[FitProgress]:
    """Improve each map of ``fitted`` by gradient steps."""
    refined = RefinedMaps(lm, torch.cat(read.refining, 1), torch.cat(read.refining_weights), settings)
    num_maps = len(fitted.maps)
    for index in range(num_maps):
        fitted.maps[index], fitted.biases[index] = refined.layer(
            index, fitted.maps[index], fitted.biases[index], fitted.scales[index]
        )
        yield FitProgress("refining", index + 1, num_maps)


def _report(
    lm: LanguageModel, maps: QuantizedMaps, reporting: Tensor
) -> Generator[FitProgress, None, tuple[tuple[Fidelity, ...], tuple[Fidelity, ...]]]:
    """Fidelity of every layer over ``reporting [L, n, hidden_size]``: of the shared head, and of ``maps``."""
    heads = (SharedHead(), LinearHead(maps, "", lm))
    for num_read, fidelities in measure(lm, heads, reporting, range(1, lm.num_hidden_layers + 1)):  # noqa: B007
        yield FitProgress("measuring", num_read, reporting.shape[1])
    before, after = fidelities
    return tuple(before), tuple(after)


def _spread(states: Tensor, quota: int) -> Tensor:
    """At most ``quota`` evenly spread positions of each text, without the first: ``[L, b, quota, hidden_size]``."""
    length = states.shape[2]
    return states[:, :, torch.linspace(1, length - 1, min(quota, length - 1)).long()]


def _state_file(lm: LanguageModel, source: TextSource, settings: FitSettings) -> Path:
    """The file that holds what was read until the fit is done; its name depends on everything that decides the fit."""
    decides = asdict(settings) | {"texts": source.texts_hash, "version": FIT_VERSION, "dtype": lm.dtype_name}
    canonical = json.dumps([lm.weights_hash, decides], sort_keys=True)
    name = hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
    return cache_folder() / "fits" / f"{name}.safetensors"
