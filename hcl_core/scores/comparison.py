"""Two layers of a run, or two runs of the same questions: how much they differ, and how sure that is.

Both sides of a difference are drawn with the same questions, so what the questions have in common cancels (a paired
bootstrap); what a question's answers leave open is drawn for each run by itself. Free of torch.
"""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from hcl_core.errors import SettingsError
from hcl_core.records import DEFAULT_SCALING, LayerScore, Scaling, Weights
from hcl_core.scores.best_layers import find_best, share_of_best
from hcl_core.scores.draws import NUM_DRAWS, ScoreDraws, draw_questions, draw_scores
from hcl_core.scores.intervals import Difference, Interval, paired_difference
from hcl_core.scores.metrics import MISSING, FloatArray, OutcomeTable, answered, score_layers

# Scores that are compared, as ``LayerScore`` names them.
COMPARED = ("hallucination_rate", "creativity_raw", "creativity", "hcb_score")
_PLAUSIBLE = {"hallucination_rate": "token_plausibility"}  # what is compared in its place for open questions

# Scaled creativity orders the layers as the unscaled one does.
CORRELATED = ("hallucination_rate", "creativity_raw", "hcb_score")


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Spearman's correlation of two runs' curves over layers: 1 where both order the layers alike.

    Attributes:
        estimate: In [-1, 1]; NaN where a curve is flat or has fewer than three layers.
        drawn: Middle 95% of the draws that have one. No confidence interval: a draw adds noise to the order of
            layers, which lowers the correlation.
    """

    estimate: float
    drawn: Interval


@dataclass(frozen=True, slots=True)
class RunComparison:
    """First run minus second, on the questions and layers that both have.

    Attributes:
        num_questions: In both, and answered in both.
        exit_layers: In both, ascending.
        differences: By score, one a layer.
        rank_correlation: By score, over the layers.
        optimal_layers: Of the first and the second; ``None`` where no layer has a right answer.
        p_same_optimal: Probability that the same layer is the best of both, in [0, 1]; ``None`` where a run has no
            right answer.
    """

    num_questions: int
    exit_layers: tuple[int, ...]
    differences: dict[str, tuple[Difference, ...]]
    rank_correlation: dict[str, RankCorrelation]
    optimal_layers: tuple[int | None, int | None]
    p_same_optimal: float | None

    def rows(self) -> list[dict[str, float]]:
        """A row a layer: each difference, and ``..._low`` and ``..._high`` of its 95% interval."""
        rows: list[dict[str, float]] = [{"exit_layer": layer} for layer in self.exit_layers]
        for name, by_layer in self.differences.items():
            for row, each in zip(rows, by_layer, strict=True):
                row[name] = each.estimate
                row[f"{name}_low"], row[f"{name}_high"] = each.interval
        return rows


def compare_layers(
    table: OutcomeTable,
    first: int,
    second: int,
    weights: Weights,
    scaling: Scaling = DEFAULT_SCALING,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> dict[str, Difference]:
    """Layer ``first`` minus layer ``second`` of one run, by score.

    Raises:
        SettingsError: The run lacks one of them.
    """
    table = answered(table)
    for layer in (first, second):
        if layer not in table.exit_layers:
            raise SettingsError(f"this run has no exit layer {layer}; it has {', '.join(map(str, table.exit_layers))}")
    places = [table.exit_layers.index(layer) for layer in (first, second)]
    scores = score_layers(table, weights, scaling)
    draws = draw_scores(table, draw_questions(len(table.outcomes), num_draws, seed), seed)
    columns = _columns(draws, weights, scaling)
    return {
        name: paired_difference(
            (getattr(scores[places[0]], name), getattr(scores[places[1]], name)),
            (columns[name][:, places[0]], columns[name][:, places[1]]),
            _num_questions(name, draws),
            _most(name, table),
        )
        for name in _names(COMPARED, table)
    }


def compare_runs(
    tables: tuple[OutcomeTable, OutcomeTable],
    questions: tuple[Sequence[Hashable], Sequence[Hashable]],
    weights: Weights,
    scaling: Scaling = DEFAULT_SCALING,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> RunComparison:
    """The first run against the second.

    Args:
        tables: Outcomes of the two.
        questions: What tells their questions apart, in the tables' order.
        weights: Of the HCB score.
        scaling: Of creativity; ``min_max`` is over the layers that both have.
        num_draws: Pairs of draws.
        seed: Of the draws.

    Raises:
        SettingsError: They have no question or no layer in common, or one run's questions are open.
    """
    if tables[0].is_open != tables[1].is_open:
        raise SettingsError(
            "one of these runs has accepted answers and the other has none: plausibility and accuracy are not on one "
            "scale"
        )
    theirs = set(questions[1])
    common = [each for each in questions[0] if each in theirs]
    layers = tuple(layer for layer in tables[0].exit_layers if layer in tables[1].exit_layers)
    if not common or not layers:
        raise SettingsError(
            f"two runs of the same questions and layers are wanted; these have in common: "
            f"{len(common)} of the questions, {len(layers)} of the layers"
        )
    first, second = (_restricted(table, ids, common, layers) for table, ids in zip(tables, questions, strict=True))
    has_both = (first.outcomes != MISSING).any(axis=(1, 2)) & (second.outcomes != MISSING).any(axis=(1, 2))
    if not has_both.any():
        raise SettingsError("these runs have no question that both have answered: let them finish first")
    first, second = first.part(has_both), second.part(has_both)
    num_questions = int(has_both.sum())
    questions_drawn = draw_questions(num_questions, num_draws, seed)
    # Another seed for the second run's answers: equal runs would else be drawn as one.
    draws = (draw_scores(first, questions_drawn, seed), draw_scores(second, questions_drawn, seed + 1))
    scores = (score_layers(first, weights, scaling), score_layers(second, weights, scaling))
    columns = tuple(_columns(each, weights, scaling) for each in draws)
    rankings = [each.ranking(weights, scaling) for each in draws]
    optimal = [
        find_best(ranking, layers, each.has_creativity(scaling)).optimal_layer if each.can_rank else None
        for ranking, each in zip(rankings, draws, strict=True)
    ]
    same = (share_of_best(rankings[0]) * share_of_best(rankings[1])).sum(axis=1).mean()
    return RunComparison(
        num_questions,
        layers,
        {
            name: _differences(name, scores, columns, _num_questions(name, draws[0]), _most(name, first, second))
            for name in _names(COMPARED, first)
        },
        {name: _rank_correlation(name, scores, columns) for name in _names(CORRELATED, first)},
        (optimal[0], optimal[1]),
        None if None in optimal else float(same),
    )


def _names(names: Sequence[str], table: OutcomeTable) -> tuple[str, ...]:
    """``names`` as they are for these outcomes: open questions have plausibility and no hallucination."""
    return tuple(_PLAUSIBLE.get(name, name) for name in names) if table.is_open else tuple(names)


def _most(name: str, *tables: OutcomeTable) -> float:
    """The largest possible score of that name: a layer can have as many ideas as answers."""
    return max(table.outcomes.shape[2] for table in tables) if name == "creativity_raw" else 1


def _columns(draws: ScoreDraws, weights: Weights, scaling: Scaling) -> dict[str, FloatArray]:
    """Draws by score, ``[R, E]`` each."""
    return {
        "hallucination_rate": draws.hallucination_rate,
        "token_plausibility": draws.token_plausibility,
        "creativity_raw": draws.creativity_raw,
        "creativity": draws.creativity(scaling),
        "hcb_score": draws.hcb_score(weights, scaling),
    }


def _num_questions(name: str, draws: ScoreDraws) -> int:
    """That the score is a mean over."""
    return draws.num_questions if name in ("hallucination_rate", "token_plausibility") else draws.num_creative_questions


def _restricted(
    table: OutcomeTable, ids: Sequence[Hashable], wanted: Sequence[Hashable], layers: tuple[int, ...]
) -> OutcomeTable:
    place_of = {question_id: place for place, question_id in enumerate(ids)}
    return table.part([place_of[each] for each in wanted], [table.exit_layers.index(layer) for layer in layers])


def _differences(
    name: str,
    scores: tuple[list[LayerScore], list[LayerScore]],
    columns: tuple[dict[str, FloatArray], ...],
    num_questions: int,
    most: float,
) -> tuple[Difference, ...]:
    return tuple(
        paired_difference(
            (getattr(mine, name), getattr(theirs, name)),
            (columns[0][name][:, place], columns[1][name][:, place]),
            num_questions,
            most,
        )
        for place, (mine, theirs) in enumerate(zip(*scores, strict=True))
    )


def _rank_correlation(
    name: str, scores: tuple[list[LayerScore], list[LayerScore]], columns: tuple[dict[str, FloatArray], ...]
) -> RankCorrelation:
    curves = [np.array([[getattr(each, name) for each in mine]]) for mine in scores]
    (estimate,) = _spearman(curves[0], curves[1])
    drawn = _spearman(columns[0][name], columns[1][name])
    known = drawn[~np.isnan(drawn)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return RankCorrelation(float(estimate), (float(low), float(high)))


def _spearman(first: FloatArray, second: FloatArray) -> FloatArray:
    """Spearman's correlation of each row of ``first [R, E]`` with that of ``second [R, E]``: ``[R]``."""
    from scipy.stats import spearmanrho  # half a second, which a page that compares nothing need not wait for

    if first.shape[1] < 3:
        return np.full(len(first), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a flat curve has none
        correlations: FloatArray = spearmanrho(first.round(9), second.round(9), axis=1).statistic
    return correlations
