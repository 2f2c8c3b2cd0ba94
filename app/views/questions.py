"""The questions of a run as rows that can be sorted."""

from collections.abc import Sequence

import numpy as np

from hcl_core.records import Question
from hcl_core.scores.metrics import OutcomeTable, hallucination_rate, num_ideas
from hcl_core.text import printable

# The last column names the question for the page; people sort by the others.
COLUMNS = ("question_asked", "most_right_layer", "right_there", "most_ideas", "right_at_last", "question_id")


def question_rows(questions: Sequence[Question], table: OutcomeTable) -> list[list[object]]:
    """A row a question, as ``COLUMNS`` names them; plain text, which the table escapes; shares in percent.

    The rows say what the answers are, and nothing of which layer is the best: one question seldom decides that.

    Args:
        questions: Of the run, in order.
        table: Its outcomes; a question without answers yet has empty cells.
    """
    return [_row(question, table, row) for row, question in enumerate(questions)]


def _row(question: Question, table: OutcomeTable, row: int) -> list[object]:
    text = printable(" ".join(question.text.split()))[:160]
    own = table.part(slice(row, row + 1))
    rates = hallucination_rate(own.outcomes)
    if np.isnan(rates).all():
        return [text, "", "", "", "", question.id]
    ideas = num_ideas(own.outcomes).max() if own.has_creativity[0] else ""
    is_ever_right = (own.outcomes >= 0).any()
    most_right = int(np.nanargmin(rates))
    return [
        text,
        own.exit_layers[most_right] if is_ever_right else "",
        round(100 * (1 - rates[most_right])) if is_ever_right else "",
        int(ideas) if is_ever_right and ideas != "" else "",
        "" if np.isnan(rates[-1]) else round(100 * (1 - rates[-1])),
        question.id,
    ]
