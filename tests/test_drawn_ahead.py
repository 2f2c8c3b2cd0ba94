"""Shipped questions are drawn before a visitor asks; a question that is drawn is not read again."""

from app import drawn_ahead, library, question_view
from app.handlers import explore
from app.handlers.explore import ShownQuestion
from app.language import Translator
from app.render.explore import question_parts
from app.service import Service
from app.visit import Balance, Visit

SHIPPED, WORDS = "0be6b1cadd189061", Translator("en")


def test_what_is_drawn_ahead_is_what_a_visitor_gets_and_nothing_is_read_again(monkeypatch):
    run = library.find_run(SHIPPED)
    first = library.questions_of(run)[:2]
    monkeypatch.setattr(library, "stored_runs", lambda with_own: [run])
    monkeypatch.setattr(library, "questions_of", lambda _: first)
    visit = Visit(WORDS, Service(), "")
    drawn_ahead.draw_ahead(visit.service)
    question_view._read.cache_clear()
    monkeypatch.setattr(question_view, "is_judged_now", None)  # would be called to read the answers
    for stored in first:
        shown = ShownQuestion(run.manifest.run_id, stored.question.id)
        assert "hcl-column" in question_parts(explore.show(visit, shown, Balance()), WORDS)["answers"]


def test_a_damaged_shipped_question_stops_nothing(monkeypatch):
    run = library.find_run(SHIPPED)
    monkeypatch.setattr(library, "stored_runs", lambda with_own: [run])
    first = library.questions_of(run)[:1]
    monkeypatch.setattr(library, "questions_of", lambda _: first)
    shown = []

    def refuse(*_):
        shown.append(1)
        raise library.not_judged(run)

    monkeypatch.setattr(explore, "show", refuse)
    drawn_ahead.draw_ahead(Service())
    assert shown == [1]
