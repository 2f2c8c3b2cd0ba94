"""The outcomes of one or more questions, drawn from once and then scored with any weights."""

import math
from dataclasses import dataclass, replace

from hcl_core.records import LayerScore, Scaling, Weights
from hcl_core.scores.draws import NUM_DRAWS, ScoreDraws, draw_questions, draw_scores
from hcl_core.scores.intervals import Interval, Uncertainty, summarise_draws
from hcl_core.scores.metrics import MISSING, OutcomeTable, answered, score_layers
from hcl_core.settings.strategies import EARLY_EXIT, Strategy

_NO_INTERVAL: Interval = (math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of every exit layer under one choice of weights and scaling.

    Attributes:
        scores: One an exit layer; creativity and HCB are NaN where they say nothing.
        uncertainty: Intervals, and which layers may be the best.
        num_questions: That the scores are means over.
        ranks_layers: Whether a layer can be the best: not where the whole model verified every token, since all layers'
            answers are its own.
        is_open: Whether the questions are open: plausibility stands in the place of hallucination.
    """

    scores: tuple[LayerScore, ...]
    uncertainty: Uncertainty
    num_questions: int
    ranks_layers: bool = True
    is_open: bool = False

    @property
    def measures(self) -> tuple[tuple[str, str], ...]:
        """Names of the scores that HCB balances, then of HCB, each with the name of its interval."""
        first = (
            ("token_plausibility", "plausibility_ci") if self.is_open else ("hallucination_rate", "hallucination_ci")
        )
        return (first, ("creativity", "creativity_ci"), ("hcb_score", "hcb_ci"))

    @property
    def is_unscaled(self) -> bool:
        """Whether creativity is there and cannot be scaled: there is one layer, and nothing to scale it by."""
        scores = [score for score in self.scores if score.num_samples]
        return self.uncertainty.best.has_creativity and self.best is not None and math.isnan(scores[0].creativity)

    @property
    def best(self) -> int | None:
        """The optimal layer; ``None`` where nothing is right, or no layer can be the best."""
        return self.uncertainty.best.optimal_layer if self.ranks_layers else None


@dataclass(frozen=True, slots=True)
class ScoredOutcomes:
    """Outcomes of one or more questions with draws of their scores; other weights are arithmetic on these.

    Attributes:
        table: Outcomes of the questions that have answers.
        draws: Of the scores that the outcomes leave possible.
        ranks_layers: See ``Scored``.
    """

    table: OutcomeTable
    draws: ScoreDraws
    ranks_layers: bool = True

    @classmethod
    def of(cls, table: OutcomeTable, strategy: Strategy = EARLY_EXIT, num_draws: int = NUM_DRAWS) -> "ScoredOutcomes":
        """Draw from ``table``, of a run with that strategy; questions without answers are left out."""
        table = answered(table)
        draws = draw_scores(table, draw_questions(len(table.outcomes), num_draws))
        return cls(table, draws, strategy.name != "self_speculative")

    def scored(self, weights: Weights, scaling: Scaling) -> Scored:
        """Scores, intervals and best layers."""
        scores = score_layers(self.table, weights, scaling)
        uncertainty = summarise_draws(self.draws, weights, scaling)
        if not self._has_balance(scaling):
            scores = [replace(score, creativity=math.nan, hcb_score=math.nan) for score in scores]
            layers = (replace(each, creativity_ci=_NO_INTERVAL, hcb_ci=_NO_INTERVAL) for each in uncertainty.layers)
            uncertainty = replace(uncertainty, layers=tuple(layers))
        return Scored(tuple(scores), uncertainty, len(self.table.outcomes), self.ranks_layers, self.table.is_open)

    def _has_balance(self, scaling: Scaling) -> bool:
        """Whether creativity and HCB say something of these answers.

        They are 0 at every layer where nothing is right, and a half where one layer is scaled by itself alone: numbers
        by definition, which would look like findings.
        """
        num_layers = (self.table.outcomes != MISSING).any(axis=(0, 2)).sum()
        return self.draws.can_rank and (scaling != "min_max" or num_layers > 1)
