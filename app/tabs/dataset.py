"""Data set: many questions with the settings of Explore; a row opens its question there."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from app.components import LayerChart, LinkBox
from app.handlers import dataset as handlers
from app.handlers.base import Parts
from app.handlers.tables import headed_questions
from app.language import Translator, labels
from app.service import Service
from app.tabs.base import QUIET, balance_controls, on_page, placed, wire_run
from app.tabs.form import Form
from app.views.questions import COLUMNS

_RESULTS = ("headline", "chart", "rows", "link", "status", "shown")


def build_dataset(core: Service, tab: gr.Tab, tabs: gr.Tabs, form: Form) -> dict[str, Any]:
    """Lay out the tab and wire it; its parts."""
    parts: dict[str, Any] = {"shown": gr.State(None)}
    with gr.Row(equal_height=False, elem_classes="hcl-main"):
        with gr.Column(scale=1, min_width=310, elem_classes="hcl-controls"):
            _controls(core, parts)
        with gr.Column(scale=4, min_width=320, elem_classes="hcl-results"):
            _results(parts)
    _wire(core, tab, form, parts)
    _wire_rows(core, tabs, form, parts)
    return parts


def _controls(core: Service, parts: dict[str, Any]) -> None:
    say = labels()
    runs = handlers.set_run_choices(core)
    parts["stored_run"] = gr.Dropdown(
        runs, value=runs[0][1] if runs else None, label=say("label_stored_set"), info=say("info_stored_set")
    )
    parts["set"] = gr.Dropdown(["starter"], value="starter", label=say("label_set"), info=say("info_set"))
    with gr.Row():
        parts["limit"] = gr.Number(10, label=say("label_limit"), minimum=1, precision=0, min_width=90)
        parts["shuffle"] = gr.Number(0, label=say("label_shuffle"), minimum=0, precision=0, min_width=90)
        parts["min_answers"] = gr.Number(1, label=say("label_min_answers"), minimum=1, precision=0, min_width=90)
    gr.HTML(say("note_set_settings"), elem_classes="hcl-note")
    with gr.Column(elem_classes="hcl-run"):
        with gr.Row():
            parts["run"] = gr.Button(say("button_run_set"), variant="primary", size="lg", scale=2, min_width=120)
            parts["stop"] = gr.Button(say("button_stop"), size="lg", scale=1, min_width=80, interactive=False)
        parts["status"] = gr.HTML("", elem_id="set-status")


def _results(parts: dict[str, Any]) -> None:
    say = labels()
    parts["headline"] = gr.HTML("", elem_id="set-headline")
    with gr.Column(elem_classes="hcl-panel"):
        parts["chart"] = LayerChart(elem_id="set-curves", label=say("chart_curves"))
        with gr.Row(elem_classes="hcl-balance"):
            parts |= balance_controls()
    parts["rows"] = gr.Dataframe(
        headers=list(COLUMNS),
        datatype=["str", "number", "number", "number", "number", "str"],
        column_count=len(COLUMNS),
        interactive=False,
        label=say("label_rows"),
        max_height=460,
        wrap=True,
        column_widths=["380px", "110px", "120px", "110px", "130px", "190px"],
        elem_id="set-rows",
    )
    parts["link"] = LinkBox()


def _wire(core: Service, tab: gr.Tab, form: Form, parts: dict[str, Any]) -> None:
    def show(words: Translator, _: str, run_id: str | None, *weighed: Any) -> Parts:
        return headed_questions(words, handlers.show_run(words, run_id, *weighed)) if run_id else {}

    def open_tab(words: Translator, visitor: str, seen: Any, run_id: str | None, *weighed: Any) -> Parts:
        choices = handlers.set_run_choices(core)
        listed: Parts = {
            "stored_run": gr.update(choices=choices),
            "set": gr.update(choices=core.sets.names(visitor)),
        }
        return listed | ({} if seen or not run_id else show(words, visitor, run_id, *weighed))

    def run_set(words: Translator, visitor: str, *values: Any) -> Iterator[Parts]:
        """Ask every question of a selection at every exit layer; the curve over all of them grows with each."""
        for given in handlers.run_set(words, core, visitor, *values):
            yield headed_questions(words, given)

    def rebalance(words: Translator, visitor: str, shown: Any, *weighed: Any) -> Parts:
        return handlers.rebalance_set(words, core, visitor, shown, *weighed)

    results = [parts[name] for name in _RESULTS]
    weighed = [parts["balance"], parts["scaling"]]
    listed = [parts["stored_run"], parts["set"]]
    tab.select(on_page(parts, open_tab), [parts["shown"], parts["stored_run"], *weighed], [*listed, *results], **QUIET)
    parts["stored_run"].input(on_page(parts, show), [parts["stored_run"], *weighed], results, **QUIET)
    choice = [parts[name] for name in ("set", "limit", "shuffle", "min_answers")]
    wire_run(core, parts, run_set, [*weighed, *choice, *form.controls], results, "run_set")
    gr.on(
        [each.input for each in weighed],
        on_page(parts, rebalance), [parts["shown"], *weighed],
        [parts[name] for name in ("headline", "chart", "link", "status")], trigger_mode="always_last", **QUIET,
    )  # fmt: skip


def _wire_rows(core: Service, tabs: gr.Tabs, form: Form, parts: dict[str, Any]) -> None:
    """A row opens its question in Explore."""
    theirs = form.parts | {"tabs": tabs}
    results = ("headline", "chart", "answers", "river", "numbers", "detail", "link", "shown", "status")
    outputs = [theirs[name] for name in (*results, "question", "accepted", "stored_run", "tabs")]

    def open_question(event: gr.SelectData, request: gr.Request, shown: Any, *weighed: Any) -> Any:
        words = Translator.of(request)
        question_id = event.row_value[-1] if isinstance(event.row_value, list) and event.row_value else None
        given = handlers.open_question(words, core, request.session_hash or "", shown, question_id, *weighed)
        return placed(theirs, given)

    inputs = [parts["shown"], *(form.parts[name] for name in ("balance", "scaling", "more"))]
    parts["rows"].select(open_question, inputs, outputs, **QUIET)
