"""Pack a run folder into one zip file, and unpack one from an untrusted source.

Names and sizes of the files are checked here, before they are used; the run itself is validated by ``vetting``, in a
temporary folder.
"""

import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO, FileIO
from pathlib import Path
from typing import IO

from hcl_core.atomic import disk_errors, exported_file
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.folders import runs_folder
from hcl_core.judges.person import PersonVerdicts, person_verdicts_json
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest, check_run_id
from hcl_core.runs.parts import PART_NAME
from hcl_core.runs.set_aside import SET_ASIDE
from hcl_core.runs.states import STATES
from hcl_core.runs.titles import (
    MAX_TITLE_BYTES,
    NO_TITLE,
    TITLE_FILE,
    RunTitle,
    format_title,
    parse_title,
    read_title,
    write_title,
)
from hcl_core.transfer.settling import Outcome, settle
from hcl_core.transfer.vetting import DAMAGED, DERIVED, MAX_BYTES, PERSONS, check_run, delete_invalid_derived_files

# The most entries of a zip without its 64-bit extension. A run has one part a wave, and a few waves a question.
MAX_ENTRIES = 65_535
# A directory entry has about 100 bytes. zipfile reads the whole directory on open, into ten times as much memory.
MAX_DIRECTORY_BYTES = 16 * 2**20
# Deflate reaches a ratio of 1000. Tables are already compressed; questions with similar prompts reach 4 to 100.
MAX_RATIO = 100
# Unpacked bytes up to which the ratio is not checked.
MAX_BYTES_AT_ANY_RATIO = 16 * 2**20
# A manifest has 1 kB, a question with its prompt about 1 kB; the parsed objects are several times larger.
# A person's verdicts have at most 300,000 letters, and a name and signs for each text.
MAX_TEXT_BYTES = {"manifest.json": 2**20, "questions.jsonl": 64 * 2**20, PERSONS: 8 * 2**20}
_OPTIONAL = (*DERIVED, "tokens.parquet")
_NAMES = re.compile("|".join(map(re.escape, ("manifest.json", "questions.jsonl", TITLE_FILE, PERSONS, *_OPTIONAL))))
_PART = re.compile(rf"samples/{PART_NAME}")
_CHUNK = 2**20
# The earliest time that a zip can store.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


# Packing.


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
    yield from (name for name in _OPTIONAL if (folder.path / name).is_file())


def _pack_file(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    entry = _entry(name)
    # Tables are already compressed.
    entry.compress_type = zipfile.ZIP_STORED if file.suffix == ".parquet" else zipfile.ZIP_DEFLATED
    with file.open("rb") as packed:
        entry.file_size = file.stat().st_size
        with archive.open(entry, "w") as opened:
            shutil.copyfileobj(packed, opened, _CHUNK)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.create_system = 3  # Unix, on every system, so that the bytes are the same
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


# Unpacking.


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file in the source.

    Attributes:
        name: Its path, with slashes, below the source or below the run's folder.
        num_stored: Bytes that it takes in the source, compressed if it is a zip.
        open: Opens its content.
    """

    name: str
    num_stored: int
    open: Callable[[], IO[bytes]]


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
        with _opened(source) as entries:
            text = b"".join(_chunks(entries["manifest.json"], MAX_TEXT_BYTES["manifest.json"]))
            run_id = check_run_id(Manifest.from_json(text.decode("utf-8-sig")).run_id)
            title = _read_title(entries.pop(TITLE_FILE, None))
            with _temporary_folder(into, run_id) as copy:
                _copy(entries, copy)
                check_run(RunFolder(copy), run_id)
                delete_invalid_derived_files(RunFolder(copy))
                name, outcome = settle(RunFolder(copy), into)
                if not os.path.lexists(into / name):
                    copy.rename(into / name)
    except OSError as error:
        raise RunFolderError(f"cannot unpack {source} into {into}: {error.strerror or error}") from None
    except DAMAGED as error:
        problem = " ".join(str(error).split())[:300]
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


def _read_title(entry: _Entry | None) -> RunTitle:
    """The title in ``entry``; an empty one if it has none that can be read: a run needs none."""
    try:
        return NO_TITLE if entry is None else parse_title(b"".join(_chunks(entry, MAX_TITLE_BYTES)))
    except (ValueError, SettingsError):
        return NO_TITLE


def _is_known(name: str) -> bool:
    return bool(_NAMES.fullmatch(name) or _PART.fullmatch(name))


def _is_leftover(name: str) -> bool:
    """Whether this is the lock of a run folder, a file beside the run, or one that a killed process left there."""
    folder, _, last = name.rpartition("/")
    return (
        folder.rpartition("/")[2] in (SET_ASIDE, STATES)
        or last == ".lock"
        or (last.startswith(".") and last.endswith(".tmp"))
    )


@contextmanager
def _opened(source: Path) -> Iterator[dict[str, _Entry]]:
    """The run's files in ``source``, by name."""
    if source.is_dir():
        yield _by_name(list(_folder_entries(source)))
    elif source.is_file():
        with _BoundedFile(source) as file, zipfile.ZipFile(file) as archive:
            yield _by_name(list(_zip_entries(archive, source.stat().st_size)))
    else:
        raise RunFolderError("there is no such file or folder")


class _BoundedFile(FileIO):
    """A file that refuses to read more than ``MAX_DIRECTORY_BYTES`` at once: zipfile reads the directory at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        limit = MAX_DIRECTORY_BYTES + 1
        content = super().read(limit if size is None or size < 0 else min(size, limit)) or b""
        if len(content) == limit:
            raise ValueError(f"its directory has more than {MAX_DIRECTORY_BYTES:,} bytes")
        return content


def _folder_entries(source: Path) -> Iterator[_Entry]:
    """Every file of the folder, three levels deep, as a run inside a folder is."""
    unread = [(source, "")]
    num_entries = 0
    while unread:
        folder, prefix = unread.pop()
        for path in folder.iterdir():
            name, mode = prefix + path.name, path.lstat().st_mode
            num_entries += 1
            _check_num_entries(num_entries)
            if stat.S_ISDIR(mode) and name.count("/") < 2:
                unread.append((path, f"{name}/"))
            elif stat.S_ISREG(mode):
                yield _Entry(name, path.lstat().st_size, partial(FileIO, path))
            else:
                raise ValueError(f"{name[:80]!r} is a link, or something else that no run has")


def _zip_entries(archive: zipfile.ZipFile, num_bytes: int) -> Iterator[_Entry]:
    """Every file of the zip; raises ``ValueError`` for entries that ``pack_run`` never writes."""
    infos = archive.infolist()
    _check_num_entries(len(infos))
    if sum(info.compress_size for info in infos) > num_bytes:
        raise ValueError("its entries overlap")
    for info in infos:
        name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 0x2041:  # encryption, strong encryption, encrypted header
            raise ValueError(f"{name[:80]!r} is encrypted")
        if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
            raise ValueError(f"{name[:80]!r} is a link, or something else that no run has")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name[:80]!r} is compressed in a way that no run is")
        if not info.is_dir() or info.file_size:
            yield _Entry(name, info.compress_size, partial(archive.open, info))
        else:
            _check_name(name.rstrip("/"))


def _check_num_entries(num_entries: int) -> None:
    if num_entries > MAX_ENTRIES:
        raise ValueError(f"it has more than {MAX_ENTRIES:,} files")


def _check_name(name: str) -> None:
    """Raise ``ValueError`` for a name that, on any system, is a path to outside the folder."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\\:\0]", name):
        raise ValueError(f"{name[:80]!r} leads out of it")


def _by_name(entries: Sequence[_Entry]) -> dict[str, _Entry]:
    """Entries by their names below the run's folder; raises ``ValueError`` for one that no run has, or has twice."""
    for entry in entries:
        _check_name(entry.name)
    entries = [entry for entry in entries if not _is_leftover(entry.name)]
    split = [entry.name.rpartition("/") for entry in entries]
    folders = {folder for folder, _, name in split if name == "manifest.json"}
    if len(folders) != 1:
        raise ValueError(f"it should hold the manifest.json of one run; it has {len(folders)}")
    prefix = f"{folders.pop()}/".removeprefix("/")
    by_name: dict[str, _Entry] = {}
    for entry in entries:
        name = entry.name.removeprefix(prefix)
        if prefix.count("/") > 1 or not entry.name.startswith(prefix) or not _is_known(name):
            raise ValueError(f"{entry.name[:80]!r} is no file of a run")
        if name in by_name:
            raise ValueError(f"{name!r} is there twice")
        by_name[name] = replace(entry, name=name)
    return by_name


def _copy(entries: dict[str, _Entry], target: Path) -> None:
    num_left = MAX_BYTES
    (target / "samples").mkdir()
    for name, entry in entries.items():
        with (target / name).open("wb") as file:
            for chunk in _chunks(entry, min(num_left, MAX_TEXT_BYTES.get(name, num_left))):
                num_left -= file.write(chunk)


def _chunks(entry: _Entry, max_bytes: int) -> Iterator[bytes]:
    """The content of ``entry``; raises ``ValueError`` above ``max_bytes`` or ``MAX_RATIO``.

    Bytes are counted as they are read, since the size in a header can be false.
    """
    max_bytes = min(max_bytes, max(entry.num_stored * MAX_RATIO, MAX_BYTES_AT_ANY_RATIO))
    num_read = 0
    with entry.open() as opened:
        while chunk := opened.read(_CHUNK):
            num_read += len(chunk)
            if num_read > max_bytes:
                raise ValueError(f"{entry.name} unpacks to more than the {max_bytes:,} bytes that it may have")
            yield chunk
