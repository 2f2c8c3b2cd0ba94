"""Shipped questions are drawn before a visitor asks; a question that is drawn is not read again."""

import multiprocessing

import pytest

from app import drawn_ahead, library, question_view
from app.handlers import shown_question
from app.judged_late import not_judged
from app.language import Translator
from app.render import explore as render
from app.service import Service
from app.visit import Balance, Visit

SHIPPED, WORDS = "0be6b1cadd189061", Translator("en")


@pytest.fixture
def visit(monkeypatch):
    """A page that ships two questions, of which it has seen none."""
    run = library.find_run(SHIPPED)
    first = library.questions_of(run)[:2]
    monkeypatch.setattr(library, "stored_runs", lambda with_own: [run])
    monkeypatch.setattr(library, "questions_of", lambda _: first)
    render._kept.cache_clear()
    question_view._read.cache_clear()
    question_view._read_before.clear()
    return Visit(WORDS, Service(), "")


def test_what_another_process_has_drawn_is_what_a_visitor_gets_and_nothing_is_read_again(visit, monkeypatch):
    drawn = list(drawn_ahead.drawn_questions(visit))
    render._kept.cache_clear()
    question_view._read.cache_clear()
    question_view._read_before.clear()
    for shown, parts in drawn:
        drawn_ahead.keep_drawn(visit, shown, parts)
    monkeypatch.setattr(question_view, "is_judged_now", None)  # would be called to read the answers
    assert len(drawn) == 2
    for shown, parts in drawn:
        assert "hcl-column" in parts["answers"]
        assert render.question_parts(shown_question.show(visit, shown, Balance()), WORDS) == parts


def test_a_process_draws_and_ends_when_nobody_receives(visit, monkeypatch):
    kept = []

    def keep(visit, shown, parts):
        kept.append((shown, parts))
        if len(kept) == 3:
            raise StopIteration

    monkeypatch.setattr(drawn_ahead, "keep_drawn", keep)
    with pytest.raises(StopIteration):
        drawn_ahead.draw_ahead(visit.service)
    (first, parts), *_ = kept
    assert parts == render.question_parts(shown_question.show(visit, first, Balance()), WORDS)
    drawing = multiprocessing.active_children()
    for each in drawing:
        each.join(20)
        assert each.exitcode == 0


def test_a_damaged_shipped_question_stops_nothing(visit, monkeypatch):
    asked = []

    def refuse(*given):
        asked.append(given)
        raise not_judged(library.find_run(SHIPPED).folder)

    monkeypatch.setattr(shown_question, "show", refuse)
    assert not list(drawn_ahead.drawn_questions(visit)) and len(asked) == 2
