"""Draws of a run's scores given its answers: a posterior within each question, a bootstrap over questions.

A draw of one question is a draw from its posterior. A draw of a set weighs its questions as a bootstrap does, and moves
each question's estimate by its posterior's deviation. Thousands of draws are a few products of matrices.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcl_core.records import DEFAULT_SCALING, Scaling, Weights
from hcl_core.scores.metrics import (
    MISSING,
    FloatArray,
    OutcomeTable,
    answer_probabilities,
    balance,
    ideas_found,
    mean_known,
    min_max_scale,
    num_possible_ideas,
)
from hcl_core.scores.open_posterior import draw_open_estimands
from hcl_core.scores.posterior import draw_estimands

NUM_DRAWS = 1000

# Few questions have seen too little of what questions can be: in a draw of a set, one more that is like a cell of the
# run, any question at any layer, may stand among them. This is its odds against each question's; 1 would be a question.
_ANOTHER_QUESTION = 0.3
# Numbers of ideas differ much between questions, and a few questions seldom have the largest. So the unseen question
# has as many ideas as its cell, times a Pareto factor of this exponent.
_IDEAS_TAIL = 1.4
_FEWEST_PER_QUESTION = 16


@dataclass(frozen=True, slots=True)
class QuestionDraws:
    """What each draw takes the questions for; two runs of the same questions are compared under the same.

    Attributes:
        counts: ``[R, num_questions + 1]`` how often each question stands in the draw, and at the end one unseen.
        unseen_question: ``[R]`` in [0, 1), which question the unseen one is like.
        unseen_layer: ``[R]`` in [0, 1), at which layer.
        unseen_growth: ``[R]`` from 1, how many times that cell's ideas it has.
    """

    counts: FloatArray
    unseen_question: FloatArray
    unseen_layer: FloatArray
    unseen_growth: FloatArray


def draw_questions(num_questions: int, num_draws: int = NUM_DRAWS, seed: int = 0) -> QuestionDraws:
    """Questions of each draw; the same for every run of the same questions."""
    rng = np.random.default_rng([seed, 0])
    odds = np.append(np.ones(num_questions), _ANOTHER_QUESTION if num_questions > 1 else 0)
    counts = rng.multinomial(num_questions, odds / odds.sum(), size=num_draws).astype(np.float64)
    # A draw without any question of the run would call all layers equal.
    counts[counts[:, -1] == num_questions] = np.append(np.ones(num_questions), 0)
    return QuestionDraws(counts, rng.random(num_draws), rng.random(num_draws), 1 + rng.pareto(_IDEAS_TAIL, num_draws))


@dataclass(frozen=True, slots=True)
class ScoreDraws:
    """Scores that the run's answers leave possible.

    Attributes:
        table: Outcomes of the run.
        hallucination_rate: ``[R, E]`` in [0, 1]; NaN at a layer without answers, and of open questions.
        token_plausibility: ``[R, E]`` in [0, 1] of open questions; NaN where it is not known, and of others.
        creativity_raw: ``[R, E]`` expected ideas in as many answers, from 0; likewise, and NaN without creativity.
        creativity_possible: ``[R, E]`` the same over those possible, in [0, 1].
        creativity_absolute: ``[R, E]`` the same over answers, in [0, 1].
    """

    table: OutcomeTable
    hallucination_rate: FloatArray
    token_plausibility: FloatArray
    creativity_raw: FloatArray
    creativity_possible: FloatArray
    creativity_absolute: FloatArray

    @property
    def num_questions(self) -> int:
        """Of the run."""
        return len(self.table.outcomes)

    @property
    def num_creative_questions(self) -> int:
        """Those that creativity is a mean over."""
        return int(self.table.has_creativity.sum())

    @property
    def accuracy(self) -> FloatArray:
        """``[R, E]`` what stands beside creativity; see ``metrics.accuracy``."""
        return self.token_plausibility if self.table.is_open else 1 - self.hallucination_rate

    @property
    def can_rank(self) -> bool:
        """Whether layers can be ranked: an answer is right; of open questions, attempted and plausibility known."""
        return bool((self.table.outcomes >= 0).any() and not np.isnan(self.accuracy).all())

    def creativity(self, scaling: Scaling = DEFAULT_SCALING) -> FloatArray:
        """``[R, E]`` in [0, 1], scaled within each draw."""
        if scaling == "possible":
            return self.creativity_possible
        if scaling == "absolute":
            return self.creativity_absolute
        has_ideas = (self.table.outcomes[self.table.has_creativity] >= 0).any()  # else there is nothing to stretch
        return min_max_scale(self.creativity_raw) if has_ideas else np.full_like(self.creativity_raw, np.nan)

    def has_creativity(self, scaling: Scaling = DEFAULT_SCALING) -> bool:
        """Whether creativity is defined: some question has it and, min-max scaled, a right answer."""
        return not np.isnan(self.creativity(scaling)).all()

    def hcb_score(self, weights: Weights, scaling: Scaling = DEFAULT_SCALING) -> FloatArray:
        """``[R, E]``, the whole chain anew in each draw."""
        return balance(self.creativity(scaling), self.accuracy, weights)

    def ranking(self, weights: Weights, scaling: Scaling = DEFAULT_SCALING) -> FloatArray:
        """``[R, E]`` what layers are ranked by: HCB, or accuracy alone where creativity is not defined."""
        return self.hcb_score(weights, scaling) if self.has_creativity(scaling) else self.accuracy


def draw_scores(table: OutcomeTable, questions: QuestionDraws, seed: int = 0) -> ScoreDraws:
    """Draws of every score.

    Args:
        table: Outcomes of a run.
        questions: From ``draw_questions``.
        seed: Of the posterior draws; runs that are compared take different ones.
    """
    outcomes, creative = table.outcomes, table.has_creativity
    given = (outcomes != MISSING).sum(axis=2)
    found = ideas_found(table)
    if table.is_open:
        rate = mean_known(answer_probabilities(table), axis=2)
    else:
        rate = np.where(given > 0, 1 - (outcomes >= 0).sum(axis=2) / np.maximum(given, 1), np.nan)
    rate_draws, idea_draws = _posterior_draws(table, rate, found, len(questions.counts), seed)
    possible = np.maximum(num_possible_ideas(given, table.num_accepted_ideas), 1)
    answers = np.maximum(given, 1)
    all_questions = np.ones(len(outcomes), bool)
    scaled = (
        _draw_means(found / unit, idea_draws / unit, creative, questions, float(most), questions.unseen_growth)
        for unit, most in ((np.ones_like(given), given.max(initial=0)), (possible, 1), (answers, 1))
    )
    unknown = np.full((len(questions.counts), len(table.exit_layers)), np.nan)
    rates = _draw_means(rate, rate_draws, all_questions, questions, 1.0)
    return ScoreDraws(table, *((unknown, rates) if table.is_open else (rates, unknown)), *scaled)


def _posterior_draws(
    table: OutcomeTable, rate: FloatArray, found: FloatArray, num_draws: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Draws of each question's ``rate`` and number of ideas: ``[B, num_questions, E]`` each.

    The rate is the share of wrong answers, of open questions the plausibility.

    Many questions need few draws of each, since a draw of the set holds one of every question.
    """
    if table.is_greedy:  # one draw is all that there is
        return rate[None], found[None]
    rng = np.random.default_rng([seed, 1])
    num_each = min(num_draws, max(num_draws // len(table.outcomes), _FEWEST_PER_QUESTION))
    if table.is_open:
        pairs = zip(table.outcomes, answer_probabilities(table), strict=True)
        drawn = [draw_open_estimands(*each, num_each, rng) for each in pairs]
    else:
        drawn = [
            draw_estimands(outcomes, int(accepted), num_each, rng)
            for outcomes, accepted in zip(table.outcomes, table.num_accepted_ideas, strict=True)
        ]
    return np.stack([each for each, _ in drawn], axis=1), np.stack([each for _, each in drawn], axis=1)


def _draw_means(
    estimates: FloatArray,
    drawn: FloatArray,
    chosen: NDArray[np.bool_],
    questions: QuestionDraws,
    most: float,
    growth: FloatArray | float = 1.0,
) -> FloatArray:
    """Draws of the mean over questions: ``[R, E]``.

    Args:
        estimates: ``[num_questions, E]`` of what was seen; NaN without answers.
        drawn: ``[B, num_questions, E]`` posterior draws of the same.
        chosen: ``[num_questions]`` which questions the mean is over.
        questions: Of each draw.
        most: The highest that the mean can be.
        growth: ``[R]`` times which the unseen question has what the cell has that it is like.
    """
    num_draws, num_chosen = len(questions.counts), int(chosen.sum())
    estimates, drawn = estimates[chosen], drawn[:, chosen]
    if num_chosen < 2:
        alone = drawn[:, 0] if num_chosen else np.full((1, drawn.shape[2]), np.nan)
        return np.resize(alone, (num_draws, drawn.shape[2]))
    # Questions that differ by chance in their answers carry that noise into every draw of questions; drawing the
    # answers too would count it twice. So of a question's posterior a set takes 1 / sqrt(number of questions).
    known = ~np.isnan(estimates)
    values = np.where(known, estimates + (drawn - estimates) * num_chosen**-0.5, 0)
    unseen_at = (questions.unseen_question * num_chosen, questions.unseen_layer * estimates.shape[1])
    unseen = np.minimum(estimates[unseen_at[0].astype(int), unseen_at[1].astype(int)] * growth, most)
    unseen_count = np.where(np.isnan(unseen), 0, questions.counts[:, -1])
    counts = questions.counts[:, :-1][:, chosen]
    blocks = np.array_split(np.arange(num_draws), len(values))
    sums = np.concatenate([counts[rows] @ value for rows, value in zip(blocks, values, strict=True)])
    sums += (unseen_count * np.nan_to_num(unseen))[:, None]
    totals = counts @ known + unseen_count[:, None]
    centre = mean_known(estimates)
    means = np.divide(sums, totals, out=np.tile(centre, (num_draws, 1)), where=totals > 0)
    # The variance of a bootstrap of n questions is too small by (n - 1) / n.
    wide: FloatArray = centre + (means - centre) * (num_chosen / (num_chosen - 1)) ** 0.5
    return np.clip(wide, 0, most)
