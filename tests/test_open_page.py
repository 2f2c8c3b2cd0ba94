"""Questions without accepted answers on the page: asked live, stored, listed, compared and exported."""

import html
import re
from dataclasses import replace
from typing import Any

import pytest
from conftest import make_lm
from test_handlers import LetterEmbedder, controls

from app import library
from app.export import export_page
from app.handlers import compare, dataset, explore, shown_question
from app.handlers.dataset import ShownSet
from app.handlers.form import Form
from app.handlers.shown_question import ShownQuestion
from app.language import Translator
from app.render import dataset as render_set
from app.render import explore as render
from app.service import Service
from app.visit import Balance, Visit
from hcl_core import registry
from hcl_core.decode.model.checkpoints import Checkpoint

EQUAL, SHIPPED = Balance(), "0be6b1cadd189061"
WORDS = {language: Translator(language) for language in ("en", "de", "zh")}
# What no view of open questions says, but for the note that there is none of it.
JUDGED = re.compile(r"\b(right|wrong|hallucination|richtig\w*|falsch\w*|halluzination)\b", re.IGNORECASE)


@pytest.fixture
def visit(monkeypatch, tmp_path):
    """Of a page with a tiny model."""
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(explore, "INTERVAL", 0)
    monkeypatch.setattr(explore, "PAUSE", 0)
    monkeypatch.setattr(registry, "load_model", lambda name, *_: (make_lm(), Checkpoint(name, "tiny", tmp_path)))
    monkeypatch.setattr(registry, "load_embedder", LetterEmbedder)
    return Visit(WORDS["en"], Service(), "visitor")


def form(**changes):
    return Form.from_controls(controls(**{"question": "Write a metaphor for the sea.", "accepted": " \n"} | changes))


@pytest.fixture
def updates(visit):
    """Those of a run to its end."""
    return list(explore.run(visit, form(), EQUAL))


@pytest.fixture
def stored(updates):
    return library.find_run(updates[-1].result.shown.run_id)


def words_of(part):
    """What a person reads of a part of the page, without what the note and the title of the paper say."""
    text = html.unescape(re.sub(r"<[^>]*>|'(xanchor|side)': 'right'|Dance of Hallucination", " ", str(part)))
    for words in WORDS.values():
        text = text.replace(words("open_note"), "")
    return text


def texts_of(result):
    """Texts, counts and ideas of each layer's answers."""
    return [
        [(answer.text, answer.count, answer.cluster_id) for answer in layer.answers] for layer in result.view.layers
    ]


@pytest.mark.parametrize("language", WORDS)
def test_no_view_of_an_open_question_says_right_or_wrong(visit, updates, language):
    result = shown_question.choose_layer(visit, updates[-1].result.shown, 4, EQUAL)
    parts = render.question_parts(result, WORDS[language])
    found = {name: JUDGED.findall(words_of(part)) for name, part in parts.items() if name not in ("shown", "link")}
    assert found == dict.fromkeys(found, [])
    assert WORDS[language]("open_note") in html.unescape(parts["headline"])


def test_plausibility_stands_where_hallucination_stood(updates):
    result = updates[-1].result
    chart = render.question_parts(result, WORDS["en"])["chart"]
    names = [trace.get("name") for trace in chart["data"]]
    assert "Plausibility" in names and "Hallucination" not in names
    (curve,) = [trace for trace in chart["data"] if trace.get("name") == "Plausibility" and trace.get("customdata")]
    assert curve["y"] == pytest.approx([score.token_plausibility for score in result.scored.scores], abs=1e-3)


def test_each_wave_is_read_by_the_whole_model(updates):
    under_way = [update.result for update in updates if update.result and update.result.shown.is_live]
    assert under_way and all(result.scored.best is not None for result in under_way)
    assert "right answer" not in words_of(render.question_parts(under_way[0], WORDS["en"])["headline"])


def test_the_stored_view_is_the_last_one_of_the_run(visit, updates):
    last = updates[-1].result
    again = shown_question.show(visit, ShownQuestion(last.shown.run_id, last.shown.question_id), EQUAL)
    assert texts_of(again) == texts_of(last) and again.scored.best == last.scored.best
    for score, other in zip(again.scored.scores, last.scored.scores, strict=True):
        assert score.hcb_score == pytest.approx(other.hcb_score, rel=1e-6)


def test_a_stopped_open_run_goes_on_to_the_same_scores(visit, updates):
    last = updates[-1].result
    other = form(seed=1)
    begun: Any = explore.run(visit, other, EQUAL)
    next(update for update in begun if update.result)
    begun.close()
    resumed = list(explore.run(visit, other, EQUAL))[-1].result
    assert resumed.view.is_complete and resumed.scored.best is not None
    assert resumed.shown.run_id != last.shown.run_id


def test_an_open_run_is_listed_and_found_by_its_question(visit, stored):
    assert stored.manifest.id in [run.manifest.id for run in visit.service.stored_runs()]
    assert [run_id for _, run_id in shown_question.run_choices(visit, "Write a metaphor for the sea.")] == [
        stored.manifest.id
    ]


def test_the_estimate_says_that_the_question_is_open(visit):
    text = render.estimate_text(explore.estimate(visit, form()), WORDS["en"])
    assert "Open question" in text
    assert "Open question" not in render.estimate_text(explore.estimate(visit, form(accepted="Blue")), WORDS["en"])


def test_an_open_set_has_a_row_a_question_without_right_or_wrong(visit, stored):
    result = dataset.show(visit, ShownSet(stored.manifest.id), EQUAL)
    parts = render_set.set_parts(result, WORDS["en"])
    assert JUDGED.findall(words_of(parts["headline"])) == []
    heads = parts["rows"]["value"]["headers"]
    assert "Most plausible at layer" in heads and not any(JUDGED.search(head) for head in heads)
    (row,) = parts["rows"]["value"]["data"]
    scores = {score.exit_layer: score.token_plausibility for score in result.scored.scores}
    assert row[1] == max(scores, key=scores.get) and row[2] == round(100 * max(scores.values()))


def test_an_open_run_has_no_hallucination_to_compare(visit, stored):
    ids = [stored.manifest.id, SHIPPED]
    compared = compare.compare(visit, ids, "hallucination_rate")
    assert [run.curve is None for run in compared.runs] == [True, False] and compared.comparisons == []
    assert {note.key for note in compared.notes} == {"run_lacks", "nothing_in_common"}
    plausible = compare.compare(visit, ids, "token_plausibility")
    assert [run.curve is None for run in plausible.runs] == [False, True]


@pytest.mark.parametrize("language", WORDS)
def test_the_exported_page_of_an_open_run_says_nothing_of_right_or_wrong(stored, tmp_path, language):
    export_page(stored, tmp_path / "run.html", WORDS[language])
    body = re.sub(
        r"<(script|style)\b.*?</\1>", "", (tmp_path / "run.html").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    assert JUDGED.findall(words_of(body)) == []


def test_open_answers_without_plausibility_have_no_best_layer(visit, stored):
    (stored.folder.path / "plausibility.parquet").unlink()
    question = library.questions_of(stored)[0].question
    result = shown_question.show(visit, ShownQuestion(stored.manifest.id, question.id), EQUAL)
    assert result.scored.best is None and replace(result.shown, layer=None) == result.shown
    assert "not known yet" in render.question_parts(result, WORDS["en"])["headline"]
