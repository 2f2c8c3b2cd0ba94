"""Pack a run folder into one zip file."""

import shutil
import stat
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from hcl_core.atomic import exported_file
from hcl_core.errors import RunFolderError
from hcl_core.folders import runs_folder
from hcl_core.judges.person import PersonVerdicts, person_verdicts_json
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import check_run_id
from hcl_core.runs.titles import NO_TITLE, TITLE_FILE, format_title, read_title
from hcl_core.transfer.entries import CHUNK, MAX_ENTRIES, MAX_TEXT_BYTES, OPTIONAL_FILES
from hcl_core.transfer.vetting import MAX_BYTES, PERSONS

# The earliest time that a zip can store.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def pack_run(folder: RunFolder, target: Path, persons: PersonVerdicts | None = None) -> None:
    """Write the run, and what its user calls it, as a zip file, in one step; the same run gives the same bytes.

    All entries are in one folder, which is named by the run id. An unfinished run can be packed too.

    Args:
        folder: The run; only read.
        target: The zip file; replaced if it exists.
        persons: A person's verdicts, which go with the run as a file of their own: whoever takes the run in has that
            file beside the run's, and the judge's verdicts are what is shown.

    Raises:
        RunFolderError: There is no run, it is larger than ``unpack_run`` takes, it has a damaged part, or ``target``
            can't be written.
    """
    run_id = check_run_id(folder.manifest().id)
    _check_can_be_imported(folder)
    try:
        with exported_file(target) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=False) as archive:
            _pack(folder, run_id, archive)
            if persons and persons.verdicts:
                archive.writestr(
                    _entry(f"{run_id}/{PERSONS}"), person_verdicts_json(run_id, persons), zipfile.ZIP_DEFLATED
                )
    except zipfile.LargeZipFile:
        raise RunFolderError(
            f"{folder.path} is too large for one zip file ({MAX_BYTES:,} bytes, {MAX_ENTRIES:,} files): copy the folder"
        ) from None


def packed_run(folder: RunFolder, max_bytes: int) -> bytes | None:
    """The zip file of ``pack_run``; ``None`` where the run's files have more than ``max_bytes`` together.

    Raises:
        RunFolderError: There is no run, or it has a damaged part.
    """
    run_id = check_run_id(folder.manifest().id)
    if sum((folder.path / name).stat().st_size for name in run_files(folder)) > max_bytes:
        return None
    _check_can_be_imported(folder)
    with BytesIO() as packed:
        with zipfile.ZipFile(packed, "w", allowZip64=False) as archive:
            _pack(folder, run_id, archive)
        return packed.getvalue()


def _pack(folder: RunFolder, run_id: str, archive: zipfile.ZipFile) -> None:
    """Add the run's files, and what its user calls it."""
    for name in run_files(folder):
        _pack_file(archive, folder.path / name, f"{run_id}/{name}")
    if (title := read_title(run_id, runs_folder())) != NO_TITLE:
        archive.writestr(_entry(f"{run_id}/{TITLE_FILE}"), format_title(title))


def _check_can_be_imported(folder: RunFolder) -> None:
    """Raise ``RunFolderError`` for a run whose zip ``unpack_run`` would refuse."""
    if bad := folder.bad_parts():
        raise RunFolderError(
            f"{bad[0].file} is damaged ({bad[0].problem}): give the same `run` command again, or `repair` the run"
        )
    files = {name: folder.path / name for name in run_files(folder)}
    sizes = {name: file.stat().st_size for name, file in files.items() if file.is_file()}
    limits = [(name, sizes.get(name, 0), most) for name, most in MAX_TEXT_BYTES.items()]
    for name, size, most in (*limits, ("all files together", sum(sizes.values()), MAX_BYTES)):
        if size > most:
            raise RunFolderError(
                f"{folder.path}: {name}: {size:,} bytes; import takes {most:,} of them: copy the folder instead"
            )


def run_files(folder: RunFolder) -> Iterator[str]:
    """Names of the run's files, always in the same order."""
    # The manifest is packed before the parts are listed. If it were read last, a run that finishes meanwhile would be
    # packed as finished, without its last parts.
    yield "manifest.json"
    yield "questions.jsonl"
    yield from (f"samples/{part.name}" for part in folder.parts.files())
    yield from (name for name in OPTIONAL_FILES if (folder.path / name).is_file())


def _pack_file(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    entry = _entry(name)
    # Tables are already compressed.
    entry.compress_type = zipfile.ZIP_STORED if file.suffix == ".parquet" else zipfile.ZIP_DEFLATED
    with file.open("rb") as packed:
        entry.file_size = file.stat().st_size
        with archive.open(entry, "w") as opened:
            shutil.copyfileobj(packed, opened, CHUNK)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.create_system = 3  # Unix, on every system, so that the bytes are the same
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry
