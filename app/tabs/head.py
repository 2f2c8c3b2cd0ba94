"""In the drawer of Explore, below the choice of the exit head: which one is there, and the fit of another."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

import gradio as gr

from app.handlers import head as handlers
from app.language import labels
from app.render import Parts
from app.service import Service
from app.tabs.base import QUIET, Binder, wire_run
from app.views.base import status_line
from app.views.head import head_note
from app.visit import Visit


def build_head(core: Service) -> dict[str, Any]:
    """Its parts; the buttons are there where this page fits heads and no head is known."""
    say = labels()
    parts: dict[str, Any] = {"note": gr.HTML("", elem_id="head-note")}
    with gr.Row(visible=False, elem_id="head-fit") as parts["buttons"]:
        parts["run"] = gr.Button(say("button_fit"), size="sm", min_width=120, interactive=core.head_fits.is_allowed)
        parts["stop"] = gr.Button(say("button_stop"), size="sm", min_width=80, interactive=False)
    parts["status"] = gr.HTML("", elem_id="head-status")
    return parts


def wire_head(core: Service, parts: dict[str, Any], model: Any, page: gr.Blocks) -> None:
    """The note follows the model and the fit.

    Args:
        core: The page's service.
        parts: Of ``build_head``.
        model: The list of models.
        page: Whose opening shows the first note.
    """
    bind = Binder(core, parts)

    def show(visit: Visit, name: str | None) -> Parts:
        return _shown(handlers.head_of(visit, name or ""), visit)

    def fit(visit: Visit, name: str | None) -> Generator[Parts, None, None]:
        """Fit an exit head for a model; the last update says how well it reads each layer."""
        with closing(handlers.fit(visit, name or "")) as updates:
            for update in updates:
                told: Parts = {"status": status_line(update.status, visit.words)}
                yield told | (_shown(update.head, visit) if update.head else {})

    outputs = [parts["note"], parts["buttons"], parts["status"]]
    gr.on([model.change, page.load], bind(show), [model], outputs[:2], trigger_mode="always_last", **QUIET)
    wire_run(bind, parts, fit, [model], outputs, "fit_head")


def _shown(head: handlers.HeadOfModel, visit: Visit) -> Parts:
    return {"note": head_note(head, visit.words), "buttons": gr.update(visible=head.is_offered)}
