"""The paper's own curves, as its figures show them: facts to lay beside our runs, never samples."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hcl_core.folders import precomputed_folder

_COLUMNS = ("creativity_raw", "creativity", "hallucination_scaled", "hallucination_rate", "final_score")


@dataclass(frozen=True, slots=True)
class PublishedCurve:
    """One model at one temperature; each quantity has a value a layer, ``None`` where the figure has none.

    Attributes:
        model: Name of the checkpoint.
        num_hidden_layers: Of the model.
        temperature: Of the sampling.
        exit_layers: Ascending, from 1. The answers came from the full model whatever the layer: see the caveats.
        creativity_raw: Meaning clusters among the correct answers, mean over questions.
        creativity: The same, min-max scaled over the layers.
        hallucination_scaled: Share of wrong answers, min-max scaled over the layers.
        hallucination_rate: Share of wrong answers.
        final_score: As drawn, with weights 0.9 and 0.1.
        optimal_layer: As drawn.
    """

    model: str
    num_hidden_layers: int
    temperature: float
    exit_layers: tuple[int, ...]
    creativity_raw: tuple[float | None, ...]
    creativity: tuple[float | None, ...]
    hallucination_scaled: tuple[float | None, ...]
    hallucination_rate: tuple[float | None, ...]
    final_score: tuple[float | None, ...]
    optimal_layer: int


@dataclass(frozen=True, slots=True)
class Published:
    """All of the published curves.

    Attributes:
        source: Where they were read.
        caveats: What to know before comparing them with anything.
        curves: One a model and temperature.
    """

    source: str
    caveats: tuple[str, ...]
    curves: tuple[PublishedCurve, ...]


@cache
def published_curves(file: Path | None = None) -> Published:
    """The curves that ship with the program."""
    entries = json.loads((file or precomputed_folder() / "published" / "curves.json").read_text(encoding="utf-8"))
    curves = []
    for entry in entries["curves"]:
        columns = {name: tuple(entry.pop(name)) for name in ("exit_layers", *_COLUMNS)}
        curves.append(PublishedCurve(**(entry | columns)))
    return Published(entries["source"], tuple(entries["caveats"]), tuple(curves))
