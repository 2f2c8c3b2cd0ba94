"""Answers that mean the same, linked over the exit layers."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hcl_core.records import Outcome
from hcl_core.runs.answers import CountedAnswer, LayerAnswers

# For each outcome and text, the samples that have them, by index of their meaning.
_Counts = dict[tuple[Outcome, str], dict[int, int]]


@dataclass(frozen=True)
class AnswerGroup:
    """Answers of one layer that count as one: correct answers of one cluster, or other answers with the same words.

    Attributes:
        exit_layer: Layer that gave the answers.
        answers: The most frequent first; at least one.
    """

    exit_layer: int
    answers: tuple[CountedAnswer, ...]

    @cached_property
    def count(self) -> int:
        """Samples of all its answers."""
        return sum(answer.count for answer in self.answers)

    @property
    def outcome(self) -> Outcome:
        """The judge's outcome, the same for all its answers."""
        return self.answers[0].outcome

    @property
    def text(self) -> str:
        """Name of the accepted idea; of another idea, the most frequent of its texts."""
        return self.answers[0].idea or self.answers[0].text

    @property
    def confidence(self) -> float:
        """Mean over all its samples, in (0, 1]."""
        return sum(answer.confidence * answer.count for answer in self.answers) / self.count


@dataclass(frozen=True)
class Meaning:
    """Groups of several layers that mean the same.

    Attributes:
        text: Text of the group of the deepest layer.
        outcome: The judge's outcome.
        groups: By exit layer, ascending.
    """

    text: str
    outcome: Outcome
    groups: dict[int, AnswerGroup]

    @cached_property
    def count(self) -> int:
        """Samples over all layers."""
        return sum(group.count for group in self.groups.values())


def follow_meanings(layers: Sequence[LayerAnswers]) -> list[Meaning]:
    """Link the answer groups of all layers; the meaning with most samples comes first.

    Accepted ideas are the same at every layer. Other ideas are numbered within a layer, so their groups are linked by
    the texts that they share. Layers are added from the deepest up, and of a layer's groups, the one that shares most
    samples with a meaning first. Two groups of one layer never join the same meaning.
    """
    meanings: list[dict[int, AnswerGroup]] = []  # groups by exit layer
    counts: _Counts = {}
    for layer in sorted(layers, key=lambda layer: layer.exit_layer, reverse=True):
        groups = _groups(layer)
        for group, index in zip(groups, _link(groups, counts, len(meanings)), strict=True):
            if index == len(meanings):
                meanings.append({})
            meanings[index][layer.exit_layer] = group
            for answer in group.answers:
                by_meaning = counts.setdefault(_key(answer), {})
                by_meaning[index] = by_meaning.get(index, 0) + answer.count
    return sorted(
        (
            Meaning(groups[max(groups)].text, groups[max(groups)].outcome, dict(sorted(groups.items())))
            for groups in meanings
        ),
        key=lambda meaning: -meaning.count,
    )


def _groups(layer: LayerAnswers) -> list[AnswerGroup]:
    """Answers of a layer with the same cluster, or, where they are wrong, with the same words."""
    grouped: dict[object, list[CountedAnswer]] = {}
    for answer in layer.answers:
        grouped.setdefault(_key(answer) if answer.cluster_id is None else answer.cluster_id, []).append(answer)
    return [AnswerGroup(layer.exit_layer, tuple(answers)) for answers in grouped.values()]


def _link(groups: Sequence[AnswerGroup], counts: _Counts, num_meanings: int) -> list[int]:
    """Index of the meaning that each group of one layer joins; new meanings are numbered from ``num_meanings``."""
    shared = []
    for number, group in enumerate(groups):
        samples: dict[int, int] = {}
        for answer in group.answers:
            for index, count in counts.get(_key(answer), {}).items():
                samples[index] = samples.get(index, 0) + min(count, answer.count)
        shared += [(-count, number, index) for index, count in samples.items()]
    joined: dict[int, int] = {}
    for _, number, index in sorted(shared):
        if number not in joined and index not in joined.values():
            joined[number] = index
    new_index = itertools.count(num_meanings)
    return [joined[number] if number in joined else next(new_index) for number in range(len(groups))]


def _key(answer: CountedAnswer) -> tuple[Outcome, str]:
    return answer.outcome, answer.text.casefold() if answer.idea is None else answer.idea
