"""One answer followed from layer to layer: where it is born, how its share grows, where it dies."""

from collections.abc import Sequence
from dataclasses import dataclass

from hcl_core.records import Outcome
from hcl_core.runs.answers import CountedAnswer, LayerAnswers

# Samples with a text, by meaning.
_Known = dict[tuple[Outcome, str], dict[int, int]]


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """Answers of one layer that count as one: the same cluster where they are right, the same words where not.

    Attributes:
        exit_layer: Whose answers.
        answers: The most frequent first; at least one.
    """

    exit_layer: int
    answers: tuple[CountedAnswer, ...]

    @property
    def count(self) -> int:
        """Samples in it."""
        return sum(answer.count for answer in self.answers)

    @property
    def outcome(self) -> Outcome:
        """The judge's, the same for all."""
        return self.answers[0].outcome

    @property
    def text(self) -> str:
        """As it is most often written."""
        return self.answers[0].text

    @property
    def confidence(self) -> float:
        """Mean over its samples, in (0, 1]."""
        return sum(answer.confidence * answer.count for answer in self.answers) / self.count


@dataclass(frozen=True, slots=True)
class Meaning:
    """Groups of several layers that mean the same.

    Attributes:
        text: As the deepest of those layers writes it.
        outcome: The judge's.
        groups: By exit layer, ascending.
    """

    text: str
    outcome: Outcome
    groups: dict[int, AnswerGroup]

    @property
    def count(self) -> int:
        """Samples over all layers."""
        return sum(group.count for group in self.groups.values())


def follow_meanings(layers: Sequence[LayerAnswers]) -> list[Meaning]:
    """Link the answer groups of all layers; the meaning with most samples comes first.

    Clusters are numbered within a layer, so two layers' clusters are linked by the texts that they share: from the
    deepest layer up, the pair that shares most samples first, and never two groups of one layer.
    """
    linked: list[dict[int, AnswerGroup]] = []
    known: _Known = {}
    for layer in sorted(layers, key=lambda each: -each.exit_layer):
        for place, group in _link(_groups(layer), known, len(linked)):
            if place == len(linked):
                linked.append({})
            linked[place][layer.exit_layer] = group
            for answer in group.answers:
                by_place = known.setdefault(_key(answer), {})
                by_place[place] = by_place.get(place, 0) + answer.count
    meanings = [
        Meaning(groups[max(groups)].text, groups[max(groups)].outcome, dict(sorted(groups.items())))
        for groups in linked
    ]
    return sorted(meanings, key=lambda meaning: -meaning.count)


def _groups(layer: LayerAnswers) -> list[AnswerGroup]:
    same: dict[object, list[CountedAnswer]] = {}
    for answer in layer.answers:
        same.setdefault(_key(answer) if answer.cluster_id is None else answer.cluster_id, []).append(answer)
    return [AnswerGroup(layer.exit_layer, tuple(answers)) for answers in same.values()]


def _link(groups: list[AnswerGroup], known: _Known, num_meanings: int) -> list[tuple[int, AnswerGroup]]:
    """Place among the meanings of each group of one layer; a new one's is after the last."""
    shared = []
    for number, group in enumerate(groups):
        samples: dict[int, int] = {}
        for answer in group.answers:
            for place, count in known.get(_key(answer), {}).items():
                samples[place] = samples.get(place, 0) + min(count, answer.count)
        shared += [(count, number, place) for place, count in samples.items()]
    placed: dict[int, int] = {}
    for _, number, place in sorted(shared, key=lambda each: (-each[0], each[1:])):
        if number not in placed and place not in placed.values():
            placed[number] = place
    new = (number for number in range(len(groups)) if number not in placed)
    placed |= {number: num_meanings + further for further, number in enumerate(new)}
    return sorted(((place, groups[number]) for number, place in placed.items()), key=lambda each: each[0])


def _key(answer: CountedAnswer) -> tuple[Outcome, str]:
    return answer.outcome, answer.text.casefold()
