"""Explore: one question, its settings on the left, what came of it on the right."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.components import AnswerColumns, LayerChart, LinkBox
from app.handlers import explore as handlers
from app.handlers import questions
from app.handlers.base import Parts
from app.handlers.measures import MEASURES
from app.language import Translator, labels
from app.service import Service, num_hidden_layers
from app.tabs.base import QUIET, SLOW, balance_controls, on_choice, on_page, wire_run
from app.tabs.form import NAMES, Form, build_form

GROUP = "explore"


def build_explore(core: Service) -> Form:
    """Lay out the tab and wire it; its parts, for the other tabs and for links."""
    with gr.Row(equal_height=False, elem_classes="hcl-main"):
        with gr.Column(scale=1, min_width=310, elem_classes="hcl-controls"):
            form = build_form(core)
        with gr.Column(scale=4, min_width=320, elem_classes="hcl-results"):
            _results(form.parts)
    form.parts["shown"] = gr.State(None)
    _wire_form(core, form)
    _wire_results(core, form)
    return form


def _results(parts: dict[str, Any]) -> None:
    say = labels()
    parts["headline"] = gr.HTML("", elem_id="headline")
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
    with gr.Tabs():
        with gr.Tab(say("tab_columns")):
            parts["answers"] = AnswerColumns(elem_id="answers", group=GROUP)
        with gr.Tab(say("tab_river")), gr.Column(elem_classes="hcl-panel"):
            parts["river"] = LayerChart(elem_id="river", group=GROUP, label=say("chart_river"))
        with gr.Tab(say("tab_numbers")):
            parts["numbers"] = gr.HTML("", elem_id="numbers")
    parts["detail"] = gr.HTML("", elem_id="detail")
    parts["link"] = LinkBox(elem_id="link")


def _wire_form(core: Service, form: Form) -> None:
    """A question is searched, taken over, shown where it is stored; the prompt and the cost follow the form."""
    parts = form.parts
    every_part = [part for name, part in parts.items() if name not in ("balance", "scaling", "more")]
    balance = [parts[name] for name in ("balance", "scaling", "more")]

    def search(words: Translator, visitor: str, set_name: str, text: str) -> Parts:
        return questions.search(words, core, visitor, set_name, text)

    def take(
        words: Translator, visitor: str, set_name: str, question_id: str, run_id: str | None, *weighed: Any
    ) -> Parts:
        taken = questions.take(words, core, visitor, set_name, question_id)
        return taken | (show_question(words, taken["question"], run_id, *weighed) if "question" in taken else {})

    def show_question(words: Translator, question: str, run_id: str | None, *weighed: Any) -> Parts:
        choices = handlers.run_choices(core, question)
        ids = [each for _, each in choices]
        chosen = run_id if run_id in ids else next(iter(ids), None)
        info = words("stored_info" if ids else "no_stored_info")
        found: Parts = {"stored_run": gr.update(choices=choices, value=chosen, info=info)}
        return found | (handlers.show_question(words, core, chosen, question, *weighed) if chosen else {})

    def show_run(words: Translator, _: str, run_id: str | None, question: str, *weighed: Any) -> Parts:
        return handlers.show_question(words, core, run_id, question, *weighed) if run_id else {}

    finding = [parts["set"], parts["search"]]
    found = [parts["hits"], parts["found"]]
    gr.on([parts["search"].change], on_page(parts, search), finding, found, trigger_mode="always_last", **QUIET)
    gr.on([parts["set"].change], on_page(parts, search), finding, found, **QUIET)
    taking = [parts["set"], parts["hits"], parts["stored_run"], *balance]
    parts["hits"].input(on_page(parts, take), taking, every_part, **QUIET)
    parts["stored_run"].input(
        on_page(parts, show_run), [parts["stored_run"], parts["question"], *balance], every_part, **QUIET
    )
    loaded = [parts["set"], parts["found"]]
    parts["file"].upload(
        on_page(parts, lambda words, visitor, file: questions.load_file(words, core, visitor, file)),
        parts["file"], loaded, show_progress="minimal", api_visibility="private",
    )  # fmt: skip
    gr.on(
        [parts["load"].click, parts["set_name"].submit],
        on_page(parts, lambda words, visitor, name: questions.load_named(words, core, visitor, name)),
        parts["set_name"], loaded, show_progress="minimal", api_visibility="private",
    )  # fmt: skip
    _wire_settings(core, form)


def _wire_settings(core: Service, form: Form) -> None:
    parts = form.parts

    def fit_layers(name: Any) -> list[Any]:
        layers = num_hidden_layers(name) if isinstance(name, str) else None
        if layers is None:  # not known before it is loaded; the run will say if a layer does not exist
            return [gr.update(maximum=None)] * 3
        return [
            gr.update(value=layers // 2 + 1, maximum=layers),
            gr.update(value=layers, maximum=layers),
            gr.update(maximum=layers),
        ]

    def estimate(words: Translator, _: str, *controls: Any) -> Parts:
        return handlers.estimate(words, core, *controls)

    def preview(words: Translator, _: str, model: str, question: str, template: str) -> Parts:
        return handlers.preview(words, core, model, question, template)

    layers = [parts[name] for name in ("first_layer", "last_layer", "every")]
    parts["model"].change(fit_layers, parts["model"], layers, **QUIET)
    changes = [parts[name].change for name in NAMES if name not in ("question", "accepted", "judge", "seed")]
    gr.on(changes, on_page(parts, estimate), form.controls, parts["estimate"], trigger_mode="always_last", **QUIET)
    prompt = [parts[name] for name in ("model", "question", "template")]
    gr.on(
        [each.change for each in prompt],
        on_page(parts, preview), prompt, parts["prompt"], trigger_mode="always_last", **QUIET,
    )  # fmt: skip


def _wire_results(core: Service, form: Form) -> None:
    """Run, Stop, the balance, and a layer that is chosen on a chart or a column."""
    parts = form.parts
    balance = [parts[name] for name in ("balance", "scaling", "more")]
    results = [
        parts[name]
        for name in ("headline", "chart", "answers", "river", "numbers", "detail", "link", "shown", "status")
    ]

    def explore(words: Translator, visitor: str, *values: Any) -> Iterator[Parts]:
        """Sample, judge and score answers at every exit layer of a model, for one question.

        The last update has the headline, a Plotly figure by exit layer, the answers as HTML, and the run's id.
        """
        yield from handlers.explore(words, core, visitor, *values)

    def rebalance(words: Translator, visitor: str, shown: Any, *weighed: Any) -> Parts:
        return handlers.rebalance(words, core, visitor, shown, *weighed)

    def choose(words: Translator, visitor: str, event: gr.EventData, shown: Any, *weighed: Any) -> Parts:
        return handlers.choose_layer(words, core, visitor, shown, getattr(event, "layer", None), *weighed)

    wire_run(core, parts, explore, [*balance, *form.controls], results, "explore")
    weighed = [parts[name] for name in ("headline", "chart", "numbers", "link", "status")]
    inputs = [parts["shown"], *balance]
    moved = [parts["balance"].input, parts["scaling"].input]
    gr.on(moved, on_page(parts, rebalance), inputs, weighed, trigger_mode="always_last", **QUIET)
    parts["more"].input(on_page(parts, rebalance), inputs, weighed, trigger_mode="always_last", **SLOW)
    for name in ("chart", "river", "answers"):
        parts[name].choose(
            on_choice(parts, choose),
            [parts["shown"], parts["balance"], parts["scaling"]],
            [parts[each] for each in ("detail", "shown", "link", "status")],
            trigger_mode="always_last",
            **QUIET,
        )
