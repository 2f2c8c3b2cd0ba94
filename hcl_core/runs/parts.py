"""The samples of a run on disk: numbered parts, each written once and never changed or replaced."""

import filecmp
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cachetools import LRUCache, cached

from hcl_core.atomic import disk_errors, new_file
from hcl_core.errors import RunBusyError, RunFolderError, cause_of
from hcl_core.records import Sample
from hcl_core.runs.file_version import file_version
from hcl_core.runs.tables import KEY, SAMPLE_SCHEMA, check_samples, read_batches, read_table, table_of
from hcl_core.text import one_line

# Five digits, or more of them without a leading zero: each number has one name.
PART_NAME = r"part-(?:[0-9]{5}|[1-9][0-9]{5,})\.parquet"
# Parts whose check is in memory: about 20 MB.
_MOST_CHECKED = 50_000
# What Arrow raises for a part that is damaged.
_UNREADABLE = (pa.ArrowException, OSError, KeyError, ValueError)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BadPart:
    """A part that is left out when samples are read.

    Attributes:
        file: The part.
        problem: Why it is left out.
    """

    file: Path
    problem: str


class SampleParts:
    """The parts in the folder ``samples`` of a run.

    Args:
        path: That folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next_number: int | None = None  # not known before the first part is written

    def files(self) -> list[Path]:
        """The parts, in the order in which they were written."""
        files = self.path.iterdir() if self.path.is_dir() else ()
        return sorted((file for file in files if re.fullmatch(PART_NAME, file.name)), key=_number_of)

    def bad(self) -> list[BadPart]:
        """The parts that are left out when samples are read.

        Raises:
            RunFolderError: The system refuses to read a part.
        """
        problems = ((file, _problem_of(file)) for file in self.files())
        return [BadPart(file, problem) for file, problem in problems if problem is not None]

    def append(self, samples: Sequence[Sample]) -> None:
        """Write ``samples`` as a new part; a crash leaves the whole part or none.

        Raises:
            RunFolderError: A sample has values that could not be read again, or two have one key: no file is made.
            RunBusyError: Another process has written a part with this number.
            DiskError: The disk is full, read-only or failing.
        """
        table = table_of(samples)
        try:
            check_samples(table)
            if len({sample.key for sample in samples}) != len(samples):
                raise ValueError("two samples have the same key")
        except ValueError as error:
            raise RunFolderError(f"{self.path.parent}: {len(samples)} samples are not stored: {error}") from None
        if self._next_number is None:
            self._next_number = 1 + max(map(_number_of, self.files()), default=-1)
        file = self.path / f"part-{self._next_number:05d}.parquet"
        try:
            with new_file(file) as temporary:
                pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
        except FileExistsError:
            raise RunBusyError(f"another process has written {file}: wait for it, or stop it") from None
        self._next_number += 1

    def fit(self, others: "SampleParts") -> bool:
        """Whether these parts are the first ones of ``others``, which has the same files, so that more can be taken."""
        own, theirs = self.files(), others.files()
        pairs = list(zip(own, theirs, strict=False))
        return len(own) <= len(theirs) and all(
            first.name == second.name and filecmp.cmp(first, second) for first, second in pairs
        )

    def missing(self, others: "SampleParts") -> list[Path]:
        """The parts of ``others`` that are not here, and not damaged, in their order."""
        names = {file.name for file in self.files()}
        return [file for file in others.files() if file.name not in names and _problem_of(file) is None]

    def take(self, file: Path) -> None:
        """Add a part of another run of the same samples, by the same name: one file on disk, or else a copy.

        Raises:
            DiskError: The disk is full, read-only or failing.
        """
        target = self.path / file.name
        with disk_errors(target):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, target)
            except FileExistsError:
                raise RunBusyError(f"another process has written {target}: wait for it, or stop it") from None
            except OSError:  # on another disk, or one without hard links
                with new_file(target) as temporary:
                    shutil.copy2(file, temporary)
        self.forget_number()

    def share(self, others: "SampleParts") -> None:
        """Replace each part that ``others`` has too by their file, where one disk has both: its content stays."""
        theirs = {file.name: file for file in others.files()}
        for file in self.files():
            same = theirs.get(file.name)
            if same is not None and filecmp.cmp(file, same, shallow=False):
                linked = file.with_name(f".{file.name}.tmp")
                with suppress(OSError):
                    os.link(same, linked)
                    linked.replace(file)

    def forget_number(self) -> None:
        """The number of the next part is found by listing the folder again."""
        self._next_number = None

    def read(self, columns: Sequence[str], question_id: str | None = None) -> pa.Table:
        """Those columns of all samples, or of one question's, in the order of the parts; bad parts are left out.

        Raises:
            RunFolderError: The system refuses to read a part.
        """
        schema = _schema_of(columns)
        tables = (read_table(file, schema, question_id) for file in self._good())
        return pa.concat_tables([schema.empty_table(), *tables])

    def read_part(self, file: Path, columns: Sequence[str]) -> pa.Table:
        """Those columns of one part, which is not bad."""
        return read_table(file, _schema_of(columns))

    def read_batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of ``read``, in tables of bounded size."""
        for file in self._good():
            yield from read_batches(file, _schema_of(columns))

    def repeating(self) -> dict[Path, Path]:
        """Each part with a sample that an earlier part has too, or that stands twice in it; and that earlier part."""
        files = list(self._good())
        tables = [read_table(file, _schema_of(KEY)) for file in files]
        owners = np.repeat(np.arange(len(files)), [len(table) for table in tables])
        keys = (
            pa.concat_tables(tables).unify_dictionaries().combine_chunks() if tables else _schema_of(KEY).empty_table()
        )
        questions = keys["question_id"].combine_chunks().indices
        columns = np.stack([questions, keys["exit_layer"], keys["sample_idx"], owners])
        ordered = columns[:, np.lexsort(columns[::-1])]
        is_repeat = (ordered[:3, 1:] == ordered[:3, :-1]).all(axis=0)
        pairs = sorted(zip(ordered[3, 1:][is_repeat], ordered[3, :-1][is_repeat], strict=True), reverse=True)
        return {files[later]: files[earlier] for later, earlier in pairs}  # the last pair of a part has its first one

    def _good(self) -> Iterator[Path]:
        for file in self.files():
            if (problem := _problem_of(file)) is None:
                yield file
            else:
                _warn_once(file, problem)


def describe_repeat(later: Path, first: Path) -> str:
    """The words for a part with samples that stand twice, see ``SampleParts.repeating``."""
    return f"samples/{later.name} has " + (
        "a sample twice" if later == first else f"samples of {first.name} a second time"
    )


def _schema_of(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([SAMPLE_SCHEMA.field(name) for name in columns])


def _number_of(file: Path) -> int:
    return int(file.stem.removeprefix("part-"))


@cached(LRUCache(maxsize=_MOST_CHECKED), key=file_version, lock=Lock())
def _problem_of(file: Path) -> str | None:
    """Why a part is bad; ``None`` if all of it can be read. Checked once for each state of the file."""
    try:
        if not file.is_file():
            raise ValueError("it is no file")
        for table in read_batches(file, SAMPLE_SCHEMA):
            check_samples(table)
        return None
    except _UNREADABLE as error:
        # Arrow's errors about the content have no number; the system's, such as a missing permission, have one.
        if isinstance(error, OSError) and error.errno is not None:
            raise RunFolderError(f"{file} cannot be read: {cause_of(error)}") from None
        problem = one_line(str(error))[:300]
        return problem


@lru_cache(maxsize=1_000)
def _warn_once(file: Path, problem: str) -> None:
    _log.warning("%s is left out: %s; the same `run` command samples its answers again", file, problem)
