"""What is stored: list it, look at it, take it elsewhere, bring it back, throw it away and think again."""

import atexit
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from threading import Lock

from app import library
from app.export import export_page
from app.handlers.controls import read_text
from app.library import StoredRun
from app.outcomes import Scored
from app.visit import Balance, Visit
from hcl_core.errors import HclError, RunFolderError, SettingsError
from hcl_core.folders import runs_folder, user_path
from hcl_core.runs import trash
from hcl_core.runs.titles import RunTitle, write_title
from hcl_core.transfer import export
from hcl_core.transfer.packing import pack_run
from hcl_core.transfer.settling import Outcome
from hcl_core.transfer.unpacking import ImportedRun, unpack_run

FORMATS = ("zip", "csv", "scores", "html", "notebook")
# Seconds for which an export is kept.
_EXPORT_SECONDS = 3_600
_ENDINGS = {"zip": "zip", "csv": "csv", "scores": "scores.csv", "html": "html", "notebook": "ipynb"}
_EQUAL = Balance()
_exports_lock = Lock()


@dataclass(frozen=True, slots=True)
class RunResult:
    """A stored run.

    Attributes:
        run: The run.
        scored: Scores over all its questions at equal weights; ``None`` where it has none.
        problem: Why it has none.
        may_delete: Whether this visitor may delete it.
        num_bad_parts: Damaged parts of its samples, which are left out.
        num_own: Verdicts of the visitor's on it, which are not in the scores.
    """

    run: StoredRun
    scored: Scored | None
    problem: str
    may_delete: bool
    num_bad_parts: int = 0
    num_own: int = 0


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run that was brought in.

    Attributes:
        result: The run.
        outcome: What was done with it, see ``ImportedRun``.
    """

    result: RunResult
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RenamedRun:
    """A run whose title has changed.

    Attributes:
        result: The run, with its new title.
        before: Its old one.
    """

    result: RunResult
    before: RunTitle


def show(visit: Visit, run_id: str) -> RunResult:
    """A stored run; raises ``HclError`` if there is none of that id."""
    run = _find(run_id)
    may_delete = not (run.is_shipped or visit.service.is_public)
    num_bad_parts = len(run.folder.bad_parts())
    try:
        scored = library.outcomes_of(run).scored(_EQUAL.weights, _EQUAL.scaling)
    except HclError as error:
        return RunResult(run, None, str(error), may_delete, num_bad_parts)
    num_own = visit.service.own_verdicts.number(visit.visitor, [run.manifest.id])
    return RunResult(run, scored, "", may_delete, num_bad_parts, num_own)


def export_run(visit: Visit, run_id: str | None, kind: str) -> Path:
    """A file of the run, with the verdicts that the visitor sees.

    Raises:
        HclError: There is no run of that id, or no such format.
    """
    if kind not in FORMATS:
        raise SettingsError(f"format must be one of {', '.join(FORMATS)}; got {str(kind)[:40]!r}")
    run = _find(run_id)
    target = _new_folder() / f"{run.manifest.id}.{_ENDINGS[kind]}"
    book = visit.service.own_verdicts
    given, overruled = book.shown(visit.visitor, run.manifest.id), book.overruled(visit.visitor, run.folder)
    if kind == "html":
        lay_over = partial(book.laid_over, visitor=visit.visitor)
        export_page(run, target, visit.words, overruled, lay_over, given.verdicts)
    elif kind == "zip":
        pack_run(run.folder, target, given)
    elif kind == "notebook":
        export.export_notebook(run.folder, target)
    else:
        write = export.export_csv if kind == "csv" else export.export_scores_csv
        write(run.folder, target, overruled=overruled)
    return target


def _exports_folder() -> Path:
    """The folder of this program's exports, removed when it ends."""
    with _exports_lock:
        return _make_exports_folder()


@cache
def _make_exports_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="hcl-export-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _new_folder() -> Path:
    """A folder for one file; those of an hour ago, which the page has copied long since, are removed."""
    for old in _exports_folder().iterdir():
        with suppress(FileNotFoundError):  # another thread has removed it meanwhile
            if time.time() - old.stat().st_mtime > _EXPORT_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=_exports_folder()))


def delete(visit: Visit, run_id: str | None) -> StoredRun:
    """Into the trash, from where it can come back; raises ``HclError`` if it is not the visitor's own."""
    _check_owner(visit)
    run = _find(run_id)
    if run.is_shipped:
        raise SettingsError("this run came with the program and stays: only your own can be deleted")
    trash.delete_run(run.folder)
    return run


def undo(visit: Visit, run_id: str | None) -> None:
    """Out of the trash again; raises ``HclError`` if it is not there."""
    _check_owner(visit)
    trash.restore_run(run_id or "", runs_folder())


def rename(visit: Visit, run_id: str | None, name: object, note: object) -> RenamedRun | None:
    """Store what the visitor calls a run, beside it; ``None`` if it is called so already.

    Raises:
        HclError: The page is public, a text is too long, or there is no run of that id.
    """
    _check_owner(visit)
    run = _find(run_id)
    title = RunTitle.of(read_text("Name", name), read_text("Note", note))
    if title == run.title:
        return None
    write_title(run.manifest.id, runs_folder(), title)
    return RenamedRun(show(visit, run.manifest.id), run.title)


def open_file(visit: Visit, file: str) -> OpenedRun:
    """A run from an uploaded zip: checked, then kept with the others; raises ``HclError`` if it is no run."""
    _check_owner(visit)
    try:
        imported = unpack_run(Path(file), runs_folder())
    except RunFolderError as error:
        raise RunFolderError(str(error).replace(file, Path(file).name)) from None
    return _brought_in(visit, imported)


def open_path(visit: Visit, text: str) -> OpenedRun:
    """A run from a folder or a zip on this machine; raises ``HclError`` if there is none."""
    _check_owner(visit)
    path = user_path(text.strip()) if text.strip() else None
    if path is None:
        raise RunFolderError(f"there is no folder or zip {text[:200]!r}: give the path of a run folder or its zip")
    return _brought_in(visit, unpack_run(path, runs_folder()))


def _brought_in(visit: Visit, imported: ImportedRun) -> OpenedRun:
    return OpenedRun(show(visit, imported.folder.path.name), imported.outcome)


def _find(run_id: str | None) -> StoredRun:
    """The run of that id: whoever knows an id may see the run, and a public page lists the shipped ones alone."""
    if not run_id:
        raise SettingsError("choose a run in the table first")
    return library.find_run(run_id)


def _check_owner(visit: Visit) -> None:
    if visit.service.is_public:
        raise SettingsError("this public page keeps and deletes nothing for its visitors: run the program yourself")
