"""What the words around a found answer make of it: a denial, a choice of several, another name."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import pairwise

from hcl_core.judges import tables
from hcl_core.judges.accepted import (
    CONTAINS,
    FALSE,
    INITIALS,
    NO,
    NO_OTHER_DAY,
    TRUE,
    WITHOUT_THE_YEAR,
    YES,
    Pattern,
    asks_for_one_of_many,
    content_words,
    literal_patterns,
    words_accepted,
    words_asked,
)
from hcl_core.records import Question
from hcl_core.words import FUNCTION_WORDS, Words, fold, split_words

# How far before the alias a negation may stand: "not the city of Paris".
_NEGATION_REACH = 4
# How far before the alias it may stand that people believe it.
_BELIEF_REACH = 5
# A clause of at most so many words, and without a verb, is a phrase: its last word says what it is.
_PHRASE = 7
# A short answer: of at most so many words.
_SHORT = 7
# A thing in a list: of at most so many words.
_LISTED = 3
# Likeness of two spellings of a first name, between 0 and 1.
_SAME_NAME = 0.6
_SEPARATORS = re.compile(r"[,;\n]")
_CAPITALISED = re.compile(r"\b[^\W\d_a-zß-öø-ÿ][\w'’.-]*")
# What is no part of a name: brackets behind it, an article before it.
_BARE = re.compile(r"\s*[(\[].*|^(?:the|an?)\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Names:
    """The words of a text that may be names, and those that are initials: ``jmw`` for "J. M. W. Turner"."""

    capitalised: frozenset[str]
    initials: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "Names":
        """Those of ``text``."""
        return cls(
            frozenset(split_words(" ".join(_CAPITALISED.findall(text))).words),
            frozenset(word for run in INITIALS.findall(text) for word in split_words(run).words),
        )


class Reading:
    """An answer as it is read for one question.

    Args:
        question: With its accepted answers.
        text: The answer, without template text.
        found: Its words.
    """

    def __init__(self, question: Question, text: str, found: Words) -> None:
        self.question, self.text, self.found = question, text, found
        self.asked = words_asked(question)

    @cached_property
    def names(self) -> Names:
        """Its capitalised words."""
        return Names.of(self.text)

    @cached_property
    def _folded(self) -> str:
        return fold(self.text)

    @cached_property
    def _is_open(self) -> bool:
        return asks_for_one_of_many(self.question)

    @cached_property
    def _has_verb(self) -> bool:
        return any(word in tables.VERBS for word in self.found.words)

    def first_meant(self, pattern: Pattern, run: tuple[str, ...], starts: Sequence[int]) -> int | None:
        """Index where ``run`` first stands and is meant as the answer, of the indices where it stands."""
        if len(run) == 1 and run[0] in YES | NO:
            return self._first_yes_or_no(starts)
        if not starts or not self._is_written_as(pattern, run):
            return None
        return next((start for start in starts if self._is_meant(pattern, start, start + len(run))), None)

    def is_denied(self, start: int, stop: int) -> bool:
        """Whether the words ``start`` to ``stop`` are denied in their own clause: "not X", "X is not".

        A negation that the question has ("Which city never sleeps?") is repeated, not meant.
        """
        words, clauses = self.found.words, self.found.clauses
        for index in range(start - 1, max(-1, start - 1 - _NEGATION_REACH), -1):
            if clauses[index] != clauses[start] or words[index] == "but":
                break
            following = words[index + 1]
            if words[index] in self.asked:
                continue
            if words[index] in tables.NEGATIONS and following not in tables.AFFIRMED_AFTER_NEGATION:
                return True
        after = [word for word, clause in zip(words[stop:], clauses[stop:], strict=True) if clause == clauses[stop - 1]]
        if not after or after[0] not in tables.CONTRACTIONS | tables.VERBS:
            return False
        # "Paris isn't", "Paris is definitely not", but not "Paris is not only".
        for word, following in zip(after[:3], [*after[1:4], ""], strict=False):
            if word in tables.DENIALS_AFTER and word not in self.asked:
                return following not in tables.AFFIRMED_AFTER_NEGATION
        return False

    def _is_meant(self, pattern: Pattern, start: int, stop: int) -> bool:
        if pattern.rule in (WITHOUT_THE_YEAR, NO_OTHER_DAY) and self._is_another_date(pattern, stop):
            return False
        return not (
            self.is_denied(start, stop)
            or self._is_believed_by_others(start)
            or self._is_a_relation(start)
            or self._is_one_of_several(start, stop)
            or self._is_part_of_another(pattern, start, stop)
        )

    def _is_another_date(self, pattern: Pattern, stop: int) -> bool:
        """Whether the answer has another year after the day, or another month or any day beside the year."""
        words = self.found.words
        if pattern.rule == WITHOUT_THE_YEAR:
            return any(len(word) == 4 and word.isdigit() for word in words[stop : stop + 1])
        days = any(word in tables.MONTHS and after.isdigit() and len(after) < 3 for word, after in pairwise(words))
        return days or not tables.MONTHS & set(words) <= set(split_words(pattern.alias).words)

    def _first_yes_or_no(self, starts: Sequence[int]) -> int | None:
        """Of "No, it is true that ..." the first word is the answer."""
        indices = range(len(self.found.words))
        first = next((index for index in indices if self._is_yes_or_no(index)), None)
        return None if first not in starts or self.is_denied(first, first + 1) else first

    def _is_yes_or_no(self, index: int) -> bool:
        """Whether the word there answers: not the "no" of "no reason", nor that of "no doubt"."""
        words, clauses = self.found.words, self.found.clauses
        if words[index] in (TRUE, FALSE):
            return True
        if words[index] not in YES | NO:
            return False
        if index + 1 == len(words) or clauses[index + 1] != clauses[index]:
            return True
        is_first = index == 0 and words[1] not in tables.AFFIRMED_AFTER_NEGATION
        # "It is no planet", where the question is of planets.
        return is_first or (index > 0 and words[index - 1] in tables.VERBS and words[index + 1] in self.asked)

    def _is_written_as(self, pattern: Pattern, run: tuple[str, ...]) -> bool:
        """Whether a name that is an ordinary word as well ("US", "May") is written as the name, or in quotes."""
        word = run[0]
        ordinary = tables.ALSO_WORDS if self._is_open else FUNCTION_WORDS | tables.PRONOUNS
        if len(run) > 1 or word not in ordinary or pattern.alias.islower():
            return True
        own = content_words(self.found.words) or self.found.words
        if own == run or self.found.words == run:
            return True
        name = re.escape(_BARE.sub("", pattern.alias).strip())
        if re.search(rf"[\"'“‘*]{name}[.,]?[\"'”’*]|\b(?:is|was)\s+{name}(?=[.!,;]|$)", self.text, re.IGNORECASE):
            return True
        exact = re.search(rf"(?<!\w){name}(?!\w)", self.text)
        if exact is None:
            return False
        # At the start of a sentence a capital says nothing: "Her mother".
        begins = exact.start() == 0 or self.text[: exact.start()].rstrip()[-1:] in (".", "!", "?", ":")
        is_alone = not self.text[exact.end() :].strip() or self.text[exact.end()] in ".,!?;:\"')("
        return is_alone or not begins or (len(name) > 1 and name.isupper())

    def _is_believed_by_others(self, start: int) -> bool:
        """Whether it is what others think, and a "but" follows: "Many think X, but it was Y"."""
        words, clauses = self.found.words, self.found.clauses
        before = words[max(0, start - _BELIEF_REACH) : start]
        if not (tables.BELIEVERS.intersection(before) and tables.BELIEFS.intersection(before)):
            return False
        following = (word for word, clause in zip(words, clauses, strict=True) if clause > clauses[start])
        return next(following, "") in ("but", "however")

    def _is_a_relation(self, start: int) -> bool:
        """Whether it only tells whose friend or daughter the answer is: "Poe, a friend of X"."""
        words = self.found.words
        return (
            start > 1
            and words[start - 1] == "of"
            and words[start - 2] in tables.RELATIONS
            and not tables.RELATIONS & self.asked
        )

    def _is_one_of_several(self, start: int, stop: int) -> bool:
        """Whether the answer does not decide: "Y or X", several numbers, or a list in which X is not the first."""
        words, clauses = self.found.words, self.found.clauses
        is_number = words[start].isdigit() and stop - start == 1
        for index, other in ((start - 1, start - 2), (stop, stop + 1)):
            if 0 <= other < len(words) and words[index] == "or" and clauses[other] == clauses[start]:
                if is_number and words[other].isdigit() and not self._is_said(words[other]):
                    return True
                if other < start and len(words) <= _SHORT and self._is_foreign(words[other]) and not is_number:
                    return True
        if is_number and len(words) <= _SHORT and not tables.MONTHS & set(words):
            return any(word.isdigit() and word != words[start] and not self._is_said(word) for word in words)
        return self._is_in_a_list(start)

    def _is_in_a_list(self, start: int) -> bool:
        """Whether the answer is a list of three or more things, of which the first is another."""
        words, clauses = self.found.words, self.found.clauses
        if not clauses[start] or len(_SEPARATORS.findall(self.text)) < 2 or len(words) > 2 * _SHORT or self._has_verb:
            return False
        by_clause: dict[int, list[str]] = {}
        for word, clause in zip(words, clauses, strict=True):
            by_clause.setdefault(clause, []).append(word)
        others = [mine for clause, mine in by_clause.items() if clause != clauses[start]]
        is_short = all(len(mine) <= _LISTED for mine in by_clause.values())
        return is_short and len(others) > 1 and all(any(map(self._is_foreign, mine)) for mine in others)

    def _is_foreign(self, word: str) -> bool:
        """Whether ``word`` says something that neither the question nor an accepted answer says."""
        return not (not word or word in tables.NEUTRAL or word.isdigit() or self._is_said(word))

    def _is_said(self, word: str) -> bool:
        """Whether ``word`` is of the question or of an accepted answer."""
        return word in self.asked or word in self._known

    @cached_property
    def _known(self) -> frozenset[str]:
        """The words of accepted answers; of many different answers those that are one by themselves."""
        if not self._is_open:
            return words_accepted(self.question)
        return frozenset(each.parts[0][0] for each in literal_patterns(self.question) if len(each.parts[0]) == 1)

    def _is_part_of_another(self, pattern: Pattern, start: int, stop: int) -> bool:
        """Whether a longer name or phrase around it names something else: "Jane Einstein", "New York City"."""
        words, clauses = self.found.words, self.found.clauses
        before = words[start - 1] if start and clauses[start - 1] == clauses[start] else ""
        after = words[stop] if stop < len(words) and clauses[stop] == clauses[stop - 1] else ""
        if stop - start == 1 and len(words) <= _SHORT and self._is_of_another_person(pattern, before, after):
            return True
        if words[start].isdigit() and "how" not in self.asked and len(words) <= _SHORT and after not in tables.ERAS:
            return bool(after) and self._is_foreign(after)
        if not self._is_open:
            return False
        return (
            self._is_in_a_question(start)
            or self._is_only_a_place(start, before)
            or self._is_another_number(pattern)
            or self._is_in_a_phrase(pattern, start, before, words[stop : stop + 2] if after else ())
        )

    def _is_another_number(self, pattern: Pattern) -> bool:
        """Whether a name stands in the singular where it is accepted in the plural only: "Adam" is not "Adams"."""
        is_a_name = pattern.alias[0].isupper() and len(split_words(pattern.alias).words) == 1
        return is_a_name and pattern.rule == CONTAINS and fold(pattern.alias) not in self._folded

    def _is_in_a_phrase(self, pattern: Pattern, start: int, before: str, after: tuple[str, ...]) -> bool:
        """Whether it says only which, within a phrase without a verb: "American Airlines", "the King of the world"."""
        words, clauses = self.found.words, self.found.clauses
        clause = [word for word, number in zip(words, clauses, strict=True) if number == clauses[start]]
        if len(clause) > _PHRASE or self._has_verb:
            return False
        if after and (self._is_foreign(after[0]) or self._is_kind_in_a_name(after[0])):
            return True
        if len(after) > 1 and after[0] == "of" and self._is_foreign(after[1]):
            return True
        return pattern.alias[0].isupper() and self._is_foreign(before) and before in self.names.capitalised

    def _is_kind_in_a_name(self, word: str) -> bool:
        """Whether ``word`` makes another name of the name before it: "City" of "New York City"."""
        return word in tables.KINDS and word not in self.asked and word in self.names.capitalised

    def _is_in_a_question(self, start: int) -> bool:
        """Whether the answer asks itself: "What is the capital of France?"."""
        return self.text.rstrip().endswith("?") and bool(tables.QUESTION_WORDS.intersection(self.found.words[:start]))

    def _is_only_a_place(self, start: int, before: str) -> bool:
        """Whether something else is said to be of it, in it or with it: "a holiday in New York"."""
        if before not in tables.PREPOSITIONS or start < 2:
            return False
        other = self.found.words[start - 2]
        return self._is_foreign(other) or other in tables.RANKS

    def _is_of_another_person(self, pattern: Pattern, before: str, after: str) -> bool:
        """Whether accepted full names have that surname, or first name, with other names than the answer has."""
        word = split_words(pattern.alias).words[0]
        asks_for_a_person = self.asked & tables.PEOPLE or self.asked & {"who", "whom", "whose"}
        if word not in self.names.capitalised or not asks_for_a_person:
            return False
        names = [each.parts[0] for each in literal_patterns(self.question) if _is_person(each.alias)]
        of_surname = {part for name in names if name[-1] == word for part in name[:-1]}
        if before in self.names.initials:
            return bool(of_surname) and not set(before) <= {part[0] for part in of_surname}
        if before and of_surname and self._may_be_a_name(before) and not _is_like_one_of(before, of_surname):
            return True
        of_first_name = {part for name in names if name[0] == word for part in name[1:]}
        return bool(
            after and of_first_name and self._may_be_a_name(after) and not _is_like_one_of(after, of_first_name)
        )

    def _may_be_a_name(self, word: str) -> bool:
        is_other = word not in tables.NEUTRAL | tables.TITLES | tables.RANKS and word not in self.asked
        return word in self.names.capitalised and is_other and word.isalpha()


def _is_like_one_of(word: str, names: Iterable[str]) -> bool:
    """Whether ``word`` is one of ``names`` in about the same spelling: "Mohamed", "Muhammad"."""
    return any(SequenceMatcher(None, word, name).ratio() >= _SAME_NAME for name in names)


def _is_person(alias: str) -> bool:
    """Whether ``alias`` could be a person's full name: capitalised words, and particles between them."""
    first, *others = alias.split()
    return (
        bool(others)
        and "," not in alias
        and len(others) < 5
        and first[0].isupper()
        and others[-1][0].isupper()
        and all(word[0].isupper() or word in tables.PARTICLES for word in others)
    )
