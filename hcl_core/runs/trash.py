"""Deleted runs can be restored: a deleted run is moved to ``.trash/<its id>`` in the folder of runs."""

import os
import re
import shutil
import time
import uuid
from pathlib import Path

from hcl_core.errors import RunFolderError, cause_of
from hcl_core.folders import precomputed_folder, runs_folder
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import RUN_ID_PATTERN, check_run_id

# A deleted run, or an older run of the same id that a crash left half-deleted.
_IN_TRASH = re.compile(rf"{RUN_ID_PATTERN}|\.{RUN_ID_PATTERN}\.[0-9a-f]{{32}}\.tmp")
_SECONDS_A_DAY = 86_400


def trash_folder(runs: Path) -> Path:
    """Where the deleted runs of the folder ``runs`` are."""
    return runs / ".trash"


def delete_run(folder: RunFolder) -> None:
    """Move a run, wherever its folder is, to the trash of ``runs_folder()``.

    An older run of the same id in the trash is deleted for good.

    Raises:
        RunBusyError: Another process is writing to the run.
        RunReadOnlyError: The run can't be written to.
        RunFolderError: There is no run, it ships with the program, or it can't be moved.
    """
    path = folder.path.absolute()
    run_id = check_run_id(folder.manifest().id)
    if path.resolve().is_relative_to(precomputed_folder().resolve()):
        raise RunFolderError(f"{folder.path} comes with the program and can't be deleted")
    if path.is_symlink():
        raise RunFolderError(f"{folder.path} is a link: give the folder that it leads to, {path.resolve()}")
    with folder.writing():
        if os.name != "nt":  # locked while it is moved, so that no other process starts to write to it
            _move_to_trash(path, trash_folder(runs_folder().absolute()) / run_id)
    if os.name == "nt":  # Windows moves no folder with an open file, such as the lock
        _move_to_trash(path, trash_folder(runs_folder().absolute()) / run_id)


def restore_run(run_id: str, runs: Path) -> RunFolder:
    """Move a run from the trash of ``runs`` back to ``runs/<run_id>``.

    Raises:
        RunFolderError: The text is no run id, no such run is in the trash, or ``runs/<run_id>`` exists.
    """
    deleted, target = RunFolder(trash_folder(runs) / check_run_id(run_id)), runs / run_id
    if deleted.path.is_symlink() or not deleted.exists:
        raise RunFolderError(f"there is no deleted run {run_id} in {trash_folder(runs)}")
    if os.path.lexists(target):
        raise RunFolderError(f"{target} is there already: the deleted one stays in the trash")
    _move(deleted.path, target)
    return RunFolder(target)


def empty_trash(runs: Path, older_than_days: float = 30) -> int:
    """Delete for good the runs in the trash of ``runs`` that are old enough.

    Args:
        runs: Folder of runs.
        older_than_days: Days since a run was moved to the trash; 0 deletes all.

    Returns:
        Number of runs deleted; a run that can't be deleted stays.
    """
    trash = trash_folder(runs)
    latest = time.time() - older_than_days * _SECONDS_A_DAY
    num_deleted = 0
    for path in list(trash.iterdir()) if trash.is_dir() else []:
        # Other names are no deleted runs, and a link can lead to a folder outside the trash.
        if _IN_TRASH.fullmatch(path.name) and path.is_dir() and not path.is_symlink() and _deleted_at(path) <= latest:
            shutil.rmtree(path, ignore_errors=True)
            num_deleted += not path.exists()
    return num_deleted


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
    os.utime(target)  # `empty_trash` reads when the run was deleted from this time; moving does not change it
    shutil.rmtree(older, ignore_errors=True)


def _move(path: Path, target: Path) -> None:
    """Rename ``path``, in one step; raises ``RunFolderError`` if that fails."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    except OSError as error:
        raise RunFolderError(f"cannot move {path} to {target}: {cause_of(error)}") from None
