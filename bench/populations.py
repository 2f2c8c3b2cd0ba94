"""Questions whose truth is known: made for ``bench.coverage``, by three families of rules.

``tuning`` and ``second`` were looked at while the method was chosen; ``held_out`` is made by other rules and was not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hcl_core.scores.metrics import INCORRECT, FloatArray, OutcomeTable

SHAPES = ("few_large", "many_rare", "dominant", "one_only")
FAMILIES = ("tuning", "second", "held_out")


@dataclass(frozen=True, slots=True)
class TrueQuestion:
    """What the layers would answer in the long run.

    Attributes:
        odds: ``[E, K + 1]`` shares of the right ideas, and in the last column of wrong answers.
        num_accepted_ideas: As in ``OutcomeTable``.
    """

    odds: FloatArray
    num_accepted_ideas: int

    @property
    def hallucination_rate(self) -> FloatArray:
        """``[E]``."""
        return self.odds[:, -1]

    def num_ideas(self, num_samples: int) -> FloatArray:
        """Expected different ideas in so many answers: ``[E]``."""
        ideas: FloatArray = (1 - (1 - self.odds[:, :-1]) ** num_samples).sum(axis=1)
        return ideas

    def answers(self, num_samples: int, rng: np.random.Generator) -> FloatArray:
        """Outcomes of one run: ``[E, num_samples]``."""
        below = self.odds.cumsum(axis=1)[:, None] < rng.random((len(self.odds), num_samples, 1))
        places = below[:, :, :-1].sum(axis=2)
        return np.where(places == self.odds.shape[1] - 1, INCORRECT, places)


def make_question(family: str, shape: str, is_alike: bool, num_layers: int, rng: np.random.Generator) -> TrueQuestion:
    """A question of ``shape``; ``is_alike``: neighbouring layers are, else each is drawn by itself."""
    shares, accepted = _make_shares(family, shape, is_alike, num_layers, rng)
    right = _RIGHT[family](is_alike, num_layers, rng)[:, None]
    return TrueQuestion(np.hstack([shares * right, 1 - right]), accepted)


def make_set(family: str, is_alike: bool, num_questions: int, num_layers: int, seed: int) -> list[TrueQuestion]:
    """Questions of all shapes, one of five with a single accepted idea; deeper layers are more often right."""
    rng = np.random.default_rng(seed)
    questions = []
    for number in range(num_questions):
        kind = number % 5
        shares, accepted = _make_shares(family, SHAPES[kind % 4], is_alike, num_layers, rng)
        skill = rng.normal(-0.5, 1.6) + np.linspace(-2.5, 1.5, num_layers)
        steps = rng.normal(0, 0.3, num_layers).cumsum() if is_alike else rng.normal(0, 0.7, num_layers)
        right = 1 / (1 + np.exp(-skill - steps))[:, None]
        if kind == 4:
            shares, accepted = np.ones((num_layers, 1)), 1
        questions.append(TrueQuestion(np.hstack([shares * right, 1 - right]), accepted))
    return questions


def run_of(questions: list[TrueQuestion], num_samples: int, is_open: bool, rng: np.random.Generator) -> OutcomeTable:
    """A run of the questions; ``is_open``: the scorer does not know the accepted ideas."""
    outcomes = np.stack([each.answers(num_samples, rng) for each in questions]).astype(np.int16)
    accepted = [0 if is_open and each.num_accepted_ideas != 1 else each.num_accepted_ideas for each in questions]
    layers = tuple(range(1, outcomes.shape[1] + 1))
    return OutcomeTable(layers, outcomes, np.full(outcomes.shape, 0.5, np.float32), np.array(accepted, np.int32))


def _make_shares(
    family: str, shape: str, is_alike: bool, num_layers: int, rng: np.random.Generator
) -> tuple[FloatArray, int]:
    """Shares of each idea among right answers ``[E, K]``, and how many ideas are accepted."""
    base, accepted = _SHARES[family](shape, rng)
    return _VARIED[family](base, is_alike, num_layers, rng), accepted


def _tuning_shares(shape: str, rng: np.random.Generator) -> tuple[FloatArray, int]:
    if shape == "few_large":
        return rng.dirichlet(np.full(4, 3.0)), 4
    if shape == "many_rare":
        ranks = np.arange(1, 41) ** -rng.uniform(0.6, 1.1)
        return ranks / ranks.sum(), int(rng.choice([40, 195]))
    if shape == "dominant":
        tail = np.full(rng.integers(4, 10), 0.015 * rng.uniform(0.3, 3))
        return np.append(1, tail) / (1 + tail.sum()), len(tail) + 1
    return np.array([0.998, 0.002]), 7


def _second_shares(shape: str, rng: np.random.Generator) -> tuple[FloatArray, int]:
    if shape == "few_large":
        number = int(rng.integers(2, 7))
        return 0.5 / number + 0.5 * rng.dirichlet(np.full(number, 5.0)), number
    if shape == "many_rare":
        number = int(rng.integers(20, 120))
        return rng.dirichlet(np.full(number, rng.uniform(0.3, 2))), number
    if shape == "dominant":
        number = int(rng.integers(3, 13))
        most = rng.uniform(0.75, 0.97)
        return np.append(most, (1 - most) * rng.dirichlet(np.ones(number))), number + 1
    return np.ones(1), int(rng.integers(2, 50))


def _held_out_shares(shape: str, rng: np.random.Generator) -> tuple[FloatArray, int]:
    if shape == "few_large":
        number = int(rng.integers(3, 9))
        return rng.dirichlet(np.full(number, 2.5)), number
    if shape == "many_rare":
        number = int(rng.integers(15, 150))
        ranks = (np.arange(1, number + 1) + rng.uniform(0, 8)) ** -rng.uniform(0.7, 1.4)
        return ranks / ranks.sum(), int(number * rng.uniform(1, 2))
    if shape == "dominant":
        most, tail = rng.uniform(0.6, 0.98), 1 / np.arange(1, rng.integers(3, 20))
        return np.append(most, (1 - most) * tail / tail.sum()), len(tail) + 1
    return np.ones(1), int(rng.integers(2, 200))


def _tuning_right(is_alike: bool, num_layers: int, rng: np.random.Generator) -> FloatArray:
    if not is_alike:
        return rng.uniform(0.05, 0.95, num_layers)
    middle, steepness = rng.uniform(0.3, 0.8) * num_layers, rng.uniform(0.15, 0.8)
    rise = 1 / (1 + np.exp(-steepness * (np.arange(num_layers) - middle)))
    return 0.05 + 0.9 * rise * rng.uniform(0.6, 1)


def _second_right(is_alike: bool, num_layers: int, rng: np.random.Generator) -> FloatArray:
    if not is_alike:
        return rng.beta(0.7, 0.7, num_layers)
    # Nothing up to a layer, then uneven steps up, and at times some way down again.
    start, top = int(rng.integers(0, num_layers * 3 // 4)), rng.uniform(0.2, 1)
    steps = np.where(np.arange(num_layers) >= start, rng.exponential(1, num_layers), 0)
    rise = top * steps.cumsum() / steps.sum()
    fall = rng.uniform(0, 0.4) * np.clip(np.linspace(-2, 1, num_layers), 0, None)
    return np.clip(rise * (1 - fall), 0, 1)


def _held_out_right(is_alike: bool, num_layers: int, rng: np.random.Generator) -> FloatArray:
    if not is_alike:
        return np.where(rng.random(num_layers) < 0.2, rng.uniform(0, 0.02), rng.beta(1.5, 1.5, num_layers))
    # Log-odds that rise by a straight line, with a wave on it.
    depth = np.linspace(-1, 1, num_layers)
    wave = rng.uniform(0, 1.2) * np.sin(rng.uniform(2, 5) * depth + rng.uniform(0, 6))
    return 1 / (1 + np.exp(-rng.uniform(0.5, 3) * depth - wave - rng.normal(0, 1)))


def _tuning_varied(base: FloatArray, is_alike: bool, num_layers: int, rng: np.random.Generator) -> FloatArray:
    steps = rng.normal(0, 0.25 if is_alike else 0.8, (num_layers, len(base)))
    steps = steps.cumsum(axis=0) if is_alike else steps
    ends = (rng.uniform(0.5, 1), rng.uniform(1, 1.8))
    sharpness = np.linspace(*ends, num_layers) if is_alike else rng.uniform(0.5, 1.8, num_layers)
    shares = np.exp((np.log(base) + steps) * sharpness[:, None])
    return shares / shares.sum(axis=1, keepdims=True)


def _second_varied(base: FloatArray, is_alike: bool, num_layers: int, rng: np.random.Generator) -> FloatArray:
    if not is_alike:
        shares = rng.gamma(20 * base + 0.02, size=(num_layers, len(base))) + 1e-12
        return shares / shares.sum(axis=1, keepdims=True)
    early = 0.5 * base + 0.5 * rng.permutation(base)
    share = np.linspace(0, 1, num_layers)[:, None]
    return (1 - share) * early + share * base


def _held_out_varied(base: FloatArray, is_alike: bool, num_layers: int, rng: np.random.Generator) -> FloatArray:
    if not is_alike:
        shares = base * rng.lognormal(0, 0.6, (num_layers, len(base)))
    else:  # early layers are flatter, and one idea comes to the front or goes back
        sharpness = np.linspace(rng.uniform(0.3, 1), 1, num_layers)[:, None]
        shares = base**sharpness
        shares[:, rng.integers(len(base))] *= np.geomspace(1, rng.uniform(0.2, 5), num_layers)
    return shares / shares.sum(axis=1, keepdims=True)


_SHARES: dict[str, Callable[[str, np.random.Generator], tuple[FloatArray, int]]] = {
    "tuning": _tuning_shares,
    "second": _second_shares,
    "held_out": _held_out_shares,
}
_RIGHT: dict[str, Callable[[bool, int, np.random.Generator], FloatArray]] = {
    "tuning": _tuning_right,
    "second": _second_right,
    "held_out": _held_out_right,
}
_VARIED: dict[str, Callable[[FloatArray, bool, int, np.random.Generator], FloatArray]] = {
    "tuning": _tuning_varied,
    "second": _second_varied,
    "held_out": _held_out_varied,
}
