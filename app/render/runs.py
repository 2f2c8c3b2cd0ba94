"""What is stored, on the tab Runs."""

from pathlib import Path

import gradio as gr

from app.figures.curves import layer_curves
from app.handlers.links import Link
from app.handlers.run_list import MOST_ROWS, RunPage
from app.handlers.runs import OpenedRun, RenamedRun, RunResult
from app.language import Translator
from app.library import StoredRun
from app.messages import Message
from app.render import Parts
from app.render.tables import table
from app.run_names import head_name, model_name
from app.views.base import note, status_line, without_paths
from app.views.headline import left_out_note
from app.views.program_code import run_programs
from app.views.runs import COLUMNS, link_box, manifest_view, rows_shown, run_rows
from app.views.share import programs_box
from app.views.verdicts import own_elsewhere


def list_parts(page: RunPage, words: Translator) -> Parts:
    """A page of the list, what can be filtered by, and where it stands; with one page there is nothing to turn."""
    values = {"first": page.first + 1, "last": page.first + len(page.runs), "all": words.count(page.num_runs)}
    is_turned = page.num_runs > MOST_ROWS
    rows = run_rows(page.runs, words)
    return {
        "found": note(_found(page, words)),
        "model": gr.update(choices=[(words("any_model"), ""), *((model_name(each), each) for each in page.models)]),
        "head": gr.update(choices=[(words("any_head"), ""), *((head_name(each, words), each) for each in page.heads)]),
        "rows": table(COLUMNS, rows, words, rows_shown(rows, page.runs, words)),
        "page": page.number,
        "position": note(words("runs_shown", **values)) if is_turned else "",
        "pages": gr.update(visible=is_turned),
        "earlier": gr.update(interactive=page.number > 0),
        "later": gr.update(interactive=page.has_next),
    }


def _found(page: RunPage, words: Translator) -> str:
    """How many runs there are; where there is none, what to do."""
    if not page.num_runs:
        return words("no_run_found" if page.num_all else "no_run_yet")
    if page.num_runs == page.num_all:
        return words.plural("runs", page.num_all)
    return words.plural("runs_of", page.num_all, found=words.count(page.num_runs))


def run_parts(result: RunResult, words: Translator) -> Parts:
    """A run's manifest and its curve; the buttons do what can be done with it."""
    run_id = result.run.manifest.id
    return {
        "chosen": run_id,
        "name": gr.update(value=result.run.title.name, interactive=True),
        "note": gr.update(value=result.run.title.note, interactive=True),
        "keep": gr.update(interactive=True),
        "manifest": _manifest(result, words),
        "link": link_box(Link("runs", run_id).query(), words) + _programs(result, words),
        "open": gr.update(interactive=result.run.manifest.finished_at is not None or result.scored is not None),
        "export": gr.update(interactive=True),
        "delete": gr.update(interactive=result.may_delete),
        "confirm": gr.update(visible=False),
        "file": gr.update(value=None, visible=False),
        "status": _status(result, words),
        "chart": layer_curves(result.scored, words) if result.scored else None,
    }


def _programs(result: RunResult, words: Translator) -> str:
    """Of a run that has scores: endpoints have no others."""
    return programs_box(run_programs(result.run.manifest.id), words) if result.scored else ""


def _manifest(result: RunResult, words: Translator) -> str:
    notes = (own_elsewhere(result.num_own, words), left_out_note(result.num_bad_parts, words))
    return manifest_view(result.run, words, words.sentences(notes))


def renamed_parts(renamed: RenamedRun, chosen: str | None, runs: RunPage, words: Translator) -> Parts:
    """A run has another title, and its old one can be taken back.

    Args:
        renamed: The run.
        chosen: Id of the run on screen; another one stays there.
        runs: The list.
        words: The page's.
    """
    run, before = renamed.result.run, renamed.before
    run_id = run.manifest.id
    shown = {"name": run.title.name, "note": run.title.note, "manifest": _manifest(renamed.result, words)}
    return (
        list_parts(runs, words)
        | (shown if chosen == run_id else {})
        | {
            "title_before": (run_id, before.name, before.note),
            "title_undo": gr.update(visible=True),
            "status": status_line(Message("title_kept", {"run": run.title.name or run_id}), words),
        }
    )


def unchanged_parts(words: Translator) -> Parts:
    """The run is called so already."""
    return {"status": status_line(Message("title_same"), words)}


def _status(result: RunResult, words: Translator) -> str:
    if result.run.manifest.finished_at is None:
        return status_line(Message("run_unfinished"), words)
    if result.scored is None:
        return note(without_paths(words.error(result.problem)))
    if result.may_delete:
        return note("")
    return status_line(Message("shipped_stays" if result.run.is_shipped else "public_keeps"), words)


def opened_parts(opened: OpenedRun, runs: RunPage, words: Translator) -> Parts:
    """A run that was brought in, and the list with it."""
    run_id = opened.result.run.manifest.id
    message = Message(f"opened_{opened.outcome}", {"run": run_id})
    parts = list_parts(runs, words) | run_parts(opened.result, words) | {"status": status_line(message, words)}
    # All runs are listed, so that the new one is seen.
    return parts | {"search": "", "kind": ""} | {name: parts[name] | {"value": ""} for name in ("model", "head")}


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
        "deleted": run.manifest.id,
        "chosen": None,
        "name": gr.update(value="", interactive=False),
        "note": gr.update(value="", interactive=False),
        "keep": off,
        "title_undo": gr.update(visible=False),
        "manifest": "",
        "chart": None,
        "link": "",
        "open": off,
        "export": off,
        "delete": off,
        "status": status_line(Message("deleted", {"run": run.manifest.id}), words),
    }


def restored_parts(run_id: str, runs: RunPage, words: Translator) -> Parts:
    """A run is back."""
    message = Message("restored", {"run": run_id})
    return list_parts(runs, words) | {"undo": gr.update(visible=False), "status": status_line(message, words)}
