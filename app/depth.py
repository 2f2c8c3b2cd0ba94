"""The most common answer at each exit layer, one layer after another, and what is new about it. In no language yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from app.outcomes import Scored
from hcl_core.records import Outcome
from hcl_core.runs.answers import LayerAnswers
from hcl_core.runs.meanings import AnswerGroup, Meaning
from hcl_core.scores.intervals import Interval

Change = Literal["first", "same", "joined", "left", "other", "was_apart", "now_apart", "still_apart"]


@dataclass(frozen=True, slots=True)
class Leader:
    """A most common answer of a layer.

    Attributes:
        meaning: Its number, the same at every layer.
        text: What it is called at this layer.
        outcome: The judge's.
        num_wordings: Different texts that count as it.
    """

    meaning: int
    text: str
    outcome: Outcome
    num_wordings: int


@dataclass(frozen=True, slots=True)
class LayerStep:
    """The answers of one layer, in short.

    Attributes:
        exit_layer: Decoder blocks run, from 1.
        leaders: The most common answers, as many as are equally common. Of these, the one with more answers over all
            layers comes first, as in the columns. Of a layer that gave several answers and none twice: its first one.
        count: Answers of each leader.
        num_samples: Answers of the layer.
        num_correct: Right ones among them.
        is_open: Whether the question is open, so that no answer is right or wrong.
        score: Share of right answers; of an open question, the plausibility. NaN where it is not known.
        interval: Its 95% interval, as in the curves.
    """

    exit_layer: int
    leaders: tuple[Leader, ...]
    count: int
    num_samples: int
    num_correct: int
    is_open: bool
    score: float
    interval: Interval

    @property
    def is_apart(self) -> bool:
        """Whether there are several answers, and none came twice: no one is the most common."""
        return self.count == 1 < self.num_samples

    @property
    def share(self) -> float:
        """Of each leader among the layer's answers."""
        return self.count / self.num_samples

    @property
    def outcome(self) -> Outcome | Literal["mixed"]:
        """Of all leaders; ``mixed`` where they differ in it, or where no answer came twice."""
        outcomes = {leader.outcome for leader in self.leaders}
        return "mixed" if self.is_apart or len(outcomes) > 1 else next(iter(outcomes))


@dataclass(frozen=True, slots=True)
class News:
    """What is new at a layer.

    Attributes:
        change: Of the leaders since the layer before.
        others: The leaders that ``change`` speaks of: those that ``joined`` or ``left``, or the layer before had.
        is_first_right: Whether this layer, which is not the first, has the first right answers.
        is_first_right_lead: The same for the first layer whose leaders are all right.
    """

    change: Change
    others: tuple[Leader, ...] = ()
    is_first_right: bool = False
    is_first_right_lead: bool = False


def layer_steps(layers: Sequence[LayerAnswers], meanings: Sequence[Meaning], scored: Scored) -> list[LayerStep]:
    """The layers that have answers, the first one first.

    Args:
        layers: Answers, counted.
        meanings: Of the same layers, from ``follow_meanings``.
        scored: Of the same layers.
    """
    first, interval = scored.measures[0]
    values = {
        score.exit_layer: (getattr(score, first), getattr(uncertainty, interval))
        for score, uncertainty in zip(scored.scores, scored.uncertainty.layers, strict=True)
    }
    steps = []
    for layer in layers:
        groups = [
            (number, meaning.groups[layer.exit_layer])
            for number, meaning in enumerate(meanings)
            if layer.exit_layer in meaning.groups
        ]
        leaders, count = _leaders(groups)
        value, (low, high) = values[layer.exit_layer]
        if not scored.is_open:  # the curve is that of the answers that are not right
            value, low, high = 1 - value, 1 - high, 1 - low
        steps.append(
            LayerStep(
                layer.exit_layer,
                leaders,
                count,
                layer.num_samples,
                layer.num_correct,
                scored.is_open,
                value,
                (low, high),
            )
        )
    return steps


def _leaders(groups: Sequence[tuple[int, AnswerGroup]]) -> tuple[tuple[Leader, ...], int]:
    """The most common groups, and how many answers each of them has."""
    most = max(group.count for _, group in groups)
    leaders = tuple(
        Leader(number, group.text, group.outcome, len(group.answers)) for number, group in groups if group.count == most
    )
    is_apart = most == 1 < len(groups)
    return leaders[:1] if is_apart else leaders, most


def news_of(steps: Sequence[LayerStep]) -> list[News]:
    """What is new at each step."""
    if not steps:
        return []
    changes = [("first", ()), *(_change(before, now) for before, now in pairwise(steps))]
    right = next((at for at, step in enumerate(steps) if step.num_correct), 0)
    led = next((at for at, step in enumerate(steps) if step.outcome == "correct"), 0)
    return [
        News(change, others, at == right > 0, at == led > 0)  # the first step has nothing before it
        for at, (change, others) in enumerate(changes)
    ]


def _change(before: LayerStep, now: LayerStep) -> tuple[Change, tuple[Leader, ...]]:
    if now.is_apart:
        return ("still_apart", ()) if before.is_apart else ("now_apart", before.leaders)
    if before.is_apart:
        return "was_apart", ()
    were, are = ({leader.meaning for leader in step.leaders} for step in (before, now))
    if were == are:
        return "same", ()
    if were < are:
        return "joined", tuple(leader for leader in now.leaders if leader.meaning not in were)
    if are < were:
        return "left", tuple(leader for leader in before.leaders if leader.meaning not in are)
    return "other", before.leaders
