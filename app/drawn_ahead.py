"""Every shipped question of a public page, drawn before a visitor asks for it; another language is drawn when asked."""

import time

from app import library
from app.handlers import explore
from app.handlers.explore import ShownQuestion
from app.language import Translator
from app.render.explore import question_parts
from app.service import Service
from app.visit import Balance, Visit
from app.watching.counts import seconds_without_requests
from hcl_core.errors import HclError

# Seconds without a request, after which it goes on.
_QUIET = 1.0


def draw_ahead(service: Service) -> None:
    """Draw and keep them while nobody asks for anything. About a minute and 100 MB."""
    visit = Visit(Translator(), service, "")
    for run in library.stored_runs(with_own=False):
        for stored in library.questions_of(run):
            while seconds_without_requests() < _QUIET:
                time.sleep(_QUIET)
            try:
                shown = ShownQuestion(run.manifest.run_id, stored.question.id)
                question_parts(explore.show(visit, shown, Balance()), visit.words)
            except HclError:  # damaged: whoever opens it is told
                continue
