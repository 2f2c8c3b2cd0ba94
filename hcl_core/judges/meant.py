"""Whether an accepted answer that stands in an answer is meant: not denied, not left open, and not something else."""

import re
from collections.abc import Sequence
from itertools import pairwise

from hcl_core.judges import tables
from hcl_core.judges.accepted import (
    CONTAINS,
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
from hcl_core.words import split_words

# How far before the alias a negation may stand: "not the city of Paris".
_NEGATION_REACH = 4
# How far before the alias it may stand that people believe it.
_BELIEF_REACH = 5
# A list: of at most so many words in all, and in each of its things.
_LIST, _LISTED = 14, 3
_SEPARATORS = re.compile(r"[,;\n]")
_COPULAS = frozenset({"is", "was", "e", "est", "ist", "είναι", "ειναι", "la", "le", "η"})
_THAT = frozenset({"that", "this", "it", "which", "das", "dies"})
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
        word, before, following = words[index], words[index - 1] if index else "", words[index + 1]
        if clauses[index] != clauses[start]:
            break
        if word in tables.BUT:
            return before in tables.ALL_BUT
        if word in reading.asked:
            continue
        if word in tables.WRONGLY or (word == "doubt" and before not in ("no", "without")):
            return True
        if word in tables.NEGATIONS and following not in tables.AFFIRMED_AFTER_NEGATION:
            return True
    if _is_denied_beside(reading, start, stop):
        return True
    after = [word for word, clause in zip(words[stop:], clauses[stop:], strict=True) if clause == clauses[stop - 1]]
    if not after:
        return _is_called_wrong(reading, stop)
    if after[0] not in tables.CONTRACTIONS | tables.VERBS:
        return False
    # "Paris isn't", "Paris is definitely not", but not "Paris is not only".
    for word, following in zip(after[:3], [*after[1:4], ""], strict=False):
        if word in tables.DENIALS_AFTER and word not in reading.asked:
            return following not in tables.AFFIRMED_AFTER_NEGATION | tables.WRONG
    return not tables.WRONG.isdisjoint(after[1:4]) and tables.WRONG.isdisjoint(reading.asked)


def _is_denied_beside(reading: Reading, start: int, stop: int) -> bool:
    """Whether a word right before or behind denies it, as in languages that put the negation there: "pas X"."""
    words, clauses = reading.words, reading.clauses
    letters = tables.NEGATION_IN_LETTERS
    if words[max(0, start - len(letters)) : start] == letters:
        return True
    before = reading.before(start)
    if before in _COPULAS and start > 1:
        before = words[start - 2]
    if before in tables.NEGATIONS_BESIDE:
        return True
    if stop == len(words) or clauses[stop] != clauses[stop - 1]:
        return False
    is_behind = any(words[stop : stop + len(denial)] == denial for denial in tables.DENIALS_BEHIND)
    is_never = words[stop] == "never" and "never" not in reading.asked
    return is_behind or is_never or words[stop].startswith(tables.KOREAN_DENIALS)


def _is_called_wrong(reading: Reading, stop: int) -> bool:
    """Whether the next clause takes it back: "X? No", "X: that is wrong"."""
    words, clauses = reading.words, reading.clauses
    if stop == len(words):
        return False
    following = {word for word, clause in zip(words, clauses, strict=True) if clause == clauses[stop]}
    if following - _COPULAS - _THAT and following - _COPULAS - _THAT <= tables.WRONG - reading.asked:
        return True
    is_asked = re.search(rf"{re.escape(words[stop - 1])}\W*\?\s*(?:no|nein)\b", reading.folded)
    return is_asked is not None and tables.WRONG.isdisjoint(reading.asked)


def _is_meant(reading: Reading, pattern: Pattern, start: int, stop: int) -> bool:
    if pattern.rule in (WITHOUT_THE_YEAR, NO_OTHER_DAY) and _is_another_date(reading, pattern, stop):
        return False
    return not (
        is_denied(reading, start, stop)
        or _is_believed_by_others(reading, start, stop)
        or _is_a_relation(reading, pattern, start, stop)
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
    ordinary = tables.ALSO_WORDS if reading.asks_for_one_of_many else tables.SMALL_WORDS
    if len(run) > 1 or word not in ordinary or pattern.alias.islower():
        return True
    own = content_words(reading.words) or reading.words
    if run in (own, reading.words, tuple(word for word in reading.words if word not in reading.asked)):
        return True
    name = re.escape(_BARE.sub("", pattern.alias).strip())
    if re.search(rf"[\"'“‘*]{name}[.,]?[\"'”’*]|\b(?:is|was)\s+{name}(?=[.!,;]|$)", reading.text, re.IGNORECASE):
        return True
    exact = re.search(rf"(?<!\w){name}(?!\w)", reading.text)
    # In a text of capitals alone they say nothing: "THEY TOLD US".
    if exact is None or reading.text.isupper():
        return False
    # At the start of a sentence a capital says nothing: "Her mother".
    begins = exact.start() == 0 or reading.text[: exact.start()].rstrip()[-1:] in (".", "!", "?", ":")
    is_alone = not reading.text[exact.end() :].strip() or reading.text[exact.end()] in ".,!?;:\"')("
    return is_alone or not begins or (len(name) > 1 and name.isupper())


def _is_believed_by_others(reading: Reading, start: int, stop: int) -> bool:
    """Whether it is what others think, or what once was, and another answer follows: "Many think X, but it was Y"."""
    words, clauses = reading.words, reading.clauses
    before = words[max(0, start - _BELIEF_REACH) : start]
    is_believed = not (tables.BELIEVERS.isdisjoint(before) or tables.BELIEFS.isdisjoint(before))
    if not is_believed and ("used", "to") not in pairwise(before):
        return False
    goes_on = stop < len(words) and clauses[-1] > clauses[start]
    if goes_on and not tables.THOUGH.isdisjoint(words[:start]):
        return True
    return not tables.TURNS.isdisjoint(words[stop : stop + _BELIEF_REACH])


def _is_a_relation(reading: Reading, pattern: Pattern, start: int, stop: int) -> bool:
    """Whether it only tells whose friend or daughter the answer is: "Poe, a friend of X", "X's friend Poe"."""
    words = reading.words
    if not tables.RELATIONS.isdisjoint(reading.asked):
        return False
    if start > 1 and words[start - 1] == "of" and words[start - 2] in tables.RELATIONS:
        return True
    if (pattern.is_name or pattern.rule == CONTAINS) and reading.before(start) == "whom":
        return True
    after = reading.after(stop)
    return len(after) > 1 and after[0] in tables.RELATIONS and reading.is_new_name(after[1])


def _is_one_of_several(reading: Reading, start: int, stop: int) -> bool:
    """Whether the answer does not decide: "Y or X", several numbers, or a list in which X is not the first."""
    words, clauses = reading.words, reading.clauses
    is_number = words[start].isdigit() and stop - start == 1
    for other, joins in _beside_or(reading, start, stop):
        if is_number and words[other].isdigit() and not reading.is_expected(words[other]):
            return True
        # "X or Y" can mean that Y is another name of X; "either X or Y" and "X or maybe Y" can't.
        is_open = (
            (other < start and clauses[other] == clauses[start])
            or joins != "or"
            or not tables.UNDECIDED.isdisjoint(words)
        )
        if is_open and reading.is_short and reading.is_new(words[other]) and not is_number:
            return True
    if is_number and _is_compared(reading, start, stop):
        return True
    num_hedges = max(reading.text.count("?"), sum(word in tables.HEDGES for word in words))
    others = {*words[:start], *words[stop:]} - tables.HEDGES
    if reading.is_short and num_hedges > 1 and any(map(reading.is_new, others)):
        return True
    if is_number and reading.is_short and not tables.MONTHS & set(words):
        return any(word.isdigit() and word != words[start] and not reading.is_expected(word) for word in words)
    # Where several answers are accepted as one, the question may ask for a list: "Who starred in X?"
    is_one = reading.asks_for_one_of_many or is_in_most(words[start:stop], reading.question)
    return is_one and (_is_in_a_list(reading, start) or _is_beside_a_slash(reading, start, stop))


def _beside_or(reading: Reading, start: int, stop: int) -> list[tuple[int, str]]:
    """Indices of the words before and behind that an "or" joins to it, and that "or"; a comma may stand before it."""
    words, found = reading.words, []
    # "Torn between X and Y".
    is_between = not tables.BETWEEN.isdisjoint(words) and tables.BETWEEN.isdisjoint(reading.asked)
    either = tables.OR | {"and", "und"} if is_between else tables.OR
    for index, step in ((start - 1, -1), (stop, 1)):
        joins = ""
        while 0 <= index < len(words) and (words[index] in tables.BESIDE_OR or words[index] in either):
            joins = words[index] if words[index] in either else joins
            index += step
        if joins and 0 <= index < len(words):
            found.append((index, joins))
    return found


def _is_compared(reading: Reading, start: int, stop: int) -> bool:
    """Whether a number is another one: "more than 6", "before 1918", "1918 BC"."""
    before, after = reading.before(start), reading.after(stop)
    is_other = before in tables.COMPARED or (before == "than" and reading.words[start - 2 : start - 1] != ("other",))
    if is_other and not reading.is_expected(before):
        return True
    return after[:1] == ("bc",) and len(reading.words[start]) == 4 and not reading.is_expected("bc")


def _is_beside_a_slash(reading: Reading, start: int, stop: int) -> bool:
    """Whether a slash joins it to another name: "X/Y"."""
    first, last = reading.words[start], reading.words[stop - 1]
    for left, right in re.findall(r"([^\W\d]+)\s?/\s?(?=([^\W\d]+))", reading.text):
        pair = [split_words(word).words for word in (left, right)]
        if (pair[0] == (last,) and any(map(reading.is_new, pair[1]))) or (
            pair[1] == (first,) and any(map(reading.is_new, pair[0]))
        ):
            return True
    return False


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
