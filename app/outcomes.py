"""The outcomes of one or more questions, resampled once and then scored with any weights."""

from dataclasses import dataclass

from hcl_core.records import LayerScore, Scaling, Weights
from hcl_core.scores.intervals import (
    NUM_REPLICATES,
    Replicates,
    Uncertainty,
    draw_questions,
    judge_replicates,
    resample,
)
from hcl_core.scores.metrics import OutcomeTable, answered, balanced_layer, score_layers


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of every exit layer under one choice of weights and scaling.

    Attributes:
        scores: One an exit layer.
        uncertainty: Intervals and verdict.
        best: The optimal layer; ``None`` where nothing is right.
    """

    scores: tuple[LayerScore, ...]
    uncertainty: Uncertainty
    best: int | None


@dataclass(frozen=True, slots=True)
class ResampledOutcomes:
    """Outcomes of one or more questions with their resampled runs; scoring them is arithmetic.

    Attributes:
        table: Outcomes of the questions that have answers.
        replicates: The same, resampled.
    """

    table: OutcomeTable
    replicates: Replicates

    @classmethod
    def of(cls, table: OutcomeTable, num_replicates: int = NUM_REPLICATES) -> "ResampledOutcomes":
        """Resample ``table``; questions without answers are left out."""
        table = answered(table)
        return cls(table, resample(table, draw_questions(len(table.outcomes), num_replicates)))

    def scored(self, weights: Weights, scaling: Scaling) -> Scored:
        """Scores, intervals and verdict of every exit layer."""
        scores = score_layers(self.table, weights, scaling)
        has_right_answer = bool((self.table.outcomes >= 0).any())
        uncertainty = judge_replicates(self.replicates, weights, has_right_answer, scaling)
        return Scored(tuple(scores), uncertainty, balanced_layer(scores))
