"""The outcomes of one or more questions, drawn from once and then scored with any weights."""

from dataclasses import dataclass

from hcl_core.records import LayerScore, Scaling, Weights
from hcl_core.scores.draws import NUM_DRAWS, ScoreDraws, draw_questions, draw_scores
from hcl_core.scores.intervals import Uncertainty, summarise_draws
from hcl_core.scores.metrics import OutcomeTable, answered, score_layers


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of every exit layer under one choice of weights and scaling.

    Attributes:
        scores: One an exit layer.
        uncertainty: Intervals, and which layers may be the best.
    """

    scores: tuple[LayerScore, ...]
    uncertainty: Uncertainty

    @property
    def best(self) -> int | None:
        """The optimal layer; ``None`` where nothing is right."""
        return self.uncertainty.best.optimal_layer


@dataclass(frozen=True, slots=True)
class ScoredOutcomes:
    """Outcomes of one or more questions with draws of their scores; other weights are arithmetic on these.

    Attributes:
        table: Outcomes of the questions that have answers.
        draws: Of the scores that the outcomes leave possible.
    """

    table: OutcomeTable
    draws: ScoreDraws

    @classmethod
    def of(cls, table: OutcomeTable, num_draws: int = NUM_DRAWS) -> "ScoredOutcomes":
        """Draw from ``table``; questions without answers are left out."""
        table = answered(table)
        return cls(table, draw_scores(table, draw_questions(len(table.outcomes), num_draws)))

    def scored(self, weights: Weights, scaling: Scaling) -> Scored:
        """Scores, intervals and best layers."""
        scores = score_layers(self.table, weights, scaling)
        return Scored(tuple(scores), summarise_draws(self.draws, weights, scaling))
