"""Import a run from an untrusted source, a zip file or a folder.

Its files are checked by ``entries``, before they are used; the run itself is validated by ``vetting``, in a temporary
folder.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hcl_core.atomic import disk_errors
from hcl_core.errors import RunFolderError, SettingsError, cause_of
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest, check_run_id
from hcl_core.runs.titles import MAX_TITLE_BYTES, NO_TITLE, TITLE_FILE, RunTitle, parse_title, read_title, write_title
from hcl_core.text import one_line
from hcl_core.transfer.entries import MAX_TEXT_BYTES, Entry, chunks_of, copy_files, opened_source
from hcl_core.transfer.settling import Outcome, settle
from hcl_core.transfer.vetting import DAMAGED, check_run, delete_invalid_derived_files


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """A run that ``unpack_run`` has checked.

    Attributes:
        folder: Where the run is.
        outcome: What was done: ``stored``; ``view``: stored beside other verdicts on the same samples; ``there``:
            it was there already; ``other``: one with other answers was there, and was kept.
    """

    folder: RunFolder
    outcome: Outcome

    @property
    def is_new(self) -> bool:
        """Whether it was stored now; else the run that was there is kept, and the source was not stored."""
        return self.outcome in ("stored", "view")


def unpack_run(source: Path, into: Path) -> ImportedRun:
    """Import a run from an untrusted source as ``into/<its id>``: the whole run, or nothing.

    Verdicts, clusters and measures are deleted if they are damaged, or not of this run and its judge, and plausibility
    and a person's verdicts if they are damaged or not of this run: all but the last can be made again. Their stamps
    prove nothing; judge again to be sure of the verdicts. If ``into`` holds a run of the same id, that one is kept
    unchanged: the same id means the same request, accepted answers and judge. So is what the run is called in
    ``into``; else it is called as in ``source``. The id of a view is made anew from the content. A run of an older
    version, which has none, gets one where ``into`` holds other verdicts under its run id.

    Args:
        source: A zip file or a folder; the run's files are in it, or in one folder in it.
        into: Folder of runs; made if it is missing.

    Raises:
        RunFolderError: ``source`` is no whole run of this version, has other files or too many bytes, or
            ``into/<its id>`` is something else than this run.
    """
    try:
        with opened_source(source) as files:
            text = b"".join(chunks_of(files["manifest.json"], MAX_TEXT_BYTES["manifest.json"]))
            run_id = check_run_id(Manifest.from_json(text.decode("utf-8-sig")).run_id)
            title = _read_title(files.pop(TITLE_FILE, None))
            with _temporary_folder(into, run_id) as copy:
                copy_files(files, copy)
                check_run(RunFolder(copy), run_id)
                delete_invalid_derived_files(RunFolder(copy))
                name, outcome = settle(RunFolder(copy), into)
                if not os.path.lexists(into / name):
                    copy.rename(into / name)
    except OSError as error:
        raise RunFolderError(f"cannot unpack {source} into {into}: {cause_of(error)}") from None
    except DAMAGED as error:
        problem = one_line(str(error))[:300]
        raise RunFolderError(f"{source} is no run that can be taken in: {problem}; export it anew") from None
    imported = RunFolder(into / name)
    if not imported.exists or imported.manifest().run_id != run_id:
        raise RunFolderError(f"{imported.path} is in the way, and is not run {run_id}: move it away")
    if title != NO_TITLE and read_title(name, into) == NO_TITLE:
        write_title(name, into, title)
    return ImportedRun(imported, outcome)


@contextmanager
def _temporary_folder(into: Path, run_id: str) -> Iterator[Path]:
    """A folder in ``into`` that is deleted when the block ends, unless it was moved away."""
    with disk_errors(into / run_id):
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{run_id}-", suffix=".tmp", dir=into) as holder:
            (copy := Path(holder) / run_id).mkdir()
            yield copy


def _read_title(entry: Entry | None) -> RunTitle:
    """The title in ``entry``; an empty one if it has none that can be read: a run needs none."""
    try:
        return NO_TITLE if entry is None else parse_title(b"".join(chunks_of(entry, MAX_TITLE_BYTES)))
    except (ValueError, SettingsError):
        return NO_TITLE
