"""Which questions of a set are asked: shuffled, cut, and only those with several different answers."""

import random
from dataclasses import dataclass

from hcl_core.errors import SettingsError
from hcl_core.ports import QuestionSource
from hcl_core.records import Question
from hcl_core.words import split_words


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice of questions.

    Attributes:
        limit: So many at most; ``None`` takes all.
        shuffle_seed: Shuffles before the cut; ``None`` keeps the set's order.
        min_answers: Only questions with so many distinct accepted answers, see ``num_distinct_answers``.
    """

    limit: int | None = None
    shuffle_seed: int | None = None
    min_answers: int = 1

    def of(self, source: QuestionSource) -> list[Question]:
        """The chosen questions of ``source``.

        Raises:
            SettingsError: None is left.
            HclError: The set cannot be loaded.
        """
        if self.shuffle_seed is None and self.min_answers == 1:
            return source.load(self.limit)
        questions = [each for each in source.load() if num_distinct_answers(each, self.min_answers) >= self.min_answers]
        if not questions:
            raise SettingsError(f"{source.name} has no question with {self.min_answers} distinct accepted answers")
        if self.shuffle_seed is not None:
            random.Random(self.shuffle_seed).shuffle(questions)
        return questions[: self.limit]

    def describe(self, name: str) -> str:
        """``name`` and what was chosen of it, for the manifest."""
        parts = [name]
        if self.min_answers > 1:
            parts.append(f"at least {self.min_answers} answers")
        if self.shuffle_seed is not None:
            parts.append(f"shuffled by {self.shuffle_seed}")
        return ", ".join(parts)


def num_distinct_answers(question: Question, enough: int | None = None) -> int:
    """How many different ideas the accepted answers are, at most; counted no further than ``enough``.

    The names of an accepted idea count once. So do ideas that are spellings of each other, and an idea beside a longer
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
