"""What is stored: list it, look at it, take it elsewhere, bring it back, throw it away and think again."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import gradio as gr

from app import library
from app.export import export_page
from app.figures.curves import layer_curves
from app.handlers.base import Parts, said, told
from app.language import Translator
from app.library import StoredRun
from app.service import Service
from app.views.base import status
from app.views.runs import link_box, manifest_view, run_rows
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.folders import runs_folder, user_path
from hcl_core.records import Weights
from hcl_core.runs import trash
from hcl_core.transfer import archive, export

FORMATS = ("zip", "csv", "scores", "html", "notebook")
# An export, before it is removed.
_KEPT_SECONDS = 3_600
_ENDINGS = {"zip": "zip", "csv": "csv", "scores": "scores.csv", "html": "html", "notebook": "ipynb"}


def list_runs(words: Translator, service: Service) -> Parts:
    """Every run that the visitor may see, unfinished ones too."""
    runs = library.stored_runs(with_own=not service.is_public)
    return {"rows": run_rows(runs, words)}


def open_list(words: Translator, service: Service, chosen: str | None) -> Parts:
    """The list, and the first run of it where none is chosen yet."""
    listed = list_runs(words, service)
    if chosen or not listed["rows"]:
        return listed
    return listed | choose(words, service, str(listed["rows"][0][0]))


@told("status")
def choose(words: Translator, service: Service, run_id: str) -> Parts:
    """A run's manifest and its curve; what can be done with it is ready."""
    run = _visible(service, run_id)
    may_delete = not (run.is_shipped or service.is_public)
    why_not = words("shipped_stays") if run.is_shipped else words("public_keeps")
    parts: Parts = {
        "chosen": run_id,
        "manifest": manifest_view(run, words),
        "link": link_box({"tab": "runs", "run": run_id}, words),
        "open": gr.update(interactive=run.manifest.finished_at is not None),
        "export": gr.update(interactive=True),
        "delete": gr.update(interactive=may_delete),
        "confirm": gr.update(visible=False),
        "file": gr.update(value=None, visible=False),
        "status": status("" if may_delete else why_not),
        "chart": None,
    }
    try:
        scored = library.outcome_of(run).scored(Weights(), "min_max")
    except RunFolderError as error:
        return parts | {"status": status(said(error))}
    return parts | {"chart": layer_curves(scored, words)}


@told("status")
def export_run(words: Translator, service: Service, run_id: str | None, kind: str) -> Parts:
    """A file of the chosen run."""
    if kind not in FORMATS:
        raise SettingsError(f"format must be one of {', '.join(FORMATS)}; got {str(kind)[:40]!r}")
    if kind == "notebook" and service.is_public:
        raise SettingsError("a notebook opens the run on the machine that made it: take the zip from this public page")
    run = _visible(service, run_id)
    target = _new_folder() / f"{run.manifest.run_id}.{_ENDINGS[kind]}"
    if kind == "html":
        export_page(run, target, words)
    else:
        write = {
            "zip": archive.pack_run,
            "csv": export.export_csv,
            "scores": export.export_scores_csv,
            "notebook": export.export_notebook,
        }[kind]
        write(run.folder, target)
    size = words.number(target.stat().st_size / 1e6, 1)
    return {"file": gr.update(value=str(target), visible=True), "status": status(words("exported", size=size))}


def _new_folder() -> Path:
    """A folder for one file; those of an hour ago, which the page has copied long since, are removed."""
    root = Path(tempfile.gettempdir()) / f"hcl-export-{os.getpid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    for old in root.iterdir():
        if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=root))


def ask(words: Translator, service: Service, run_id: str | None) -> Parts:
    """Before anything goes: the question, with the run's name in it."""
    return {"confirm": gr.update(visible=True), "status": status(words("delete_really", run=run_id or ""))}


def keep(words: Translator) -> Parts:
    """Nothing happened."""
    return {"confirm": gr.update(visible=False), "status": status(words("kept"))}


@told("status")
def delete(words: Translator, service: Service, run_id: str | None) -> Parts:
    """Into the trash, from where it can come back."""
    run = _own(service, run_id)
    trash.delete_run(run.folder)
    return list_runs(words, service) | {
        "confirm": gr.update(visible=False),
        "undo": gr.update(visible=True),
        "deleted": run.manifest.run_id,
        "chosen": None,
        "manifest": "",
        "chart": None,
        "link": "",
        "open": gr.update(interactive=False),
        "export": gr.update(interactive=False),
        "delete": gr.update(interactive=False),
        "status": status(words("deleted", run=run.manifest.run_id)),
    }


@told("status")
def undo(words: Translator, service: Service, run_id: str | None) -> Parts:
    """Out of the trash again."""
    _check_owner(service)
    trash.restore_run(run_id or "", runs_folder())
    told_restored = status(words("restored", run=run_id))
    return list_runs(words, service) | {"undo": gr.update(visible=False), "status": told_restored}


@told("status")
def open_file(words: Translator, service: Service, file: str | None) -> Parts:
    """A run from an uploaded zip: checked, then kept with the others."""
    if not file:
        return {}
    _check_owner(service)
    try:
        folder = archive.unpack_run(Path(file), runs_folder())
    except RunFolderError as error:
        raise RunFolderError(str(error).replace(file, Path(file).name)) from None
    return _opened(words, service, folder.path.name)


@told("status")
def open_path(words: Translator, service: Service, text: str) -> Parts:
    """A run from a folder or a zip on this machine."""
    _check_owner(service)
    path = user_path((text or "").strip()) if (text or "").strip() else None
    if path is None:
        raise RunFolderError(f"there is no folder or zip {str(text)[:200]!r}: give the path of a run folder or its zip")
    return _opened(words, service, archive.unpack_run(path, runs_folder()).path.name)


def _opened(words: Translator, service: Service, run_id: str) -> Parts:
    chosen = choose(words, service, run_id)
    return list_runs(words, service) | chosen | {"status": status(words("opened", run=run_id))}


def _visible(service: Service, run_id: Any) -> StoredRun:
    """The run of that id: whoever knows an id may see the run, and a public page lists the shipped ones alone."""
    if not run_id:
        raise SettingsError("choose a run in the table first")
    return library.find_run(str(run_id))


def _own(service: Service, run_id: str | None) -> StoredRun:
    _check_owner(service)
    run = _visible(service, run_id)
    if run.is_shipped:
        raise SettingsError("this run came with the program and stays: only your own can be deleted")
    return run


def _check_owner(service: Service) -> None:
    if service.is_public:
        raise SettingsError("this public page keeps and deletes nothing for its visitors: run the program yourself")
