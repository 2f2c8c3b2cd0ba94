"""What the answers to one question say of its true shares: draws from a posterior, all layers at once.

The estimands, for each layer: the true share of wrong answers, and the *expected* number of different ideas in as many
answers as were given. Three parts, each chosen on ``bench.coverage``'s populations for tuning:

Right answers: a Beta posterior. A layer also counts the answers of its neighbours, less with every step away; how much
less is drawn from what predicts each layer best by the others. Independent layers borrow nothing.

The most frequent idea against the others: a Beta posterior, so that one dominant idea does not hide that the others
are many.

The other ideas: a symmetric Dirichlet over the accepted ones, a Dirichlet process where they are not known in advance.
Its concentration is drawn for each layer, from the mixture that fits all layers.

Layers with equal counts get equal draws: equal evidence is a tie. Numpy and scipy; no torch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln

from hcl_core.scores.metrics import MISSING, FloatArray

IntArray = NDArray[np.int64]

_RIGHT_PRIOR = 0.5
_LARGEST_PRIOR, _OTHERS_PRIOR = 0.2, 0.7
# That a layer knows one idea alone, before any answer.
_ONLY_ONE = 0.05
# What a neighbour's answer counts, to the power of the distance in layers.
_BORROWED = np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.7])
# Of a Dirichlet over the accepted ideas, and of a Dirichlet process, which has more ideas the higher it is.
_ACCEPTED_CONCENTRATIONS = np.geomspace(1, 100, 10)
_OPEN_CONCENTRATIONS = np.geomspace(0.1, 100, 10)
_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """The answers of one question, counted.

    Attributes:
        right: ``[E]`` right answers.
        wrong: ``[E]`` the others that were given.
        sizes: ``[E, K]`` answers of each idea, the most frequent first, then zeros.
    """

    right: IntArray
    wrong: IntArray
    sizes: IntArray

    @classmethod
    def of(cls, outcomes: NDArray[np.int16]) -> "Counts":
        """Counts of ``outcomes [E, num_samples]``, as in ``OutcomeTable``."""
        num_layers, is_right = len(outcomes), outcomes >= 0
        width = max(int(outcomes.max(initial=0)) + 1, 1)
        numbers = (np.arange(num_layers)[:, None] * width + outcomes)[is_right]
        sizes = np.bincount(numbers, minlength=num_layers * width).reshape(num_layers, width)
        sizes = np.sort(sizes, axis=1)[:, ::-1]
        wrong = (~is_right & (outcomes != MISSING)).sum(axis=1)
        return cls(is_right.sum(axis=1), wrong, sizes[:, : max(int((sizes > 0).sum(axis=1).max(initial=1)), 1)])


def draw_estimands(
    outcomes: NDArray[np.int16], num_accepted_ideas: int, num_draws: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draws of the share of wrong answers and of the expected number of ideas, of one question.

    Args:
        outcomes: ``[E, num_samples]`` as in ``OutcomeTable``.
        num_accepted_ideas: As there; where it is 1 there is nothing to say of ideas.
        num_draws: ``R``.
        rng: Source of the draws.

    Returns:
        ``[R, E]`` in [0, 1], and ``[R, E]`` from 0 to the number of answers; NaN at a layer without answers.
    """
    counts = Counts.of(outcomes)
    _, first, group_of = np.unique(
        np.column_stack([counts.sizes, counts.wrong]), axis=0, return_index=True, return_inverse=True
    )
    group_of = group_of.ravel()
    mean_of = np.eye(len(first))[group_of] / np.bincount(group_of)  # [E, groups]: the mean over a group's layers
    right_share = _draw_right_shares(counts, mean_of, num_draws, rng)
    ideas = np.full_like(right_share, np.nan)
    if num_accepted_ideas != 1:
        concentration = _draw_concentrations(counts.sizes[:, 1:], num_accepted_ideas, mean_of, num_draws, rng)
        given = (counts.right + counts.wrong)[first]
        ideas = _draw_ideas(counts.sizes[first], given, num_accepted_ideas, right_share, concentration, rng)
    has_answers = counts.right + counts.wrong > 0
    return (
        np.where(has_answers, 1 - right_share[:, group_of], np.nan),
        np.where(has_answers, ideas[:, group_of], np.nan),
    )


def _draw_right_shares(counts: Counts, mean_of: FloatArray, num_draws: int, rng: np.random.Generator) -> FloatArray:
    """True shares of right answers: ``[R, groups]``."""
    places = np.arange(len(counts.right))
    distance = np.abs(places[:, None] - places)
    nearness = np.where(distance > 0, _BORROWED[:, None, None] ** distance, 0)  # [borrowed, E, E]
    right, wrong = _RIGHT_PRIOR + nearness @ counts.right, _RIGHT_PRIOR + nearness @ counts.wrong
    # How well a layer's answers are predicted from its neighbours', all layers together.
    fit = (betaln(right + counts.right, wrong + counts.wrong) - betaln(right, wrong)).sum(axis=1)
    borrowed = rng.choice(len(_BORROWED), size=num_draws, p=_normalised(fit))
    right, wrong = (right + counts.right) @ mean_of, (wrong + counts.wrong) @ mean_of
    return rng.beta(right[borrowed], wrong[borrowed])


def _draw_concentrations(
    sizes: IntArray, num_accepted_ideas: int, mean_of: FloatArray, num_draws: int, rng: np.random.Generator
) -> FloatArray:
    """Concentrations of the ideas other than the most frequent, of ``sizes [E, K - 1]``: ``[R, groups]``."""
    concentrations = _ACCEPTED_CONCENTRATIONS if num_accepted_ideas else _OPEN_CONCENTRATIONS
    concentration = concentrations[:, None]
    total = sizes.sum(axis=1)
    fit = gammaln(concentration) - gammaln(concentration + total)
    if num_accepted_ideas:
        each = (concentrations / _num_others(num_accepted_ideas, sizes.shape[1]))[:, None, None]
        fit = fit + np.where(sizes > 0, gammaln(each + sizes) - gammaln(each), 0).sum(axis=2)
    else:  # Ewens' sampling formula
        fit = fit + (sizes > 0).sum(axis=1) * np.log(concentration)
    odds = _mixture(fit) @ mean_of
    below = (rng.random((num_draws, 1, odds.shape[1])) > odds.cumsum(axis=0) / odds.sum(axis=0)).sum(axis=1)
    drawn: FloatArray = concentrations[np.minimum(below, len(concentrations) - 1)]
    return drawn


def _draw_ideas(
    sizes: IntArray,
    given: IntArray,
    num_accepted_ideas: int,
    right_share: FloatArray,
    concentration: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Expected number of ideas in ``given [groups]`` answers: ``[R, groups]``."""
    largest, others = sizes[:, 0], sizes[:, 1:]
    others_share = _draw_others_shares(largest, others.sum(axis=1), len(right_share), rng)
    num_seen = (others > 0).sum(axis=1)
    if num_accepted_ideas:
        num_others = _num_others(num_accepted_ideas, others.shape[1])
        each, num_unseen = concentration / num_others, num_others - num_seen
        unseen_weight = each * num_unseen
        weights = np.where(others > 0, others + each[:, :, None], 0)
    else:
        unseen_weight, weights = concentration, np.broadcast_to(others, (*right_share.shape, others.shape[1]))
    # Most of the time goes here, and single precision takes a third of it.
    seen = rng.standard_gamma(weights.astype(np.float32), dtype=np.float32)
    unseen = rng.standard_gamma(unseen_weight)
    # Tiny weights draw zeros: a floor that single precision has keeps 0 / 0 out.
    scale = right_share * others_share / np.maximum(seen.sum(axis=2) + unseen, 1e-30)
    ideas = _chance(right_share * (1 - others_share), given)
    ideas = ideas + _chance(seen * scale[:, :, None].astype(np.float32), given[:, None]).sum(axis=2)
    # The expected number in a share that is split at random has a closed form, with (1 - p)^n taken as exp(-n p).
    expected = given * unseen * scale
    if num_accepted_ideas:
        ideas = ideas - num_unseen * np.expm1(-each * np.log1p(expected / np.maximum(unseen_weight, 1e-300)))
    else:
        ideas = ideas + concentration * np.log1p(expected / concentration)
    most = np.minimum(given, num_others + 1) if num_accepted_ideas else given
    capped: FloatArray = np.minimum(ideas, most)
    return capped


def _draw_others_shares(largest: IntArray, others: IntArray, num_draws: int, rng: np.random.Generator) -> FloatArray:
    """Shares of the ideas other than the most frequent, among right answers: ``[R, groups]``."""
    shares = rng.beta(others + _OTHERS_PRIOR, largest + _LARGEST_PRIOR, size=(num_draws, len(largest)))
    # How likely it is that the answers show one idea alone although there are others.
    unlucky = np.exp(betaln(_OTHERS_PRIOR, largest + _LARGEST_PRIOR) - betaln(_OTHERS_PRIOR, _LARGEST_PRIOR))
    only_one = np.where(others > 0, 0, _ONLY_ONE / (_ONLY_ONE + (1 - _ONLY_ONE) * unlucky))
    drawn: FloatArray = np.where(rng.random(shares.shape) < only_one, 0, shares)
    return drawn


def _chance(share: NDArray[Any], num_answers: IntArray) -> NDArray[Any]:
    """That an idea of this share is in so many answers: ``1 - (1 - share)^n``."""
    chance: NDArray[Any] = -np.expm1(num_answers.astype(share.dtype) * np.log1p(-np.minimum(share, 0.999999)))
    return chance


def _num_others(num_accepted_ideas: int, num_seen: int) -> int:
    """Ideas besides the most frequent one: those accepted, or more where more were found."""
    return max(num_accepted_ideas - 1, num_seen)


def _mixture(fit: FloatArray) -> FloatArray:
    """Odds of each component ``[C, E]`` for every layer, from log-likelihoods, under the mixture that fits them all."""
    likelihood = np.exp(fit - fit.max(axis=0))
    shares = np.full((len(fit), 1), 1 / len(fit))
    for _ in range(_ROUNDS):  # expectation and maximisation, with one layer's worth of equal shares
        odds = shares * likelihood
        odds /= odds.sum(axis=0)
        shares = (odds.sum(axis=1, keepdims=True) + 1 / len(fit)) / (fit.shape[1] + 1)
    odds = shares * likelihood
    normalised: FloatArray = odds / odds.sum(axis=0)
    return normalised


def _normalised(fit: FloatArray) -> FloatArray:
    """Probabilities in proportion to ``exp(fit)``."""
    odds = np.exp(fit - fit.max())
    probabilities: FloatArray = odds / odds.sum()
    return probabilities
