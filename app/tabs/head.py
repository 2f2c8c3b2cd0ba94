"""In the drawer of Explore, below the choice of the exit head: which one is there, its files, and another one."""

import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

import gradio as gr

from app.handlers import head as handlers
from app.language import labels
from app.messages import Message
from app.render import Parts
from app.service import Service
from app.tabs.base import QUIET, Binder, wire_start, wire_stop
from app.views.base import status_line
from app.views.head import head_note
from app.visit import Visit


def build_head(core: Service) -> dict[str, Any]:
    """Its parts; the buttons are there where this page fits and takes in heads, and the model has use for one."""
    say = labels()
    is_allowed = core.head_fits.is_allowed
    parts: dict[str, Any] = {"note": gr.HTML("", elem_id="head-note"), "asked": gr.State(None), "news": gr.State(0.0)}
    with gr.Row(visible=False, elem_id="head-fit") as parts["buttons"]:
        parts["run"] = gr.Button(say("button_fit"), size="sm", min_width=110, interactive=is_allowed)
        # Whatever its name ends in: that it is no head is said in a sentence.
        parts["upload"] = gr.UploadButton(say("button_import_head"), size="sm", min_width=110, interactive=is_allowed)
        parts["stop"] = gr.Button(
            say("button_stop"), size="sm", min_width=80, interactive=False, elem_classes="hcl-only-busy"
        )
    parts["status"] = gr.HTML("", elem_id="head-status")
    with gr.Row(visible=False) as parts["confirm"]:
        parts["yes"] = gr.Button(say("button_replace_head"), variant="stop", size="sm", min_width=110)
        parts["no"] = gr.Button(say("button_keep_head"), size="sm", min_width=110)
    return parts


def wire_head(core: Service, parts: dict[str, Any], model: Any, page: gr.Blocks, ran: Any) -> None:
    """The note follows the model, a fit, a head that is taken in, and a run, which may have fetched the model.

    Args:
        core: The page's service.
        parts: Of ``build_head``; ``news`` changes where ``auto`` may take another head from now on.
        model: The list of models.
        page: Whose opening shows the first note.
        ran: The event at whose end a run has ended.
    """
    bind = Binder(core, parts)

    def show(visit: Visit, name: str | None) -> Parts:
        return _shown(handlers.head_of(visit, name or ""), visit)

    def change(visit: Visit, name: str | None) -> Parts:
        return show(visit, name) | _asked(None) | {"status": ""}

    def fit(visit: Visit, name: str | None) -> Generator[Parts, None, None]:
        """Fit an exit head for a model; the last update says how well it reads each layer."""
        yield from _followed(handlers.fit(visit, name or ""), visit)

    def take_in(visit: Visit, name: str | None, file: str | None) -> Generator[Parts, None, None]:
        """Check an exit head that somebody else fitted for a model, and keep it; a page of one's own alone does."""
        yield _asked(None)
        if file:
            yield from _followed(handlers.take_in(visit, name or "", file), visit)

    def replace(visit: Visit, asked: tuple[str, str] | None) -> Generator[Parts, None, None]:
        yield _asked(None)
        if asked:
            yield from _followed(handlers.take_in(visit, *asked, replace=True), visit)

    def keep(visit: Visit) -> Parts:
        return _asked(None) | {"status": status_line(Message("head_not_taken"), visit.words)}

    noted = [parts["note"], parts["buttons"], parts["run"]]
    asked = [parts["confirm"], parts["asked"], parts["status"]]
    page.load(bind(show), model, noted, **QUIET)
    ran.then(bind(show), model, noted, **QUIET)
    model.change(bind(change), model, [*noted, *asked], trigger_mode="always_last", **QUIET)
    outputs = [*noted, *asked, parts["news"]]
    wire_start(bind, parts, parts["run"].click, fit, [model], outputs, "fit_head")
    wire_start(bind, parts, parts["upload"].upload, take_in, [model, parts["upload"]], outputs, "fit_head", "take_head")
    wire_start(bind, parts, parts["yes"].click, replace, [parts["asked"]], outputs, "fit_head", "replace_head")
    wire_stop(bind, parts, "fit_head")
    parts["no"].click(bind(keep), None, asked, **QUIET)


def _followed(updates: Generator[handlers.HeadUpdate, None, None], visit: Visit) -> Generator[Parts, None, None]:
    with closing(updates):
        for update in updates:
            told: Parts = {"status": status_line(update.status, visit.words)}
            told |= _shown(update.head, visit) if update.head else {}
            told |= _asked(update.asked) if update.asked else {}
            yield told | ({"news": time.monotonic()} if update.is_new else {})


def _asked(asked: tuple[str, str] | None) -> Parts:
    """Whether the visitor is asked if a head shall take the place of another: of which model, and its file."""
    return {"asked": asked, "confirm": gr.update(visible=asked is not None)}


def _shown(head: handlers.HeadOfModel, visit: Visit) -> Parts:
    return {
        "note": head_note(head, visit.words),
        "buttons": gr.update(visible=head.takes_in),
        "run": gr.update(visible=head.is_offered),
    }
