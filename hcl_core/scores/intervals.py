"""How sure the scores are: a bootstrap of the whole chain, from outcomes to the optimal layer (DESIGN section 2).

A replicate draws questions with replacement and, within each drawn question, its answers. Cluster membership
is fixed, so a cell (question and layer) is a few counts, its resample one multinomial draw, and thousands of
replicates are arithmetic. Free of torch.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from hcl_core.records import Scaling, Weights
from hcl_core.scores.metrics import MISSING, FloatArray, OutcomeTable, answered, hcb_score, min_max_scale
from hcl_core.settings.layers import format_layers

NUM_REPLICATES = 1000
LEVEL = 0.95

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Replicates:
    """Scores of resampled runs.

    Attributes:
        num_questions: Of the run.
        num_samples: Answers a question and layer.
        exit_layers: ``E`` layers, ascending.
        hallucination_rate: ``[R, E]`` in [0, 1]; NaN at a layer without answers.
        creativity_raw: ``[R, E]`` meaning clusters a question, from 0; likewise.
        creativity_absolute: ``[R, E]`` the same over answers given, in [0, 1]; likewise.
    """

    num_questions: int
    num_samples: int
    exit_layers: tuple[int, ...]
    hallucination_rate: FloatArray
    creativity_raw: FloatArray
    creativity_absolute: FloatArray

    def creativity(self, scaling: Scaling = "min_max") -> FloatArray:
        """``[R, E]``, scaled within each replicate."""
        return min_max_scale(self.creativity_raw) if scaling == "min_max" else self.creativity_absolute

    def hcb_score(self, weights: Weights, scaling: Scaling = "min_max") -> FloatArray:
        """``[R, E]``, the whole chain anew in each replicate."""
        return hcb_score(self.creativity(scaling), self.hallucination_rate, weights)


def draw_questions(num_questions: int, num_replicates: int = NUM_REPLICATES, seed: int = 0) -> NDArray[np.int64]:
    """Which questions each replicate holds: ``[R, num_questions]``; the same for every run of the same questions."""
    return np.random.default_rng([seed, 0]).integers(num_questions, size=(num_replicates, num_questions))


def resample(table: OutcomeTable, drawn: NDArray[np.int64], seed: int = 0) -> Replicates:
    """Scores of every replicate.

    Args:
        table: Outcomes of a run.
        drawn: From ``draw_questions``.
        seed: Of the answers drawn within a question; runs that are compared take different ones.

    Two corrections, without which the intervals would be wrong (``tests/test_intervals.py`` measures it):

    A resample of ``n`` answers misses some rare clusters that the ``n`` answers had, so its number of clusters
    is too low on average. Each cell is put back to its own number by what it lacks in expectation,
    ``sum_k (1 - c_k / n)^n`` for clusters of ``c_k`` answers.

    Questions that differ by chance in their answers carry that noise into every draw of questions; drawing
    the answers too would count it twice. So what the answers' draw
    adds is shrunk by ``1 / sqrt(num_questions)``: all of it for a single question, next to nothing for many.
    """
    num_questions, num_layers, num_samples = table.outcomes.shape
    num_replicates = len(drawn)
    rng = np.random.default_rng([seed, 1])
    shrink = num_questions**-0.5
    # Slots of a question stand together, so that each cell is drawn for all of its slots at once.
    order = np.argsort(drawn, axis=None, kind="stable")
    bounds = np.searchsorted(drawn.ravel()[order], np.arange(num_questions + 1))
    wrong_share = np.empty((drawn.size, num_layers), np.float32)
    num_clusters = np.empty((drawn.size, num_layers), np.float32)
    for question in range(num_questions):
        slots = order[bounds[question] : bounds[question + 1]]
        for layer in range(num_layers):
            cell = table.outcomes[question, layer]
            wrong_share[slots, layer], num_clusters[slots, layer] = _resample_cell(cell, len(slots), shrink, rng)
    by_replicate = (num_replicates, num_questions, num_layers)
    num_given = (table.outcomes != MISSING).sum(axis=2, dtype=np.float32)[drawn]
    clusters = num_clusters.reshape(by_replicate)
    return Replicates(
        num_questions,
        num_samples,
        table.exit_layers,
        _nan_mean(wrong_share.reshape(by_replicate)),
        _nan_mean(clusters),
        _nan_mean(np.divide(clusters, num_given, out=np.full_like(clusters, np.nan), where=num_given > 0)),
    )


def _resample_cell(
    cell: NDArray[np.int16], size: int, shrink: float, rng: np.random.Generator
) -> tuple[FloatArray | float, FloatArray | float]:
    """Share of wrong answers and number of clusters in ``size`` resamples of one cell's answers."""
    num_given = int((cell != MISSING).sum())
    if not num_given:
        return np.nan, np.nan
    sizes = np.bincount(cell[cell >= 0])
    sizes = sizes[sizes > 0]
    num_wrong = num_given - int(sizes.sum())
    wrong_share, num_clusters = num_wrong / num_given, float(len(sizes))
    if len(sizes) + bool(num_wrong) == 1:  # all answers alike: every resample is the same
        return wrong_share, num_clusters
    shares = np.append(sizes, num_wrong) / num_given
    counts = rng.multinomial(num_given, shares, size=size)
    found = (counts[:, :-1] > 0).sum(axis=1)
    expected = (1 - (1 - shares[:-1]) ** num_given).sum()
    return (
        wrong_share + shrink * (counts[:, -1] / num_given - wrong_share),
        num_clusters + shrink * (found - expected),
    )


def _nan_mean(values: NDArray[np.float32]) -> FloatArray:
    """Mean over axis 1, of the questions that have answers: ``[R, E]``."""
    given = ~np.isnan(values)
    counts = given.sum(axis=1)
    sums = np.where(given, values, 0).sum(axis=1, dtype=np.float64)
    means: FloatArray = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


@dataclass(frozen=True, slots=True)
class LayerIntervals:
    """How sure one layer's scores are; each interval holds the truth with 95% confidence.

    Attributes:
        exit_layer: Decoder blocks run, from 1.
        hallucination_ci: Of ``hallucination_rate``.
        creativity_raw_ci: Of ``creativity_raw``.
        creativity_ci: Of ``creativity``.
        hcb_ci: Of ``hcb_score``.
        p_optimal: Share of replicates in which this layer has the highest HCB score, in [0, 1].
    """

    exit_layer: int
    hallucination_ci: Interval
    creativity_raw_ci: Interval
    creativity_ci: Interval
    hcb_ci: Interval
    p_optimal: float


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What can be said of a run's scores.

    Attributes:
        layers: By exit layer.
        verdict: ``"clear"``: one layer is best in at least 95% of the replicates. ``"tied"``: a group of at most
            half of the layers can't be told apart from the best. ``"none"``: more than half can't, or no layer
            has a right answer.
        tied_layers: Layers that can't be told apart from the best one, that one among them: the 95% interval of
            the difference of their HCB scores holds 0. Empty where no layer has a right answer.
    """

    layers: tuple[LayerIntervals, ...]
    verdict: Literal["clear", "tied", "none"]
    tied_layers: tuple[int, ...]


def uncertainty(
    table: OutcomeTable,
    weights: Weights,
    scaling: Scaling = "min_max",
    num_replicates: int = NUM_REPLICATES,
    seed: int = 0,
) -> Uncertainty:
    """Intervals, ``p_optimal`` and verdict of a run."""
    table = answered(table)
    replicates = resample(table, draw_questions(len(table.outcomes), num_replicates, seed), seed)
    return judge_replicates(replicates, weights, bool((table.outcomes >= 0).any()), scaling)


def describe_verdict(best: int | None, sure: Uncertainty) -> str:
    """The verdict in one sentence.

    Args:
        best: ``metrics.balanced_layer`` of the run.
        sure: Of the same run and weights.
    """
    if best is None:
        return "No layer gave a right answer: nothing to balance."
    share = next(each.p_optimal for each in sure.layers if each.exit_layer == best)
    if sure.verdict == "clear":
        return f"Layer {best} balances best: it has the highest HCB in {share:.0%} of resampled runs."
    others = [layer for layer in sure.tied_layers if layer != best]
    if sure.verdict == "tied" and others:
        return (
            f"Layer {best} has the highest HCB, in {share:.0%} of resampled runs; "
            f"layers {format_layers(tuple(sorted({best, *others})))} can't be told apart."
        )
    return (
        f"No layer is clearly best: layer {best} has the highest HCB, but in {share:.0%} of resampled runs only, "
        f"and {len({best, *others})} of {len(sure.layers)} layers can't be told apart."
    )


def judge_replicates(
    replicates: Replicates, weights: Weights, has_right_answer: bool, scaling: Scaling = "min_max"
) -> Uncertainty:
    """The same from replicates that are there already: other weights or scaling need no new draws."""
    hcb = replicates.hcb_score(weights, scaling)
    scored = ~np.isnan(hcb).all(axis=0)
    p_optimal = np.bincount(best_places(hcb), minlength=len(replicates.exit_layers)) / len(hcb)
    if not has_right_answer:
        p_optimal = np.zeros_like(p_optimal)
    columns = (replicates.hallucination_rate, replicates.creativity_raw, replicates.creativity(scaling), hcb)
    # What putting lost clusters back adds can reach beyond what a score can be.
    most = (1, replicates.num_samples, 1, 1)
    intervals = zip(
        *(
            [
                (max(low, 0.0), min(high, float(top)))
                for low, high in percentile_intervals(column, replicates.num_questions)
            ]
            for column, top in zip(columns, most, strict=True)
        ),
        strict=True,
    )
    layers = tuple(
        LayerIntervals(exit_layer, wrong, clusters, creativity, balance, float(share))
        for exit_layer, (wrong, clusters, creativity, balance), share in zip(
            replicates.exit_layers, intervals, p_optimal, strict=True
        )
    )
    if not has_right_answer:
        return Uncertainty(layers, "none", ())
    leader = int(np.argmax(p_optimal))
    lows, highs = np.array(percentile_intervals(hcb - hcb[:, [leader]], replicates.num_questions)).T
    tied = (lows <= 0) & (highs >= 0) & scored
    tied_layers = tuple(layer for layer, is_tied in zip(replicates.exit_layers, tied, strict=True) if is_tied)
    if p_optimal[leader] >= LEVEL:
        return Uncertainty(layers, "clear", (replicates.exit_layers[leader],))
    return Uncertainty(layers, "tied" if tied.sum() <= scored.sum() / 2 else "none", tied_layers)


def best_places(hcb: FloatArray) -> NDArray[np.int64]:
    """Where the highest of each row of ``[R, E]`` stands: ``[R]``."""
    # Rounded, so that equal scores that were summed differently are a tie, which the earlier layer wins.
    places: NDArray[np.int64] = np.argmax(np.where(np.isnan(hcb), -np.inf, hcb).round(9), axis=1)
    return places


def percentile_intervals(values: FloatArray, num_questions: int) -> list[Interval]:
    """95% intervals from the replicates of each column of ``values [R, E]``; NaN where a column has no number.

    Plain percentiles are too narrow for few questions; these are expanded to what a t interval would cover
    (Hesterberg 2015, arXiv 1411.5279).
    """
    tail = (1 - LEVEL) / 2
    if num_questions > 1:
        widening = (num_questions / (num_questions - 1)) ** 0.5
        tail = float(ndtr(widening * stdtrit(num_questions - 1, tail)))
    out: list[Interval] = []
    for column in values.T:
        known = column[~np.isnan(column)]
        low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
        out.append((float(low), float(high)))
    return out


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second, with its 95% interval."""

    estimate: float
    interval: Interval


def paired_difference(
    estimates: tuple[float, float], replicates: tuple[FloatArray, FloatArray], num_questions: int
) -> Difference:
    """First minus second, paired within each replicate: two layers of a run, or two runs of the same questions.

    Args:
        estimates: The two scores themselves.
        replicates: ``[R]`` each; two runs must have been resampled with the same ``draw_questions``.
        num_questions: Of the runs.
    """
    interval = percentile_intervals((replicates[0] - replicates[1])[:, None], num_questions)[0]
    return Difference(estimates[0] - estimates[1], interval)
