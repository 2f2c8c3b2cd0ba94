"""What is stored, on the tab Runs."""

from pathlib import Path

import gradio as gr

from app.figures.curves import layer_curves
from app.handlers.links import Link
from app.handlers.runs import MOST_ROWS, OpenedRun, RunPage, RunResult
from app.language import Translator
from app.library import StoredRun
from app.messages import Message
from app.render import Parts
from app.render.tables import table
from app.views.base import note, status_line, without_paths
from app.views.headline import left_out_note
from app.views.runs import COLUMNS, link_box, manifest_view, run_rows


def list_parts(page: RunPage, words: Translator) -> Parts:
    """A page of the list, and where it stands; with one page there is nothing to turn."""
    values = {"first": page.first + 1, "last": page.first + len(page.runs), "all": words.count(page.num_runs)}
    is_turned = page.num_runs > MOST_ROWS
    return {
        "rows": table(COLUMNS, run_rows(page.runs, words), words),
        "page": page.number,
        "position": note(words("runs_shown", **values)) if is_turned else "",
        "pages": gr.update(visible=is_turned),
        "earlier": gr.update(interactive=page.number > 0),
        "later": gr.update(interactive=page.has_next),
    }


def run_parts(result: RunResult, words: Translator) -> Parts:
    """A run's manifest and its curve; the buttons do what can be done with it."""
    run_id = result.run.manifest.run_id
    return {
        "chosen": run_id,
        "manifest": manifest_view(result.run, words, left_out_note(result.num_bad_parts, words)),
        "link": link_box(Link("runs", run_id).query(), words),
        "open": gr.update(interactive=result.run.manifest.finished_at is not None),
        "export": gr.update(interactive=True),
        "delete": gr.update(interactive=result.may_delete),
        "confirm": gr.update(visible=False),
        "file": gr.update(value=None, visible=False),
        "status": _status(result, words),
        "chart": layer_curves(result.scored, words) if result.scored else None,
    }


def _status(result: RunResult, words: Translator) -> str:
    if result.scored is None:
        return note(without_paths(result.problem))
    if result.may_delete:
        return note("")
    return status_line(Message("shipped_stays" if result.run.is_shipped else "public_keeps"), words)


def opened_parts(opened: OpenedRun, runs: RunPage, words: Translator) -> Parts:
    """A run that was brought in, and the list with it."""
    run_id = opened.result.run.manifest.run_id
    message = Message("opened" if opened.is_new else "opened_kept", {"run": run_id})
    return list_parts(runs, words) | run_parts(opened.result, words) | {"status": status_line(message, words)}


def exported_parts(file: Path, words: Translator) -> Parts:
    """A file to save."""
    message = Message("exported", {"size": file.stat().st_size / 1e6})
    return {"file": gr.update(value=str(file), visible=True), "status": status_line(message, words)}


def confirm_parts(run_id: str | None, words: Translator) -> Parts:
    """Before a run is deleted: the question, with its id in it."""
    message = Message("delete_really", {"run": run_id or ""})
    return {"confirm": gr.update(visible=True), "status": status_line(message, words)}


def kept_parts(words: Translator) -> Parts:
    """The run was not deleted."""
    return {"confirm": gr.update(visible=False), "status": status_line(Message("kept"), words)}


def deleted_parts(run: StoredRun, runs: RunPage, words: Translator) -> Parts:
    """A run is in the trash: nothing is chosen, and Undo is there."""
    off = gr.update(interactive=False)
    return list_parts(runs, words) | {
        "confirm": gr.update(visible=False),
        "undo": gr.update(visible=True),
        "deleted": run.manifest.run_id,
        "chosen": None,
        "manifest": "",
        "chart": None,
        "link": "",
        "open": off,
        "export": off,
        "delete": off,
        "status": status_line(Message("deleted", {"run": run.manifest.run_id}), words),
    }


def restored_parts(run_id: str, runs: RunPage, words: Translator) -> Parts:
    """A run is back."""
    message = Message("restored", {"run": run_id})
    return list_parts(runs, words) | {"undo": gr.update(visible=False), "status": status_line(message, words)}
