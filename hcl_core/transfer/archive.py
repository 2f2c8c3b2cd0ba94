"""A run folder as one zip file, and back.

What comes back is checked and never trusted: names and sizes here, before they are used; the run itself by
``vetting``, in a temporary folder.
"""

import re
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import IO

from hcl_core.atomic import atomic_folder, exported_file
from hcl_core.errors import RunFolderError
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest, check_run_id
from hcl_core.transfer.vetting import DAMAGED, DERIVED, MAX_BYTES, check_run, drop_what_does_not_fit

# What a zip can list without its 64-bit extension. A run has a part a wave, a few waves a question.
MAX_ENTRIES = 65_535
# Entries of about 100 bytes each. Python keeps ten times as much of a zip's directory in memory, before anyone asks.
MAX_DIRECTORY_BYTES = 16 * 2**20
# Deflate reaches 1000. Tables are compressed already; questions, whose prompts are alike, come to between 4 and 100.
MAX_RATIO = 100
# Unpacked bytes below which no ratio matters.
MAX_BYTES_AT_ANY_RATIO = 16 * 2**20
# A manifest has 1 kB, a question with its prompt about 1 kB; both are parsed into objects several times that size.
MAX_TEXT_BYTES = {"manifest.json": 2**20, "questions.jsonl": 64 * 2**20}
_OPTIONAL = (*DERIVED, "tokens.parquet")
_NAMES = re.compile("|".join(map(re.escape, ("manifest.json", "questions.jsonl", *_OPTIONAL))))
_PART = re.compile(r"samples/part-[0-9]{5}\.parquet")
_CHUNK = 2**20
# The first time that a zip can state.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


# Packing.


def pack_run(folder: RunFolder, target: Path) -> None:
    """Write the run as a zip file, in one step; the same run gives the same bytes.

    Entries stand below a folder named by the run's id. A run that is not finished can be packed too: it holds what
    was there.

    Args:
        folder: The run; only read.
        target: The zip file; replaced if it exists.

    Raises:
        RunFolderError: There is no run, it is larger than ``unpack_run`` takes, or ``target`` can't be written.
    """
    run_id = check_run_id(folder.manifest().run_id)
    try:
        with exported_file(target) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=False) as archive:
            for name in _run_files(folder.path):
                _pack_file(archive, folder.path / name, f"{run_id}/{name}")
    except zipfile.LargeZipFile:
        raise RunFolderError(
            f"{folder.path} is too large for one zip file ({MAX_BYTES:,} bytes, {MAX_ENTRIES:,} files): copy the folder"
        ) from None


def _run_files(path: Path) -> Iterator[str]:
    """Names of the run's files, in an order that is always the same."""
    # The manifest is packed before the parts are listed: were it read last, a run that ends meanwhile would be packed
    # as finished, without its last parts.
    yield "manifest.json"
    yield "questions.jsonl"
    yield from (name for name in sorted(f"samples/{part.name}" for part in path.glob("samples/*")) if _is_known(name))
    yield from (name for name in _OPTIONAL if (path / name).is_file())


def _pack_file(archive: zipfile.ZipFile, file: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _NO_TIME)
    entry.create_system = 3  # Unix, wherever this runs
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    # Tables are compressed already.
    entry.compress_type = zipfile.ZIP_STORED if file.suffix == ".parquet" else zipfile.ZIP_DEFLATED
    with file.open("rb") as packed:
        entry.file_size = file.stat().st_size
        with archive.open(entry, "w") as opened:
            shutil.copyfileobj(packed, opened, _CHUNK)


# Unpacking.


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file of the run that comes in.

    Attributes:
        name: Below the run's folder, one that a run has.
        num_stored: Bytes that it takes where it is.
        open: Gives its content.
    """

    name: str
    num_stored: int
    open: Callable[[], IO[bytes]]


def unpack_run(source: Path, into: Path) -> RunFolder:
    """Take in a run from anywhere: all of it, as ``into/<run id>``, or nothing.

    Verdicts, clusters and measures are dropped where they are not of this run and its judge, or can't be read: they
    can be made again. A stamp is no proof: who wants to be sure of verdicts judges again. A run of the same id that
    is there already is left as it is, and returned: the same id is the same request, and so the same samples.

    Args:
        source: A zip file or a folder; the run's files stand in it, or in one folder in it.
        into: Folder of runs; made if it is missing.

    Raises:
        RunFolderError: ``source`` is no whole run of this version, holds anything else or too much, or something
            other than this run has its place.
    """
    try:
        with _opened(source) as entries:
            text = b"".join(_chunks(entries["manifest.json"], MAX_TEXT_BYTES["manifest.json"]))
            run_id = check_run_id(Manifest.from_json(text.decode()).run_id)
            with atomic_folder(into / run_id) as made:
                _copy(entries, made)
                check_run(RunFolder(made), run_id)
                drop_what_does_not_fit(RunFolder(made))
    except OSError as error:
        raise RunFolderError(f"cannot unpack {source} into {into}: {error.strerror or error}") from None
    except DAMAGED as error:
        problem = " ".join(str(error).split())[:300]
        raise RunFolderError(f"{source} is no run that can be taken in: {problem}; export it anew") from None
    taken = RunFolder(into / run_id)
    if not taken.exists or taken.manifest().run_id != run_id:
        raise RunFolderError(f"{taken.path} is in the way, and is not run {run_id}: move it away")
    return taken


def _is_known(name: str) -> bool:
    return bool(_NAMES.fullmatch(name) or _PART.fullmatch(name))


def _is_leftover(name: str) -> bool:
    """Whether this lies in a run folder without being the run's: its lock, and what a killed process left."""
    last = name.rpartition("/")[2]
    return last == ".lock" or (last.startswith(".") and last.endswith(".tmp"))


@contextmanager
def _opened(source: Path) -> Iterator[dict[str, _Entry]]:
    """The run's files in ``source``, by name."""
    if source.is_dir():
        yield _named(list(_folder_entries(source)))
    elif source.is_file():
        with _Bounded(source) as file, zipfile.ZipFile(file) as archive:
            yield _named(list(_zip_entries(archive, source.stat().st_size)))
    else:
        raise RunFolderError("there is no such file or folder")


class _Bounded(FileIO):
    """A file that is never read in larger pieces than an honest zip's directory, which is read in one."""

    def read(self, size: int | None = -1, /) -> bytes:
        most = MAX_DIRECTORY_BYTES + 1
        content = super().read(most if size is None or size < 0 else min(size, most)) or b""
        if len(content) == most:
            raise ValueError(f"its directory has more than {MAX_DIRECTORY_BYTES:,} bytes")
        return content


def _folder_entries(source: Path) -> Iterator[_Entry]:
    """Every file of the folder, three levels down: as deep as a run in a folder goes."""
    waiting = [(source, "")]
    num_seen = 0
    while waiting:
        folder, above = waiting.pop()
        for path in folder.iterdir():
            name, mode = above + path.name, path.lstat().st_mode
            num_seen += 1
            _check_num_entries(num_seen)
            if stat.S_ISDIR(mode) and name.count("/") < 2:
                waiting.append((path, f"{name}/"))
            elif stat.S_ISREG(mode):
                yield _Entry(name, path.lstat().st_size, partial(FileIO, path))
            else:
                raise ValueError(f"{name[:80]!r} is a link, or something else that no run has")


def _zip_entries(archive: zipfile.ZipFile, num_bytes: int) -> Iterator[_Entry]:
    """Every file of the zip; those that only hostile or exotic zips have are refused."""
    listed = archive.infolist()
    _check_num_entries(len(listed))
    if sum(each.compress_size for each in listed) > num_bytes:
        raise ValueError("its entries overlap")
    for each in listed:
        name, kind = each.orig_filename, stat.S_IFMT(each.external_attr >> 16)
        if each.flag_bits & 0x2041:  # encrypted: entry, strongly, or its header
            raise ValueError(f"{name[:80]!r} is encrypted")
        if kind not in (0, stat.S_IFDIR if each.is_dir() else stat.S_IFREG):
            raise ValueError(f"{name[:80]!r} is a link, or something else that no run has")
        if each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name[:80]!r} is compressed in a way that no run is")
        if not each.is_dir() or each.file_size:
            yield _Entry(name, each.compress_size, partial(archive.open, each))
        else:
            _check_name(name.rstrip("/"))


def _check_num_entries(num_entries: int) -> None:
    if num_entries > MAX_ENTRIES:
        raise ValueError(f"it has more than {MAX_ENTRIES:,} files")


def _check_name(name: str) -> None:
    """Raise ``ValueError`` for a name that would lead elsewhere on any system."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\\:\0]", name):
        raise ValueError(f"{name[:80]!r} leads out of it")


def _named(found: Sequence[_Entry]) -> dict[str, _Entry]:
    """Entries by their names below the run's folder, each of which a run has, once."""
    for entry in found:
        _check_name(entry.name)
    kept = [entry for entry in found if not _is_leftover(entry.name)]
    split = [entry.name.rpartition("/") for entry in kept]
    tops = {above for above, _, name in split if name == "manifest.json"}
    if len(tops) != 1:
        raise ValueError(f"it should hold the manifest.json of one run; it has {len(tops)}")
    top = f"{tops.pop()}/".removeprefix("/")
    named: dict[str, _Entry] = {}
    for entry in kept:
        name = entry.name.removeprefix(top)
        if top.count("/") > 1 or not entry.name.startswith(top) or not _is_known(name):
            raise ValueError(f"{entry.name[:80]!r} is no file of a run")
        if name in named:
            raise ValueError(f"{name!r} is there twice")
        named[name] = _Entry(name, entry.num_stored, entry.open)
    return named


def _copy(entries: dict[str, _Entry], made: Path) -> None:
    left = MAX_BYTES
    (made / "samples").mkdir()
    for name, entry in entries.items():
        with (made / name).open("wb") as copied:
            for chunk in _chunks(entry, min(left, MAX_TEXT_BYTES.get(name, left))):
                left -= copied.write(chunk)


def _chunks(entry: _Entry, most: int) -> Iterator[bytes]:
    """The content; counted, as a header says what it likes. Raises ``ValueError`` above ``most`` bytes or the ratio."""
    most = min(most, max(entry.num_stored * MAX_RATIO, MAX_BYTES_AT_ANY_RATIO))
    num_read = 0
    with entry.open() as opened:
        while chunk := opened.read(_CHUNK):
            num_read += len(chunk)
            if num_read > most:
                raise ValueError(f"{entry.name} unpacks to more than the {most:,} bytes that it may have")
            yield chunk
