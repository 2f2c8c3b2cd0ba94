"""The buttons with which a visitor judges answers, on the cards, the samples of a layer and the bar above them."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.handlers import verdicts
from app.handlers.shown_question import ShownQuestion
from app.handlers.verdicts import Press
from app.render import Parts
from app.render import explore as render
from app.tabs.base import QUIET, Binder, Components
from app.visit import Balance, Visit


def wire_verdicts(bind: Binder, parts: Components, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """What a pressed button changes.

    Args:
        bind: Of the tab.
        parts: Of the tab.
        inputs: The question on screen, then the balance, as ``Balance.from_controls`` takes it.
        outputs: Everything that shows the question.
    """

    def judge(visit: Visit, event: gr.EventData, shown: ShownQuestion | None, *weighed: Any) -> Parts:
        if not shown:
            return {}
        result = verdicts.judge(visit, shown, Press.from_event(event), Balance.from_controls(*weighed))
        return render.question_parts(result, visit.words) | {"status": ""}

    for name in ("verdicts", "answers", "detail"):
        parts[name].judge(bind.on_choice(judge), list(inputs), list(outputs), trigger_mode="multiple", **QUIET)
