"""A visitor's own verdicts on one question, as the page shows them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from hcl_core.judges.person import PersonVerdict, verdict_on
from hcl_core.pipeline.overrule import Agreement, JudgedQuestion
from hcl_core.records import Sample

# The value of the choice that a right answer is an idea of its own.
NEW_IDEA = "new"


@dataclass(frozen=True, slots=True)
class OwnGroup:
    """Verdicts on one question that were given together.

    Attributes:
        id: Of the group.
        verdicts: All right or all wrong, and all on answers or all on texts of one exit layer.
        num_samples: Answers that they hold for.
        num_overruled: Those on which the judge had said otherwise.
        idea: Number of the idea that the first of them is; ``None`` where they are wrong, or hold for no answer.
    """

    id: str
    verdicts: tuple[PersonVerdict, ...]
    num_samples: int
    num_overruled: int
    idea: int | None

    @property
    def first(self) -> PersonVerdict:
        """One for all: what they are called, right or wrong, and the exit layer are the same."""
        return self.verdicts[0]


@dataclass(frozen=True, slots=True)
class OwnVerdicts:
    """A visitor's verdicts on one question.

    Attributes:
        given: In the order in which they were given.
        are_on: Whether the view shows them, and not what the judge said.
        agreement: With the judge; ``None`` where they are not shown.
        groups: Those that were given together as one, in order; empty where they are not shown.
        listed: Names of the question's ideas, those that the verdicts add too; empty where ideas have no names.
    """

    given: tuple[PersonVerdict, ...] = ()
    are_on: bool = True
    agreement: Agreement | None = None
    groups: tuple[OwnGroup, ...] = ()
    listed: tuple[str, ...] = ()

    @property
    def num_groups(self) -> int:
        """How often a verdict was given, whatever the number of answers that it holds for."""
        return num_given(self.given)

    @classmethod
    def on(cls, judged: JudgedQuestion, given: Sequence[PersonVerdict], listed: Sequence[str]) -> "OwnVerdicts":
        """The verdicts ``given``, which ``judged`` has in it already."""
        return cls(tuple(given), True, Agreement.on(judged), tuple(_groups(judged, given)), tuple(listed))


def id_of(text: str) -> str:
    """What stands for a model's text in the page: the text itself may change on its way through a browser."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def num_given(verdicts: Sequence[PersonVerdict]) -> int:
    """How often a verdict was given; those on answers that mean the same count as one."""
    return len(_together(verdicts))


def _together(given: Sequence[PersonVerdict]) -> dict[tuple[object, ...], list[PersonVerdict]]:
    """Verdicts that were given together."""
    together: dict[tuple[object, ...], list[PersonVerdict]] = {}
    for verdict in given:
        key = (verdict.question_id, verdict.given_on, verdict.is_right, verdict.exit_layer)
        together.setdefault(key, []).append(verdict)
    return together


def _groups(judged: JudgedQuestion, given: Sequence[PersonVerdict]) -> list[OwnGroup]:
    by_target = {verdict.target: verdict for verdict in given}
    held: dict[PersonVerdict, list[Sample]] = {}
    for sample in judged.samples:
        if (holds := verdict_on(sample, by_target)) is not None:
            held.setdefault(holds, []).append(sample)
    groups = []
    for key, verdicts in _together(given).items():
        keys = [sample.key for verdict in verdicts for sample in held.get(verdict, ())]
        num_overruled = sum(judged.verdicts[each].is_overruled for each in keys)
        idea = judged.ideas.get(keys[0]) if keys else None
        groups.append(OwnGroup(id_of(repr(key)), tuple(verdicts), len(keys), num_overruled, idea))
    return groups
