"""The questions of a run as rows that can be sorted."""

from collections.abc import Sequence

import numpy as np

from hcl_core.records import Question
from hcl_core.scores.metrics import OutcomeTable, accuracy, ideas_found
from hcl_core.text import one_line, printable

# The last column names the question for the page; people sort by the others.
COLUMNS = ("question_asked", "most_right_layer", "right_there", "most_ideas", "right_at_last", "question_id")
OPEN_COLUMNS = (
    "question_asked",
    "most_plausible_layer",
    "plausibility_there",
    "most_plausible_ideas",
    "plausibility_at_last",
    "question_id",
)


def columns_of(table: OutcomeTable) -> tuple[str, ...]:
    """Names of the columns: open questions have no right answers."""
    return OPEN_COLUMNS if table.is_open else COLUMNS


def question_rows(questions: Sequence[Question], table: OutcomeTable) -> list[list[object]]:
    """A row a question, as ``columns_of`` names them; plain text, which the table escapes; shares in percent.

    The rows say what the answers are, and nothing of which layer is the best: one question seldom decides that.

    Args:
        questions: Of the run, in order.
        table: Its outcomes; a question without answers yet has empty cells.
    """
    return [_row(question, table, row) for row, question in enumerate(questions)]


def _row(question: Question, table: OutcomeTable, row: int) -> list[object]:
    text = printable(one_line(question.text))[:160]
    own = table.part(slice(row, row + 1))
    shares = accuracy(own)
    ideas = np.nan_to_num(ideas_found(own)).max()
    most_ideas = round(float(ideas), 1 if own.is_open else None) if ideas and own.has_creativity[0] else ""
    cells: list[object] = ["", "", most_ideas, _percent(shares[-1])]
    if not np.isnan(shares).all() and np.nanmax(shares) > 0:
        highest = int(np.nanargmax(shares))
        cells[:2] = [own.exit_layers[highest], _percent(shares[highest])]
    return [text, *cells, question.id]


def _percent(share: float) -> object:
    return "" if np.isnan(share) else round(100 * share)
