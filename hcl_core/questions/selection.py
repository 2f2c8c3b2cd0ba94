"""Select questions of a set: shuffle, limit, and take only those with several different answers."""

import random
from dataclasses import dataclass

from hcl_core.errors import SettingsError
from hcl_core.ports import QuestionSource
from hcl_core.records import Question
from hcl_core.words import split_words


@dataclass(frozen=True, slots=True)
class Selection:
    """Which questions of a set to ask.

    Attributes:
        limit: Number of questions at most; ``None`` takes all.
        shuffle_seed: Seed of the shuffle before the limit; ``None`` takes the set's order.
        min_answers: Least number of distinct accepted answers of a question, see ``num_distinct_answers``.
    """

    limit: int | None = None
    shuffle_seed: int | None = None
    min_answers: int = 1

    def of(self, source: QuestionSource) -> list[Question]:
        """The selected questions of ``source``.

        Raises:
            SettingsError: No question has enough answers.
            HclError: The set cannot be loaded.
        """
        if self.shuffle_seed is None and self.min_answers == 1:
            return source.load(self.limit)
        questions = [
            question
            for question in source.load()
            if self.min_answers == 1 or num_distinct_answers(question, enough=self.min_answers) >= self.min_answers
        ]
        if not questions:
            raise SettingsError(f"{source.name} has no question with {self.min_answers} distinct accepted answers")
        if self.shuffle_seed is not None:
            random.Random(self.shuffle_seed).shuffle(questions)
        return questions[: self.limit]

    def describe(self, name: str) -> str:
        """``name`` and the selection in words, for the manifest."""
        parts = [name]
        if self.min_answers > 1:
            parts.append(f"at least {self.min_answers} answers")
        if self.shuffle_seed is not None:
            parts.append(f"shuffled by {self.shuffle_seed}")
        return ", ".join(parts)


def num_distinct_answers(question: Question, enough: int | None = None) -> int:
    """Upper bound on the number of different ideas among the accepted answers; counting stops at ``enough``.

    The names of an accepted idea count once. So do ideas that are spellings of each other, and an idea and a longer
    form of it ("ten", "10", "10 years"): not every question file groups its names.
    """
    ideas: list[frozenset[str]] = []
    for names in question.ideas:
        words = frozenset(split_words(names[0]).words)
        if words and not any(words <= idea or idea <= words for idea in ideas):
            ideas.append(words)
            if len(ideas) == enough:
                break
    return len(ideas)
