"""Fit a linear exit head: each layer's hidden state to the last one's, by ridge regression over a stream of text.

    texts -> hidden states -> Moments (normal equations, float64)  -> ridge maps -> [refined] -> 8 bits -> file
                           -> a bounded share of held-out positions -> strength, agreement, cross-entropy

Memory does not grow with the number of tokens. What was read is kept in the cache after each batch, so a
fit that was stopped goes on where it was.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hcl_core.atomic import atomic_file
from hcl_core.decode.heads.exit_heads import ExitHead, LinearHead, QuantizedMaps, SharedHead, read_config, write_head
from hcl_core.decode.heads.fidelity import ROWS_PER_LOGITS, measure
from hcl_core.decode.heads.refining import RefinedMaps
from hcl_core.decode.heads.texts import CHOOSING_FOLD, NUM_FOLDS, REPORTING_FOLD, SelfWritten, TextFile, TextSource
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.errors import SettingsError
from hcl_core.folders import cache_folder
from hcl_core.models.head_records import FitProgress, FitSettings, HeadConfig

# Raised when the same settings would read other text or fit other maps.
FIT_VERSION = 1
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_POSITIONS_KEPT = 1536  # of each kind of held-out text, at most
_POSITIONS_REFINED = 12_288  # of the fitted text, at most, for the gradient steps
_SECONDS_BETWEEN_SAVES = 20.0


class Moments:
    """Weighted sums from which the ridge map of every layer but the last follows: float64, streaming.

    Attributes:
        inputs: ``[L - 1, hidden_size + 1, hidden_size + 1]``: products of a layer's units and a constant 1.
        cross: ``[L - 1, hidden_size + 1, hidden_size]``: products of those and the last layer's units.

    Args:
        num_hidden_layers: ``L``.
        hidden_size: Units of a hidden state.
    """

    def __init__(self, num_hidden_layers: int, hidden_size: int, device: torch.device | str = "cpu") -> None:
        shape = (num_hidden_layers - 1, hidden_size + 1)
        self.inputs = torch.zeros(*shape, hidden_size + 1, dtype=torch.float64, device=device)
        self.cross = torch.zeros(*shape, hidden_size, dtype=torch.float64, device=device)

    def add(self, states: Tensor, weights: Tensor) -> None:
        """Add positions: ``states [L, n, hidden_size]``, ``weights [n]``."""
        device = self.inputs.device
        weights = weights.to(device, torch.float64)[:, None]
        target = states[-1].to(device, torch.float64)
        constant = torch.ones_like(weights)
        for place in range(len(self.inputs)):
            units = torch.cat((states[place].to(device, torch.float64), constant), dim=1)
            weighted = (units * weights).T
            self.inputs[place].addmm_(weighted, units)
            self.cross[place].addmm_(weighted, target)

    def solve(self, place: int, strengths: tuple[float, ...] = STRENGTHS) -> tuple[Tensor, Tensor, Tensor]:
        """Ridge maps of one layer, the constant left unpenalised.

        Args:
            place: Exit layer - 1.
            strengths: Times the mean variance of a unit.

        Returns:
            Maps ``[len(strengths), hidden_size, hidden_size]`` for row vectors, their biases
            ``[len(strengths), hidden_size]``, and the units' standard deviations ``[hidden_size]``.
        """
        inputs, cross = self.inputs[place], self.cross[place]
        total = inputs[-1, -1]
        mean, target_mean = inputs[-1, :-1] / total, cross[-1] / total
        covariance = inputs[:-1, :-1] / total - torch.outer(mean, mean)
        cross_covariance = cross[:-1] / total - torch.outer(mean, target_mean)
        variances = covariance.diagonal().clamp_min(0)
        penalties = torch.tensor(strengths, dtype=torch.float64, device=inputs.device) * variances.mean().clamp_min(
            1e-30
        )
        penalised = covariance + penalties[:, None, None] * torch.eye(
            len(mean), dtype=torch.float64, device=mean.device
        )
        maps = torch.linalg.solve(penalised, cross_covariance.expand(len(strengths), -1, -1))
        return maps, target_mean - mean @ maps, variances.sqrt()


@dataclass(slots=True)
class _Read:
    """What is kept of the text that was read: enough to finish the fit."""

    moments: Moments
    choosing: list[Tensor] = field(default_factory=list)  # [L, n, hidden_size] each
    reporting: list[Tensor] = field(default_factory=list)
    refining: list[Tensor] = field(default_factory=list)
    refining_weights: list[Tensor] = field(default_factory=list)
    num_batches: int = 0

    _LISTS = ("choosing", "reporting", "refining", "refining_weights")

    def save(self, file: Path) -> None:
        """Replace ``file`` in one step."""
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
        """Go on from ``file`` if it can be read."""
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


@torch.no_grad()
def fit_head(
    lm: CausalLM, revision: str, settings: FitSettings, out: Path, clock: Callable[[], float] = time.monotonic
) -> Iterator[FitProgress | HeadConfig]:
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
        maps, biases, strengths = [], [], []
        scales = torch.empty(lm.num_hidden_layers - 1, lm.hidden_size)
        choosing = torch.cat(read.choosing, dim=1)
        for place in range(lm.num_hidden_layers - 1):
            candidates, candidate_biases, deviations = read.moments.solve(place)
            chosen = _best_strength(candidates, candidate_biases, choosing[place], choosing[-1])
            strengths.append(STRENGTHS[chosen])
            maps.append(candidates[chosen].float().cpu())
            biases.append(candidate_biases[chosen].float().cpu())
            scales[place] = deviations.clamp_min(1e-6 * float(deviations.max()) or 1.0)
            yield FitProgress("solving", place + 1, lm.num_hidden_layers - 1)
        if settings.refine_steps:
            refined = RefinedMaps(lm, torch.cat(read.refining, 1), torch.cat(read.refining_weights), settings)
            for place in range(len(maps)):
                maps[place], biases[place] = refined.layer(place, maps[place], biases[place], scales[place])
                yield FitProgress("refining", place + 1, len(maps))
        quantized = QuantizedMaps.of(torch.stack(maps), torch.stack(biases), scales)
        reporting = torch.cat(read.reporting, dim=1)
        heads: tuple[ExitHead, ExitHead] = SharedHead(), LinearHead(quantized, "", lm)
        exit_layers = range(1, lm.num_hidden_layers + 1)
        num_seen = 0
        for fidelities in measure(lm, heads, reporting, exit_layers):  # noqa: B007  # the last is the whole
            num_seen = min(num_seen + ROWS_PER_LOGITS, reporting.shape[1])
            yield FitProgress("measuring", num_seen, reporting.shape[1])
    before, after = (tuple(column) for column in fidelities)
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
        strengths=tuple(strengths),
        before=before,
        after=after,
    )
    write_head(out, quantized, config)
    state_file.unlink(missing_ok=True)
    yield config


def _read_texts(
    lm: CausalLM, source: TextSource, settings: FitSettings, read: _Read, state_file: Path, clock: Callable[[], float]
) -> Iterator[FitProgress]:
    """Fill ``read``, going on from ``state_file`` where there is one."""
    read.load(state_file)
    length, num_texts = source.text_length, sum(source.sizes)
    quota = -(-_POSITIONS_KEPT // max(1, num_texts // NUM_FOLDS))  # positions kept of each held-out text
    refine_quota = -(-_POSITIONS_REFINED // num_texts) if settings.refine_steps else 0
    saved_at = clock()
    while True:
        num_read = sum(source.sizes[: read.num_batches])
        yield FitProgress("reading", num_read * length, num_texts * length)
        if read.num_batches == len(source.sizes):
            return
        states, weights = source.batch(read.num_batches)
        folds = torch.arange(num_read, num_read + states.shape[1]) % NUM_FOLDS
        fitted = (folds != CHOOSING_FOLD) & (folds != REPORTING_FOLD)
        read.moments.add(states[:, fitted].flatten(1, 2), weights[fitted].flatten())
        for fold, kept in ((CHOOSING_FOLD, read.choosing), (REPORTING_FOLD, read.reporting)):
            kept.append(_spread(states[:, folds == fold], quota).flatten(1, 2))
        if refine_quota:
            read.refining.append(_spread(states[:, fitted], refine_quota).flatten(1, 2))
            read.refining_weights.append(_spread(weights[None, fitted], refine_quota).flatten())
        read.num_batches += 1
        if clock() - saved_at > _SECONDS_BETWEEN_SAVES:
            read.save(state_file)
            saved_at = clock()


def _best_strength(maps: Tensor, biases: Tensor, early: Tensor, last: Tensor) -> int:
    """Which of ``maps [s, hidden_size, hidden_size]`` comes nearest to ``last [n, hidden_size]`` from ``early``."""
    early, last = (states.to(maps.device, torch.float64) for states in (early, last))
    errors = (torch.matmul(early, maps) + biases[:, None] - last).square().mean(dim=(1, 2))
    return int(errors.argmin())


def _spread(states: Tensor, quota: int) -> Tensor:
    """At most ``quota`` positions of each text, evenly spread, the first position left out."""
    length = states.shape[2]
    return states[:, :, torch.linspace(1, length - 1, min(quota, length - 1)).long()]


def _state_file(lm: CausalLM, source: TextSource, settings: FitSettings) -> Path:
    """Where what was read is kept until the fit is done."""
    decides = asdict(settings) | {"texts": source.texts_hash, "version": FIT_VERSION, "dtype": lm.dtype_name}
    canonical = json.dumps([lm.weights_hash, decides], sort_keys=True)
    name = hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
    return cache_folder() / "fits" / f"{name}.safetensors"
