"""Whether a longer name or phrase around an accepted answer names something else: "Jane Einstein", "New York City"."""

from collections.abc import Iterable
from difflib import SequenceMatcher

from hcl_core.judges import tables
from hcl_core.judges.accepted import CONTAINS, Pattern, literal_patterns
from hcl_core.judges.reading import Reading
from hcl_core.words import fold, split_words

# A clause of at most so many words, and without a verb, is a phrase: its last word says what it is.
_PHRASE = 7
# Likeness of two spellings of a first name, between 0 and 1.
_SAME_NAME = 0.6


def is_part_of_another(reading: Reading, pattern: Pattern, start: int, stop: int) -> bool:
    """Whether the words ``start`` to ``stop``, which are those of ``pattern``, are part of another name or phrase."""
    before, after = reading.before(start), reading.after(stop)
    following = after[0] if after else ""
    if stop - start == 1 and reading.is_short and _is_of_another_person(reading, pattern, before, following):
        return True
    if _is_within_characters(reading, start):
        return True
    is_number = reading.words[start].isdigit() and "how" not in reading.asked
    if is_number and reading.is_short and following not in tables.ERAS:
        return reading.is_new(following)
    return reading.asks_for_one_of_many and (
        _is_in_a_question(reading, start)
        or _is_only_a_place(reading, start)
        or _is_another_number(reading, pattern)
        or _is_in_a_phrase(reading, pattern, start, after)
    )


def _is_within_characters(reading: Reading, start: int) -> bool:
    """Whether a clause of Chinese characters begins with one more than the accepted name: "京都" in "東京都"."""
    before, is_first = reading.before(start), reading.before(start - 1) == "" if start else True
    both = before + reading.words[start]
    is_han = bool(before) and all("\u4e00" <= letter <= "\u9fff" for letter in both)
    return is_han and is_first and before not in tables.BEFORE_A_NAME


def _is_another_number(reading: Reading, pattern: Pattern) -> bool:
    """Whether a name stands in the singular where it is accepted in the plural only: "Adam" is not "Adams"."""
    is_a_name = pattern.alias[0].isupper() and len(split_words(pattern.alias).words) == 1
    return is_a_name and pattern.rule == CONTAINS and fold(pattern.alias) not in reading.folded


def _is_in_a_phrase(reading: Reading, pattern: Pattern, start: int, after: tuple[str, ...]) -> bool:
    """Whether it says only which, within a phrase without a verb: "American Airlines", "the King of the world"."""
    if len(reading.clause_at(start)) > _PHRASE or reading.has_verb:
        return False
    if after and (reading.is_new(after[0]) or _is_kind_in_a_name(reading, after[0])):
        return True
    if len(after) > 1 and after[0] == "of" and reading.is_new(after[1]):
        return True
    before = reading.before(start)
    return pattern.alias[0].isupper() and reading.is_new(before) and before in reading.names.capitalised


def _is_kind_in_a_name(reading: Reading, word: str) -> bool:
    """Whether ``word`` makes another name of the name before it: "City" of "New York City"."""
    return word in tables.KINDS and word not in reading.asked and word in reading.names.capitalised


def _is_in_a_question(reading: Reading, start: int) -> bool:
    """Whether the answer asks itself: "What is the capital of France?"."""
    return reading.text.rstrip().endswith("?") and bool(tables.QUESTION_WORDS.intersection(reading.words[:start]))


def _is_only_a_place(reading: Reading, start: int) -> bool:
    """Whether something else is said to be of it, in it or with it: "a holiday in New York"."""
    if reading.before(start) not in tables.PREPOSITIONS or start < 2:
        return False
    other = reading.words[start - 2]
    return reading.is_new(other) or other in tables.RANKS


def _is_of_another_person(reading: Reading, pattern: Pattern, before: str, after: str) -> bool:
    """Whether accepted full names have that surname, or first name, with other names than the answer has."""
    word = split_words(pattern.alias).words[0]
    asks_for_a_person = not reading.asked.isdisjoint(tables.PEOPLE)
    if word not in reading.names.capitalised or not asks_for_a_person:
        return False
    names = [each.parts[0] for each in literal_patterns(reading.question) if _is_person(each.alias)]
    first_names = {part for name in names if name[-1] == word for part in name[:-1]}
    if before in reading.names.initials:
        return bool(first_names) and not set(before) <= {part[0] for part in first_names}
    surnames = {part for name in names if name[0] == word for part in name[1:]}
    return _differs(reading, before, first_names) or _differs(reading, after, surnames)


def _differs(reading: Reading, word: str, names: Iterable[str]) -> bool:
    """Whether ``word`` is a name, and none of ``names`` in about the same spelling: "Mohamed", "Muhammad"."""
    likeness = [SequenceMatcher(None, word, name).ratio() for name in names]
    return bool(likeness) and reading.is_new_name(word) and max(likeness) < _SAME_NAME


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
