"""The files of a run in an untrusted source, a zip file or a folder.

Names, kinds, numbers and sizes are checked here, before anything is used.
"""

import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import FileIO
from pathlib import Path
from typing import IO

from hcl_core.errors import RunFolderError
from hcl_core.runs.parts import PART_NAME
from hcl_core.runs.set_aside import SET_ASIDE
from hcl_core.runs.states import STATES
from hcl_core.runs.titles import TITLE_FILE
from hcl_core.transfer.vetting import DERIVED, MAX_BYTES, PERSONS

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
OPTIONAL_FILES = (*DERIVED, "tokens.parquet")
_FILES = ("manifest.json", "questions.jsonl", TITLE_FILE, PERSONS, *OPTIONAL_FILES)
_NAMES = re.compile("|".join(map(re.escape, _FILES)))
_PART = re.compile(rf"samples/{PART_NAME}")
CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the source.

    Attributes:
        name: Its path, with slashes, below the source or below the run's folder.
        num_stored: Bytes that it takes in the source, compressed if it is a zip.
        open: Opens its content.
    """

    name: str
    num_stored: int
    open: Callable[[], IO[bytes]]


@contextmanager
def opened_source(source: Path) -> Iterator[dict[str, Entry]]:
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


def _folder_entries(source: Path) -> Iterator[Entry]:
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
                yield Entry(name, path.lstat().st_size, partial(FileIO, path))
            else:
                raise ValueError(f"{name[:80]!r} is a link, or something else that no run has")


def _zip_entries(archive: zipfile.ZipFile, num_bytes: int) -> Iterator[Entry]:
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
            yield Entry(name, info.compress_size, partial(archive.open, info))
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


def _by_name(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Entries by their names below the run's folder; raises ``ValueError`` for one that no run has, or has twice."""
    for entry in entries:
        _check_name(entry.name)
    entries = [entry for entry in entries if not _is_leftover(entry.name)]
    split = [entry.name.rpartition("/") for entry in entries]
    folders = {folder for folder, _, name in split if name == "manifest.json"}
    if len(folders) != 1:
        raise ValueError(f"it should hold the manifest.json of one run; it has {len(folders)}")
    prefix = f"{folders.pop()}/".removeprefix("/")
    by_name: dict[str, Entry] = {}
    for entry in entries:
        name = entry.name.removeprefix(prefix)
        if prefix.count("/") > 1 or not entry.name.startswith(prefix) or not _is_known(name):
            raise ValueError(f"{entry.name[:80]!r} is no file of a run")
        if name in by_name:
            raise ValueError(f"{name!r} is there twice")
        by_name[name] = replace(entry, name=name)
    return by_name


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


def copy_files(entries: dict[str, Entry], target: Path) -> None:
    """Copy the files into ``target``; raises ``ValueError`` above ``MAX_BYTES`` in all, or as ``chunks_of`` does."""
    num_left = MAX_BYTES
    (target / "samples").mkdir()
    for name, entry in entries.items():
        with (target / name).open("wb") as file:
            for chunk in chunks_of(entry, min(num_left, MAX_TEXT_BYTES.get(name, num_left))):
                num_left -= file.write(chunk)


def chunks_of(entry: Entry, max_bytes: int) -> Iterator[bytes]:
    """The content of ``entry``; raises ``ValueError`` above ``max_bytes`` or ``MAX_RATIO``.

    Bytes are counted as they are read, since the size in a header can be false.
    """
    max_bytes = min(max_bytes, max(entry.num_stored * MAX_RATIO, MAX_BYTES_AT_ANY_RATIO))
    num_read = 0
    with entry.open() as opened:
        while chunk := opened.read(CHUNK):
            num_read += len(chunk)
            if num_read > max_bytes:
                raise ValueError(f"{entry.name} unpacks to more than the {max_bytes:,} bytes that it may have")
            yield chunk
