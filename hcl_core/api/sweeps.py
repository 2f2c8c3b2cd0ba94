"""A sweep: a grid of runs from one file or mapping, and what came of it as tables."""

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from hcl_core.api.arguments import as_device, as_flag, as_number, as_path, as_text
from hcl_core.api.progress import follow_sweep, progress_bars
from hcl_core.api.runs import Run, open_run
from hcl_core.errors import SettingsError
from hcl_core.folders import runs_folder
from hcl_core.sweeps.folder import SweepFolder
from hcl_core.sweeps.plan import make_plan, read_plan
from hcl_core.sweeps.results import SweepResults, results_of, write_results
from hcl_core.sweeps.running import LocalEngine, run_sweep
from hcl_core.sweeps.shards import Shard
from hcl_core.text import counted, printable

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """A grid of runs on disk, as ``sweep`` and ``open_sweep`` return it; its tables are read on first use.

    Attributes:
        folder: Where it is stored; each run has a folder in it.
    """

    folder: Path

    @cached_property
    def cells(self) -> "pd.DataFrame":
        """One row a finished cell: where it stands in the grid, its best layer, scores, interval and cost.

        ``hcl_core.sweeps.results.CellResult`` describes the columns.
        """
        import pandas as pd

        return pd.DataFrame([asdict(cell) for cell in self._results.cells])

    @cached_property
    def stability(self) -> "pd.DataFrame":
        """One row for each two neighbouring temperatures: the best layer of both, and how sure it is the same one."""
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in self._results.stability])

    @property
    def is_complete(self) -> bool:
        """Whether all its cells are finished; if not, the call that made it goes on where it stopped."""
        return not self._results.num_missing

    @cached_property
    def problems(self) -> dict[str, str]:
        """Why cells could not be run the last time that they were tried, by what each cell is."""
        cells = SweepFolder(self.folder).read().cells
        return {cell.describe(): cell.problem for cell in cells if cell.problem is not None}

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The run of each row of ``cells``."""
        return tuple(open_run(self.folder / cell.run_id) for cell in self._results.cells)

    def plot(self) -> "go.Figure":
        """The best layer of each cell with the layers that hold it with 95%, as a Plotly figure."""
        from hcl_core.api.figures import sweep_figure

        return sweep_figure(self._results.cells)

    @cached_property
    def _results(self) -> SweepResults:
        return results_of(SweepFolder(self.folder))

    def __repr__(self) -> str:
        results = self._results
        num_cells = len(results.cells) + results.num_missing
        return printable(f"Sweep({str(self.folder)!r}: {len(results.cells)} of {counted(num_cells, 'cell')} finished)")


def sweep(
    spec: str | Path | Mapping[str, Any],
    *,
    folder: str | Path | None = None,
    budget: float | None = None,
    shard: str | None = None,
    device: object = "auto",
    download: bool = False,
    progress: bool = True,
) -> Sweep:
    """Run a grid of runs: every model with every question set, exit head, strategy, temperature and seed.

    Interrupted, it keeps what it has, and the same call goes on. A cell that fails is in ``Sweep.problems`` and in the
    log, and the others go on.

    Args:
        spec: A file in YAML, or a mapping with its keys, which ``docs/sweep.md`` describes.
        folder: Of the sweep; by default ``sweeps/<name of the file>`` among your runs. A mapping needs one.
        budget: Begin no question after so many seconds.
        shard: ``"1/3"``: ask every third question alone, from the first on; ``hcl merge`` joins the shards.
        device: As in ``load_model``.
        download: Whether models of the catalogue that are not here may be fetched when their turn comes.
        progress: Whether a bar is shown, in a terminal or a notebook.

    Raises:
        SettingsError: The file or the mapping has mistakes, with a line for each; or a mapping comes without a folder.
        RunBusyError: Another process runs a sweep in the folder.
        HclError: The folder holds something else, or the disk is full, read-only or failing.
    """
    part = None if shard is None else Shard.parse(as_text("shard", shard))
    seconds = None if budget is None else as_number("budget", budget)
    devices, fetches, shows = as_device(device), as_flag("download", download), as_flag("progress", progress)
    if isinstance(spec, Mapping):
        if folder is None:
            raise SettingsError("a sweep that comes as a mapping has no name: give its folder=...")
        plan, place = make_plan(spec, devices, fetches), as_path("folder", folder)
    else:
        file = as_path("spec", spec)
        plan = read_plan(file, devices, fetches)
        place = runs_folder() / "sweeps" / file.stem if folder is None else as_path("folder", folder)
    stored = SweepFolder(place)
    ends_at = None if seconds is None else time.monotonic() + seconds
    has_time = (lambda: True) if ends_at is None else (lambda: time.monotonic() < ends_at)
    events = run_sweep(stored, plan, engine=LocalEngine(devices), shard=part, has_time=has_time)
    failed, _ = follow_sweep(events, progress_bars(Console(stderr=True), shows), len(plan.cells))
    for each in failed:
        _log.warning("failed: %s: %s", printable(each.cell.describe()), printable(str(each.error)))
    made = Sweep(stored.path)
    if part is None and len(made._results.cells):
        write_results(made._results, stored.path)
    return made


def open_sweep(folder: str | Path) -> Sweep:
    """Open a sweep's folder, finished or not; it is only read, and needs no language model.

    Raises:
        RunFolderError: There is no sweep, or it cannot be read.
    """
    stored = SweepFolder(as_path("folder", folder))
    stored.read()
    return Sweep(stored.path)
