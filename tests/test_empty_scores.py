"""Where creativity and HCB say nothing, the page shows none: no half, no zero, no interval round them."""

import math
import re

import pytest
from test_intervals import table_of
from test_views import WORDS

from app.figures.curves import layer_curves
from app.outcomes import ScoredOutcomes
from app.views.headline import headline
from app.views.scores import score_table
from hcl_core.records import SCALINGS, Weights

NOTHING_RIGHT = [[-1] * 20, [-2] * 20, [-1] * 20]
EQUAL = Weights()


def scored(outcomes, scaling):
    return ScoredOutcomes.of(table_of([outcomes])).scored(EQUAL, scaling)


def curves(result):
    return {
        trace["name"]: trace["y"] for trace in layer_curves(result, WORDS)["data"] if "lines+" in trace.get("mode", "")
    }


def cells(result, column):
    """A column of the table of numbers, as text."""
    rows = re.findall("<tr.*?</tr>", score_table(result, WORDS).partition("<tbody>")[2])
    return [re.sub("<.*?>", "", re.findall("<td>(.*?)</td>", row)[column]) for row in rows]


@pytest.mark.parametrize("scaling", SCALINGS)
def test_nothing_right_has_neither_creativity_nor_hcb(scaling):
    result = scored(NOTHING_RIGHT, scaling)
    assert result.best is None and set(curves(result)) == {"Hallucination"}
    assert curves(result)["Hallucination"] == [1.0, 1.0, 1.0]
    wrong, creativity, ideas, hcb, best_in = (cells(result, column) for column in range(5))
    assert creativity == hcb == best_in == ["–"] * 3
    assert all(cell.startswith("1.00 ") for cell in wrong) and all(cell.startswith("0.00 ") for cell in ideas)
    assert "creativity and HCB are not defined" in headline(result, True, WORDS)


def test_one_layer_is_not_scaled_by_itself():
    one = [[0, 1, 0, -1] * 5]
    result = scored(one, "min_max")
    assert set(curves(result)) == {"Hallucination"} and cells(result, 1) == cells(result, 3) == ["–"]
    assert "needs two layers" in headline(result, True, WORDS)
    for scaling in ("possible", "absolute"):
        result = scored(one, scaling)
        assert all(0 < value < 1 for (value,) in curves(result).values()) and len(curves(result)) == 3
        assert "needs two layers" not in headline(result, True, WORDS)


def test_one_layer_with_nothing_right_is_empty_as_many_are():
    for scaling in SCALINGS:
        result = scored([[-1] * 20], scaling)
        assert math.isnan(result.scores[0].hcb_score) and "needs two layers" not in headline(result, True, WORDS)


def test_one_right_answer_anywhere_defines_the_scores_of_all_layers():
    right = [[-1] * 20, [0, *[-1] * 19], [-1] * 20]
    for scaling in SCALINGS:
        result = scored(right, scaling)
        assert set(curves(result)) == {"Hallucination", "Creativity", "HCB"}
        assert not any(math.isnan(score.hcb_score) for score in result.scores)


def test_layers_that_are_all_alike_keep_the_papers_half():
    result = scored([[0] * 20] * 3, "min_max")
    assert curves(result)["Creativity"] == [0.5] * 3  # by the paper's definition: there is something right to scale
