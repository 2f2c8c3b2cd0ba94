"""Runs: everything stored, with its manifest; open, export, bring in, delete with a way back."""

from functools import partial
from typing import Any

import gradio as gr

from app.components import LayerChart, LinkAndPrograms
from app.handlers import run_list
from app.handlers import runs as handlers
from app.handlers.run_list import RunFilter, RunPage
from app.inputs import ListedChoice
from app.language import labels
from app.render import Parts
from app.render import runs as render
from app.service import Service
from app.tabs.base import FILES, QUIET, Binder, controls_column, main_row, results_column
from app.views.runs import COLUMNS
from app.visit import Visit
from hcl_core.runs.titles import MAX_NAME, MAX_NOTE

_FILTER = ("search", "model", "head", "kind")
_PAGE = ("rows", "page", "position", "pages", "earlier", "later", "found", "model", "head")
_TITLE = ("name", "note")
# What the page may change of this tab when it opens.
OPENING = (
    *_PAGE, *_TITLE, "keep", "chosen", "manifest", "chart", "link", "open", "export", "delete", "status",
)  # fmt: skip
_ALL = (
    *OPENING, "search", "kind", "title_undo", "title_before", "confirm", "undo", "deleted", "file",
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
    parts["title_before"] = gr.State(None)
    _filter(parts)
    parts["rows"] = gr.Dataframe(
        headers=list(COLUMNS),
        column_count=len(COLUMNS),
        interactive=False,
        label=say("label_stored_runs"),
        datatype=["str", "str", "str", "number", "str", "str"],
        max_height=340,
        wrap=True,
        column_widths=["430px", "230px", "165px", "165px", "165px", "215px"],
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
            parts["link"] = LinkAndPrograms()
    _wire(core, tab, parts)
    return parts


def _filter(parts: dict[str, Any]) -> None:
    say = labels()
    with gr.Row(elem_classes="hcl-run-filter"):
        parts["search"] = gr.Textbox(
            label=say("label_find_run"), placeholder=say("placeholder_find_run"), max_lines=1, scale=2, min_width=200
        )
        for name, first in (("model", "any_model"), ("head", "any_head")):
            parts[name] = ListedChoice(
                [(say(first), "")], value="", label=say(f"column_{name}"), min_width=140, filterable=False
            )
        kinds = [("any_kind", ""), *((kind, kind) for kind in run_list.KINDS)]
        parts["kind"] = gr.Dropdown(
            [(say(key), kind) for key, kind in kinds], value="", label=say("column_kind"), min_width=140,
            filterable=False,
        )  # fmt: skip
    parts["found"] = gr.HTML("", elem_id="runs-found")


def _title(core: Service, parts: dict[str, Any]) -> None:
    """The name and the note of the chosen run; nobody but the owner of the machine writes them."""
    say = labels()
    with gr.Column(visible=not core.is_public, elem_classes="hcl-run-title"):
        parts["name"] = gr.Textbox(
            label=say("label_run_name"), placeholder=say("placeholder_run_name"), max_lines=1, max_length=MAX_NAME,
            interactive=False,
        )  # fmt: skip
        parts["note"] = gr.Textbox(
            label=say("label_run_note"), info=say("info_run_note"), lines=2, max_lines=8, max_length=MAX_NOTE,
            interactive=False,
        )  # fmt: skip
        with gr.Row():
            parts["keep"] = gr.Button(say("button_keep_title"), size="sm", min_width=100, interactive=False)
            parts["title_undo"] = gr.Button(say("button_undo_title"), size="sm", min_width=100, visible=False)


def _controls(core: Service, parts: dict[str, Any]) -> None:
    say = labels()
    parts["status"] = gr.HTML(say("choose_run"), elem_id="run-status", elem_classes="hcl-note")
    parts["open"] = gr.Button(say("button_open"), variant="primary", interactive=False)
    _title(core, parts)
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
    wanted, title = [parts[name] for name in _FILTER], [parts[name] for name in _TITLE]
    tab.select(bind(_open_tab), [chosen, *wanted], everything, **QUIET)
    turned = [parts[name] for name in (*_PAGE, "status")]
    for name, step in (("earlier", -1), ("later", 1)):
        parts[name].click(bind(partial(_turn, step=step)), [parts["page"], *wanted], turned, **QUIET)
    # A text field's ``input`` misses what is pasted.
    moved = [parts["search"].change, *(parts[name].input for name in _FILTER[1:])]
    gr.on(moved, bind(_filter_rows), wanted, turned, trigger_mode="always_last", **QUIET)
    parts["rows"].select(bind.on_choice(_choose), [chosen, *title, *wanted], everything, **QUIET)
    gr.on([parts["keep"].click, parts["name"].submit], bind(_rename), [chosen, *title, *wanted], everything, **QUIET)
    parts["title_undo"].click(bind(_undo_title), [chosen, parts["title_before"], *wanted], everything, **QUIET)
    file, confirm = [parts["file"], parts["status"]], [parts["confirm"], parts["status"]]
    parts["export"].click(bind(_export), [chosen, parts["format"]], file, **FILES)
    parts["delete"].click(
        bind(lambda visit, run_id: render.confirm_parts(run_id, visit.words)), chosen, confirm, **QUIET
    )
    parts["no"].click(bind(lambda visit: render.kept_parts(visit.words)), None, confirm, **QUIET)
    parts["yes"].click(bind(_delete), [chosen, *wanted], everything, **QUIET)
    parts["undo"].click(bind(_undo), [parts["deleted"], *wanted], everything, **QUIET)
    parts["upload"].upload(bind(_open_file), parts["upload"], everything, **FILES)
    gr.on([parts["load"].click, parts["path"].submit], bind(_open_path), parts["path"], everything, **FILES)


def _listed(visit: Visit, wanted: tuple[Any, ...], page: int = 0) -> RunPage:
    return run_list.list_runs(visit, RunFilter.from_controls(*wanted), page)


def _open_tab(visit: Visit, chosen: str | None, *wanted: Any) -> Parts:
    """The list, and the first run of it where none is chosen yet."""
    runs = _listed(visit, wanted)
    listed = render.list_parts(runs, visit.words)
    if chosen or not runs.runs:
        return listed
    return listed | render.run_parts(handlers.show(visit, runs.runs[0].manifest.id), visit.words)


def _turn(visit: Visit, page: int | None, *wanted: Any, step: int) -> Parts:
    return render.list_parts(_listed(visit, wanted, (page or 0) + step), visit.words)


def _filter_rows(visit: Visit, *wanted: Any) -> Parts:
    return render.list_parts(_listed(visit, wanted), visit.words)


def _choose(visit: Visit, event: gr.EventData, chosen: str | None, name: Any, note: Any, *wanted: Any) -> Parts:
    """Another run; a name or note that was typed for the one before, and not kept yet, is kept."""
    row = getattr(event, "row_value", None)
    run_id = str(row[-1]) if isinstance(row, list) and row else ""
    parts = {}
    if chosen and not visit.service.is_public and (renamed := handlers.rename(visit, chosen, name, note)):
        parts = render.renamed_parts(renamed, run_id, _listed(visit, wanted), visit.words)
    return render.run_parts(handlers.show(visit, run_id), visit.words) | parts


def _rename(visit: Visit, chosen: str | None, name: Any, note: Any, *wanted: Any) -> Parts:
    renamed = handlers.rename(visit, chosen, name, note)
    if renamed is None:
        return render.unchanged_parts(visit.words)
    return render.renamed_parts(renamed, chosen, _listed(visit, wanted), visit.words)


def _undo_title(visit: Visit, chosen: str | None, before: Any, *wanted: Any) -> Parts:
    if not before:
        return {}
    renamed = handlers.rename(visit, *before)
    if renamed is None:
        return render.unchanged_parts(visit.words)
    return render.renamed_parts(renamed, chosen, _listed(visit, wanted), visit.words)


def _export(visit: Visit, run_id: str | None, kind: str) -> Parts:
    return render.exported_parts(handlers.export_run(visit, run_id, kind), visit.words)


def _delete(visit: Visit, run_id: str | None, *wanted: Any) -> Parts:
    run = handlers.delete(visit, run_id)
    return render.deleted_parts(run, _listed(visit, wanted), visit.words)


def _undo(visit: Visit, run_id: str | None, *wanted: Any) -> Parts:
    handlers.undo(visit, run_id)
    return render.restored_parts(run_id or "", _listed(visit, wanted), visit.words)


def _open_file(visit: Visit, file: str | None) -> Parts:
    return _opened(visit, handlers.open_file(visit, file)) if file else {}


def _open_path(visit: Visit, path: str | None) -> Parts:
    return _opened(visit, handlers.open_path(visit, path or ""))


def _opened(visit: Visit, opened: handlers.OpenedRun) -> Parts:
    return render.opened_parts(opened, run_list.list_runs(visit), visit.words)
