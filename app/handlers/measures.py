"""Further curves of a question: measures of its outcomes, of its texts, and the scores as they are unscaled."""

import math
from collections.abc import Sequence

import numpy as np

from app import library
from app.question_view import QuestionView
from app.service import Service
from hcl_core.errors import RunFolderError
from hcl_core.records import Weights
from hcl_core.scores.measures import MODEL_MEASURES, TEXT_MEASURES, measure_outcomes, plausibility
from hcl_core.scores.metrics import score_layers

_SCORES = ("confidence", "creativity_raw")
_OUTCOMES = ("creativity_absolute", "not_attempted_rate", "calibration_error", "relative_flops")
# Curves that can be added, in the order of the page; those of the texts need the embedder.
MEASURES = (*_SCORES, *_OUTCOMES, *MODEL_MEASURES, *TEXT_MEASURES)
# Of right and wrong answers: open questions have none.
JUDGED_MEASURES = ("calibration_error",)


def further_measures(view: QuestionView, names: Sequence[str], service: Service) -> dict[str, list[float]]:
    """Values by layer of the measures that are asked for, of ``MEASURES``; without those that open questions lack."""
    names = [name for name in names if not (view.is_open and name in JUDGED_MEASURES)]
    if not names:
        return {}
    table, columns = view.outcomes.table, {}
    if set(names) & {*_SCORES, *_OUTCOMES}:
        scores, rows = score_layers(table, Weights()), measure_outcomes(table, view.manifest.cost)
        columns = {name: [getattr(row, name) for row in scores] for name in _SCORES}
        columns |= {name: [getattr(row, name) for row in rows] for name in _OUTCOMES}
    if set(names) & set(TEXT_MEASURES):
        texts = service.measured_texts.of(view)
        columns |= {name: [getattr(row, name) for row in texts] for name in TEXT_MEASURES}
    if set(names) & set(MODEL_MEASURES):
        columns["plausibility"] = _stored_plausibility(view)
    return {name: columns[name] for name in names}


def _stored_plausibility(view: QuestionView) -> list[float]:
    """By layer; NaN where the run has none stored: no model is loaded for it."""
    if view.is_open:  # it is one of the scores, so the view has it
        return plausibility(view.outcomes.table.plausibilities.astype(np.float64))
    nothing = [math.nan] * len(view.outcomes.table.exit_layers)
    if not view.is_complete:  # what is stored is of fewer answers
        return nothing
    try:
        stored = library.plausibility_of(library.find_run(view.manifest.id), view.stored.question.id)
    except RunFolderError:
        return nothing
    return nothing if stored is None else list(stored)
