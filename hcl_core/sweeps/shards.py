"""Shards: the questions of a sweep divided among machines."""

from collections.abc import Sequence
from dataclasses import dataclass

from hcl_core.errors import SettingsError
from hcl_core.records import Question


@dataclass(frozen=True, slots=True)
class Shard:
    """Every ``count``-th question of each run, from the ``number``-th on (from 1): a sweep divided among machines."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """``1/3``; raises ``SettingsError`` for anything else."""
        first, sep, second = text.strip().partition("/")
        are_numbers = all(part.isascii() and part.isdigit() and len(part) < 6 for part in (first, second))
        if not sep or not are_numbers or not 1 <= int(first) <= int(second):
            raise SettingsError(f"a shard is NUMBER/COUNT, such as 1/3, with a number from 1; got {text[:40]!r}")
        return cls(int(first), int(second))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def shards_of(questions: Sequence[Question], shard: Shard | None) -> frozenset[str]:
    """Ids of the questions of a run that belong to a shard; ``None``: all."""
    chosen = questions if shard is None else questions[shard.number - 1 :: shard.count]
    return frozenset(question.id for question in chosen)
