"""More than the paper's measures, each a column beside the scores of a layer. Numpy and scipy; no torch.

Those of the outcomes alone cost nothing; those of the answers' texts need the embedder. ``docs/measures.md`` has each
one's definition, range, unit and source.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from hcl_core.ideas.clustering import leader_clusters
from hcl_core.models.cost import ModelCost
from hcl_core.ports import Embed
from hcl_core.scores.metrics import (
    MISSING,
    NOT_ATTEMPTED,
    FloatArray,
    OutcomeTable,
    mean_known,
    scaled_creativity,
)
from hcl_core.words import split_words

MEASURES_VERSION = 2
NUM_BINS = 10


@dataclass(frozen=True, slots=True)
class TextMeasures:
    """What a layer's answers say of themselves; means over the questions that have answers.

    Attributes:
        exit_layer: Decoder blocks run, from 1.
        vendi_score: Effective number of different right answers, from 0 to the number of samples (arXiv 2210.02410).
        vendi_all: The same of all answers that were attempted, right or wrong.
        semantic_entropy: Entropy in nats over the meaning clusters of *all* answers, from 0 to the logarithm of the
            number of samples (Farquhar et al., Nature 2024, discrete form).
        distinct_1: Different words over all words of a question's answers, in (0, 1]; NaN without words
            (arXiv 1510.03055).
        distinct_2: The same of pairs of neighbouring words.
    """

    exit_layer: int
    vendi_score: float
    vendi_all: float
    semantic_entropy: float
    distinct_1: float
    distinct_2: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The answers of a layer whose confidence lies in one tenth of [0, 1].

    Attributes:
        count: Answers, over all questions.
        confidence: Their mean confidence; NaN without answers.
        accuracy: Share of them that are right; NaN without answers.
    """

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class OutcomeMeasures:
    """What follows from a layer's outcomes, confidences and depth.

    Attributes:
        exit_layer: Decoder blocks run, from 1.
        not_attempted_rate: Share of answers that were empty or a refusal, mean over questions, in [0, 1].
        creativity_absolute: See ``metrics.scaled_creativity``.
        calibration_error: Expected calibration error of the confidence, in [0, 1] (arXiv 1706.04599); NaN of open
            questions, where no answer is right or wrong.
        blocks_per_token: Decoder blocks run for each token; NaN where the exit layer does not decide it.
        relative_flops: Floating-point operations a token over those of the full model's; NaN where the run's
            model has no known shape.
    """

    exit_layer: int
    not_attempted_rate: float
    creativity_absolute: float
    calibration_error: float
    blocks_per_token: float
    relative_flops: float


OUTCOME_MEASURES = tuple(each.name for each in fields(OutcomeMeasures))[1:]
TEXT_MEASURES = tuple(each.name for each in fields(TextMeasures))[1:]
# Computed by the run's language model, which the others do not need.
MODEL_MEASURES = ("plausibility",)
MEASURE_NAMES = (*OUTCOME_MEASURES, *TEXT_MEASURES, *MODEL_MEASURES)


def measure_outcomes(table: OutcomeTable, cost: ModelCost | None) -> list[OutcomeMeasures]:
    """The measures that need no text, by layer; a layer without answers has NaN."""
    outcomes = table.outcomes
    silent = mean_known(np.where(outcomes == MISSING, np.nan, outcomes == NOT_ATTEMPTED), axis=2)
    silent_rate = mean_known(silent)
    absolute = scaled_creativity(table, "absolute")
    return [
        OutcomeMeasures(
            exit_layer=exit_layer,
            not_attempted_rate=float(silent_rate[place]),
            creativity_absolute=float(absolute[place]),
            calibration_error=math.nan if table.is_open else calibration_error(reliability(table, place)),
            blocks_per_token=math.nan if cost is None else float(exit_layer),
            relative_flops=math.nan if cost is None else cost.relative_flops(exit_layer),
        )
        for place, exit_layer in enumerate(table.exit_layers)
    ]


def reliability(table: OutcomeTable, place: int) -> list[ReliabilityBin]:
    """The reliability curve of the ``place``-th layer: ten bins of equal width, from confidence 0 to 1."""
    from scipy.stats import binned_statistic  # half a second, which a page that measures nothing need not wait for

    outcomes = table.outcomes[:, place].ravel()
    given = outcomes != MISSING
    confidence = table.confidences[:, place].ravel()[given].astype(np.float64)
    if not len(confidence):
        return [ReliabilityBin(0, math.nan, math.nan)] * NUM_BINS
    columns = np.stack([confidence, outcomes[given] >= 0])
    means, _, numbers = binned_statistic(confidence, columns, "mean", NUM_BINS, (0.0, 1.0))
    counts = np.bincount(numbers, minlength=NUM_BINS + 2)[1 : NUM_BINS + 1]
    return [
        ReliabilityBin(int(count), float(sure), float(right)) for count, sure, right in zip(counts, *means, strict=True)
    ]


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """``sum_b n_b / n * |accuracy_b - confidence_b|``, in [0, 1]; NaN without answers."""
    num_answers = sum(each.count for each in bins)
    if not num_answers:
        return math.nan
    return sum(each.count * abs(each.accuracy - each.confidence) for each in bins if each.count) / num_answers


def measure_texts(
    table: OutcomeTable,
    answers: Iterable[Mapping[int, Mapping[int, str]]],
    embed: Embed,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[TextMeasures]:
    """The measures of the answers' texts, by layer.

    Args:
        table: Outcomes of the run.
        answers: A question each, in the table's order: answer by sample number by exit layer.
        embed: Unit vectors of texts.
        on_progress: Told the number of questions done.
    """
    cells = np.full((len(table.outcomes), len(table.exit_layers), len(TEXT_MEASURES)), np.nan)
    for question, by_layer in enumerate(answers):
        texts = list(dict.fromkeys(text for mine in by_layer.values() for text in mine.values()))
        vectors = dict(zip(texts, embed(texts), strict=True)) if texts else {}
        for layer, exit_layer in enumerate(table.exit_layers):
            if mine := by_layer.get(exit_layer):
                outcomes = table.outcomes[question, layer]
                cells[question, layer] = _measure_cell(
                    [(mine[each], int(outcomes[each])) for each in sorted(mine)], vectors
                )
        on_progress(question + 1)
    means = mean_known(cells).tolist()
    return [TextMeasures(layer, *mine) for layer, mine in zip(table.exit_layers, means, strict=True)]


def plausibility(mean_logprobs: FloatArray) -> list[float]:
    """Mean over questions of the mean over their answers, by layer; at most 0, NaN without answers.

    Args:
        mean_logprobs: ``[num_questions, E, N]`` mean log-probability of an answer's tokens under the whole model, in
            nats; NaN where there is no answer.
    """
    means: list[float] = mean_known(mean_known(mean_logprobs, axis=2)).tolist()
    return means


def vendi_score(vectors: NDArray[np.float32]) -> float:
    """Effective number of different items (Friedman and Dieng, arXiv 2210.02410).

    The exponential of the entropy of the eigenvalues of the cosine similarities over ``n``: 1 where all are alike,
    ``n`` where all are orthogonal, 0 of nothing.

    Args:
        vectors: ``[n, width]`` unit vectors.
    """
    if not len(vectors):
        return 0.0
    # The eigenvalues of the smaller of the two products of the same matrix are all that are not 0.
    scaled = vectors.astype(np.float64) / math.sqrt(len(vectors))
    eigenvalues = np.linalg.svd(scaled, compute_uv=False) ** 2
    return math.exp(_entropy(eigenvalues[eigenvalues > 1e-12]))


def distinct_n(texts: Iterable[str], n: int) -> float:
    """Different runs of ``n`` words over all of them, of all texts (Li et al., arXiv 1510.03055); NaN of none."""
    runs = [run for text in texts for run in _word_runs(split_words(text).words, n)]
    return len(set(runs)) / len(runs) if runs else math.nan


def _word_runs(words: tuple[str, ...], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)


def _measure_cell(answers: list[tuple[str, int]], vectors: Mapping[str, NDArray[np.float32]]) -> tuple[float, ...]:
    """The text measures of one question at one layer: answers with their outcomes, in sample order."""
    texts = [text for text, _ in answers]
    right = [vectors[text] for text, outcome in answers if outcome >= 0]
    attempted = [vectors[text] for text, outcome in answers if outcome != NOT_ATTEMPTED]
    return (
        vendi_score(np.stack(right)) if right else 0.0,
        vendi_score(np.stack(attempted)) if attempted else 0.0,
        _semantic_entropy(answers, vectors),
        distinct_n(texts, 1),
        distinct_n(texts, 2),
    )


def _semantic_entropy(answers: list[tuple[str, int]], vectors: Mapping[str, NDArray[np.float32]]) -> float:
    """Entropy in nats over clusters; all answers that were not attempted are one of them."""
    said = [text for text, outcome in answers if outcome != NOT_ATTEMPTED]
    texts = list(dict.fromkeys(said))
    cluster_of = (
        dict(zip(texts, leader_clusters(np.stack([vectors[text] for text in texts])), strict=True)) if texts else {}
    )
    numbers = [cluster_of[text] for text in said] + [len(texts)] * (len(answers) - len(said))
    return _entropy(np.bincount(numbers))


def _entropy(weights: NDArray[Any]) -> float:
    """In nats, of the distribution that ``weights`` are in proportion to."""
    return float(entr(weights / weights.sum()).sum())
