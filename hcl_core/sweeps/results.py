"""What came of a sweep: a row a cell, and how stable the best layer is from one temperature to the next."""

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from hcl_core.atomic import atomic_file
from hcl_core.pipeline.stored import read_outcomes
from hcl_core.records import DEFAULT_SCALING, Weights
from hcl_core.scores.comparison import compare_runs
from hcl_core.scores.intervals import uncertainty
from hcl_core.scores.metrics import OutcomeTable, score_layers
from hcl_core.settings.layers import format_layers
from hcl_core.sweeps.axes import CellAxes
from hcl_core.sweeps.folder import RESULTS, StoredCell, SweepFolder


@dataclass(frozen=True, slots=True)
class CellResult(CellAxes):
    """A finished cell; scores are at equal weights.

    Attributes:
        run_id: Name of its run folder.
        num_hidden_layers: Of the model.
        best_layer: The likeliest to be the best; ``None`` where no layer has a right answer.
        p_best: Probability that it is the best.
        best_low: First layer of the smallest set that holds the best one with 95%; ``None`` without a right answer.
        best_high: Last layer of that set.
        best_set: The set.
        hcb: Score of the best layer.
        hcb_low: Of its 95% interval.
        hcb_high: Likewise.
        hallucination: Of the best layer; ``None`` for open questions.
        hallucination_last: Of the last exit layer.
        num_samples: Of the run.
        seconds: Spent decoding.
    """

    run_id: str
    num_hidden_layers: int
    best_layer: int | None
    p_best: float
    best_low: int | None
    best_high: int | None
    best_set: str
    hcb: float | None
    hcb_low: float | None
    hcb_high: float | None
    hallucination: float | None
    hallucination_last: float | None
    num_samples: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Stability(CellAxes):
    """Two cells that differ in their temperature alone, one after the other: the axes are those of the first.

    Attributes:
        next_temperature: Of the second.
        best_layer: Of the first; ``None`` without a right answer.
        next_best_layer: Of the second.
        p_same: Probability that the same layer is the best of both; ``None`` where one has no right answer.
        rank_correlation: Of their HCB scores over layers.
    """

    next_temperature: float
    best_layer: int | None
    next_best_layer: int | None
    p_same: float | None
    rank_correlation: float | None


@dataclass(frozen=True, slots=True)
class SweepResults:
    """What the finished cells of a sweep say.

    Attributes:
        cells: A row each.
        stability: A row for each two neighbouring temperatures.
        num_missing: Cells that are not finished, or not judged.
    """

    cells: tuple[CellResult, ...]
    stability: tuple[Stability, ...]
    num_missing: int


def results_of(folder: SweepFolder) -> SweepResults:
    """The results of the finished cells; reads the runs, and no language model."""
    results: list[CellResult] = []
    groups: dict[tuple[object, ...], list[tuple[StoredCell, OutcomeTable, list[Hashable]]]] = {}
    cells = folder.read().cells
    for cell in cells:
        run = folder.run_of(cell)
        if run is None or not run.exists or run.manifest().finished_at is None or run.bad_parts():
            continue
        if (table := read_outcomes(run)) is None:
            continue
        results.append(_result(cell, table, folder))
        asked: list[Hashable] = [(stored.question.id, stored.question.text) for stored in run.questions()]
        groups.setdefault(_group(cell), []).append((cell, table, asked))
    stability = []
    for group in groups.values():
        ordered = sorted(group, key=lambda each: each[0].temperature)
        stability += [_stability(first, second) for first, second in pairwise(ordered)]
    return SweepResults(tuple(results), tuple(stability), len(cells) - len(results))


def write_results(results: SweepResults, path: Path) -> None:
    """Write the files of ``folder.RESULTS`` into a folder."""
    from hcl_core.sweeps.figure import draw_figure

    table = _table(results.cells)
    parquet, csv, stability, figure = (path / name for name in RESULTS)
    with atomic_file(parquet) as temporary:
        pq.write_table(table, temporary)
    for file, rows in ((csv, table), (stability, _table(results.stability))):
        with atomic_file(file) as temporary:
            pc.write_csv(rows, temporary)
    with atomic_file(figure) as temporary:
        draw_figure(results, temporary)


def _table(rows: Sequence[CellResult | Stability]) -> pa.Table:
    return pa.Table.from_pylist([asdict(row) for row in rows])


def _group(cell: StoredCell) -> tuple[object, ...]:
    """What two cells have in common that differ in temperature alone; each cell of another request is its own."""
    return cell.model, cell.exit_head, cell.questions, cell.seed, cell.strategy, cell.num_wanted


def _result(cell: StoredCell, table: OutcomeTable, folder: SweepFolder) -> CellResult:
    assert cell.run_id is not None
    manifest = folder.run_of(cell).manifest()  # type: ignore[union-attr]  # it has a run
    scores, sure = score_layers(table, Weights()), uncertainty(table, Weights(), DEFAULT_SCALING)
    best = sure.best
    at = None if best.optimal_layer is None else table.exit_layers.index(best.optimal_layer)
    layer, score = (None, None) if at is None else (sure.layers[at], scores[at])
    return CellResult(
        **cell.by_axis(),
        run_id=cell.run_id,
        num_hidden_layers=manifest.num_hidden_layers,
        best_layer=best.optimal_layer,
        p_best=best.p_best,
        best_low=best.best_set[0] if best.best_set else None,
        best_high=best.best_set[-1] if best.best_set else None,
        best_set=format_layers(best.best_set) if best.best_set else "",
        hcb=_known(score and score.hcb_score),
        hcb_low=_known(layer and layer.hcb_ci[0]),
        hcb_high=_known(layer and layer.hcb_ci[1]),
        hallucination=_known(score and score.hallucination_rate),
        hallucination_last=_known(scores[-1].hallucination_rate),
        num_samples=manifest.num_total_samples,
        seconds=manifest.decode_seconds,
    )


def _known(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


def _stability(
    first: tuple[StoredCell, OutcomeTable, list[Hashable]], second: tuple[StoredCell, OutcomeTable, list[Hashable]]
) -> Stability:
    comparison = compare_runs((first[1], second[1]), (first[2], second[2]), Weights(), DEFAULT_SCALING)
    cell = first[0]
    correlation = comparison.rank_correlation.get("hcb_score")
    return Stability(
        **cell.by_axis(),
        next_temperature=second[0].temperature,
        best_layer=comparison.optimal_layers[0],
        next_best_layer=comparison.optimal_layers[1],
        p_same=comparison.p_same_optimal,
        rank_correlation=_known(correlation and correlation.estimate),
    )
