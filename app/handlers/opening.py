"""What stands on the page when it opens: a stored run on a first visit, or the view that an address names."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import gradio as gr

from app import library
from app.handlers import compare, dataset, explore, runs
from app.handlers.base import Parts, said
from app.handlers.form import make_request
from app.handlers.links import View
from app.handlers.questions import accepted_of
from app.handlers.tables import headed_questions, headed_runs
from app.language import Translator
from app.service import DEFAULT_MODEL_NAME, Service
from app.views.base import problem, status
from app.views.headline import welcome
from hcl_core.errors import HclError


def open_view(words: Translator, service: Service, view: View, controls: Sequence[Any]) -> Parts:
    """The parts of the page that ``view`` changes, of all tabs; ``controls`` are the form's as they stand."""
    parts: Parts = {"tabs": gr.Tabs(selected=view.tab), "balance": view.balance, "scaling": view.scaling}
    parts |= dict(view.form)
    parts |= _explore(words, service, view)
    filled = dict(zip(signature(make_request).parameters, controls, strict=True)) | dict(view.form)
    parts |= explore.estimate(words, service, *filled.values())
    if view.tab == "compare":
        ids = list(view.compared) or [run_id for _, run_id in compare.choices(words, service)][:2]
        given = compare.compare(words, ids, view.measure, False)
        listed = gr.update(choices=compare.choices(words, service), value=ids)
        parts |= {"compare_runs": listed, "compare_measure": view.measure}
        parts |= {f"compare_{name}": value for name, value in given.items()}
    if view.tab == "dataset":
        run_id = view.run_id or next((run.manifest.run_id for run in service.stored_runs()), "")
        given = headed_questions(words, dataset.show_run(words, run_id, view.balance, view.scaling))
        choices = dataset.set_run_choices(service)
        is_listed = any(each == run_id for _, each in choices)
        parts |= {f"set_{name}": value for name, value in given.items()}
        parts |= {"set_balance": view.balance, "set_scaling": view.scaling}
        parts |= {"set_stored_run": gr.update(choices=choices, value=run_id if is_listed else None)}
    if view.tab == "runs":
        given = runs.list_runs(words, service)
        given |= runs.choose(words, service, view.run_id) if view.run_id else {}
        given = {name: value for name, value in headed_runs(words, given).items() if name not in ("confirm", "file")}
        parts |= {f"runs_{name}": value for name, value in given.items()}
    return parts


def _explore(words: Translator, service: Service, view: View) -> Parts:
    """The stored answers that are named, else those of the first run; or the form as an address fills it in."""
    try:
        return _stored(words, service, view) if not view.form else _prefilled(words, service, view)
    except HclError as error:
        return {"headline": welcome(words), "status": problem(said(error))}


def _stored(words: Translator, service: Service, view: View) -> Parts:
    first = next(iter(service.stored_runs()), None)
    wants_run = view.run_id is not None and view.tab == "explore"
    if first is None and not wants_run:
        return {"headline": welcome(words), "status": status(words("ready"))}
    run = library.find_run(view.run_id or "") if wants_run else first
    assert run is not None
    stored = library.questions_of(run)
    question_id = view.question_id if wants_run and view.question_id else stored[0].question.id
    look = library.look_at(run, question_id)
    layer = view.layer if view.layer in run.manifest.settings.exit_layers else None
    shown = {"run_id": run.manifest.run_id, "question_id": question_id, "layer": layer}
    question = look.stored.question
    choices = explore.run_choices(service, question.text)
    is_listed = any(run_id == run.manifest.run_id for _, run_id in choices)
    controls: dict[str, Any] = {"question": question.text} | accepted_of(question)
    told = explore.preview(words, service, DEFAULT_MODEL_NAME, question.text, "few_shot") | {
        "status": status(words("stored_answers")),
        "stored_run": gr.update(choices=choices, value=run.manifest.run_id if is_listed else None),
    }
    return explore.show(look, shown, view.balance, view.scaling, [], service, words) | controls | told


def _prefilled(words: Translator, service: Service, view: View) -> Parts:
    """A form that someone else has filled in: nothing runs until Run is pressed."""
    question = str(view.form.get("question", ""))
    choices = explore.run_choices(service, question)
    template = str(view.form.get("template", "few_shot"))
    model = str(view.form.get("model", DEFAULT_MODEL_NAME))
    return explore.preview(words, service, model, question, template) | {
        "headline": welcome(words),
        "status": status(words("prefilled")),
        "stored_run": gr.update(choices=choices, value=None),
    }
