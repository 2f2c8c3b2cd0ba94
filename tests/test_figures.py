"""Records in, figures out: every curve has its numbers, its interval, and a mark that is no colour."""

import json
import re

import numpy as np
import pytest
from test_views import HOSTILE, SURE, WORDS, WRONG, answer, layer, scored

from app.figures.base import plain
from app.figures.compared import COLOURS, RunCurve, compared_curves
from app.figures.curves import layer_curves
from app.figures.lens import SHADES, lens_map, scale
from app.figures.outcomes import outcome_shares, right_and_ideas
from app.figures.river import answer_river
from app.language import Translator
from hcl_core.models.lens_records import LensTable
from hcl_core.runs.meanings import follow_meanings
from hcl_core.scores.intervals import Difference
from hcl_core.scores.metrics import OutcomeTable


def traces(figure):
    return {trace["name"]: trace for trace in figure["data"] if trace.get("name") and trace.get("fill") != "toself"}


def test_the_chart_draws_each_score_with_its_interval_and_marks_the_best_layer():
    figure = layer_curves(SURE, WORDS)
    for name, field in (("Hallucination", "hallucination_rate"), ("Creativity", "creativity"), ("HCB", "hcb_score")):
        curve = traces(figure)[name]
        assert curve["y"] == pytest.approx([getattr(each, field) for each in SURE.scores], abs=1e-4)
        assert re.fullmatch(r"\d\.\d\d to \d\.\d\d", curve["customdata"][1][0])
    (line,) = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "line"]
    assert line["x0"] == figure["best"] == 2


def test_further_curves_are_told_apart_by_mark_and_dash_and_have_their_own_axis_where_they_are_no_share():
    more: dict[str, list[float]] = {
        "confidence": [0.1, 0.2, 0.3],
        "creativity_raw": [0, 2, 1],
        "vendi_score": [0, 1.5, 1],
    }
    figure = layer_curves(SURE, WORDS, more)
    drawn = [trace for trace in figure["data"] if trace.get("mode") == "lines+markers"]
    assert len({trace["marker"]["symbol"] for trace in drawn}) == len(drawn) == 6
    assert [traces(figure)[name].get("yaxis") for name in ("Confidence", "Different right ideas", "Vendi score")] == [
        None, "y3", "y3",
    ]  # fmt: skip
    assert "yaxis3" in figure["layout"] and "yaxis3" not in layer_curves(SURE, WORDS)["layout"]


def test_the_chart_has_a_bar_for_how_often_each_layer_is_best():
    bars = traces(layer_curves(SURE, WORDS))["best"]
    assert bars["y"] == pytest.approx([each.p_optimal for each in SURE.uncertainty.layers], abs=1e-4)


def test_the_chart_shades_what_cannot_be_told_apart():
    outcome = scored([[-1] * 20, [0] * 10 + [-1] * 10, [0] * 9 + [-1] * 11, [-1] * 20])
    shades = [shape for shape in layer_curves(outcome, WORDS)["layout"]["shapes"] if shape["type"] == "rect"]
    assert [(shade["x0"], shade["x1"]) for shade in shades] == [(1.5, 2.5), (2.5, 3.5)]


def test_the_chart_leaves_layers_without_samples_empty():
    figure = layer_curves(scored([[0, 0, -1], [-3, -3, -3]]), WORDS)
    assert all(traces(figure)[name]["y"][1] is None for name in ("Hallucination", "Creativity", "HCB"))
    assert "NaN" not in json.dumps(figure)


def test_the_chart_of_nothing_right_marks_no_layer():
    figure = layer_curves(WRONG, WORDS)
    assert figure["layout"]["shapes"] == [] and figure["best"] is None


def test_a_short_axis_has_ticks_at_layers_only():
    assert layer_curves(SURE, WORDS)["layout"]["xaxis"]["dtick"] == 1
    assert "dtick" not in layer_curves(scored([[0, -1]] * 30), WORDS)["layout"]["xaxis"]


def test_a_chart_has_the_languages_decimal_mark():
    assert layer_curves(SURE, Translator("de"))["layout"]["separators"] == ",."


RIVER_LAYERS = [
    layer(answer("Mars", "correct", 1, 0), answer("Pluto", count=3), exit_layer=2),
    layer(answer("Mars", "correct", 2, 0), answer("", "not_attempted", 1), answer("Venus", "correct", 1, 1)),
]


def river(layers=RIVER_LAYERS):
    return answer_river(follow_meanings(layers), layers, WORDS)


def test_the_river_stacks_the_shares_of_each_layer_to_the_whole():
    drawn = {trace["name"]: trace["y"] for trace in river()["data"]}
    assert drawn == {"✓ Mars": [0.25, 0.5], "✓ Venus": [0, 0.25], "– no answer": [0, 0.25], "✕ Pluto": [0.75, 0]}


def test_the_river_says_right_and_wrong_by_sign_and_pattern_too():
    patterns = {trace["name"][0]: trace["fillpattern"]["shape"] for trace in river()["data"]}
    assert patterns == {"✓": "", "–": ".", "✕": "/"}


def test_the_river_takes_rare_answers_together():
    many = [layer(*(answer(f"wrong {number}", count=9 - number) for number in range(9)))]
    names = [trace["name"] for trace in river(many)["data"]]
    assert names == ["✕ wrong 0", "✕ wrong 1", "✕ wrong 2", "✕ 6 more wrong answers"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_what_a_chart_shows_of_others_texts_is_no_markup(text):
    shown = plain(text)
    assert not re.search(r"[<>\"\x00-\x1f\u202a-\u202e]", shown) and len(shown) < 400
    drawn = json.dumps(river([layer(answer(text))]))
    assert "<img" not in drawn and "<script" not in drawn


def curve(name, values, intervals=(), depth=4):
    return RunCurve(name, depth, tuple(range(1, len(values) + 1)), values, intervals)


def test_compared_intervals_are_within_the_chart():
    figure = compared_curves([curve("a", (0.1, 0.2), ((0, 0.3), (0.1, 0.9)))], [], WORDS)
    assert figure["layout"]["yaxis"]["range"][1] >= 0.9


def test_compared_runs_have_a_colour_and_a_mark_each_and_intervals_where_there_are_samples():
    runs = [curve(str(number), (0.1, 0.2), ((0, 1), (0, 1))) for number in range(5)]
    figure = compared_curves([*runs, curve("published", (0.5, 0.5))], [], WORDS)
    lines = [trace for trace in figure["data"] if trace["mode"] == "lines+markers"]
    assert len({trace["marker"]["symbol"] for trace in lines}) == len({t["line"]["color"] for t in lines}) == 6
    assert [trace["line"].get("dash") for trace in lines] == [None] * 5 + ["dash"]
    assert sum(trace["fill"] == "toself" for trace in figure["data"] if "fill" in trace) == 5
    assert len(COLOURS) == 6 and "yaxis2" not in figure["layout"]


def test_a_difference_has_the_colour_of_the_run_it_is_to():
    runs = [curve(name, (0.1, 0.2), ((0, 1), (0, 1))) for name in "ab"]
    figure = compared_curves(runs, [(1, (1, 2), (Difference(0.1, (0, 0.2)), Difference(-0.1, (-0.3, 0))))], WORDS)
    below = [trace for trace in figure["data"] if trace.get("yaxis") == "y2"]
    assert [trace["y"] for trace in below] == [[0.2, 0, -0.3, 0], [0.1, -0.1]]
    assert below[1]["line"]["color"] == COLOURS[1]
    assert figure["layout"]["yaxis2"]["range"] == pytest.approx([-0.33, 0.33])


@pytest.mark.parametrize(("most", "tick"), [(0.0452, 0.02), (0.3, 0.2), (0.5, 0.5), (0.1, 0.1), (1.0, 1.0), (7.3, 5.0)])
def test_the_axis_of_differences_has_a_tick_on_each_side_of_0(most, tick):
    runs = [curve(name, (0.1, 0.2), ((0, 1), (0, 1))) for name in "ab"]
    figure = compared_curves(runs, [(1, (1, 2), (Difference(0.0, (-most, 0.0)),) * 2)], WORDS)
    assert figure["layout"]["yaxis2"]["tickvals"] == pytest.approx([-tick, 0, tick])


def test_layers_of_models_of_different_depth_are_drawn_at_their_share():
    figure = compared_curves([curve("a", (0.1, 0.2), depth=2), curve("b", (0.1, 0.2), depth=8)], [], WORDS, True)
    assert [trace["x"] for trace in figure["data"]] == [[0.5, 1], [0.125, 0.25]]


def lens_table():
    probabilities = np.array([[[0.2, 0.1]], [[0.9, 0.05]]], np.float32)
    texts = [[[" Mars", "<b>"]], [["\n", " Venus"]]]
    return LensTable(
        "q", "Q: ?\nA:", (5,), (" Mars",), (3,), np.ones((2, 1, 2), np.int64), texts, probabilities,
        entropy=np.array([[2.0], [0.5]], np.float32),
        final_rank=np.array([[4], [1]], np.int64),
        text_rank=np.array([[2], [1]], np.int64),
        kl_to_last=np.array([[3.0], [0.0]], np.float32),
    )  # fmt: skip


def test_the_lens_has_the_top_token_in_each_cell_and_ten_in_its_hover():
    (cells,) = lens_map(lens_table(), "probability", WORDS)["data"]
    assert cells["text"] == [["Mars"], ["⏎"]] and cells["y"] == [1, 2]
    assert "0.200  Mars<br>0.100  &lt;b&gt;" in cells["customdata"][0][0]
    assert "entropy 2.00 nats" in cells["customdata"][0][0] and "KL 3.00" in cells["customdata"][0][0]


@pytest.mark.parametrize(
    ("shade", "wanted"),
    [("probability", [0.2, 0.9]), ("entropy", [0, 0.75]), ("final_rank", [0.25, 1]), ("kl_to_last", [0, 1])],
)
def test_the_lens_is_darker_where_the_layer_is_surer(shade, wanted):
    assert set(SHADES) == {"probability", "entropy", "final_rank", "kl_to_last"}
    (cells,) = lens_map(lens_table(), shade, WORDS)["data"]
    assert [row[0] for row in cells["z"]] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize(
    ("shade", "attribute"),
    [
        ("probability", "top_probabilities"),
        ("entropy", "entropy"),
        ("final_rank", "final_rank"),
        ("kl_to_last", "kl_to_last"),
    ],
)
def test_the_colour_scale_reads_off_the_value_of_a_cell(shade, attribute):
    """Between two marks of the scale lies what the cell has, whatever the measure's direction."""
    table = lens_table()
    (cells,) = lens_map(table, shade, WORDS)["data"]
    values = getattr(table, attribute).reshape(2, -1)[:, 0]
    marks = scale(table, shade)
    for colour, value in zip([row[0] for row in cells["z"]], values, strict=True):
        (low, at_low), (high, at_high) = next(
            (one, other) for one, other in zip(marks, marks[1:], strict=False) if one[0] <= colour <= other[0]
        )
        assert min(at_low, at_high) <= value <= max(at_low, at_high) and low < high


def test_a_short_answer_has_whole_tokens_in_its_cells():
    table = lens_table()
    table.top_token_texts[0][0][0] = " Constantinople"
    assert lens_map(table, "entropy", WORDS)["data"][0]["text"][0] == ["Constantinople"]


def test_the_lens_draws_a_line_where_the_token_settles():
    (line,) = lens_map(lens_table(), "entropy", WORDS)["layout"]["shapes"]
    assert line["y0"] == line["y1"] == 1.5


def test_outcomes_are_stacked_to_the_whole_of_the_answers_that_came():
    outcomes = np.array([[[0, 1, -1, -2], [-1, -1, -3, -3]]], np.int16)
    figure = outcome_shares(OutcomeTable((2, 5), outcomes, np.ones(outcomes.shape, np.float32)), WORDS)
    assert {trace["name"]: trace["y"] for trace in figure["data"]} == {
        "right": [0.5, 0], "no answer": [0.25, 0], "wrong": [0.25, 1],
    }  # fmt: skip


def test_right_answers_and_ideas_have_an_axis_each():
    right, ideas = right_and_ideas(SURE.scores, WORDS)["data"]
    assert (right["y"], ideas["y"], ideas["yaxis"]) == ([0, 3, 1], [0, 2, 1], "y2")
