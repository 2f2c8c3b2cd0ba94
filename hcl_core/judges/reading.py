"""An answer as it is read for one question: its words, its names, and which of its words are new."""

import re
from dataclasses import dataclass
from functools import cached_property

from hcl_core.judges import tables
from hcl_core.judges.accepted import (
    asks_for_one_of_many,
    literal_patterns,
    words_accepted,
    words_asked,
)
from hcl_core.judges.versions import INITIALS
from hcl_core.records import Question
from hcl_core.words import Words, fold, split_words

# An answer of at most so many words is short: what stands in it besides the accepted answer counts for more.
_SHORT = 7
_CAPITALISED = re.compile(r"\b[^\W\d_a-zß-öø-ÿ][\w'’.-]*")


@dataclass(frozen=True, slots=True)
class Names:
    """The words of a text that may be names, and those that are initials: ``jmw`` for "J. M. W. Turner"."""

    capitalised: frozenset[str]
    initials: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "Names":
        """The names in ``text``."""
        return cls(
            frozenset(split_words(" ".join(_CAPITALISED.findall(text))).words),
            frozenset(word for run in INITIALS.findall(text) for word in split_words(run).words),
        )


class Reading:
    """An answer as it is read for one question.

    Attributes:
        question: With its accepted answers.
        text: The answer, without template text.
        words: Its words.
        clauses: The number of the clause that each word stands in.
        asked: The words of the question.
        asks_for_one_of_many: Whether any of several things is right.

    Args:
        question: With its accepted answers.
        text: The answer, without template text.
        found: Its words and clauses.
    """

    def __init__(self, question: Question, text: str, found: Words) -> None:
        self.question, self.text = question, text
        self.words, self.clauses = found.words, found.clauses
        self.asked = words_asked(question)
        self.asks_for_one_of_many = asks_for_one_of_many(question)

    @property
    def is_short(self) -> bool:
        """Whether it has few words."""
        return len(self.words) <= _SHORT

    @cached_property
    def has_verb(self) -> bool:
        """Whether it has one of the common verbs."""
        return any(word in tables.VERBS for word in self.words)

    @cached_property
    def names(self) -> Names:
        """Its names."""
        return Names.of(self.text)

    @cached_property
    def folded(self) -> str:
        """Its text without case and accents."""
        return fold(self.text)

    def clause_at(self, index: int) -> list[str]:
        """The words of the clause in which the word at ``index`` stands."""
        return [word for word, clause in zip(self.words, self.clauses, strict=True) if clause == self.clauses[index]]

    def before(self, start: int) -> str:
        """The word before the one at ``start`` in the same clause; empty where there is none."""
        return self.words[start - 1] if start and self.clauses[start - 1] == self.clauses[start] else ""

    def after(self, stop: int) -> tuple[str, ...]:
        """Up to two words from ``stop`` on, if the first is in the clause of the word before it."""
        is_in_clause = stop < len(self.words) and self.clauses[stop] == self.clauses[stop - 1]
        return self.words[stop : stop + 2] if is_in_clause else ()

    def is_expected(self, word: str) -> bool:
        """Whether the question or an accepted answer has ``word``."""
        return word in self.asked or word in self._accepted

    def is_new(self, word: str) -> bool:
        """Whether ``word`` says something that neither the question nor an accepted answer says."""
        return not (not word or word in tables.NEUTRAL or word.isdigit() or self.is_expected(word))

    def is_new_name(self, word: str) -> bool:
        """Whether ``word`` may be a name that the question does not have; it may be one of an accepted answer."""
        is_other = word not in tables.NEUTRAL | tables.TITLES | tables.RANKS and word not in self.asked
        return word in self.names.capitalised and is_other and word.isalpha()

    @cached_property
    def _accepted(self) -> frozenset[str]:
        """The words of the accepted answers; of many different answers, those that are a whole answer."""
        if not self.asks_for_one_of_many:
            return words_accepted(self.question)
        return frozenset(each.parts[0][0] for each in literal_patterns(self.question) if len(each.parts[0]) == 1)
