"""Runs: everything stored, with its manifest; open, export, bring in, delete with a way back."""

from functools import partial
from typing import Any

import gradio as gr

from app.components import LayerChart, LinkBox
from app.handlers import runs as handlers
from app.language import labels
from app.render import Parts
from app.render import runs as render
from app.service import Service
from app.tabs.base import FILES, QUIET, Binder, controls_column, main_row, results_column
from app.views.runs import COLUMNS
from app.visit import Visit

_PAGE = ("rows", "page", "position", "pages", "earlier", "later")
_ALL = (
    *_PAGE, "chosen", "manifest", "chart", "link", "open", "export", "delete", "confirm", "undo", "deleted", "file",
    "status",
)  # fmt: skip
# The browser draws the chart, and the browser saves it.
_SAVE_PNG = """() => {
  const chart = document.querySelector("#run-curves .hcl-chart");
  const picture = { format: "png", filename: "hcl-run", scale: 2, width: 1200, height: 480 };
  if (chart && chart.data) Plotly.downloadImage(chart, picture);
}"""


def build_runs(core: Service, tab: gr.Tab) -> dict[str, Any]:
    """Lay out the tab and wire it; its parts."""
    say = labels()
    parts: dict[str, Any] = {"chosen": gr.State(None), "deleted": gr.State(None), "page": gr.State(0)}
    parts["rows"] = gr.Dataframe(
        headers=list(COLUMNS),
        column_count=len(COLUMNS),
        interactive=False,
        label=say("label_stored_runs"),
        max_height=340,
        elem_id="run-rows",
    )
    with gr.Row(visible=False) as pages:
        parts["position"] = gr.HTML("", min_width=160)
        parts["earlier"] = gr.Button(say("button_page_before"), size="sm", scale=0, min_width=120)
        parts["later"] = gr.Button(say("button_page_after"), size="sm", scale=0, min_width=120)
    parts["pages"] = pages
    with main_row():
        with controls_column():
            _controls(core, parts)
        with results_column():
            parts["manifest"] = gr.HTML("", elem_id="manifest")
            with gr.Column(elem_classes="hcl-panel"):
                parts["chart"] = LayerChart(elem_id="run-curves", label=say("chart_curves"))
            parts["link"] = LinkBox()
    _wire(core, tab, parts)
    return parts


def _controls(core: Service, parts: dict[str, Any]) -> None:
    say = labels()
    parts["status"] = gr.HTML(say("choose_run"), elem_id="run-status", elem_classes="hcl-note")
    parts["open"] = gr.Button(say("button_open"), variant="primary", interactive=False)
    parts["format"] = gr.Radio(
        [(say(f"format_{name}"), name) for name in handlers.FORMATS], value="zip", label=say("label_format"),
    )  # fmt: skip
    parts["export"] = gr.Button(say("button_export"), interactive=False)
    gr.Button(say("button_png"), elem_id="save-png").click(None, js=_SAVE_PNG, **QUIET)
    parts["file"] = gr.File(label=say("label_file"), visible=False, interactive=False)
    parts["delete"] = gr.Button(say("button_delete"), interactive=False)
    with gr.Row(visible=False) as confirm:
        parts["yes"] = gr.Button(say("button_delete_yes"), variant="stop", min_width=100)
        parts["no"] = gr.Button(say("button_keep"), min_width=100)
    parts["confirm"] = confirm
    parts["undo"] = gr.Button(say("button_undo"), visible=False)
    with gr.Accordion(say("label_open_from_disk"), open=False):
        if core.is_public:
            gr.HTML(say("note_public_runs"), elem_classes="hcl-note")
        parts["upload"] = gr.UploadButton(
            say("button_upload_run"), file_types=[".zip"], size="sm", interactive=not core.is_public
        )
        parts["path"] = gr.Textbox(label=say("label_path"), max_lines=1, interactive=not core.is_public)
        parts["load"] = gr.Button(say("button_open_path"), size="sm", interactive=not core.is_public)


def _wire(core: Service, tab: gr.Tab, parts: dict[str, Any]) -> None:
    bind, everything, chosen = Binder(core, parts), [parts[name] for name in _ALL], parts["chosen"]
    tab.select(bind(_open_tab), chosen, everything, **QUIET)
    turned = [parts[name] for name in (*_PAGE, "status")]
    for name, step in (("earlier", -1), ("later", 1)):
        parts[name].click(bind(partial(_turn, step=step)), parts["page"], turned, **QUIET)
    parts["rows"].select(bind.on_choice(_choose), None, everything, **QUIET)
    file, confirm = [parts["file"], parts["status"]], [parts["confirm"], parts["status"]]
    parts["export"].click(bind(_export), [chosen, parts["format"]], file, **FILES)
    parts["delete"].click(
        bind(lambda visit, run_id: render.confirm_parts(run_id, visit.words)), chosen, confirm, **QUIET
    )
    parts["no"].click(bind(lambda visit: render.kept_parts(visit.words)), None, confirm, **QUIET)
    parts["yes"].click(bind(_delete), chosen, everything, **QUIET)
    parts["undo"].click(bind(_undo), parts["deleted"], everything, **QUIET)
    parts["upload"].upload(bind(_open_file), parts["upload"], everything, **FILES)
    gr.on([parts["load"].click, parts["path"].submit], bind(_open_path), parts["path"], everything, **FILES)


def _open_tab(visit: Visit, chosen: str | None) -> Parts:
    """The list, and the first run of it where none is chosen yet."""
    runs = handlers.list_runs(visit)
    listed = render.list_parts(runs, visit.words)
    if chosen or not runs.runs:
        return listed
    return listed | render.run_parts(handlers.show(visit, runs.runs[0].manifest.run_id), visit.words)


def _turn(visit: Visit, page: int | None, step: int) -> Parts:
    return render.list_parts(handlers.list_runs(visit, (page or 0) + step), visit.words)


def _choose(visit: Visit, event: gr.EventData) -> Parts:
    row = getattr(event, "row_value", None)
    run_id = row[0] if isinstance(row, list) and row else ""
    return render.run_parts(handlers.show(visit, str(run_id)), visit.words)


def _export(visit: Visit, run_id: str | None, kind: str) -> Parts:
    return render.exported_parts(handlers.export_run(visit, run_id, kind), visit.words)


def _delete(visit: Visit, run_id: str | None) -> Parts:
    run = handlers.delete(visit, run_id)
    return render.deleted_parts(run, handlers.list_runs(visit), visit.words)


def _undo(visit: Visit, run_id: str | None) -> Parts:
    handlers.undo(visit, run_id)
    return render.restored_parts(run_id or "", handlers.list_runs(visit), visit.words)


def _open_file(visit: Visit, file: str | None) -> Parts:
    return _opened(visit, handlers.open_file(visit, file)) if file else {}


def _open_path(visit: Visit, path: str | None) -> Parts:
    return _opened(visit, handlers.open_path(visit, path or ""))


def _opened(visit: Visit, opened: handlers.OpenedRun) -> Parts:
    return render.opened_parts(opened, handlers.list_runs(visit), visit.words)
