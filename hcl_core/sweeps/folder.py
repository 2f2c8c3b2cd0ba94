"""A sweep on disk.

    sweep.json        its cells: where each stands in the grid, how much it has to do, and which run is its own
    <id>/             the run of a cell, a run folder like any other, by its own name
    table.parquet, table.csv, stability.csv, figure.svg      made from the runs, and can be deleted

A sweep of another file can be given the same folder: cells that are there already are not run again. Set as
``HCL_RUNS``, the folder is one of runs, which the page shows.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hcl_core.atomic import atomic_file
from hcl_core.errors import RunBusyError, RunFolderError, cause_of
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import check_run_id, is_run_id
from hcl_core.runs.tables import KEY
from hcl_core.strict_json import read_record, record_text
from hcl_core.sweeps.axes import CellAxes
from hcl_core.sweeps.shards import Shard, shards_of
from hcl_core.user_files import MAX_JSON_BYTES, read_text_limited

SCHEMA_VERSION = 1
_NAME = "sweep.json"
# Made from the runs; see ``results.write_results``.
RESULTS = ("table.parquet", "table.csv", "stability.csv", "figure.svg")


@dataclass(frozen=True, slots=True)
class StoredCell(CellAxes):
    """A cell as the folder keeps it.

    Attributes:
        key: Of everything that was asked for.
        num_wanted: Samples of the run, or of its shard.
        foretold_seconds: What it was thought to take; ``None`` where nobody knows.
        run_id: Name of its run folder; ``None`` before its model was first loaded.
        problem: Why it could not be run, the last time that it was tried.
    """

    key: str
    num_wanted: int
    foretold_seconds: float | None = None
    run_id: str | None = None
    problem: str | None = None

    def __post_init__(self) -> None:
        if self.run_id is not None:
            check_run_id(self.run_id)

    def describe(self) -> str:
        """One line for people."""
        return (
            f"{self.model} · {self.exit_head} head · {self.questions} · T {self.temperature:g} · seed {self.seed} · "
            f"{self.strategy}"
        )


@dataclass(frozen=True, slots=True)
class StoredSweep:
    """``sweep.json``.

    Attributes:
        cells: In the order in which they are run.
        shard: As ``1/3``; ``None``: all questions.
        schema_version: Of this format.
    """

    cells: tuple[StoredCell, ...]
    shard: str | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class CellProgress:
    """How far a cell is.

    Attributes:
        cell: The cell.
        num_done: Samples on disk.
        seconds: Spent decoding them, of the whole run.
        is_whole: Whether the run is finished, or the shard of it.
        bad_parts: Names of parts that are damaged, which are sampled again.
    """

    cell: StoredCell
    num_done: int = 0
    seconds: float = 0.0
    is_whole: bool = False
    bad_parts: tuple[str, ...] = ()


class SweepFolder:
    """The folder of a sweep.

    Args:
        path: The folder; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether there is a sweep here."""
        return (self.path / _NAME).is_file()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the sweep; raises ``RunBusyError`` where another process has it."""
        if self.path.is_dir() and not self.exists and any(not _is_of_sweep(each.name) for each in self.path.iterdir()):
            raise RunFolderError(f"{self.path} is not empty and holds no sweep: choose another folder with --out")
        with ExitStack() as stack:
            try:
                stack.enter_context(RunFolder(self.path).writing())
            except RunBusyError:
                raise RunBusyError(
                    f"another process runs a sweep in {self.path}: wait for it, or stop it; `status` says how far it is"
                ) from None
            yield

    def read(self) -> StoredSweep:
        """The sweep; raises ``RunFolderError`` if there is none, or none that can be read."""
        try:
            text = read_text_limited(self.path / _NAME, MAX_JSON_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            raise RunFolderError(f"{self.path} holds no sweep: a folder with a {_NAME} was wanted") from None
        except (OSError, UnicodeDecodeError) as error:
            raise RunFolderError(f"{self.path / _NAME} cannot be read: {cause_of(error)}") from None
        try:
            if (version := json.loads(text)["schema_version"]) != SCHEMA_VERSION:
                raise RunFolderError(f"schema version {SCHEMA_VERSION} was wanted; got {version}")
            return read_record(StoredSweep, text)
        except (KeyError, TypeError, ValueError, RecursionError, RunFolderError) as error:
            raise RunFolderError(
                f"{self.path / _NAME} cannot be read: {str(error)[:200]}: delete it, and the same `sweep` command "
                "writes it anew; the runs stay"
            ) from None

    def write(self, sweep: StoredSweep) -> None:
        """Replace ``sweep.json`` in one step."""
        with atomic_file(self.path / _NAME) as temporary:
            temporary.write_text(record_text(sweep), encoding="utf-8")

    def add(self, cells: Sequence[StoredCell], shard: Shard | None) -> None:
        """Write the cells of a sweep to the folder, before those of earlier sweeps; what is known of them is kept.

        Raises:
            RunFolderError: The folder is of another shard.
        """
        known: dict[str, StoredCell] = {}
        if self.exists:
            stored = self.read()
            if stored.shard != (wanted := str(shard) if shard else None):
                raise RunFolderError(
                    f"{self.path} is of shard {stored.shard or '1/1'}, and {wanted or '1/1'} was asked for: choose "
                    "another folder with --out"
                )
            known = {cell.key: cell for cell in stored.cells}
        own = [replace(cell, run_id=known[cell.key].run_id) if cell.key in known else cell for cell in cells]
        keys = {cell.key for cell in own}
        others = [cell for cell in known.values() if cell.key not in keys]
        self.write(StoredSweep((*own, *others), str(shard) if shard else None))

    def update(self, cell: StoredCell) -> None:
        """Replace what is kept of a cell."""
        sweep = self.read()
        self.write(replace(sweep, cells=tuple(cell if each.key == cell.key else each for each in sweep.cells)))

    def run_of(self, cell: StoredCell) -> RunFolder | None:
        """The run folder of a cell; ``None`` before there is one."""
        return None if cell.run_id is None else RunFolder(self.path / cell.run_id)

    def progress(self, cell: StoredCell, shard: Shard | None) -> CellProgress:
        """How far a cell is, from its run folder alone; a run that cannot be read has nothing done."""
        folder = self.run_of(cell)
        if folder is None or not folder.exists:
            return CellProgress(cell)
        try:
            manifest, bad = folder.manifest(), folder.bad_parts()
            table = folder.sample_table(KEY)
            if shard is not None:
                ids = shards_of([stored.question for stored in folder.questions()], shard)
                chosen = pa.array(sorted(ids), pa.string())
                table = table.filter(pc.is_in(table["question_id"].cast(pa.string()), chosen))
        except RunFolderError as error:
            return CellProgress(replace(cell, problem=str(error)))
        is_whole = len(table) == cell.num_wanted and (shard is not None or manifest.finished_at is not None)
        names = tuple(part.file.name for part in bad)
        return CellProgress(cell, len(table), manifest.decode_seconds, is_whole and not bad, names)

    def newest_change(self) -> float | None:
        """Seconds since a sample was stored last; ``None`` before the first one."""
        times = [file.stat().st_mtime for file in self.path.glob("*/samples/part-*.parquet")]
        return max(0.0, time.time() - max(times)) if times else None


def seconds_left(progress: Sequence[CellProgress]) -> float | None:
    """What the rest of a sweep takes, by what was foretold of it and what the samples on disk have taken.

    ``None`` where nothing was foretold, or nothing is left.
    """
    foretold_done = foretold_left = taken = 0.0
    for each in progress:
        if each.cell.foretold_seconds is None or not each.cell.num_wanted:
            return None
        share = min(1.0, each.num_done / each.cell.num_wanted)
        foretold_done += each.cell.foretold_seconds * share
        foretold_left += each.cell.foretold_seconds * (1 - share)
        taken += each.seconds
    if not foretold_left:
        return None
    return foretold_left * (taken / foretold_done if foretold_done and taken else 1.0)


def _is_of_sweep(name: str) -> bool:
    """Whether a file or folder of that name is a sweep's, whose list of cells may have been deleted."""
    return name.startswith(".") or name in RESULTS or is_run_id(name)
