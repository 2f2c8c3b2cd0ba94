"""Where creativity and HCB say nothing, page and terminal show none: no half, no zero, no interval round them."""

import math
import re

import pytest
from test_intervals import table_of
from test_views import WORDS

from app.figures.curves import layer_curves
from app.outcomes import ScoredOutcomes
from app.views.headline import headline
from app.views.scores import score_table
from hcl_core.cli.tables import print_comparison, print_layer_comparison, print_scores
from hcl_core.records import SCALINGS, Weights
from hcl_core.scores.comparison import compare_layers, compare_runs
from hcl_core.scores.metrics import MISSING

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


def printed(capsys, show, *arguments):
    show(*arguments)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "scaling", "why"),
    [
        (
            table_of([[[0, -1], [0, 0]]], num_accepted_ideas=1),
            "possible",
            "no question has more than one accepted idea",
        ),
        (table_of([NOTHING_RIGHT]), "possible", "no answer is right"),
        (table_of([NOTHING_RIGHT]), "min_max", "no answer is right"),
        (table_of([[[0, 1], [MISSING, MISSING]]]), "possible", "there are no answers"),
    ],
)
def test_the_terminal_shows_a_dash_and_why_where_a_score_is_not_defined(capsys, finished, table, scaling, why):
    out = printed(capsys, print_scores, finished.manifest(), table, EQUAL, scaling)
    assert "nan" not in out
    assert " - " in out
    assert out.count("A dash: not defined, for ") == out.count(f"not defined, for {why}") == 1


def test_the_terminal_explains_no_dash_where_there_is_none(capsys, finished):
    out = printed(capsys, print_scores, finished.manifest(), table_of([[[0, 1], [0, 0]]]), EQUAL, "possible")
    assert "dash" not in out


@pytest.mark.parametrize(
    "table", [table_of([[[0, -1], [0, 0], [-1, -1]]], num_accepted_ideas=1), table_of([NOTHING_RIGHT])]
)
def test_comparisons_in_the_terminal_say_why_a_score_is_not_defined(capsys, finished, table):
    manifests = [finished.manifest()] * 2
    runs = printed(capsys, print_comparison, manifests, compare_runs((table, table), ("a", "a"), EQUAL, "min_max"))
    layers = printed(capsys, print_layer_comparison, 1, 2, compare_layers(table, 1, 2, EQUAL, "min_max"))
    for out in (runs, layers):
        assert "nan" not in out and "not defined" in out
    assert "No rank correlation of " in runs and "HCB over layers: it takes three layers" in runs
