"""Records in, HTML out: what is said of a result, and that every text from outside stays text."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import fake_sample
from test_intervals import table_of
from test_runs import SETTINGS, STORED, make_manifest

from app.language import Translator
from app.library import StoredRun
from app.messages import Message, Problem, Progress
from app.outcomes import ScoredOutcomes
from app.question_view import QuestionAnswers, QuestionView
from app.views.answers import answer_columns
from app.views.base import note, problem, sentence, status_line
from app.views.comparison import comparison
from app.views.detail import MOST_ROWS, layer_detail, prompt_box
from app.views.headline import headline, layers_as_text, run_note
from app.views.lens import lens_headline, top_table
from app.views.runs import link_box, manifest_view
from app.views.scores import score_table
from hcl_core.models.head_records import ASKED_FOR, NONE_FITTED, HeadChoice
from hcl_core.models.lens_records import LensTable
from hcl_core.records import DEFAULT_SCALING, Question, StoredQuestion, Verdict, Weights
from hcl_core.runs.answers import CountedAnswer, LayerAnswers
from hcl_core.runs.folder import RunFolder
from hcl_core.scores.metrics import OutcomeTable
from hcl_core.settings.strategies import Strategy

EQUAL = Weights()
WORDS = Translator("en")

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "'\" onmouseover=alert(1) x='",
    "\u202egnirts desrever\u202c",
    "\x1b[31mred\x07\x00",
    "{{7*7}} ${7*7} @children {layer.__class__}",
    "👩‍🚀 " * 40,
    "a" * 10_000,
]
hostile = pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
TAGS = {
    "b", "button", "details", "div", "em", "h2", "h3", "i", "input", "label", "p", "pre", "section", "small", "span",
    "summary", "table", "tbody", "td", "th", "thead", "tr", "u",
}  # fmt: skip
ATTRIBUTES = {
    "aria-haspopup", "aria-hidden", "aria-label", "aria-live", "aria-pressed", "class", "colspan", "data-answer",
    "data-do", "data-done", "data-every", "data-group", "data-hint", "data-layer", "data-life", "data-meaning",
    "data-own", "data-query", "data-reach", "data-right", "data-right-too", "data-term", "data-text", "data-wrong",
    "dir", "readonly", "role", "scope", "style", "tabindex", "title", "type", "value",
}  # fmt: skip


def check_harmless(html, most=60_000):
    """Only our own tags and attributes, no character that turns text around or commands a terminal, bounded."""
    assert set(re.findall(r"<(\w+)", html)) <= TAGS
    assert set(re.findall(r'\s([\w-]+)="', re.sub(r'"[^"]*"', '""', html))) <= ATTRIBUTES
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e]", html)
    assert len(html) < most


def layer(*answers, exit_layer=3):
    return LayerAnswers(exit_layer, tuple(answers))


def answer(text, outcome="incorrect", count=1, cluster_id=None):
    return CountedAnswer(text, outcome, f"because “{text}”", count, cluster_id, 0.5)


def scored(outcomes, weights=EQUAL):
    """``[layer][sample]`` of one question, as the page has it."""
    return ScoredOutcomes.of(table_of([outcomes])).scored(weights, DEFAULT_SCALING)


SURE = scored([[-1] * 4, [0, 0, 1, -1], [0, -1, -1, -1]])
WRONG = scored([[-1] * 4, [-1, -1, -1, -2]])


@hostile
def test_answers_are_shown_as_text(text):
    check_harmless(answer_columns([layer(answer(text), answer(text + "!", "correct", 2, 0))], 3, WORDS), 8_000)


def view_of(text="Mars", num_samples=3, token_texts=None):
    """One question of three layers, whose question, answers, rules and tokens all say ``text``."""
    question = Question("planet", text, (text,))
    samples = [
        replace(fake_sample(question, exit_layer, number), answer=text, completion_text=text)
        for exit_layer in (1, 3, 4)
        for number in range(num_samples)
    ]
    verdicts = {sample.key: Verdict(sample.key, "correct", text) for sample in samples}
    manifest = make_manifest(replace(SETTINGS, num_samples=num_samples), [question])
    outcomes = ScoredOutcomes.of(replace(table_of([[[0] * num_samples] * 3]), exit_layers=(1, 3, 4)))
    tokens = {number: text for number in range(num_samples + 8)} if token_texts is None else token_texts
    answers = QuestionAnswers(outcomes, (), tuple(samples), verdicts, tokens, True)
    return QuestionView(manifest, StoredQuestion(question, text), lambda: answers)


def detail_of(view, exit_layer=3):
    return layer_detail(view, view.outcomes.scored(EQUAL, "min_max"), exit_layer, WORDS)


@hostile
def test_every_sample_is_shown_as_text(text):
    check_harmless(detail_of(view_of(text)), 200_000)


@hostile
def test_prompts_and_messages_are_shown_as_text(text):
    check_harmless(prompt_box(text, WORDS))
    check_harmless(problem(text, WORDS))
    check_harmless(note(text))
    check_harmless(status_line(Message("loading_model", {"model": text[:200]}), WORDS))
    check_harmless(headline(SURE, True, WORDS, text))


@hostile
def test_names_of_runs_and_their_settings_are_shown_as_text(text):
    manifest = make_manifest(replace(SETTINGS, model=text), question_set=text, judge=text, device=text)
    run = StoredRun(RunFolder(Path("nowhere")), manifest, False)
    check_harmless(manifest_view(run, WORDS))
    check_harmless(link_box({"run": text, "question": text}, WORDS), 200_000)
    check_harmless(comparison([], "hcb_score", [text, text], {"template": [text, text]}, [text], WORDS))


@hostile
def test_tokens_of_a_lens_are_shown_as_text(text):
    import numpy as np

    numbers, floats = np.ones((2, 1), np.int64), np.ones((2, 1), np.float32)
    tops = np.full((2, 1, 2), 0.5, np.float32)
    table = LensTable(
        "q", f"{text}\n{text}", (5,), (text,), (3,), np.ones((2, 1, 2), np.int64), [[[text, text]], [[text, text]]],
        tops, floats, numbers, numbers, floats,
    )  # fmt: skip
    check_harmless(lens_headline(table, WORDS), 12_000)
    check_harmless(top_table(table, 0, 0, WORDS))


def test_answers_of_one_meaning_share_a_card():
    columns = [
        layer(answer("Mars", "correct", 3, 0), answer("mars!", "correct", 2, 0), answer("Venus", "correct", 1, 1))
    ]
    html = answer_columns(columns, 3, WORDS)
    assert [int(count) for count in re.findall(r"<b>(\d+)</b></div>", html)] == [5, 1]
    assert "6/6 right · 2 ideas" in html


def test_a_meaning_has_one_number_in_every_layer_and_says_where_it_lives():
    first, second = answer("Mars", "correct", 1, 1), answer("Mars", "correct", 4, 0)
    html = answer_columns([layer(first, exit_layer=2), layer(answer("Venus", "correct", 9, 1), second)], 3, WORDS)
    mars = re.findall(r'data-meaning="(\d+)" data-life="([^"]+)"[^>]*title="Mars', html)
    assert mars == [("1", "layers 2 to 3")] * 2
    assert 'data-life="in layer 3 only"' in html


def test_a_long_column_says_what_it_leaves_out():
    html = answer_columns([layer(*(answer(f"wrong {number}") for number in range(20)))], None, WORDS)
    assert html.count('class="hcl-card') == 9
    assert "11 more, 11 answers" in html


@pytest.mark.parametrize(("num_layers", "has_steps"), [(6, False), (7, True)])
def test_many_columns_can_be_thinned(num_layers, has_steps):
    columns = [layer(answer("Mars"), exit_layer=number) for number in range(1, num_layers + 1)]
    assert ("data-every" in answer_columns(columns, None, WORDS)) is has_steps


def test_equal_samples_stand_in_one_row_with_their_numbers_and_their_rule():
    view = view_of("Mars", num_samples=6)
    # Samples of one layer differ in their second token: six rows; all alike, one.
    assert detail_of(view).count("<tr ") == 6
    alike = tuple(replace(sample, completion_token_ids=(7, 0)) for sample in view.samples)
    html = detail_of(view.changed(samples=alike))
    assert html.count("<tr ") == 1 and "×6</b> <small>0, 1, 2, 3, 4, 5</small>" in html
    assert "<td>Mars</td></tr>" in html and "Seed 3" in html


def test_each_token_has_its_probability_as_shade_and_number():
    html = detail_of(view_of("Mars", num_samples=1), exit_layer=4)
    # exp(-0.5) and exp(-0.25 * 4).
    assert '--p:0.61" title="0.607">Mars</span>' in html and '--p:0.37" title="0.368">Mars</span>' in html


def test_a_run_without_token_texts_says_so_and_shows_the_answer():
    html = detail_of(view_of("Mars", token_texts={}))
    assert "made before the texts of tokens were kept" in html and '<td dir="auto">Mars</td>' in html


def test_too_many_different_texts_are_cut_with_the_number_and_the_limit():
    html = detail_of(view_of("Mars", num_samples=MOST_ROWS + 1))
    assert html.count("<tr ") == MOST_ROWS and "The 200 most frequent of 201 different texts" in html


def test_an_unknown_prompt_is_said_to_be_unknown():
    assert "chat format" in prompt_box(None, WORDS) and "<pre" not in prompt_box(None, WORDS)


def test_the_table_has_the_charts_numbers():
    html = score_table(SURE, WORDS, {"confidence": [0.25, 0.5, 0.75]})
    assert html.count("<tr") == 4 and '<tr class="best"><th scope="row">2</th>' in html
    assert f"<td>{SURE.scores[1].hcb_score:.2f} <small>" in html and "<td>0.75</td>" in html


def test_progress_has_its_numbers_in_words_and_as_a_bar():
    html = status_line(Progress("sampling", 250, 1000), WORDS)
    assert "Sampling · 250 of 1,000 answers (25%)" in html and "width:25.0%" in html

    html = status_line(Progress("sampling", 250, 1000, 11.2, 2), WORDS)
    assert "(25%) · about 12 s left · 2 other runs beside it" in html


def test_a_message_is_a_sentence_with_its_values():
    message = Message("set_done", {"run": "0be6b1cadd189061", "seconds": 1234.56})
    assert sentence(message, WORDS) == (
        "All questions are answered · 1,234.6 s of decoding · saved as run 0be6b1cadd189061"
    )
    assert "1.234,6" in sentence(message, Translator("de"))


@pytest.mark.parametrize(("reason", "is_said"), [(NONE_FITTED, True), (ASKED_FOR, False)])
def test_a_run_whose_fitted_head_was_not_found_has_a_note(reason, is_said):
    manifest = replace(make_manifest(), head_choice=HeadChoice("auto", "shared", reason))
    assert ("No exit head was fitted for these weights" in run_note(manifest, 0, WORDS)) == is_said


def test_a_problem_is_an_alert_that_does_not_say_where_the_runs_are(monkeypatch, tmp_path):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path))
    html = status_line(Problem(f"{tmp_path}/0be6b1cadd189061/questions.jsonl cannot be read"), WORDS)
    assert 'role="alert"' in html and "✕ 0be6b1cadd189061/questions.jsonl cannot be read" in html


def test_the_headline_names_the_best_layer_and_how_sure_that_is():
    clear = scored([[-1] * 40, [0] * 20 + [1] * 20, [-1] * 40])
    html = headline(clear, True, WORDS)
    assert "Layer 2 balances best: 100% right, 2 different right ideas." in html
    share = WORDS.percent(clear.uncertainty.layers[1].p_optimal)
    assert f"It is the best one with a probability of {share}." in html and "more answers are wanted" not in html


def test_the_headline_names_the_set_of_layers_that_holds_the_best():
    tied = scored([[-1] * 20, [0] * 10 + [-1] * 10, [0] * 9 + [-1] * 11, [-1] * 20])
    best, html = tied.uncertainty.best, headline(tied, True, WORDS)
    assert best.kind == "tied" and best.best_set == (2, 3)
    assert "The best balance is at one of layers 2 and 3." in html
    assert f"Together they hold the best one with a probability of {WORDS.percent(best.probability)}." in html
    assert f"Layer {best.optimal_layer} leads with {WORDS.percent(best.p_optimal)}" in html


def test_the_headline_says_that_layers_are_equal_and_which_is_cheapest():
    html = headline(scored([[-1] * 20, [0] * 20, [0] * 20, [-1] * 20, [-1] * 20]), True, WORDS)
    assert "Layers 2 and 3 are equally good: 100% right, 1 right idea." in html
    assert "layer 2 is the cheapest of them" in html and "leads" not in html


def test_the_headline_of_one_right_idea_speaks_of_right_answers_alone():
    outcomes = np.array([[[-1] * 40, [0] * 40, [-1] * 40]], np.int16)
    table = OutcomeTable((1, 2, 3), outcomes, np.full(outcomes.shape, 0.5, np.float32), np.ones(1, np.int32))
    html = headline(ScoredOutcomes.of(table).scored(EQUAL, DEFAULT_SCALING), True, WORDS)
    assert "Layer 2 is right most often: 100% right." in html and "HCB are not defined" in html and "idea." not in html


def test_the_headline_of_self_speculation_names_no_best_layer():
    table = table_of([[[0] * 40, [-1] * 40]])
    chosen = ScoredOutcomes.of(table, Strategy.parse("self_speculative:4")).scored(EQUAL, DEFAULT_SCALING)
    html = headline(chosen, True, WORDS)
    assert "50% of them right" in html and "the speed alone" in html and "best" not in html and chosen.best is None


def test_the_headline_names_no_layer_where_most_are_alike():
    html = headline(scored([[0, -1, 0, -1, 0]] * 6), True, WORDS)
    assert "are equally good" in html  # six equal layers
    noise = scored([[0, -1, 0, -1, 0, 1], [0, 0, -1, -1, 1, -1], [-1, 0, 0, 1, -1, 0], [1, 0, -1, 0, -1, -1]])
    html = headline(noise, True, WORDS)
    best = noise.uncertainty.best
    assert "No layer is clearly best." in html
    assert (
        f"It takes {len(best.best_set)} of 4 layers to hold the best one with {WORDS.percent(best.probability)}" in html
    )


def test_the_headline_is_said_in_another_language():
    assert "Schicht 2" in headline(SURE, True, Translator("de"))


@pytest.mark.parametrize(
    ("layers", "spoken"), [((3,), "3"), ((3, 4), "3 and 4"), ((3, 4, 5), "3 to 5"), ((2, 4, 7), "2, 4 and 7")]
)
def test_layers_are_spoken(layers, spoken):
    assert layers_as_text(layers, WORDS) == spoken


def test_the_headline_says_when_nothing_is_right():
    assert "No layer gave a right answer" in headline(WRONG, True, WORDS)


def test_the_headline_says_when_the_run_is_partial():
    assert "more answers are wanted" in headline(SURE, False, WORDS)


def test_a_link_leaves_out_what_is_as_usual():
    html = link_box({"run": "abc", "layer": None, "balance": ""}, WORDS)
    assert 'data-query="?run=abc"' in html


def test_a_runs_manifest_says_everything_that_was_asked_for():
    run = StoredRun(RunFolder(Path("nowhere")), make_manifest(), False)
    html = manifest_view(run, WORDS)
    for name in ("temperature", "top p", "seed", "template", "judge", "embedder", "device", "versions"):
        assert f'<th scope="row">{name}<' in html
    assert STORED[0].prompt not in html
