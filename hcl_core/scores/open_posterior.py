"""What the answers to one open question say of its layers: draws of plausibility and of plausible ideas.

The estimands, for each layer: the expected plausibility of an answer, and the *expected* number of plausible ideas in
as many answers as were given (``metrics.plausible_ideas`` is an unbiased estimate of it).

A posterior of a Dirichlet process over answers: each answer that was seen has a weight, and the answers that were not
seen share the rest, whose size is the concentration. The concentration is drawn from what Ewens' sampling formula says
of the number of ideas seen. What was not seen is as plausible as the layer's ideas, with one answer from anywhere
beside them (of any layer, or of any plausibility): so a layer whose answers are all alike is not certain.

The numbers below were chosen on the populations for tuning of ``bench.open_coverage``.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from hcl_core.scores.metrics import FloatArray

# What an answer that was seen weighs, in answers: 1 would be a Bayesian bootstrap, whose intervals are a little narrow.
_SEEN = 0.75
# Beforehand, so much of an answer is no attempt at all: it may be that none was seen by chance.
_NO_ATTEMPT = 0.25
_CONCENTRATIONS = np.exp(np.linspace(np.log(0.1), np.log(100), 10))


def draw_open_estimands(
    outcomes: NDArray[np.int16], probabilities: FloatArray, num_draws: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draws for one open question; layers with equal answers share their draws: equal evidence is a tie.

    Args:
        outcomes: ``[E, N]`` as in ``OutcomeTable``.
        probabilities: ``[E, N]`` from ``metrics.answer_probabilities``.
        num_draws: ``R``.
        rng: Source of the draws.

    Returns:
        Plausibility ``[R, E]`` in [0, 1], and plausible ideas ``[R, E]`` from 0 to the number of answers; NaN at a
        layer without an answer whose plausibility is known.
    """
    plausible, ideas = (np.full((num_draws, len(outcomes)), np.nan) for _ in range(2))
    known = ~np.isnan(probabilities)
    anywhere = probabilities[known]
    drawn: dict[tuple[tuple[float, ...], ...], tuple[FloatArray, FloatArray]] = {}
    for layer in np.flatnonzero(known.any(axis=1)):
        groups = _by_idea(outcomes[layer, known[layer]], probabilities[layer, known[layer]])
        if groups not in drawn:
            drawn[groups] = _draw_layer(groups, anywhere, num_draws, rng)
        plausible[:, layer], ideas[:, layer] = drawn[groups]
    return plausible, ideas


def _by_idea(outcomes: NDArray[np.int16], probabilities: FloatArray) -> tuple[tuple[float, ...], ...]:
    """The answers' probabilities, an idea each; an answer that was not attempted stands alone."""
    by_idea: dict[int, list[float]] = {}
    for number, (idea, probability) in enumerate(zip(outcomes.tolist(), probabilities.tolist(), strict=True)):
        by_idea.setdefault(idea if idea >= 0 else -1 - number, []).append(probability)
    return tuple(sorted(tuple(sorted(each)) for each in by_idea.values()))


def _draw_layer(
    groups: tuple[tuple[float, ...], ...], anywhere: FloatArray, num_draws: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draws of one layer, ``[R]`` each; ``anywhere`` are the probabilities of all answers to the question."""
    sizes = np.array([len(group) for group in groups])
    probabilities = np.concatenate([np.array(group) for group in groups])
    num_answers, num_ideas = len(probabilities), len(groups)
    concentration = rng.choice(_CONCENTRATIONS, size=num_draws, p=_odds(num_answers, num_ideas))
    weights = rng.standard_gamma(_SEEN, (num_draws, num_answers))
    unseen = rng.standard_gamma(concentration)
    total = weights.sum(axis=1) + unseen + rng.standard_gamma(_NO_ATTEMPT, num_draws)
    shares = np.add.reduceat(weights * probabilities, sizes.cumsum() - sizes, axis=1) / total[:, None]  # [R, ideas]
    unseen_share = unseen / total * _draw_unseen(probabilities, sizes, anywhere, num_draws, rng)
    plausible = shares.sum(axis=1) + unseen_share
    # The expected number of ideas in a share that is split at random has a closed form, with (1 - p)^n as exp(-n p).
    ideas = -np.expm1(num_answers * np.log1p(-np.minimum(shares, 1 - 1e-9))).sum(axis=1)
    ideas += concentration * np.log1p(num_answers * unseen_share / concentration)
    return np.minimum(plausible, 1), np.minimum(ideas, num_answers)


def _draw_unseen(
    probabilities: FloatArray, sizes: NDArray[np.int64], anywhere: FloatArray, num_draws: int, rng: np.random.Generator
) -> FloatArray:
    """Mean plausibility of answers that were not seen: ``[R]``."""
    means = np.add.reduceat(probabilities, sizes.cumsum() - sizes) / sizes
    # One of any plausibility stands among the answers from anywhere: they may all be alike.
    place = rng.integers(len(anywhere) + 1, size=num_draws)
    other = np.where(place < len(anywhere), np.append(anywhere, 0)[place], rng.random(num_draws))
    weights = rng.standard_exponential((num_draws, len(means) + 1))
    drawn: FloatArray = (weights[:, :-1] @ means + weights[:, -1] * other) / weights.sum(axis=1)
    return drawn


def _odds(num_answers: int, num_ideas: int) -> FloatArray:
    """Posterior of the concentration after ``num_ideas`` in ``num_answers`` (Ewens' sampling formula)."""
    fit = num_ideas * np.log(_CONCENTRATIONS) + gammaln(_CONCENTRATIONS) - gammaln(_CONCENTRATIONS + num_answers)
    odds = np.exp(fit - fit.max())
    posterior: FloatArray = odds / odds.sum()
    return posterior
