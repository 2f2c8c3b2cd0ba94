"""Data set: many questions with the settings of Explore; a row opens its question there."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

import gradio as gr

from app.components import LayerChart, LinkAndPrograms
from app.handlers import dataset as handlers
from app.handlers.dataset import SetChoice, ShownSet
from app.handlers.form import Form, by_name
from app.inputs import ListedChoice, number_of
from app.language import Translator, labels
from app.messages import Message
from app.render import Parts
from app.render import dataset as render
from app.render.explore import OPENED_PARTS, opened_parts
from app.service import Service
from app.tabs.base import (
    QUIET,
    Binder,
    balance_controls,
    controls_column,
    main_row,
    results_column,
    run_buttons,
    wire_run,
)
from app.tabs.form import FormControls
from app.views.base import status_line
from app.views.questions import COLUMNS
from app.visit import Balance, Visit

_RESULTS = ("headline", "chart", "rows", "link", "status", "shown")


def build_dataset(core: Service, tab: gr.Tab, tabs: gr.Tabs, form: FormControls) -> dict[str, Any]:
    """Lay out the tab and wire it; its parts."""
    parts: dict[str, Any] = {"shown": gr.State(None)}
    with main_row():
        with controls_column():
            _controls(core, parts)
        with results_column():
            _results(parts)
    _wire(core, tab, form, parts)
    _wire_rows(core, tabs, form, parts)
    return parts


def _controls(core: Service, parts: dict[str, Any]) -> None:
    say = labels()
    runs = handlers.run_choices(core, Translator())
    parts["stored_run"] = ListedChoice(
        runs, value=runs[0][1] if runs else None, label=say("label_stored_set"), info=say("info_stored_set")
    )
    parts["set"] = ListedChoice(["starter"], value="starter", label=say("label_set"), info=say("info_set"))
    with gr.Row(elem_classes="hcl-fields"):
        parts["limit"] = number_of(handlers.NUMBERS["limit"], 10, min_width=90)
        parts["shuffle"] = number_of(handlers.NUMBERS["shuffle"], 0, min_width=90)
        parts["min_answers"] = number_of(handlers.NUMBERS["min_answers"], 1, min_width=90)
    gr.HTML(say("note_set_settings"), elem_classes="hcl-note")
    with gr.Column(elem_classes="hcl-run"):
        run_buttons(parts, "button_run_set", "set-status")


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
    parts["link"] = LinkAndPrograms()


def _wire(core: Service, tab: gr.Tab, form: FormControls, parts: dict[str, Any]) -> None:
    def show_stored(visit: Visit, run_id: str | None, *weighed: Any) -> Parts:
        if not run_id:
            return {}
        result = handlers.show(visit, ShownSet(run_id), Balance.from_controls(*weighed))
        return render.stored_parts(result, visit.words)

    def open_tab(visit: Visit, shown: ShownSet | None, run_id: str | None, *weighed: Any) -> Parts:
        listed: Parts = {
            "stored_run": gr.update(choices=handlers.run_choices(core, visit.words)),
            "set": gr.update(choices=core.sets.names(visit.visitor)),
        }
        return listed | ({} if shown else show_stored(visit, run_id, *weighed))

    def run_set(visit: Visit, creativity: Any, scaling: Any, *values: Any) -> Generator[Parts, None, None]:
        """Ask every question of a selection at every exit layer; the curve over all of them grows with each."""
        choice = SetChoice.from_controls(*values[: len(chosen)])
        form = Form.from_controls(by_name(values[len(chosen) :]))
        with closing(handlers.run(visit, choice, form, Balance.from_controls(creativity, scaling))) as updates:
            for update in updates:
                yield render.update_parts(update, visit.words)

    def rebalance(visit: Visit, shown: ShownSet | None, *weighed: Any) -> Parts:
        if not shown:
            return {}
        return render.weighed_parts(handlers.show(visit, shown, Balance.from_controls(*weighed)), visit.words)

    bind = Binder(core, parts)
    results = [parts[name] for name in _RESULTS]
    weighed = [parts["balance"], parts["scaling"]]
    listed = [parts["stored_run"], parts["set"]]
    tab.select(bind(open_tab), [parts["shown"], parts["stored_run"], *weighed], [*listed, *results], **QUIET)
    parts["stored_run"].input(bind(show_stored), [parts["stored_run"], *weighed], results, **QUIET)
    chosen = [parts[name] for name in ("set", "limit", "shuffle", "min_answers")]
    wire_run(bind, parts, run_set, [*weighed, *chosen, *form.controls], results, "run_set")
    moved = [each.input for each in weighed]
    changed = [parts[name] for name in ("headline", "chart", "link", "status")]
    gr.on(moved, bind(rebalance), [parts["shown"], *weighed], changed, trigger_mode="always_last", **QUIET)


def _wire_rows(core: Service, tabs: gr.Tabs, form: FormControls, parts: dict[str, Any]) -> None:
    """A row opens its question in Explore."""
    explore = form.parts | {"tabs": tabs}

    def open_row(visit: Visit, event: gr.EventData, shown: ShownSet | None, *weighed: Any) -> Parts:
        row = getattr(event, "row_value", None)
        question_id = row[-1] if isinstance(row, list) and row else None
        if not shown or not isinstance(question_id, str):
            return {}
        opened = handlers.open_row(visit, shown, question_id, Balance.from_controls(*weighed))
        return opened_parts(opened, visit.words) | {
            "tabs": gr.Tabs(selected="explore"),
            "status": status_line(Message("opened_from_set"), visit.words),
        }

    outputs = [explore[name] for name in (*OPENED_PARTS, "status", "tabs")]
    inputs = [parts["shown"], *(form.parts[name] for name in ("balance", "scaling", "more"))]
    parts["rows"].select(Binder(core, explore).on_choice(open_row), inputs, outputs, **QUIET)
