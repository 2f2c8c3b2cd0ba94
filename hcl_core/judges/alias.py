"""The alias judge: an answer is right when it says an accepted answer in words that people count as the same."""

import re
import unicodedata
from collections.abc import Sequence

from hcl_core.judges import tables
from hcl_core.judges.accepted import (
    NO,
    YES,
    Pattern,
    accepted_signs,
    content_words,
    is_in_most,
    is_list,
    literal_patterns,
    tells_apart,
    wider_patterns,
)
from hcl_core.judges.meant import first_meant, is_denied
from hcl_core.judges.reading import Names, Reading
from hcl_core.judges.refusals import REFUSED, answer_after_refusal, is_refusal, refusal_itself
from hcl_core.ports import Judgement
from hcl_core.records import Question
from hcl_core.words import split_words

NOTHING_FOUND = "no accepted answer in it"

# How far apart the scattered words of one accepted answer may stand.
_SCATTER = 40
# An accepted answer of at most so many words may have a short form: "Pidgin" for "Pidgin English".
_SHORT_FORM_OF = 3

_ANSWER_LABEL = re.compile(
    r"""
    ^\s*(?:answer|a)\s*:\s*             # "Answer: Paris"
  | ^\s*(?:\(?[a-e]\)|1\.)\s+(?=\S)    # "A) Paris", "1. Paris"
    """,
    re.IGNORECASE | re.VERBOSE,
)
_PROMPT_LABEL = re.compile(r"\b(?:question|q)\s*:", re.IGNORECASE)
# Marks of a footnote that can be nothing else.
_NOTE_MARK = re.compile(
    r"""
    \[\^?\d{1,3}\^?\]                          # Paris[1]
  | (?:(?<=[^\W\d_]{3})|(?<=\d{4})|(?<=[.,;:!?)]))[⁰¹²³⁴-⁹]+   # Paris¹
    """,
    re.VERBOSE,
)
# Digits glued to a word, a year or a closing mark, where the clause ends or goes on: perhaps a footnote.
_GLUED_NOTE = re.compile(
    r"""
    (?: (?<=[^\W\d_]{2}) | (?<=\b[12]\d{3}) | (?<=[%)"”’]) )   # Bohrium, 1983, 20%
    [1-9]\d{0,2}
    (?= [.,;:)] | \s+[a-z] )
    """,
    re.VERBOSE,
)
_STRUCK = re.compile(r"~~[^~\n]+~~(?=\s*\S)")


class AliasJudge:
    """Looks for accepted answers in the answer, by rule and without a model.

    Its rules were tuned on human judgements and on labelled answers of early layers: ``docs/judges.md`` says what it
    reaches, and how far the held-out halves were used.
    """

    name = "alias"
    stamp = "alias 5"

    def judge(self, question: Question, answers: Sequence[str]) -> list[Judgement]:
        """One judgement an answer, in order; see ``judge_one`` for the rules."""
        return [self.judge_one(question, answer) for answer in answers]

    def judge_one(self, question: Question, answer: str) -> Judgement:
        """Judge one answer.

        Header and template text is not judged: a leading ``Answer:`` is taken off, and whatever follows a
        ``Question:`` is not the answer to ours. Digits glued to a word are read as they are, then as a footnote.
        """
        text = text_of_its_own(answer)
        judgement = _judge_text(question, text)
        if judgement.outcome != "correct" and (without_notes := _GLUED_NOTE.sub("", text)) != text:
            other = _judge_text(question, without_notes)
            return other if other.outcome == "correct" else judgement
        return judgement


def text_of_its_own(answer: str) -> str:
    """``answer`` without a leading ``Answer:``, what follows a ``Question:``, footnote marks and text struck out."""
    text = _PROMPT_LABEL.split(_ANSWER_LABEL.sub("", answer), maxsplit=1)[0]
    return _STRUCK.sub("", _NOTE_MARK.sub("", text))


def _judge_text(question: Question, text: str) -> Judgement:
    refuses = is_refusal(text)
    if refuses:
        if (rest := answer_after_refusal(text)) and (later := _judge_text(question, rest)).outcome == "correct":
            return later
        text = refusal_itself(text)
    if (sign := _sign_in(question, text)) is not None:
        return Judgement("correct", f"contains “{sign}”", sign)
    found = split_words(text)
    if not found.words:
        return Judgement("not_attempted", "no words of its own" if text.strip() else "empty")
    reading = Reading(question, text, found)
    affirmed, denied, other = [], None, None
    for pattern in literal_patterns(question):
        run = pattern.parts[0]
        starts = _occurrences(found.words, run)
        if first_meant(reading, pattern, run, starts) is not None:
            affirmed.append(pattern)
        elif any(is_denied(reading, start, start + len(run)) for start in starts) or (starts and run[0] in YES | NO):
            denied = pattern
        elif starts:
            other = pattern
    if affirmed:
        return _correct(_longest(affirmed))
    if denied is not None and not (refuses and denied.parts[0][0] in YES | NO):
        return Judgement("incorrect", f"negates “{denied.alias}”")
    if refuses:
        return Judgement("not_attempted", REFUSED)
    if said := [pattern for pattern in wider_patterns(question) if _says(reading, pattern)]:
        return _correct(_longest(said))
    if (alias := _short_form(reading)) is not None:
        return Judgement("correct", f"a short form of “{alias}”", alias)
    return Judgement("incorrect", f"means something else than “{other.alias}”" if other else NOTHING_FOUND)


def _sign_in(question: Question, text: str) -> str | None:
    """The accepted answer without words (``£``, an emoji) that stands alone in ``text``, or is all of it."""
    signs = {_plain_sign(sign): sign for sign in accepted_signs(question)}
    words = split_words(text).words if signs else ()
    if not signs or not (tables.NEGATIONS | tables.OR).isdisjoint(words):
        return None
    marks = "\"'“”‘’()[]*`"
    whole = _plain_sign(text.strip())
    tokens = (whole, *(_plain_sign(token).strip(marks).rstrip(".!?,;") for token in text.split()))
    if (sign := signs.get(whole) or signs.get(whole.strip(marks))) is not None:
        return sign
    return next((signs[token] for token in tokens if token in signs and token not in "?!.,;:-"), None)


def _plain_sign(sign: str) -> str:
    """``sign`` in one form: as wide as usual, without a mark that chooses the picture."""
    return unicodedata.normalize("NFKC", sign).replace("\ufe0f", "").replace("\ufe0e", "")


def _longest(patterns: Sequence[Pattern]) -> Pattern:
    """The pattern with the most words, then the most letters: "New York City" before "York"; of equals the first."""
    return max(patterns, key=lambda each: (sum(map(len, each.parts)), sum(map(len, each.parts[0]))))


def _correct(pattern: Pattern) -> Judgement:
    return Judgement("correct", f"{pattern.rule} “{pattern.alias}”", pattern.alias)


def _says(reading: Reading, pattern: Pattern) -> bool:
    """Whether every part of ``pattern`` stands in the answer, is meant, and stands near the others."""
    words = reading.words
    if pattern.is_whole and content_words(words, reading.asked) != pattern.parts[0]:
        return False
    indices = []
    for part in pattern.parts:
        starts = _occurrences(words, part)
        if not starts and pattern.is_name and part[-1] in words:
            initials = reading.names.initials | Names.of(pattern.alias).initials
            starts = _name_occurrences(words, part, Names(reading.names.capitalised, initials), pattern.between)
        start = _first_of_part(reading, pattern, part, starts)
        if start is None:
            return False
        indices.append(start)
    return max(indices) - min(indices) <= _SCATTER


def _first_of_part(reading: Reading, pattern: Pattern, part: tuple[str, ...], starts: list[int]) -> int | None:
    if len(pattern.parts) == 1:
        return first_meant(reading, pattern, part, starts)
    return next((start for start in starts if not is_denied(reading, start, start + len(part))), None)


def _short_form(reading: Reading) -> str | None:
    """The accepted answer of which the answer says a part and nothing else, if any: "rugby" for "Rugby union".

    Most of the accepted answers must have that part: "John" is no member of the Beatles. Half of a list is not the
    list, and what tells like things apart can't be left out: "Virginia" is not "West Virginia".
    """
    words, question = reading.words, reading.question
    own = content_words(words, reading.asked) or content_words(words)
    if not 0 < len(own) < _SHORT_FORM_OF or all(word.isdigit() or len(word) < 3 for word in own):
        return None
    if any(is_denied(reading, index, index + 1) for index, word in enumerate(words) if word in own):
        return None
    if not is_in_most(own, question):
        return None
    for pattern in literal_patterns(question):
        alias = content_words(pattern.parts[0], reading.asked)
        dropped = set(pattern.parts[0]) - set(own)
        is_run = any(alias[start : start + len(own)] == own for start in range(len(alias)))
        is_long_enough = len(own) * 2 >= len(alias) and len(alias) <= _SHORT_FORM_OF
        if is_run and is_long_enough and not any(map(tells_apart, dropped)) and not is_list(pattern.alias):
            return pattern.alias
    return None


def _occurrences(words: tuple[str, ...], run: tuple[str, ...]) -> list[int]:
    """The indices at which ``run`` starts in ``words``."""
    first, length = run[0], len(run)
    if first not in words:
        return []
    return [
        start
        for start, word in enumerate(words[: len(words) - length + 1])
        if word == first and words[start : start + length] == run
    ]


def _name_occurrences(
    words: tuple[str, ...], name: tuple[str, ...], names: Names, between: frozenset[str] | None
) -> list[int]:
    """The indices at which ``name`` starts, with up to two middle names or initials between each two of its words.

    These must be of ``between``, or, where that is ``None``, capitalised.
    """
    starts = []
    for start, word in enumerate(words):
        if not _is_first_name(word, name[0], names.initials):
            continue
        index = start
        for expected in name[1:]:
            index += 1
            for _ in range(2):
                if words[index : index + 1] not in ((), (expected,)) and _is_middle(words[index], names, between):
                    index += 1
            if words[index : index + 1] != (expected,):
                break
        else:
            starts.append(start)
    return starts


def _is_middle(word: str, names: Names, between: frozenset[str] | None) -> bool:
    if between is not None:
        return word in between
    return len(word) == 1 or word in names.capitalised


def _is_first_name(word: str, name: str, initials: frozenset[str]) -> bool:
    """Whether ``word`` is ``name``, or one of the two is the other's initials: "J.M.W." for "Joseph"."""
    return word == name or (word[0] == name[0] and (word in initials) != (name in initials))
