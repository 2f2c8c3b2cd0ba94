"""The runs of a public page's visitors on disk: of too many, those go that nobody has looked at for longest."""

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from app import library
from hcl_core.errors import HclError
from hcl_core.folders import runs_folder
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.trash import delete_run, trash_folder

logger = logging.getLogger(__name__)

# Seconds for which a run that somebody has looked at stays, however full the disk is.
_LOOKED_AT = 900


class RunStore:
    """Keeps ``runs_folder()`` below a size. Runs that ship with the program are elsewhere, and no matter of it.

    Args:
        most_bytes: Of all runs together.
        is_in_use: Whether the run of an id is written or shown, and has to stay.
        clock: Seconds, as of ``time.time``.
    """

    def __init__(
        self, most_bytes: int, is_in_use: Callable[[str], bool], clock: Callable[[], float] = time.time
    ) -> None:
        self._most_bytes, self._is_in_use, self._clock = most_bytes, is_in_use, clock
        self._lock = threading.Lock()
        self._sizes: dict[str, int] | None = None  # by run id; read when it is first needed

    def add(self, run_id: str) -> None:
        """A run was written: note its size, and let others go where there is too much. Never raises."""
        with self._lock:
            try:
                sizes = self._read_sizes()
                sizes[run_id] = _size_of(runs_folder() / run_id)
                self._make_room(sizes)
            except OSError as error:
                logger.warning("the stored runs cannot be measured: %s", error.strerror)

    def _read_sizes(self) -> dict[str, int]:
        if self._sizes is None:
            runs = runs_folder()
            folders = [path for path in runs.iterdir() if RunFolder(path).exists] if runs.is_dir() else []
            self._sizes = {path.name: _size_of(path) for path in folders if not path.name.startswith(".")}
        return self._sizes

    def _make_room(self, sizes: dict[str, int]) -> None:
        too_much = sum(sizes.values()) - self._most_bytes
        if too_much <= 0:
            return
        for run_id in sorted(sizes, key=self._last_use):
            if too_much > 0 and self._may_go(run_id) and self._delete(run_id):
                too_much -= sizes.pop(run_id)
        if too_much > 0:
            logger.warning("stored runs exceed their limit by %d bytes, and all are in use", too_much)

    def _last_use(self, run_id: str) -> float:
        """When the run was last written or looked at."""
        manifest = runs_folder() / run_id / "manifest.json"
        written = manifest.stat().st_mtime if manifest.exists() else 0.0
        return max(written, library.last_look(run_id))

    def _may_go(self, run_id: str) -> bool:
        is_recent = library.last_look(run_id) > self._clock() - _LOOKED_AT
        return not is_recent and not self._is_in_use(run_id)

    def _delete(self, run_id: str) -> bool:
        """Delete a run for good; whether that was done: not while another process writes it."""
        folder = RunFolder(runs_folder() / run_id)
        try:
            if folder.exists:
                delete_run(folder)  # in one step: a reader finds the whole run, or none
        except HclError as error:
            logger.warning("a stored run cannot be deleted: %s", type(error).__name__)
            return False
        shutil.rmtree(trash_folder(runs_folder()) / run_id, ignore_errors=True)
        return True


def _size_of(folder: Path) -> int:
    """Bytes of all files in a folder; of one that several runs share, its part."""
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(file.st_size // max(1, file.st_nlink) for file in files)
