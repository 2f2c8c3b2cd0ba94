"""Whether an accepted answer that stands in an answer is meant: not denied, not left open, and not something else."""

import re
from collections.abc import Sequence
from itertools import pairwise

from hcl_core.judges import tables
from hcl_core.judges.accepted import (
    FALSE,
    NO,
    NO_OTHER_DAY,
    TRUE,
    WITHOUT_THE_YEAR,
    YES,
    Pattern,
    content_words,
    is_in_most,
)
from hcl_core.judges.other_names import is_part_of_another
from hcl_core.judges.reading import Reading
from hcl_core.words import FUNCTION_WORDS, split_words

# How far before the alias a negation may stand: "not the city of Paris".
_NEGATION_REACH = 4
# How far before the alias it may stand that people believe it.
_BELIEF_REACH = 5
# A list: of at most so many words in all, and in each of its things.
_LIST, _LISTED = 14, 3
_SEPARATORS = re.compile(r"[,;\n]")
# What is no part of a name: brackets behind it, an article before it.
_BARE = re.compile(r"\s*[(\[].*|^(?:the|an?)\s+", re.IGNORECASE)


def first_meant(reading: Reading, pattern: Pattern, run: tuple[str, ...], starts: Sequence[int]) -> int | None:
    """Index where ``run`` first stands and is meant as the answer, of the indices where it stands."""
    if len(run) == 1 and run[0] in YES | NO:
        return _first_yes_or_no(reading, starts)
    if not starts or not _is_written_as(reading, pattern, run):
        return None
    return next((start for start in starts if _is_meant(reading, pattern, start, start + len(run))), None)


def is_denied(reading: Reading, start: int, stop: int) -> bool:
    """Whether the words ``start`` to ``stop`` are denied in their own clause: "not X", "X is not".

    A negation that the question has ("Which city never sleeps?") is repeated, not meant.
    """
    words, clauses = reading.words, reading.clauses
    for index in range(start - 1, max(-1, start - 1 - _NEGATION_REACH), -1):
        if clauses[index] != clauses[start] or words[index] == "but":
            break
        following = words[index + 1]
        if words[index] in reading.asked:
            continue
        if words[index] in tables.NEGATIONS and following not in tables.AFFIRMED_AFTER_NEGATION:
            return True
    after = [word for word, clause in zip(words[stop:], clauses[stop:], strict=True) if clause == clauses[stop - 1]]
    if not after or after[0] not in tables.CONTRACTIONS | tables.VERBS:
        return False
    # "Paris isn't", "Paris is definitely not", but not "Paris is not only".
    for word, following in zip(after[:3], [*after[1:4], ""], strict=False):
        if word in tables.DENIALS_AFTER and word not in reading.asked:
            return following not in tables.AFFIRMED_AFTER_NEGATION
    return False


def _is_meant(reading: Reading, pattern: Pattern, start: int, stop: int) -> bool:
    if pattern.rule in (WITHOUT_THE_YEAR, NO_OTHER_DAY) and _is_another_date(reading, pattern, stop):
        return False
    return not (
        is_denied(reading, start, stop)
        or _is_believed_by_others(reading, start)
        or _is_a_relation(reading, start)
        or _is_one_of_several(reading, start, stop)
        or is_part_of_another(reading, pattern, start, stop)
    )


def _is_another_date(reading: Reading, pattern: Pattern, stop: int) -> bool:
    """Whether the answer has another year after the day, or another month or any day beside the year."""
    words = reading.words
    if pattern.rule == WITHOUT_THE_YEAR:
        return any(len(word) == 4 and word.isdigit() for word in words[stop : stop + 1])
    days = any(word in tables.MONTHS and after.isdigit() and len(after) < 3 for word, after in pairwise(words))
    return days or not tables.MONTHS & set(words) <= set(split_words(pattern.alias).words)


def _first_yes_or_no(reading: Reading, starts: Sequence[int]) -> int | None:
    """Of "No, it is true that ..." the first word is the answer."""
    indices = range(len(reading.words))
    first = next((index for index in indices if _is_yes_or_no(reading, index)), None)
    if first is None or first not in starts or is_denied(reading, first, first + 1):
        return None
    return first


def _is_yes_or_no(reading: Reading, index: int) -> bool:
    """Whether the word there answers: not the "no" of "no reason", nor that of "no doubt"."""
    words, clauses = reading.words, reading.clauses
    if words[index] in (TRUE, FALSE):
        return True
    if words[index] not in YES | NO:
        return False
    if index + 1 == len(words) or clauses[index + 1] != clauses[index]:
        return True
    is_first = index == 0 and words[1] not in tables.AFFIRMED_AFTER_NEGATION
    # "It is no planet", where the question is of planets.
    return is_first or (index > 0 and words[index - 1] in tables.VERBS and words[index + 1] in reading.asked)


def _is_written_as(reading: Reading, pattern: Pattern, run: tuple[str, ...]) -> bool:
    """Whether a name that is an ordinary word as well ("US", "May") is written as the name, or in quotes."""
    word = run[0]
    ordinary = tables.ALSO_WORDS if reading.asks_for_one_of_many else FUNCTION_WORDS | tables.PRONOUNS
    if len(run) > 1 or word not in ordinary or pattern.alias.islower():
        return True
    own = content_words(reading.words) or reading.words
    if own == run or reading.words == run:
        return True
    name = re.escape(_BARE.sub("", pattern.alias).strip())
    if re.search(rf"[\"'“‘*]{name}[.,]?[\"'”’*]|\b(?:is|was)\s+{name}(?=[.!,;]|$)", reading.text, re.IGNORECASE):
        return True
    exact = re.search(rf"(?<!\w){name}(?!\w)", reading.text)
    if exact is None:
        return False
    # At the start of a sentence a capital says nothing: "Her mother".
    begins = exact.start() == 0 or reading.text[: exact.start()].rstrip()[-1:] in (".", "!", "?", ":")
    is_alone = not reading.text[exact.end() :].strip() or reading.text[exact.end()] in ".,!?;:\"')("
    return is_alone or not begins or (len(name) > 1 and name.isupper())


def _is_believed_by_others(reading: Reading, start: int) -> bool:
    """Whether it is what others think, and a "but" follows: "Many think X, but it was Y"."""
    words, clauses = reading.words, reading.clauses
    before = words[max(0, start - _BELIEF_REACH) : start]
    if not (tables.BELIEVERS.intersection(before) and tables.BELIEFS.intersection(before)):
        return False
    following = (word for word, clause in zip(words, clauses, strict=True) if clause > clauses[start])
    return next(following, "") in ("but", "however")


def _is_a_relation(reading: Reading, start: int) -> bool:
    """Whether it only tells whose friend or daughter the answer is: "Poe, a friend of X"."""
    words = reading.words
    return (
        start > 1
        and words[start - 1] == "of"
        and words[start - 2] in tables.RELATIONS
        and not tables.RELATIONS & reading.asked
    )


def _is_one_of_several(reading: Reading, start: int, stop: int) -> bool:
    """Whether the answer does not decide: "Y or X", several numbers, or a list in which X is not the first."""
    words, clauses = reading.words, reading.clauses
    is_number = words[start].isdigit() and stop - start == 1
    for index, other in ((start - 1, start - 2), (stop, stop + 1)):
        if 0 <= other < len(words) and words[index] == "or" and clauses[other] == clauses[start]:
            if is_number and words[other].isdigit() and not reading.is_expected(words[other]):
                return True
            if other < start and reading.is_short and reading.is_new(words[other]) and not is_number:
                return True
    if is_number and reading.is_short and not tables.MONTHS & set(words):
        return any(word.isdigit() and word != words[start] and not reading.is_expected(word) for word in words)
    # Where several answers are accepted as one, the question may ask for a list: "Who starred in X?"
    is_one = reading.asks_for_one_of_many or is_in_most(words[start:stop], reading.question)
    return is_one and _is_in_a_list(reading, start)


def _is_in_a_list(reading: Reading, start: int) -> bool:
    """Whether the answer is a list of three or more things, of which the first is another."""
    words, clauses = reading.words, reading.clauses
    if not clauses[start] or len(_SEPARATORS.findall(reading.text)) < 2 or len(words) > _LIST or reading.has_verb:
        return False
    things: dict[int, list[str]] = {}
    for word, clause in zip(words, clauses, strict=True):
        things.setdefault(clause, []).append(word)
    others = [thing for clause, thing in things.items() if clause != clauses[start]]
    is_list = len(others) > 1 and all(len(thing) <= _LISTED for thing in things.values())
    return is_list and all(any(map(reading.is_new, thing)) for thing in others)
