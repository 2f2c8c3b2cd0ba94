"""The questions of a run as rows that can be sorted."""

from collections.abc import Sequence

import numpy as np

from hcl_core.records import Question, Weights
from hcl_core.scores.intervals import uncertainty
from hcl_core.scores.metrics import MISSING, OutcomeTable, score_layers
from hcl_core.text import printable

# The last column names the question for the page; people sort by the others.
COLUMNS = ("question_asked", "best_layer", "right_at_best", "ideas_at_best", "right_at_last", "question_id")


def question_rows(questions: Sequence[Question], table: OutcomeTable) -> list[list[object]]:
    """A row a question, as ``COLUMNS`` names them; plain text, which the table escapes; shares in percent.

    Args:
        questions: Of the run, in order.
        table: Its outcomes; a question without answers yet has empty cells.
    """
    return [_row(question, table, row) for row, question in enumerate(questions)]


def _row(question: Question, table: OutcomeTable, row: int) -> list[object]:
    text = printable(" ".join(question.text.split()))[:160]
    own = table.part(slice(row, row + 1))
    if (own.outcomes == MISSING).all():
        return [text, "", "", "", "", question.id]
    scores = score_layers(own, Weights())
    best = uncertainty(own, Weights()).best.optimal_layer
    chosen = next((score for score in scores if score.exit_layer == best), None)
    last = scores[-1].hallucination_rate
    return [
        text,
        "" if best is None else best,
        "" if chosen is None else round(100 * (1 - chosen.hallucination_rate)),
        "" if chosen is None or np.isnan(chosen.creativity_raw) else int(chosen.creativity_raw),
        "" if np.isnan(last) else round(100 * (1 - last)),
        question.id,
    ]
