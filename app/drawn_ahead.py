"""Every shipped question of a public page, drawn before a visitor asks for it; another language is drawn when asked.

Drawing holds Python's lock, so that the page would wait for it: a process of its own draws, and a thread of the page
keeps what it sends.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection

from app import library
from app.handlers import shown_question
from app.handlers.shown_question import ShownQuestion
from app.language import Translator
from app.question_view import QuestionView
from app.render import Parts
from app.render.explore import keep_parts, question_parts
from app.service import Service
from app.visit import Balance, Visit
from hcl_core.errors import HclError

# Of the process that draws: visitors who wait for something come first.
_NICENESS = 10


def draw_ahead(service: Service) -> None:
    """Draw them all elsewhere and keep them here: about a minute and a half, and 100 MB."""
    spawning = multiprocessing.get_context("spawn")
    receiving, sending = spawning.Pipe(duplex=False)
    # Ends with the page.
    drawing = spawning.Process(target=_draw, args=[sending], daemon=True)
    drawing.start()
    sending.close()
    visit = Visit(Translator(), service, "")
    with receiving:
        for shown, parts in _received(receiving):
            keep_drawn(visit, shown, parts)
    drawing.join()


def drawn_questions(visit: Visit) -> Iterator[tuple[ShownQuestion, Parts]]:
    """The shipped questions and what is shown of them; damaged ones are left out."""
    for run in library.stored_runs(with_own=False):
        for stored in library.questions_of(run):
            shown = ShownQuestion(run.manifest.run_id, stored.question.id)
            try:
                yield shown, question_parts(shown_question.show(visit, shown, Balance()), visit.words)
            except HclError:  # damaged: whoever opens it is told
                continue


def keep_drawn(visit: Visit, shown: ShownQuestion, parts: Parts) -> None:
    """Keep what another process has drawn, which has read the question without an error."""
    run = library.find_run(shown.run_id)
    QuestionView.read_elsewhere(run, shown.question_id)
    keep_parts(shown_question.show(visit, shown, Balance()), visit.words, parts)


def _draw(sending: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the page ends it
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    with sending:
        try:
            for drawn in drawn_questions(Visit(Translator(), Service(), "")):
                sending.send(drawn)
        except BrokenPipeError:  # the page is gone
            return


def _received(receiving: Connection) -> Iterator[tuple[ShownQuestion, Parts]]:
    while True:
        try:
            yield receiving.recv()
        except EOFError:
            return
