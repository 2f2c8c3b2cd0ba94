"""The scores of DESIGN section 2, as arithmetic on one table of outcomes. Numpy alone."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hcl_core.records import DEFAULT_SCALING, LayerScore, Scaling, Weights

FloatArray = NDArray[np.float64]
Places = slice | list[int] | NDArray[np.intp] | NDArray[np.bool_]

# What a cell of the table says, where it is not the number of a correct answer's idea.
INCORRECT, NOT_ATTEMPTED, MISSING = -1, -2, -3


@dataclass(frozen=True, slots=True)
class OutcomeTable:
    """Every judged answer of a run.

    Attributes:
        exit_layers: ``E`` layers, ascending.
        outcomes: ``[num_questions, E, num_samples]`` number (0 and up) of a correct answer's idea, else
            ``INCORRECT``, ``NOT_ATTEMPTED``, or ``MISSING`` where no sample has come yet. Numbers below
            ``num_accepted_ideas`` are the question's accepted ideas, the same at every layer; higher ones are ideas
            that no accepted answer names.
        confidences: Same shape; geometric-mean token probability of the answer, NaN where missing.
        num_accepted_ideas: ``[num_questions]``; 0 where the ideas are not known in advance (a number then means
            something within its question and layer only), 1 where there is one, so that creativity is not defined.
        is_greedy: Answers were taken at temperature 0, so the answers of a question and layer are one and the same.
        is_open: The questions have no accepted answers: every attempted answer has the number of its idea.
        plausibilities: ``[num_questions, E, num_samples]`` mean log-probability of the answer's tokens under the whole
            model, in nats, for open questions; NaN where it is not known.
    """

    exit_layers: tuple[int, ...]
    outcomes: NDArray[np.int16]
    confidences: NDArray[np.float32]
    num_accepted_ideas: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    is_greedy: bool = False
    is_open: bool = False
    plausibilities: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        if not len(self.plausibilities):
            object.__setattr__(self, "plausibilities", np.full(self.outcomes.shape, np.nan, np.float32))
        if not len(self.num_accepted_ideas):
            object.__setattr__(self, "num_accepted_ideas", np.zeros(len(self.outcomes), np.int32))
        if self.num_accepted_ideas.shape != (len(self.outcomes),):
            raise ValueError(
                f"num_accepted_ideas must be one number a question, {len(self.outcomes)}; "
                f"got shape {self.num_accepted_ideas.shape}"
            )

    @classmethod
    def empty(
        cls,
        num_questions: int,
        exit_layers: tuple[int, ...],
        num_samples: int,
        num_accepted_ideas: NDArray[np.int32] | None = None,
        is_greedy: bool = False,
        is_open: bool = False,
    ) -> "OutcomeTable":
        """A table in which nothing has come yet."""
        shape = (num_questions, len(exit_layers), num_samples)
        ideas = np.zeros(num_questions, np.int32) if num_accepted_ideas is None else num_accepted_ideas
        outcomes, confidences = np.full(shape, MISSING, np.int16), np.full(shape, np.nan, np.float32)
        return cls(exit_layers, outcomes, confidences, ideas, is_greedy, is_open)

    def part(self, questions: Places, layers: Places = slice(None)) -> "OutcomeTable":
        """The chosen questions and layers, each by index or as a mask."""
        chosen = tuple(np.array(self.exit_layers)[layers].tolist())
        outcomes, confidences = self.outcomes[questions][:, layers], self.confidences[questions][:, layers]
        accepted, plausibilities = self.num_accepted_ideas[questions], self.plausibilities[questions][:, layers]
        return OutcomeTable(chosen, outcomes, confidences, accepted, self.is_greedy, self.is_open, plausibilities)

    def snapshot(self) -> "OutcomeTable":
        """A copy: the table of a run under way changes with each wave."""
        return OutcomeTable(
            self.exit_layers,
            self.outcomes.copy(),
            self.confidences.copy(),
            self.num_accepted_ideas.copy(),
            self.is_greedy,
            self.is_open,
            self.plausibilities.copy(),
        )

    @property
    def has_creativity(self) -> NDArray[np.bool_]:
        """``[num_questions]``: a question with one accepted idea has none."""
        has_creativity: NDArray[np.bool_] = self.num_accepted_ideas != 1
        return has_creativity


def answered(table: OutcomeTable) -> OutcomeTable:
    """Without the questions that have no answer yet: their empty cells say nothing."""
    has_answers = (table.outcomes != MISSING).any(axis=(1, 2))
    return table if has_answers.all() or not has_answers.any() else table.part(has_answers)


def hallucination_rate(outcomes: NDArray[np.int16]) -> FloatArray:
    """Answers not judged correct over answers given, mean over questions (paper; DESIGN section 2).

    Args:
        outcomes: ``[num_questions, E, num_samples]`` as in ``OutcomeTable``.

    Returns:
        ``[E]`` in [0, 1]; NaN at a layer without any answer.
    """
    given = (outcomes != MISSING).sum(axis=2)
    wrong = ((outcomes < 0) & (outcomes != MISSING)).sum(axis=2)
    return mean_known(_shares(wrong, given))


def creativity_raw(outcomes: NDArray[np.int16]) -> FloatArray:
    """Different ideas among the correct answers, mean over questions (paper; DESIGN section 2).

    Args:
        outcomes: ``[num_questions, E, num_samples]`` as in ``OutcomeTable``.

    Returns:
        ``[E]`` from 0; NaN at a layer without any answer.
    """
    return mean_known(np.where((outcomes != MISSING).any(axis=2), num_ideas(outcomes), np.nan))


def num_possible_ideas(given: NDArray[np.int64], num_accepted_ideas: NDArray[np.int32]) -> NDArray[np.int64]:
    """The most ideas that ``given [num_questions, E]`` answers can have: one each, and no more than are accepted."""
    accepted = num_accepted_ideas[:, None]
    return np.where(accepted > 0, np.minimum(given, accepted), given)


def num_ideas(outcomes: NDArray[np.int16]) -> NDArray[np.int64]:
    """Different ideas among the correct answers: ``[num_questions, E]``."""
    # Distinct numbers, not the highest: accepted ideas that nobody named have a number too.
    ordered = np.sort(outcomes, axis=2)
    opens = np.diff(ordered, axis=2, prepend=np.int16(MISSING)) != 0
    count: NDArray[np.int64] = ((ordered >= 0) & opens).sum(axis=2)
    return count


def _shares(counts: NDArray[np.int64] | FloatArray, of: NDArray[np.int64]) -> FloatArray:
    """``counts / of``, NaN where ``of`` is 0."""
    shares: FloatArray = np.divide(counts, of, out=np.full(counts.shape, np.nan), where=of > 0)
    return shares


def mean_known(values: NDArray[np.floating], axis: int | tuple[int, ...] = 0) -> FloatArray:
    """Mean over ``axis`` of the numbers that are not NaN; NaN where there is none."""
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0).sum(axis=axis, dtype=np.float64), known.sum(axis=axis)
    means: FloatArray = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return means


def min_max_scale(values: FloatArray) -> FloatArray:
    """Scale ``[..., E]`` to 0..1 over the layers; all equal gives 0.5 (paper; DESIGN section 2). NaN stays NaN."""
    low = np.fmin.reduce(values, axis=-1, keepdims=True)
    spread = np.fmax.reduce(values, axis=-1, keepdims=True) - low
    scaled: FloatArray = np.divide(values - low, spread, out=np.full(values.shape, 0.5), where=spread != 0)
    return np.where(np.isnan(values), np.nan, scaled)


def answer_probabilities(table: OutcomeTable) -> FloatArray:
    """The geometric mean of each answer's token probabilities under the whole model, of open questions (ours).

    An answer that was not attempted counts as 0, as it counts as not right where answers are judged.

    Returns:
        ``[num_questions, E, num_samples]`` in [0, 1]; NaN where there is no answer or its plausibility is not known.
    """
    probabilities = np.minimum(np.exp(table.plausibilities.astype(np.float64)), 1)  # rounding can exceed 1
    not_attempted = (table.outcomes == NOT_ATTEMPTED) & ~np.isnan(probabilities)
    shown: FloatArray = np.where(not_attempted, 0, probabilities)
    return shown


def token_plausibility(table: OutcomeTable) -> FloatArray:
    """Mean of ``answer_probabilities`` over a question's answers, then over questions: ``[E]`` in [0, 1]."""
    return mean_known(mean_known(answer_probabilities(table), axis=2))


def plausible_ideas(table: OutcomeTable) -> FloatArray:
    """Expected number of different plausible ideas, of open questions (ours).

    What ``num_ideas`` is where answers are judged: there an idea counts where one of its answers is right. Here an
    answer is taken as plausible with the probability ``p`` that ``answer_probabilities`` gives it, and an idea counts
    with the probability that one of its answers is: ``1 - product(1 - p)``. So answers that the whole model finds
    improbable add next to nothing, however many different ones a layer gives.

    Returns:
        ``[num_questions, E]`` from 0 to the number of answers; NaN where no answer's plausibility is known.
    """
    probabilities = answer_probabilities(table)
    missed = 1 - np.nan_to_num(probabilities)
    ideas = np.zeros(table.outcomes.shape[:2])
    for idea in range(int(table.outcomes.max(initial=-1)) + 1):
        ideas += 1 - np.where(table.outcomes == idea, missed, 1).prod(axis=2)
    return np.where(np.isnan(probabilities).all(axis=2), np.nan, ideas)


def ideas_found(table: OutcomeTable) -> FloatArray:
    """What creativity counts: ``num_ideas``, of open questions ``plausible_ideas``; NaN without answers."""
    if table.is_open:
        return plausible_ideas(table)
    return np.where((table.outcomes != MISSING).any(axis=2), num_ideas(table.outcomes), np.nan)


def accuracy(table: OutcomeTable) -> FloatArray:
    """What stands beside creativity: the share of right answers, of open questions their plausibility; ``[E]``."""
    return token_plausibility(table) if table.is_open else 1 - hallucination_rate(table.outcomes)


def hcb_score(creativity: FloatArray, hallucination: FloatArray, weights: Weights) -> FloatArray:
    """``w_c * creativity + w_h * (1 - hallucination_rate)``, ``[E]`` in [0, 1] (paper; DESIGN section 2)."""
    return balance(creativity, 1 - hallucination, weights)


def balance(creativity: FloatArray, accuracy: FloatArray, weights: Weights) -> FloatArray:
    """``w_c * creativity + w_h * accuracy``, ``[E]`` in [0, 1]."""
    return weights.creativity * creativity + weights.accuracy * accuracy


def scaled_creativity(table: OutcomeTable, scaling: Scaling) -> FloatArray:
    """Creativity of every layer, mean over the questions that have one (DESIGN section 2).

    ``possible``: ideas over those possible (ours). ``absolute``: ideas over answers given (ours); 1 where every answer
    is right and another idea. Neither moves when a layer is added. Both depend on the number of samples, since fifty
    answers seldom find fifty ideas. ``min_max``: ideas, min-max scaled over the layers (paper).

    Returns:
        ``[E]`` in [0, 1]; NaN at a layer without any answer, where no question has creativity, and, min-max scaled,
        where no answer is right at any layer.
    """
    creative = table.has_creativity
    ideas, given = ideas_found(table)[creative], (table.outcomes[creative] != MISSING).sum(axis=2)
    if scaling == "min_max":
        has_ideas = (np.nan_to_num(ideas) > 0).any()
        return min_max_scale(mean_known(ideas)) if has_ideas else np.full(ideas.shape[1], np.nan)
    most = num_possible_ideas(given, table.num_accepted_ideas[creative]) if scaling == "possible" else given
    return mean_known(np.minimum(_shares(ideas, most), 1))


def score_layers(table: OutcomeTable, weights: Weights, scaling: Scaling = DEFAULT_SCALING) -> list[LayerScore]:
    """The scores of every exit layer of ``table``; a layer without samples has NaN scores."""
    outcomes = table.outcomes
    right, creativity = accuracy(table), scaled_creativity(table, scaling)
    hallucination = hallucination_rate(outcomes)
    raw = mean_known(ideas_found(table)[table.has_creativity])
    hcb = balance(creativity, right, weights)
    confidence = mean_known(table.confidences, axis=(0, 2))
    return [
        LayerScore(
            exit_layer=exit_layer,
            hallucination_rate=math.nan if table.is_open else float(hallucination[place]),
            creativity_raw=float(raw[place]),
            creativity=float(creativity[place]),
            hcb_score=float(hcb[place]),
            confidence=float(confidence[place]),
            num_correct=0 if table.is_open else int((outcomes[:, place] >= 0).sum()),
            num_not_attempted=int((outcomes[:, place] == NOT_ATTEMPTED).sum()),
            num_samples=int((outcomes[:, place] != MISSING).sum()),
            token_plausibility=float(right[place]) if table.is_open else math.nan,
        )
        for place, exit_layer in enumerate(table.exit_layers)
    ]
