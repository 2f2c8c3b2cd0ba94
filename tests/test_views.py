import json
import re

import pytest
from test_intervals import table_of

from app import figures, views
from app.library import Outcome
from hcl_core.answers import CountedAnswer, LayerAnswers
from hcl_core.records import Weights

EQUAL = Weights()

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "'\" onmouseover=alert(1) x='",
    "\u202egnirts desrever\u202c",
    "\x1b[31mred\x07\x00",
    "{{7*7}} ${7*7} @children",
    "👩‍🚀 " * 40,
    "a" * 10_000,
]


def layer(*answers, exit_layer=3):
    return LayerAnswers(exit_layer, tuple(answers))


def answer(text, outcome="incorrect", count=1, cluster_id=None):
    return CountedAnswer(text, outcome, f"because “{text}”", count, cluster_id, 0.5)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_answers_are_shown_as_text(text):
    html = views.answer_columns([layer(answer(text), answer(text + "!", "correct", 2, 0))], 3)
    tags = set(re.findall(r"<(\w+)", html))
    assert tags <= {"div", "section", "header", "b", "em", "span", "i", "u", "h3", "p", "small"}
    attributes = set(re.findall(r'\s([\w-]+)="', re.sub(r'"[^"]*"', '""', html)))
    assert attributes <= {
        "class",
        "role",
        "aria-label",
        "tabindex",
        "data-layer",
        "data-meaning",
        "title",
        "dir",
        "style",
    }
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e]", html)
    assert len(html) < 6_000


def test_problems_and_progress_are_escaped():
    assert "<b>" not in views.problem("<b>x</b>") and "&lt;b&gt;" in views.problem("<b>x</b>")
    assert "&lt;b&gt;" in views.status("<b>x</b>", 1, 2)


def test_answers_of_one_meaning_share_a_card():
    html = views.answer_columns(
        [layer(answer("Mars", "correct", 3, 0), answer("mars!", "correct", 2, 0), answer("Venus", "correct", 1, 1))], 3
    )
    assert [int(count) for count in re.findall(r"<b>(\d+)</b></div>", html)] == [5, 1]
    assert "6/6 right · 2 ideas" in html


def test_a_long_column_says_what_it_leaves_out():
    html = views.answer_columns([layer(*(answer(f"wrong {number}") for number in range(20)))], None)
    assert html.count('class="hcl-card') == 12
    assert "8 more, 8 answers" in html


def scored(outcomes, weights=EQUAL):
    """``[layer][sample]`` of one question, as the page has it."""
    return Outcome.of(table_of([outcomes])).scored(weights, "min_max")


SURE = scored([[-1] * 4, [0, 0, 1, -1], [0, -1, -1, -1]])
WRONG = scored([[-1] * 4, [-1, -1, -1, -2]])


def test_the_headline_names_the_best_layer_and_how_sure_that_is():
    clear = scored([[-1] * 40, [0] * 20 + [1] * 20, [-1] * 40])
    html = views.headline(clear, is_complete=True)
    assert "Layer 2 balances best: 100% right, 2 different right ideas." in html
    assert "highest HCB in 100% of resampled runs" in html and "more answers are wanted" not in html


def test_the_headline_names_layers_that_cannot_be_told_apart():
    html = views.headline(scored([[-1] * 20, [0] * 10 + [-1] * 10, [0] * 9 + [-1] * 11, [-1] * 20]), is_complete=True)
    assert "Layers 2 and 3 balance best, and can’t be told apart." in html
    assert re.search(r"Layer 2 leads in \d+% of resampled runs: 50% right, 1 right idea\.", html)


def test_the_headline_names_no_layer_where_most_are_alike():
    html = views.headline(scored([[0, -1, 0, -1, 0]] * 6), is_complete=True)
    assert "No layer is clearly best." in html and "6 of 6 layers can’t be told apart" in html


@pytest.mark.parametrize(
    ("layers", "words"), [((3,), "3"), ((3, 4), "3 and 4"), ((3, 4, 5), "3 to 5"), ((2, 4, 7), "2, 4 and 7")]
)
def test_layers_are_spoken(layers, words):
    assert views.spoken_layers(layers) == words


def test_the_headline_says_when_nothing_is_right():
    assert "No layer gave a right answer" in views.headline(WRONG, is_complete=True)


def test_the_headline_says_when_the_run_is_partial():
    assert "more answers are wanted" in views.headline(SURE, is_complete=False)


def test_the_headline_names_what_was_asked_as_text():
    assert "&lt;b&gt;Who?&lt;/b&gt; · tiny" in views.headline(SURE, is_complete=True, asked="<b>Who?</b> · tiny")


def draw(outcome):
    return figures.layer_curves(outcome.scores, outcome.sure, outcome.best)


def traces(figure):
    return {trace["name"]: trace for trace in figure["data"] if "name" in trace}


def test_the_chart_draws_each_score_with_its_interval_and_marks_the_best_layer():
    figure = draw(SURE)
    for name, field in (("Hallucination", "hallucination_rate"), ("Creativity", "creativity"), ("HCB", "hcb_score")):
        curve = traces(figure)[name]
        assert curve["y"] == pytest.approx([getattr(each, field) for each in SURE.scores], abs=1e-4)
        assert re.fullmatch(r"\d\.\d\d to \d\.\d\d", curve["customdata"][1][0])
    symbols = [trace["marker"]["symbol"] for trace in figure["data"] if trace.get("mode") == "lines+markers"]
    assert len(set(symbols)) == len(symbols) == 4  # never colour alone
    (line,) = [shape for shape in figure["layout"]["shapes"] if shape["type"] == "line"]
    assert line["x0"] == figure["best"] == 2


def test_the_chart_has_a_bar_for_how_often_each_layer_is_best():
    bars = traces(draw(SURE))["Best in"]
    assert bars["y"] == pytest.approx([each.p_optimal for each in SURE.sure.layers], abs=1e-4)


def test_the_chart_shades_what_cannot_be_told_apart():
    outcome = scored([[-1] * 20, [0] * 10 + [-1] * 10, [0] * 9 + [-1] * 11, [-1] * 20])
    shades = [shape for shape in draw(outcome)["layout"]["shapes"] if shape["type"] == "rect"]
    assert [(shade["x0"], shade["x1"]) for shade in shades] == [(1.5, 2.5), (2.5, 3.5)]


def test_the_chart_leaves_layers_without_samples_empty():
    figure = draw(scored([[0, 0, -1], [-3, -3, -3]]))
    assert all(traces(figure)[name]["y"][1] is None for name in ("Hallucination", "Creativity", "HCB"))
    assert "NaN" not in json.dumps(figure)


def test_the_chart_of_nothing_right_marks_no_layer():
    assert draw(WRONG)["layout"]["shapes"] == [] and draw(WRONG)["best"] is None


def test_a_short_axis_has_ticks_at_layers_only():
    assert draw(SURE)["layout"]["xaxis"]["dtick"] == 1
    assert "dtick" not in draw(scored([[0, -1]] * 30))["layout"]["xaxis"]
