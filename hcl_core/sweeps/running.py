"""Runs the cells of a sweep that are not whole yet, as a generator of events: here, or on a cluster."""

import gc
import logging
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Protocol

from hcl_core import pipeline, registry
from hcl_core.cluster.decoder import prepare_on
from hcl_core.cluster.workers import Workers
from hcl_core.errors import DiskError, HclError, RunReadOnlyError
from hcl_core.folders import runs_folder
from hcl_core.pipeline.estimate import Foretold, MachineSpeed, RunTimer, foretell
from hcl_core.pipeline.prepared import PreparedRun
from hcl_core.pipeline.request import RunRequest, prepare
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.starting import start_prepared
from hcl_core.sweeps.cells import Cell, Plan
from hcl_core.sweeps.folder import CellProgress, StoredCell, SweepFolder
from hcl_core.sweeps.shards import Shard, shards_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loading:
    """A model is loaded now."""

    model: str


@dataclass(frozen=True, slots=True)
class Step:
    """A cell has come so far."""

    progress: CellProgress


@dataclass(frozen=True, slots=True)
class Failed:
    """A cell could not be run, and why; the others go on."""

    cell: StoredCell
    error: HclError


SweepEvent = Loading | Step | Failed
# A run of a model that is loaded, ready to start.
Prepare = Callable[[RunRequest, Embeddings], PreparedRun]


class SweepEngine(Protocol):
    """Where the models of a sweep compute.

    Attributes:
        is_here: Whether that is this process, whose speed a run then tells.
        device: Of this process, as ``load_replicas`` takes it.
    """

    is_here: bool
    device: str

    def load(self, model: str, dtype: str) -> Prepare:
        """The model, both as ``load_model`` takes them; raises as that does, then or later."""
        ...


class LocalEngine:
    """Models compute in this process, one at a time.

    Args:
        device: As ``load_replicas`` takes it.
    """

    is_here = True

    def __init__(self, device: str = "auto") -> None:
        self.device = device

    def load(self, model: str, dtype: str) -> Prepare:
        """Load the model; see ``SweepEngine``."""
        (lm, *others), checkpoint = registry.load_replicas(model, dtype, self.device)
        return lambda request, embeddings: prepare(request, lm, checkpoint, embeddings, others)


class ClusterEngine:
    """Models compute on a cluster.

    Args:
        workers: Of the cluster.
    """

    is_here = False
    device = "auto"

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def load(self, model: str, dtype: str) -> Prepare:
        """Workers load the model when they need it; see ``SweepEngine``."""
        return lambda request, embeddings: prepare_on(self._workers, request, dtype, embeddings)


@dataclass(frozen=True, slots=True)
class CellWork:
    """What a shard of a cell has to do.

    Attributes:
        num_samples: Of the shard.
        foretold: What they are thought to take; ``None`` where nobody knows.
    """

    num_samples: int
    foretold: Foretold | None


def work_of(cell: Cell, shard: Shard | None, speed: MachineSpeed) -> CellWork:
    """The work of a cell, or of its shard alone."""
    request = cell.request
    num_questions = len(shards_of(request.questions, shard))
    foretold = foretell(request, cell.exit_layers, None, speed)
    return CellWork(
        num_questions * len(cell.exit_layers) * request.num_samples,
        foretold.of_share(num_questions / len(request.questions)) if foretold else None,
    )


def stored_cell(cell: Cell, shard: Shard | None, speed: MachineSpeed) -> StoredCell:
    """A cell of a plan as a sweep's folder keeps it."""
    work = work_of(cell, shard, speed)
    return StoredCell(
        **cell.axes.by_axis(),
        key=cell.key,
        num_wanted=work.num_samples,
        foretold_seconds=work.foretold.middle if work.foretold else None,
    )


def machine_speed(device: str) -> MachineSpeed:
    """What runs have taken on this machine, for what ``load_replicas`` takes as ``device``."""
    return MachineSpeed(runs_folder() / ".speed.json", len(device.split(",")))


def run_sweep(
    folder: SweepFolder,
    plan: Plan,
    *,
    engine: SweepEngine,
    shard: Shard | None = None,
    has_time: Callable[[], bool] = lambda: True,
) -> Generator[SweepEvent, None, None]:
    """Run what is missing of a sweep. Each cell that is there is told first, as far as it is.

    Args:
        folder: Of the sweep; made if it is missing.
        plan: Its cells.
        engine: Where the models compute.
        shard: The questions of each run that are asked here; ``None``: all.
        has_time: Asked before each question. Once it says no, the questions under way are finished and no other is
            begun.

    Raises:
        RunBusyError: Another process runs a sweep in the folder.
        DiskError: The disk is full, read-only or failing: what was stored stays.
        HclError: The folder holds something else.
    """
    with folder.writing():
        speed = machine_speed(engine.device)
        folder.add([stored_cell(cell, shard, speed) for cell in plan.cells], shard)
        progress = {each.key: folder.progress(each, shard) for each in folder.read().cells}
        for cell in plan.cells:
            each = progress[cell.key]
            if each.bad_parts:
                _log.warning("%s: damaged parts are sampled again: %s", each.cell.describe(), ", ".join(each.bad_parts))
            yield Step(each)
        missing = [cell for cell in plan.cells if not progress[cell.key].is_whole]
        sitting = _Sitting(folder, engine, shard, has_time, speed)
        for (model, dtype), cells in groupby(missing, lambda cell: (cell.request.model, cell.dtype)):
            if not has_time():
                return
            yield Loading(model)
            yield from sitting.run_model(model, dtype, list(cells), progress)
            gc.collect()  # before the next model is loaded, this one is let go


class _Sitting:
    """One call of ``run_sweep``."""

    def __init__(
        self,
        folder: SweepFolder,
        engine: SweepEngine,
        shard: Shard | None,
        has_time: Callable[[], bool],
        speed: MachineSpeed,
    ) -> None:
        self._folder, self._engine, self._shard, self._has_time, self._speed = folder, engine, shard, has_time, speed
        self._embeddings = Embeddings(registry.load_embedder)

    def run_model(
        self, model: str, dtype: str, cells: list[Cell], progress: dict[str, CellProgress]
    ) -> Iterator[SweepEvent]:
        """Load a model and run its cells; one that cannot be loaded fails all of them."""
        try:
            prepare_run = self._engine.load(model, dtype)
        except (DiskError, RunReadOnlyError):
            raise
        except HclError as error:
            yield from (self._failed(progress[cell.key].cell, error) for cell in cells)
            return
        for cell in cells:
            if not self._has_time():
                return
            stored = progress[cell.key].cell
            try:
                yield from self._run_cell(cell, stored, prepare_run)
            except (DiskError, RunReadOnlyError):
                raise
            except HclError as error:
                yield self._failed(stored, error)

    def _failed(self, cell: StoredCell, error: HclError) -> Failed:
        self._folder.update(failed := replace(cell, problem=str(error)))
        return Failed(failed, error)

    def _run_cell(self, cell: Cell, stored: StoredCell, prepare_run: Prepare) -> Iterator[SweepEvent]:
        chosen = shards_of(cell.request.questions, self._shard)
        run, events = start_prepared(
            prepare_run(cell.request, self._embeddings),
            runs=self._folder.path,
            wants=lambda question_id: question_id in chosen and self._has_time(),
        )
        stored = replace(stored, run_id=run.path.name, problem=None)
        self._folder.update(stored)  # before the run: after a crash its samples are found
        timer = RunTimer(self._speed, cell.request, cell.exit_layers, None)
        before, num_present, began = CellProgress(stored), 0, time.perf_counter()
        with closing(events):
            for event in events:
                timer.add(event, is_alone=self._engine.is_here)
                if isinstance(event, pipeline.Started):
                    before, num_present = self._folder.progress(stored, self._shard), event.num_present
                elif isinstance(event, pipeline.Decoding | pipeline.WaveDone):
                    num_done = before.num_done + event.num_done - num_present
                    yield Step(CellProgress(stored, num_done, before.seconds + time.perf_counter() - began))
        yield Step(self._folder.progress(stored, self._shard))
