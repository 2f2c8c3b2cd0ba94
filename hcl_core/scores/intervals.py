"""How sure the scores are: 95% intervals, how often each layer is the best, and which layers may be (DESIGN section 2).

All from ``draws.ScoreDraws``: other weights or another scaling need no new draws. Free of torch.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from hcl_core.records import DEFAULT_SCALING, Scaling, Weights
from hcl_core.scores.best_layers import LEVEL, BestLayers, find_best, nothing_right, share_of_best
from hcl_core.scores.draws import NUM_DRAWS, ScoreDraws, draw_questions, draw_scores
from hcl_core.scores.metrics import FloatArray, OutcomeTable, answered, score_layers

Interval = tuple[float, float]

_NORMAL_REACH = 1.959964


@dataclass(frozen=True, slots=True)
class LayerIntervals:
    """How sure one layer's scores are; each interval holds the truth with 95% confidence, and the score itself.

    Attributes:
        exit_layer: Decoder blocks run, from 1.
        hallucination_ci: Of ``hallucination_rate``.
        creativity_raw_ci: Of ``creativity_raw``.
        creativity_ci: Of ``creativity``.
        hcb_ci: Of ``hcb_score``.
        p_optimal: Probability that this layer is the best, in [0, 1]: its share of the draws, where layers that are
            equal in a draw share it equally.
        plausibility_ci: Of ``token_plausibility``.
    """

    exit_layer: int
    hallucination_ci: Interval
    creativity_raw_ci: Interval
    creativity_ci: Interval
    hcb_ci: Interval
    p_optimal: float
    plausibility_ci: Interval = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What can be said of a run's scores.

    Attributes:
        layers: By exit layer.
        best: Which layers may be the best.
    """

    layers: tuple[LayerIntervals, ...]
    best: BestLayers


def uncertainty(
    table: OutcomeTable,
    weights: Weights,
    scaling: Scaling = DEFAULT_SCALING,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> Uncertainty:
    """Intervals, ``p_optimal`` and best layers of a run."""
    table = answered(table)
    draws = draw_scores(table, draw_questions(len(table.outcomes), num_draws, seed), seed)
    return summarise_draws(draws, weights, scaling)


def summarise_draws(draws: ScoreDraws, weights: Weights, scaling: Scaling = DEFAULT_SCALING) -> Uncertainty:
    """The same from draws that are there already."""
    scores = score_layers(draws.table, weights, scaling)
    ranking = draws.ranking(weights, scaling)
    num_answers, num_creative = draws.table.outcomes.shape[2], draws.num_creative_questions
    p_optimal = share_of_best(ranking).mean(axis=0) if draws.can_rank else np.zeros(len(scores))
    columns = (
        ("hallucination_rate", draws.hallucination_rate, draws.num_questions, 1),
        ("creativity_raw", draws.creativity_raw, num_creative, num_answers),
        ("creativity", draws.creativity(scaling), num_creative, 1),
        ("hcb_score", draws.hcb_score(weights, scaling), num_creative, 1),
    )
    intervals = [
        interval_of(drawn, np.array([getattr(score, name) for score in scores]), num_questions, (0, most))
        for name, drawn, num_questions, most in columns
    ]
    layers = tuple(
        LayerIntervals(score.exit_layer, wrong, ideas, creativity, hcb, float(share))
        for score, share, wrong, ideas, creativity, hcb in zip(scores, p_optimal, *intervals, strict=True)
    )
    if draws.table.is_open:
        estimates = np.array([score.token_plausibility for score in scores])
        plausible = interval_of(draws.token_plausibility, estimates, draws.num_questions, (0, 1))
        layers = tuple(replace(layer, plausibility_ci=each) for layer, each in zip(layers, plausible, strict=True))
    if not draws.can_rank:
        num_layers = sum(score.num_samples > 0 for score in scores)
        return Uncertainty(layers, nothing_right(num_layers, num_creative > 0))
    return Uncertainty(layers, find_best(ranking, draws.table.exit_layers, draws.has_creativity(scaling)))


def interval_of(
    drawn: FloatArray, estimates: FloatArray, num_questions: int, bounds: tuple[float, float]
) -> list[Interval]:
    """95% intervals of each column; NaN where a column has no number.

    The middle 95% of the draws, stretched about their mean to the reach of a t interval, since few questions say
    little of how much questions differ; cut to what a score can be, and widened to hold the estimate.

    Args:
        drawn: ``[R, E]``; a column is NaN throughout or nowhere.
        estimates: ``[E]`` the scores themselves.
        num_questions: That the draws are means over.
        bounds: Of the score.
    """
    tail = (1 - LEVEL) / 2
    centre = drawn.mean(axis=0)
    ends = np.quantile(drawn, [tail, 1 - tail], axis=0)
    if num_questions > 1:
        ends = centre + (ends - centre) * float(-stdtrit(num_questions - 1, tail)) / _NORMAL_REACH
    low, high = np.clip(ends, *bounds)
    return list(zip(np.minimum(low, estimates).tolist(), np.maximum(high, estimates).tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second, with its 95% interval."""

    estimate: float
    interval: Interval


def paired_difference(
    estimates: tuple[float, float], drawn: tuple[FloatArray, FloatArray], num_questions: int, most: float = 1
) -> Difference:
    """First minus second, paired within each draw: two layers of a run, or two runs of the same questions.

    Args:
        estimates: The two scores themselves.
        drawn: ``[R]`` each; two runs must have been drawn with the same ``draw_questions``.
        num_questions: That the scores are means over.
        most: The largest possible score; the smallest is 0.
    """
    estimate = estimates[0] - estimates[1]
    ((low, high),) = interval_of((drawn[0] - drawn[1])[:, None], np.array([estimate]), num_questions, (-most, most))
    return Difference(estimate, (low, high))
