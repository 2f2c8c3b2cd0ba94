import re

import pytest

from app import figures, views
from hcl_core.answers import CountedAnswer, LayerAnswers
from hcl_core.records import LayerScore

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


def score(exit_layer, hcb, num_correct=1, raw=1.0, hallucination=0.5):
    return LayerScore(exit_layer, hallucination, raw, 0.5, hcb, 0.5, num_correct, 0, 4)


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


def test_the_headline_names_the_best_layer_and_the_next():
    html = views.headline(
        [score(1, 0.2), score(2, 0.9, raw=2.0, hallucination=0.25), score(3, 0.5)], 2, is_complete=True
    )
    assert "Layer 2 balances best: 75% right, 2 different right ideas." in html
    assert "Next is layer 3 with 0.50" in html
    assert "more answers are wanted" not in html


def test_the_headline_says_when_nothing_is_right():
    html = views.headline([score(1, 0.25, num_correct=0, raw=0.0, hallucination=1.0)], None, is_complete=True)
    assert "No layer gave a right answer" in html


def test_the_headline_says_when_the_run_is_partial():
    assert "more answers are wanted" in views.headline([score(1, 0.5)], 1, is_complete=False)


def test_the_chart_draws_each_score_and_marks_the_best_layer():
    figure = figures.layer_curves([score(1, 0.2), score(2, 0.9)], 2)
    assert {trace["name"]: trace["y"] for trace in figure["data"]}["HCB"] == [0.2, 0.9]
    assert len({trace["marker"]["symbol"] for trace in figure["data"]}) == len(figure["data"])  # never colour alone
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [2]


def test_the_chart_leaves_layers_without_samples_empty():
    missing = LayerScore(2, float("nan"), float("nan"), float("nan"), float("nan"), float("nan"), 0, 0, 0)
    figure = figures.layer_curves([score(1, 0.2), missing], 1)
    assert all(trace["y"][1] is None for trace in figure["data"])


def test_the_headline_names_what_was_asked_as_text():
    assert "&lt;b&gt;Who?&lt;/b&gt; · tiny" in views.headline(
        [score(1, 0.5)], 1, is_complete=True, asked="<b>Who?</b> · tiny"
    )


def test_a_short_axis_has_ticks_at_layers_only():
    assert figures.layer_curves([score(27, 0.2), score(30, 0.9)], 30)["layout"]["xaxis"]["dtick"] == 1
    assert "dtick" not in figures.layer_curves([score(1, 0.2), score(30, 0.9)], 30)["layout"]["xaxis"]
