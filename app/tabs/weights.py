"""On top of the page: that there is no model, or that its weights are on the way. Without one, nothing can be run."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.render import Parts
from app.service import Service
from app.tabs.base import QUIET, Binder
from app.views.base import status_line
from app.visit import Visit


def weights_note() -> gr.HTML:
    """Where it is said; empty where all is as it should be."""
    return gr.HTML("", visible=False, elem_id="weights-note")


def wire_weights(core: Service, page: gr.Blocks, note: gr.HTML, buttons: Sequence[Any]) -> None:
    """Each opening of the page says how it is; ``buttons`` start work that needs a model."""
    parts = {"note": note} | {f"run_{number}": button for number, button in enumerate(buttons)}

    def show(visit: Visit) -> Parts:
        notice, can_run = visit.service.weights.notice(), visit.service.weights.can_run
        told: Parts = {
            "note": gr.update(value=status_line(notice, visit.words) if notice else "", visible=bool(notice))
        }
        return told if can_run else told | {name: gr.update(interactive=False) for name in parts if name != "note"}

    page.load(Binder(core, parts, errors_in="note")(show), None, list(parts.values()), **QUIET)
