"""What is known of the models: marks on the lists of them, and the facts of the chosen one above the form."""

from typing import Any

import gradio as gr

from app.handlers import models as handlers
from app.render import Parts
from app.service import Service
from app.tabs.base import QUIET, Binder
from app.tabs.form import FormControls
from app.views.models import choice_label, model_facts
from app.visit import Visit


def wire_models(core: Service, page: gr.Blocks, form: FormControls, other: Any) -> None:
    """The lists are marked when the page opens and after a run, which may have fetched a model; the facts follow.

    Args:
        core: The page's service.
        page: Whose opening marks the lists first.
        form: Of Explore, with its list.
        other: The list of the token lens.
    """
    chosen = form.parts["model"]
    parts = {"facts": form.parts["facts"], "chosen": chosen, "other": other}
    bind = Binder(core, parts, errors_in="facts")

    def mark(visit: Visit, name: str | None) -> Parts:
        choices = [(choice_label(*each, visit.words), each[0].name) for each in handlers.choices(visit)]
        update = gr.update(choices=choices)
        return show(visit, name) | {"chosen": update, "other": update}

    def show(visit: Visit, name: str | None) -> Parts:
        return {"facts": model_facts(handlers.facts_of(visit, name or ""), visit.words)}

    chosen.change(bind(show), chosen, parts["facts"], trigger_mode="always_last", **QUIET)
    for event in (page.load, form.ran.then):
        event(bind(mark), chosen, list(parts.values()), **QUIET)
