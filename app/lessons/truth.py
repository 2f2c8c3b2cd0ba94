"""What turned out: the right answers of a prediction, from the scores of the run, and how sure they are.

Where the run's answers leave several layers possible, all of them count: the smallest set of layers that holds the one
asked for with a probability of 95%, as for the best layer on the page.
"""

import math
from dataclasses import dataclass

import numpy as np

from app.lessons.records import LAYER_KINDS, Prediction, Presets
from app.outcomes import Scored
from app.question_view import QuestionView
from app.visit import Balance
from hcl_core.scores.best_layers import LEVEL, TIE, find_best


@dataclass(frozen=True, slots=True)
class Truth:
    """What turned out.

    Attributes:
        layers: That count as right, ascending; empty for other kinds, and where there is none.
        options: Indices of the options that count as right.
        probability: That the layer asked for is among ``layers``; 1 where it is a fact of the run.
        has_creativity: Whether creativity counted, where the best balance was asked for.
        count: Right answers of the first right layer, or how often the most common answer came.
        num_samples: Answers a layer.
        answers: The most common answers of the layer that ``answer_at`` asks for.
    """

    layers: tuple[int, ...] = ()
    options: tuple[int, ...] = ()
    probability: float = 1.0
    has_creativity: bool = True
    count: int = 0
    num_samples: int = 0
    answers: tuple[str, ...] = ()

    def is_right(self, prediction: Prediction, value: int) -> bool | None:
        """Whether a prediction came true; ``None`` where nothing is right."""
        right = self.options if prediction.num_options else self.layers
        return value in right if right else None


def scored_of(view: QuestionView, presets: Presets) -> Scored:
    """The scores of a question, weighed as the lesson says."""
    balance = Balance(presets.balance, presets.scaling)
    return view.outcomes.scored(balance.weights, balance.scaling)


def truth_of(prediction: Prediction, view: QuestionView, presets: Presets) -> Truth:
    """What turned out of one prediction."""
    if prediction.kind == "opinion":
        return Truth()
    if prediction.kind == "answer_at":
        return _answer_at(prediction, view)
    layers, probability, has_creativity, count = _layers(prediction, view, presets)
    spans = prediction.spans or []
    options = tuple(index for index, (low, high) in enumerate(spans) if any(low <= layer <= high for layer in layers))
    num_samples = view.manifest.settings.num_samples
    return Truth(layers, options, probability, has_creativity, count, num_samples)


def _layers(prediction: Prediction, view: QuestionView, presets: Presets) -> tuple[tuple[int, ...], float, bool, int]:
    """Layers that count, their probability, whether creativity counted, and right answers of a first right layer."""
    if prediction.kind == "first_right":
        first = next((layer for layer in view.layers if layer.num_correct), None)
        return ((first.exit_layer,), 1.0, False, first.num_correct) if first else ((), 0.0, False, 0)
    exit_layers, draws = view.outcomes.table.exit_layers, view.outcomes.draws
    if not any(layer.num_correct for layer in view.layers):
        return (), 0.0, False, 0
    if prediction.kind == "first_mostly_right":
        is_most = draws.accuracy > 0.5  # of draws [R, E]; a layer without answers is NaN, which is not above
        shares = np.array([(is_most[:, at] & ~is_most[:, :at].any(axis=1)).mean() for at in range(len(exit_layers))])
        layers, probability = _smallest_set(shares, exit_layers)
        return layers, probability, False, 0
    if prediction.kind == "most_right":
        best = find_best(draws.accuracy, exit_layers, has_creativity=False)
    else:
        best = scored_of(view, presets).uncertainty.best
    return best.best_set, best.probability, best.has_creativity, 0


def _smallest_set(shares: np.ndarray, exit_layers: tuple[int, ...]) -> tuple[tuple[int, ...], float]:
    """The most probable layers that reach 95% together; none where most draws have no such layer."""
    if shares.sum() <= 0.5:
        return (), 0.0
    order = np.argsort(-shares, kind="stable")
    wanted = min(LEVEL, float(shares.sum())) - TIE
    num_taken = int(np.searchsorted(shares[order].cumsum(), wanted)) + 1
    taken = sorted(order[:num_taken].tolist())
    return tuple(exit_layers[at] for at in taken), math.fsum(shares[taken].tolist())


def _answer_at(prediction: Prediction, view: QuestionView) -> Truth:
    layer = next((each for each in view.layers if each.exit_layer == prediction.layer), None)
    if layer is None or not layer.answers:
        return Truth()
    counts: dict[str, int] = {}
    for answer in layer.answers:
        counts[_key(answer.text)] = counts.get(_key(answer.text), 0) + answer.count
    most = max(counts.values())
    answers = tuple(dict.fromkeys(answer.text.strip() for answer in layer.answers if counts[_key(answer.text)] == most))
    options = tuple(
        index for index, option in enumerate(prediction.options or []) if counts.get(_key(option), 0) == most
    )
    return Truth((), options, 1.0, False, most, layer.num_samples, answers)


def _key(text: str) -> str:
    return text.strip().rstrip(".").casefold()


def mistake_in(prediction: Prediction, view: QuestionView) -> str | None:
    """What a prediction asks of a stored question that this cannot tell; ``None``: nothing."""
    layers = view.manifest.settings.exit_layers
    named = [prediction.layer] if prediction.layer else [end for span in prediction.spans or [] for end in span]
    if unknown := [layer for layer in named if not layers[0] <= layer <= layers[-1]]:
        return f"the run has layers {layers[0]} to {layers[-1]}; got {unknown[0]}"
    if prediction.kind == "answer_at" and prediction.layer not in layers:
        return f"the run has no exit layer {prediction.layer}"
    truth = truth_of(prediction, view, Presets())
    if prediction.kind == "answer_at" and not truth.options:
        said = " and ".join(repr(text[:40]) for text in truth.answers[:3])
        return f"none of the options is what layer {prediction.layer} says most often, which is {said}"
    if prediction.kind in LAYER_KINDS and not truth.layers:
        return f"no layer of the run is an answer to {prediction.kind}"
    if prediction.spans and not truth.options:
        return f"none of the spans holds one of the layers {', '.join(map(str, truth.layers))}, which are right"
    return None
