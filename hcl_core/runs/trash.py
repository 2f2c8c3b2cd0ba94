"""Deleting a run with a way back: it is moved into ``.trash`` in the folder of runs, under its id."""

import os
import re
import shutil
import time
import uuid
from pathlib import Path

from hcl_core.errors import RunFolderError
from hcl_core.folders import precomputed_folder, runs_folder
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import check_run_id

# A run, or an older one of its id that was about to go when the process was killed.
_IN_TRASH = re.compile(r"[0-9a-f]{16}|\.[0-9a-f]{16}\.[0-9a-f]{32}\.tmp")
_SECONDS_A_DAY = 86_400


def trash_folder(runs: Path) -> Path:
    """Where deleted runs of the folder ``runs`` are."""
    return runs / ".trash"


def delete_run(folder: RunFolder) -> None:
    """Move a run to the trash of ``runs_folder()``, whatever its folder is called and wherever it is.

    An older run of the same id that is in the trash goes for good.

    Raises:
        RunBusyError: Another process is writing to it.
        RunReadOnlyError: It can't be written to.
        RunFolderError: There is no run, it comes with the program, or it can't be moved.
    """
    path = folder.path.absolute()
    run_id = check_run_id(folder.manifest().run_id)
    if path.resolve().is_relative_to(precomputed_folder().resolve()):
        raise RunFolderError(f"{folder.path} comes with the program and can't be deleted")
    if path.is_symlink():
        raise RunFolderError(f"{folder.path} is a link: give the folder that it leads to, {path.resolve()}")
    with folder.writing():
        if os.name != "nt":  # held while it moves: nobody begins to write in between
            _move_to_trash(path, trash_folder(runs_folder().absolute()) / run_id)
    if os.name == "nt":  # where a folder with an open file, such as its lock, can't be moved
        _move_to_trash(path, trash_folder(runs_folder().absolute()) / run_id)


def restore_run(run_id: str, runs: Path) -> RunFolder:
    """Move a run from the trash of ``runs`` back, as ``runs/<run_id>``.

    Raises:
        RunFolderError: That is no id, it is not in the trash, or its place is taken.
    """
    deleted, target = RunFolder(trash_folder(runs) / check_run_id(run_id)), runs / run_id
    if deleted.path.is_symlink() or not deleted.exists:
        raise RunFolderError(f"there is no deleted run {run_id} in {trash_folder(runs)}")
    if os.path.lexists(target):
        raise RunFolderError(f"{target} is there already: the deleted one stays in the trash")
    _move(deleted.path, target)
    return RunFolder(target)


def empty_trash(runs: Path, older_than_days: float = 30) -> int:
    """Delete for good what has been in the trash of ``runs`` for longer.

    Args:
        runs: Folder of runs.
        older_than_days: Age from which a run goes, counted from when it was deleted; 0 is everything.

    Returns:
        How many runs went; one that can't be deleted stays.
    """
    trash = trash_folder(runs)
    latest = time.time() - older_than_days * _SECONDS_A_DAY
    num_gone = 0
    for path in list(trash.iterdir()) if trash.is_dir() else []:
        # Anything else is no run that was deleted, and a link leads to what may be.
        if _IN_TRASH.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and _deleted_at(path) <= latest:
            shutil.rmtree(path, ignore_errors=True)
            num_gone += not path.exists()
    return num_gone


def _deleted_at(path: Path) -> float:
    return path.stat().st_mtime


def _move_to_trash(path: Path, target: Path) -> None:
    older = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    if target.exists():
        _move(target, older)
    try:
        _move(path, target)
    except RunFolderError:
        if older.exists():
            _move(older, target)
        raise
    os.utime(target)  # moving leaves it as it was, and `empty_trash` goes by it
    shutil.rmtree(older, ignore_errors=True)


def _move(path: Path, target: Path) -> None:
    """Rename: at once, or not at all. Raises ``RunFolderError`` where it can't be."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    except OSError as error:
        raise RunFolderError(f"cannot move {path} to {target}: {error.strerror or error}") from None
