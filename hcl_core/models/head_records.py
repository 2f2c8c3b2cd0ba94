"""Records of a fitted exit head: settings, progress and result of a fit. Free of torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hcl_core.errors import SettingsError
from hcl_core.folders import user_path


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


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """Origin and quality of a linear head; stored in its file.

    Attributes:
        model: Name of the model that it was fitted for.
        revision: Of that model.
        weights_hash: Of that model's weights; no other model may use the head.
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
        before, after = (tuple(Fidelity(**layer) for layer in fields.pop(name)) for name in ("before", "after"))
        return cls(strengths=tuple(fields.pop("strengths")), before=before, after=after, **fields)


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
