"""Every shipped question of a public page, drawn before a visitor asks for it; another language is drawn when asked."""

import time

from app import library
from app.handlers import explore
from app.handlers.explore import ShownQuestion
from app.language import Translator
from app.render.explore import question_parts
from app.service import Service
from app.visit import Balance, Visit
from hcl_core.errors import HclError


def draw_ahead(service: Service) -> None:
    """Draw and keep them, and leave visitors at least half of the processor's time. About a minute and 100 MB."""
    visit = Visit(Translator(), service, "")
    for run in library.stored_runs(with_own=False):
        for stored in library.questions_of(run):
            began = time.thread_time()
            try:
                shown = ShownQuestion(run.manifest.run_id, stored.question.id)
                question_parts(explore.show(visit, shown, Balance()), visit.words)
            except HclError:  # damaged: whoever opens it is told
                continue
            time.sleep(time.thread_time() - began)
