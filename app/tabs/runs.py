"""Runs: everything stored, with its manifest; open, export, bring in, delete with a way back."""

from typing import Any

import gradio as gr

from app.components import LayerChart, LinkBox
from app.handlers import runs as handlers
from app.handlers.tables import headed_runs
from app.language import Translator, labels
from app.service import Service
from app.tabs.base import QUIET, on_page, placed
from app.views.runs import COLUMNS

_ALL = (
    "rows", "chosen", "manifest", "chart", "link", "open", "export", "delete", "confirm", "undo", "deleted", "file",
    "status",
)  # fmt: skip
# The browser draws the chart, and the browser saves it.
_SAVE_PNG = """() => {
  const chart = document.querySelector("#run-curves .hcl-chart");
  const picture = { format: "png", filename: "hcl-run", scale: 2, width: 1200, height: 480 };
  if (chart && chart.data) Plotly.downloadImage(chart, picture);
}"""
# Reads of a whole run or writes of a file: off the page's quick lane, but not in the model's line.
_WORK = {"show_progress": "minimal", "api_visibility": "private"}


def build_runs(core: Service, tab: gr.Tab) -> dict[str, Any]:
    """Lay out the tab and wire it; its parts."""
    say = labels()
    parts: dict[str, Any] = {"chosen": gr.State(None), "deleted": gr.State(None)}
    parts["rows"] = gr.Dataframe(
        headers=list(COLUMNS),
        column_count=len(COLUMNS),
        interactive=False,
        label=say("label_stored_runs"),
        max_height=340,
        elem_id="run-rows",
    )
    with gr.Row(equal_height=False, elem_classes="hcl-main"):
        with gr.Column(scale=1, min_width=310, elem_classes="hcl-controls"):
            _controls(core, parts)
        with gr.Column(scale=4, min_width=320, elem_classes="hcl-results"):
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
    def with_run(handler: Any) -> Any:
        return on_page(parts, lambda words, _, *values: headed_runs(words, handler(words, core, *values)))

    def choose(event: gr.SelectData, request: gr.Request) -> Any:
        words = Translator.of(request)
        run_id = event.row_value[0] if isinstance(event.row_value, list) and event.row_value else ""
        return placed(parts, handlers.choose(words, core, run_id))

    everything = [parts[name] for name in _ALL]
    chosen = parts["chosen"]
    tab.select(with_run(handlers.open_list), chosen, everything, **QUIET)
    parts["rows"].select(choose, None, everything, **QUIET)
    parts["export"].click(
        with_run(handlers.export_run), [chosen, parts["format"]], [parts["file"], parts["status"]], **_WORK
    )
    parts["delete"].click(with_run(handlers.ask), chosen, [parts["confirm"], parts["status"]], **QUIET)
    parts["no"].click(
        on_page(parts, lambda words, _: handlers.keep(words)), None, [parts["confirm"], parts["status"]], **QUIET
    )
    parts["yes"].click(with_run(handlers.delete), chosen, everything, **QUIET)
    parts["undo"].click(with_run(handlers.undo), parts["deleted"], everything, **QUIET)
    parts["upload"].upload(with_run(handlers.open_file), parts["upload"], everything, **_WORK)
    gr.on([parts["load"].click, parts["path"].submit], with_run(handlers.open_path), parts["path"], everything, **_WORK)
