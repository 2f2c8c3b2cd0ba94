"""A stored run as tables: its answers, its scores and the verdict on its layers."""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hcl_core.api.arguments import as_number, as_path, as_text
from hcl_core.api.judging import Judged, judged
from hcl_core.atomic import atomic_folder
from hcl_core.errors import SettingsError
from hcl_core.records import DEFAULT_SCALING, LayerScore, Question, Scaling, Weights, check_scaling
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.best_layers import BestLayers
from hcl_core.scores.intervals import Uncertainty, uncertainty
from hcl_core.scores.metrics import OutcomeTable, score_layers
from hcl_core.settings.presets import scaling_of
from hcl_core.text import printable
from hcl_core.transfer.export import answer_table, score_table
from hcl_core.transfer.packing import pack_run
from hcl_core.transfer.unpacking import unpack_run

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from hcl_core.api.states import States


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A judged run, as ``run`` and ``open_run`` return it.

    Attributes:
        folder: Where it is stored.
        manifest: Its settings, versions and times.
        table: The outcome and the confidence of each sample, as arrays.
        weights: Of creativity and accuracy in the HCB score.
        scaling: Of creativity.
    """

    folder: Path
    manifest: Manifest
    table: OutcomeTable
    weights: Weights = Weights()
    scaling: Scaling = DEFAULT_SCALING

    @classmethod
    def of(cls, run: Judged) -> "Run":
        """A run with its verdicts, scored as its preset has it."""
        return cls(run.folder.path, run.manifest, run.table, scaling=scaling_of(run.manifest.preset))

    @property
    def is_complete(self) -> bool:
        """Whether it has all its samples; if not, the call that made it goes on where it stopped."""
        return self.manifest.finished_at is not None

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """What was asked, in order."""
        return tuple(stored.question for stored in RunFolder(self.folder).questions())

    @cached_property
    def answers(self) -> "pd.DataFrame":
        """One row a sample, in the order of questions, layers and samples; ``export_csv`` describes the columns."""
        import pandas as pd
        import pyarrow as pa

        # The idea of a wrong answer is missing: pandas' own integers can say so, numpy's cannot.
        integers = {pa.int32(): pd.Int32Dtype()}
        made: pd.DataFrame = answer_table(RunFolder(self.folder)).to_pandas(types_mapper=integers.get)
        return made

    @cached_property
    def scores(self) -> "pd.DataFrame":
        """One row an exit layer: its scores, and each 95% interval's ends in ``..._ci_low`` and ``..._ci_high``."""
        made: pd.DataFrame = score_table(self._scores, self._uncertainty.layers, self.table.is_open).to_pandas()
        return made

    @cached_property
    def states(self) -> "States":
        """The hidden states of its answers, all of them in memory; ``run`` stores them where ``save_states`` is given.

        Raises:
            RunFolderError: There are none, or not of all questions.
        """
        from hcl_core.api.states import States

        return States.read(self.folder, len(self.questions))

    @property
    def verdict(self) -> BestLayers:
        """Which layer is best, the layers that may be, and how sure that is; as text, it is the terminal's sentence."""
        return self._uncertainty.best

    @cached_property
    def _scores(self) -> Sequence[LayerScore]:
        return score_layers(self.table, self.weights, self.scaling)

    @cached_property
    def _uncertainty(self) -> Uncertainty:
        return uncertainty(self.table, self.weights, self.scaling)

    def weighed(self, creativity: float, scaling: Scaling | None = None) -> "Run":
        """The same run with other weights; nothing is judged or stored anew.

        Args:
            creativity: From 0 to 1; the rest is the weight of accuracy.
            scaling: ``"possible"``, ``"min_max"`` or ``"absolute"``; ``None``: as it is.

        Raises:
            SettingsError: A value is outside its range.
        """
        chosen = self.scaling if scaling is None else check_scaling(as_text("scaling", scaling))
        share = as_number("creativity", creativity)
        return replace(self, weights=Weights(share, 1 - share), scaling=chosen)

    def save(self, target: str | Path) -> Path:
        """Copy the run into a new folder, or, where ``target`` ends in ``.zip``, into one file that `import` takes.

        Raises:
            SettingsError: There is something at ``target``.
            RunFolderError: The run cannot be packed.
            DiskError: The disk is full, read-only or failing.
        """
        place = as_path("target", target)
        if place.exists():
            raise SettingsError(f"{place} exists already: choose another place for the run")
        if place.suffix == ".zip":
            pack_run(RunFolder(self.folder), place)
        else:
            with atomic_folder(place) as made:
                shutil.copytree(self.folder, made, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)
        return place

    def plot(self) -> "go.Figure":
        """The scores over the exit layers with 95% intervals, and which layers may be best, as a Plotly figure."""
        from hcl_core.api.figures import score_figure

        return score_figure(self.scores, self.verdict)

    def __repr__(self) -> str:
        state = "" if self.is_complete else ", not finished"
        return printable(f"Run({str(self.folder)!r}: {self.manifest.describe()}{state})")


def open_run(folder: str | Path, judge: str | None = None, ideas: str | None = None) -> Run:
    """Open a stored run; it needs no language model.

    Answers without verdicts, or with those of an older version of the judge, are judged again. Verdicts of another
    judge are kept beside the run, in a folder of their own, which is the ``folder`` of what is returned.

    Args:
        folder: The run's, or the zip file of ``Run.save``, whose run is unpacked for as long as the program runs.
        judge: Judge the answers by another one; see ``run``.
        ideas: Tell ideas apart in another way; see ``run``.

    Raises:
        RunFolderError: There is no run, or it is damaged.
        SettingsError: There is no such judge or idea finder.
    """
    place = as_path("folder", folder)
    by = None if judge is None else as_text("judge", judge)
    finder = None if ideas is None else as_text("ideas", ideas)
    stored = _unpacked(place) if place.suffix == ".zip" else RunFolder(place)
    return Run.of(judged(stored, by, finder))


def _unpacked(file: Path) -> RunFolder:
    """The run of a zip file, checked, in a folder that is deleted when the program ends."""
    held = Path(tempfile.mkdtemp(prefix="hcl-run-"))
    atexit.register(shutil.rmtree, held, ignore_errors=True)
    return unpack_run(file, held).folder
