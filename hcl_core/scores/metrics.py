"""The scores of DESIGN section 2, as arithmetic on one table of outcomes. Numpy alone."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hcl_core.records import LayerScore, Scaling, Weights

FloatArray = NDArray[np.float64]

# What a cell of the table says, where it is not the number of a correct answer's cluster.
INCORRECT, NOT_ATTEMPTED, MISSING = -1, -2, -3


@dataclass(frozen=True, slots=True)
class OutcomeTable:
    """Every judged answer of a run.

    Attributes:
        exit_layers: ``E`` layers, ascending.
        outcomes: ``[num_questions, E, num_samples]`` cluster number (0 and up) of a correct answer, else
            ``INCORRECT``, ``NOT_ATTEMPTED``, or ``MISSING`` where no sample has come yet.
        confidences: Same shape; geometric-mean token probability of the answer, NaN where missing.
        num_accepted_ideas: ``[num_questions]`` ideas that are listed: numbers below it mean the same at every layer.
            0 where ideas are clusters, told apart within a layer only; all 0 by default.
    """

    exit_layers: tuple[int, ...]
    outcomes: NDArray[np.int16]
    confidences: NDArray[np.float32]
    num_accepted_ideas: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))

    def __post_init__(self) -> None:
        if not len(self.num_accepted_ideas):
            object.__setattr__(self, "num_accepted_ideas", np.zeros(len(self.outcomes), np.int32))

    @classmethod
    def empty(
        cls,
        num_questions: int,
        exit_layers: tuple[int, ...],
        num_samples: int,
        num_accepted_ideas: NDArray[np.int32] | None = None,
    ) -> "OutcomeTable":
        """A table in which nothing has come yet."""
        shape = (num_questions, len(exit_layers), num_samples)
        accepted = np.zeros(num_questions, np.int32) if num_accepted_ideas is None else num_accepted_ideas
        return cls(exit_layers, np.full(shape, MISSING, np.int16), np.full(shape, np.nan, np.float32), accepted)

    def snapshot(self) -> "OutcomeTable":
        """A copy: the table of a run under way changes with each wave."""
        return OutcomeTable(
            self.exit_layers, self.outcomes.copy(), self.confidences.copy(), self.num_accepted_ideas.copy()
        )

    def questions(self, chosen: slice | NDArray[np.bool_] | NDArray[np.int64]) -> "OutcomeTable":
        """The rows of some questions."""
        return OutcomeTable(
            self.exit_layers, self.outcomes[chosen], self.confidences[chosen], self.num_accepted_ideas[chosen]
        )


def answered(table: OutcomeTable) -> OutcomeTable:
    """Without the questions that have no answer yet: they say nothing, and would pass for certainty."""
    has_answers = (table.outcomes != MISSING).any(axis=(1, 2))
    if has_answers.all() or not has_answers.any():
        return table
    return table.questions(has_answers)


def hallucination_rate(outcomes: NDArray[np.int16]) -> FloatArray:
    """Answers not judged correct over answers given, mean over questions (paper; DESIGN section 2).

    Args:
        outcomes: ``[num_questions, E, num_samples]`` as in ``OutcomeTable``.

    Returns:
        ``[E]`` in [0, 1]; NaN at a layer without any answer.
    """
    given = (outcomes != MISSING).sum(axis=2)
    wrong = ((outcomes < 0) & (outcomes != MISSING)).sum(axis=2)
    return mean_over_questions(wrong, given)


def creativity_raw(outcomes: NDArray[np.int16]) -> FloatArray:
    """Meaning clusters among the correct answers, mean over questions (paper; DESIGN section 2).

    Args:
        outcomes: ``[num_questions, E, num_samples]`` as in ``OutcomeTable``.

    Returns:
        ``[E]`` from 0; NaN at a layer without any answer.
    """
    given = (outcomes != MISSING).any(axis=2)
    return mean_over_questions(_num_clusters(outcomes), given.astype(np.int64))


def creativity_absolute(outcomes: NDArray[np.int16]) -> FloatArray:
    """Meaning clusters among the correct answers over answers given, mean over questions (ours).

    1 where every answer is right and means something else. It depends on no other layer, so it does not move when a
    layer is added; it does depend on the number of samples, since fifty answers seldom find fifty meanings.

    Args:
        outcomes: ``[num_questions, E, num_samples]`` as in ``OutcomeTable``.

    Returns:
        ``[E]`` in [0, 1]; NaN at a layer without any answer.
    """
    return mean_over_questions(_num_clusters(outcomes), (outcomes != MISSING).sum(axis=2))


def _num_clusters(outcomes: NDArray[np.int16]) -> NDArray[np.int64]:
    """``[num_questions, E]``."""
    # Distinct numbers, not the highest: a resample may have lost a cluster.
    ordered = np.sort(outcomes, axis=2)
    opens = np.diff(ordered, axis=2, prepend=np.int16(MISSING)) != 0
    count: NDArray[np.int64] = ((ordered >= 0) & opens).sum(axis=2)
    return count


def min_max_scale(values: FloatArray) -> FloatArray:
    """Scale ``[..., E]`` to 0..1 over the layers; all equal gives 0.5 (paper; DESIGN section 2). NaN stays NaN."""
    low = np.fmin.reduce(values, axis=-1, keepdims=True)
    spread = np.fmax.reduce(values, axis=-1, keepdims=True) - low
    scaled: FloatArray = np.divide(values - low, spread, out=np.full(values.shape, 0.5), where=spread != 0)
    return np.where(np.isnan(values), np.nan, scaled)


def hcb_score(creativity: FloatArray, hallucination: FloatArray, weights: Weights) -> FloatArray:
    """``w_c * creativity + w_h * (1 - hallucination_rate)``, ``[E]`` in [0, 1] (paper; DESIGN section 2)."""
    return weights.creativity * creativity + weights.accuracy * (1 - hallucination)


def optimal_layer(scores: Sequence[LayerScore]) -> int | None:
    """The exit layer of the highest HCB score, the earlier one on a tie; ``None`` while there is no score."""
    scored = [score for score in scores if score.num_samples]
    # Rounded, so that equal scores that were summed differently are a tie.
    return max(scored, key=lambda score: (round(score.hcb_score, 9), -score.exit_layer)).exit_layer if scored else None


def balanced_layer(scores: Sequence[LayerScore]) -> int | None:
    """``optimal_layer`` where it means something: ``None`` while no layer has a right answer to balance."""
    return optimal_layer(scores) if any(score.num_correct for score in scores) else None


def score_layers(table: OutcomeTable, weights: Weights, scaling: Scaling = "min_max") -> list[LayerScore]:
    """The scores of every exit layer of ``table``; a layer without samples has NaN scores."""
    outcomes = table.outcomes
    hallucination, raw = hallucination_rate(outcomes), creativity_raw(outcomes)
    creativity = min_max_scale(raw) if scaling == "min_max" else creativity_absolute(outcomes)
    hcb = hcb_score(creativity, hallucination, weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN, as it should be
        confidence = np.nanmean(table.confidences, axis=(0, 2))
    return [
        LayerScore(
            exit_layer=exit_layer,
            hallucination_rate=float(hallucination[place]),
            creativity_raw=float(raw[place]),
            creativity=float(creativity[place]),
            hcb_score=float(hcb[place]),
            confidence=float(confidence[place]),
            num_correct=int((outcomes[:, place] >= 0).sum()),
            num_not_attempted=int((outcomes[:, place] == NOT_ATTEMPTED).sum()),
            num_samples=int((outcomes[:, place] != MISSING).sum()),
        )
        for place, exit_layer in enumerate(table.exit_layers)
    ]


def mean_over_questions(totals: NDArray[np.int64], given: NDArray[np.int64]) -> FloatArray:
    """Mean over the questions with answers of ``totals / given``, each ``[num_questions, E]``: ``[E]``."""
    shares = np.divide(totals, given, out=np.zeros(totals.shape), where=given > 0)
    num_questions = (given > 0).sum(axis=0)
    means: FloatArray = np.full(totals.shape[1], np.nan)
    np.divide(shares.sum(axis=0), num_questions, out=means, where=num_questions > 0)
    return means
