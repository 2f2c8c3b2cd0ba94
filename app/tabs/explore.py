"""Explore: one question in a bar on top, its settings in a drawer, and what came of it below."""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from app.components import AnswerColumns, DepthPlayer, JudgedAnswers, LayerChart, LinkBox, ShareBox
from app.handlers import explore as handlers
from app.handlers import questions, shown_question
from app.handlers.asked import asked_question
from app.handlers.explore import RunUpdate
from app.handlers.form import CONTROLS, LAYER_NUMBERS, Form, by_name
from app.handlers.measures import MEASURES
from app.handlers.models import num_hidden_layers
from app.handlers.shown_question import ShownQuestion
from app.inputs import ListedChoice
from app.language import labels
from app.messages import Message, Problem
from app.render import Parts
from app.render import explore as render
from app.render.questions import hit_parts, set_parts
from app.service import Service
from app.tabs.base import (
    FILES,
    QUIET,
    SLOW,
    Binder,
    Components,
    balance_controls,
    results_column,
    wire_in_turn,
    wire_run,
)
from app.tabs.form import FormControls, build_form
from app.tabs.verdicts import wire_verdicts
from app.views.ask import setting_chips
from app.views.base import status_line
from app.views.detail import prompt_box
from app.visit import Balance, Visit
from hcl_core.errors import HclError

GROUP = "explore"


def build_explore(core: Service) -> FormControls:
    """Lay out the tab and wire it; its parts, for the other tabs and for links."""
    form = build_form(core)
    with results_column():
        _results(form.parts)
    form.parts["shown"] = gr.State(None)
    bind = Binder(core, form.parts)
    _wire_search(core, form)
    _wire_stored(bind, form)
    form = replace(form, ran=_wire_results(bind, form))
    _wire_settings(bind, form)
    return form


def _results(parts: dict[str, Any]) -> None:
    say = labels()
    with gr.Column(elem_classes="hcl-result-head"):
        # Filled when the page opens: to know them, every run's questions are read.
        parts["stored_run"] = ListedChoice(
            [], value=None, label=say("label_stored_run"), elem_classes="hcl-stored", elem_id="stored-run"
        )
        parts["headline"] = gr.HTML("", elem_id="headline")
    parts["depth"] = DepthPlayer(elem_id="depth", group=GROUP)
    with gr.Column(elem_classes="hcl-panel"):
        parts["chart"] = LayerChart(elem_id="curves", group=GROUP, label=say("chart_layers"))
        with gr.Row(elem_classes="hcl-balance"):
            parts |= balance_controls()
            parts["more"] = gr.Dropdown(
                [(say(name), name) for name in MEASURES],
                value=[],
                multiselect=True,
                label=say("label_more"),
                info=say("info_more"),
                min_width=240,
            )
    parts["verdicts"] = JudgedAnswers(elem_id="verdicts")
    with gr.Tabs():
        with gr.Tab(say("tab_columns")):
            parts["answers"] = AnswerColumns(elem_id="answers", group=GROUP)
        with gr.Tab(say("tab_river")), gr.Column(elem_classes="hcl-panel"):
            parts["river"] = LayerChart(elem_id="river", group=GROUP, label=say("chart_river"))
        with gr.Tab(say("tab_numbers")):
            parts["numbers"] = gr.HTML("", elem_id="numbers")
    parts["detail"] = JudgedAnswers(elem_id="detail")
    parts["link"] = LinkBox(elem_id="link")
    parts["share"] = ShareBox(elem_id="share")


def _wire_search(core: Service, form: FormControls) -> None:
    """A question is searched for in a set; further sets are loaded."""
    parts = form.parts
    bind, bind_loading = Binder(core, parts), Binder(core, parts, errors_in="set_report")

    def search(visit: Visit, event: gr.EventData, set_name: str | None) -> Parts:
        text = getattr(event, "text", "")
        hits = questions.search(visit, set_name, text if isinstance(text, str) else "")
        return hit_parts(hits, visit.words)

    def load_file(visit: Visit, file: str | None) -> Parts:
        return _loaded(visit, questions.load_file(visit, file)) if file else {}

    def load_named(visit: Visit, name: str | None) -> Parts:
        return _loaded(visit, questions.load_named(visit, name or ""))

    def _loaded(visit: Visit, name: str) -> Parts:
        sets = visit.service.sets
        return set_parts(sets.names(visit.visitor), sets.get(visit.visitor, name), visit.words)

    found = [parts["found"], parts["status"]]
    wire_in_turn(parts["found"].look, bind.on_choice(search), [parts["set"]], found, "look")
    loaded = [parts[name] for name in ("set", "set_report")]
    parts["file"].upload(bind_loading(load_file), parts["file"], loaded, **FILES)
    gr.on([parts["load"].click, parts["set_name"].submit], bind_loading(load_named), parts["set_name"], loaded, **FILES)


def _wire_stored(bind: Binder, form: FormControls) -> None:
    """A question that was found, or a run that has asked it, is shown at once."""
    parts = form.parts
    balance = [parts[name] for name in ("balance", "scaling", "more")]
    every_part = [part for name, part in parts.items() if name not in ("balance", "scaling", "more")]

    def take(visit: Visit, event: gr.EventData, set_name: str | None, run_id: str | None, *weighed: Any) -> Parts:
        """The chosen question, with its answers in the chosen run, or in another that has asked it."""
        question = questions.find(visit, set_name, getattr(event, "id", None))
        if question is None:
            return {}
        runs = shown_question.run_choices(visit, question.text)
        ids = [each for _, each in runs]
        chosen = run_id if run_id in ids else next(iter(ids), None)
        taken = asked_question(question) | {"stored_run": render.stored_choice(runs, chosen)}
        if chosen is None:
            return taken | {"status": status_line(Message("no_stored_answers"), visit.words)}
        return taken | show_run(visit, chosen, question.text, *weighed)

    def show_run(visit: Visit, run_id: str | None, question: str, *weighed: Any) -> Parts:
        if not run_id:
            return {}
        result = shown_question.show_text(visit, run_id, question, Balance.from_controls(*weighed))
        return render.stored_parts(result, visit.words)

    inputs = [parts["set"], parts["stored_run"], *balance]
    parts["found"].pick(bind.on_choice(take), inputs, every_part, **QUIET)
    inputs = [parts["stored_run"], parts["question"], *balance]
    parts["stored_run"].input(bind(show_run), inputs, every_part, **QUIET)


def _wire_settings(bind: Binder, form: FormControls) -> None:
    """The chips, the prompt, the layers and the cost follow the form; the cost also the last run and a new head."""
    parts = form.parts

    def fit_layers(visit: Visit, model: object) -> Parts:
        return render.depth_parts(num_hidden_layers(visit, model))

    def estimate(visit: Visit, *values: Any) -> Parts:
        by_names = by_name(values)
        try:
            estimated: Any = handlers.estimate(visit, Form.from_controls(by_names))
        except HclError as error:
            estimated = Problem(str(error))
        estimate = render.estimate_text(estimated, visit.words)
        return {"estimate": estimate, "chips": setting_chips(by_names, visit.words)}

    def show_ideas(visit: Visit, accepted: str | None) -> Parts:
        return render.idea_parts(accepted, visit.words)

    def preview(visit: Visit, model: str | None, question: str | None, template: str) -> Parts:
        prompt = handlers.preview(visit, model or "", question or "", template)
        return {"prompt": prompt_box(prompt, visit.words)}

    # Not where the page itself fills the model in: a link may name layers of its own.
    parts["model"].input(bind(fit_layers), parts["model"], [parts[name] for name in LAYER_NUMBERS], **QUIET)
    # One event for whatever changes the estimate, so that none is answered after a later one.
    news = form.head["news"]
    changes = [parts[name].change for name in CONTROLS if name not in ("judge", "seed")]
    shown = [parts["estimate"], parts["chips"]]
    gr.on([*changes, news.change], bind(estimate), form.controls, shown, trigger_mode="always_last", **QUIET)
    # Through the queue: past it, the browser is not told that a state has changed.
    form.ran.then(time.monotonic, None, news, **QUIET | {"queue": True})
    parts["accepted"].change(bind(show_ideas), parts["accepted"], parts["ideas"], trigger_mode="always_last", **QUIET)
    prompt = [parts[name] for name in ("model", "question", "template")]
    changes = [each.change for each in prompt]
    gr.on(changes, bind(preview), prompt, parts["prompt"], trigger_mode="always_last", **QUIET)


def _wire_results(bind: Binder, form: FormControls) -> Any:
    """Run, Stop, the balance, and a layer that is chosen on a chart or a column; the event that ends a run."""
    parts = form.parts
    balance = [parts[name] for name in ("balance", "scaling", "more")]
    names = (*render.QUESTION_PARTS, "status", "stored_run")

    def explore(visit: Visit, creativity: Any, scaling: Any, more: Any, *values: Any) -> Generator[Parts, None, None]:
        """Sample, judge and score answers at every exit layer of a model, for one question.

        The last update has the headline, a Plotly figure by exit layer, the answers as HTML, and the run's id.
        """
        form, balance = Form.from_controls(by_name(values)), Balance.from_controls(creativity, scaling, more)
        with closing(handlers.run(visit, form, balance)) as updates:
            for update in updates:
                yield render.update_parts(update, visit.words) | _stored_run(visit, update)

    def _stored_run(visit: Visit, update: RunUpdate) -> Parts:
        """No stored run is on screen while one is under way; at its end it is itself one."""
        if update.result is None or not (update.is_first or not update.result.shown.is_live):
            return {}
        shown = update.result.shown
        runs = shown_question.run_choices(visit, update.result.view.stored.question.text)
        return {"stored_run": render.stored_choice(runs, None if shown.is_live else shown.run_id)}

    def choose(visit: Visit, event: gr.EventData, shown: ShownQuestion | None, *weighed: Any) -> Parts:
        if not shown:
            return {}
        layer = getattr(event, "layer", None)
        result = shown_question.choose_layer(visit, shown, layer, Balance.from_controls(*weighed))
        return render.layer_parts(result, visit.words)

    ran = wire_run(bind, parts, explore, [*balance, *form.controls], [parts[name] for name in names], "explore")
    wire_verdicts(bind, parts, [parts["shown"], *balance], [parts[name] for name in names])
    inputs = [parts["shown"], *balance]
    moved = [parts["balance"].input, parts["scaling"].input]
    gr.on(moved, bind(_rebalance), inputs, _weighed(parts), trigger_mode="always_last", **QUIET)
    wire_measures(bind, parts, parts["more"].input)
    chosen = [parts[name] for name in ("detail", "shown", "link", "status")]
    for name in ("depth", "chart", "river", "answers"):
        wire_in_turn(parts[name].choose, bind.on_choice(choose), inputs, chosen, f"choose {GROUP}")
    return ran


def wire_measures(bind: Binder, parts: Components, asked_for: Callable[..., Any]) -> None:
    """The further curves are drawn when they are asked for.

    Args:
        bind: Of the tab.
        parts: Of the tab.
        asked_for: The event that does.
    """

    def announce_measures(visit: Visit, shown: ShownQuestion | None, more: list[str] | None) -> Parts:
        return {"status": status_line(Message("measuring"), visit.words)} if shown and more else {}

    def measure(visit: Visit, shown: ShownQuestion | None, *weighed: Any) -> Parts:
        return _rebalance(visit, shown, *weighed) | {"status": ""}

    # Some take seconds: that they are under way is said at once, and what was said before is back then.
    said = asked_for(bind(announce_measures), [parts["shown"], parts["more"]], parts["status"], **QUIET)
    inputs = [parts[name] for name in ("shown", "balance", "scaling", "more")]
    said.then(bind(measure), inputs, _weighed(parts), trigger_mode="always_last", **SLOW)


def _weighed(parts: Components) -> list[Any]:
    return [parts[name] for name in ("headline", "depth", "chart", "numbers", "link", "share", "status")]


def _rebalance(visit: Visit, shown: ShownQuestion | None, *weighed: Any) -> Parts:
    if not shown:
        return {}
    return render.weighed_parts(shown_question.show(visit, shown, Balance.from_controls(*weighed)), visit.words)
