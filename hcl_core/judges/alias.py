"""The alias judge: an answer is right when it says an accepted answer in words that people count as the same."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hcl_core.judges.accepted import (
    FALSE,
    INITIALS,
    NO,
    TRUE,
    YES,
    Pattern,
    content_words,
    is_in_most,
    is_list,
    literal_patterns,
    tells_apart,
    wider_patterns,
    words_asked,
)
from hcl_core.ports import Judgement
from hcl_core.records import Question
from hcl_core.words import Words, fold, split_words

NOTHING_FOUND = "no accepted answer in it"

_CONTRACTIONS = frozenset(
    {"isnt", "wasnt", "arent", "werent", "aint", "dont", "doesnt", "didnt", "cant", "couldnt", "wont", "wouldnt"}
    | {"shouldnt", "hasnt", "havent", "cannot"}
)
_NEGATIONS = _CONTRACTIONS | {"not", "never", "no", "nor", "neither", "none", "without", "except", "instead"}
_VERBS = frozenset({"is", "was", "are", "were", "can", "could", "would", "has", "does", "did"})
# "Not only Paris", "no doubt Paris" and "none other than Paris" affirm.
_AFFIRMED_AFTER_NEGATION = frozenset({"other", "only", "just", "merely", "surprisingly", "doubt", "question"})
# How far before the alias a negation may stand: "not the city of Paris".
_NEGATION_REACH = 4
# How far apart the scattered words of one accepted answer may stand.
_SCATTER = 40
# An accepted answer of at most so many words may have a short form: "Pidgin" for "Pidgin English".
_SHORT_FORM_OF = 3

_ANSWER_LABEL = re.compile(r"^\s*(?:answer|a)\s*:\s*", re.IGNORECASE)
_PROMPT_LABEL = re.compile(r"\b(?:question|q)\s*:", re.IGNORECASE)
_CAPITALISED = re.compile(r"\b[^\W\d_a-zß-öø-ÿ][\w'’.-]*")
_REFUSAL_REACH = 80  # letters
_HOWEVER = re.compile(r"[.!?]\s+However\b")
_REFUSAL = re.compile(
    r"^(?:(?:i am |im )?sorry )?(?:but )?(?:i (?:do not|dont|cannot|cant|could not|couldnt) "
    r"(?:know|say|tell|answer|determine|provide|find)|i am (?:not sure|unable|sorry)|im (?:not sure|unable|sorry)"
    r"|i have no idea|no idea|no answer|not sure"
    r"|unknown|unsure|n a|as an ai|cannot (?:answer|be determined)|unable to)\b"
)


class AliasJudge:
    """Looks for accepted answers in the answer, by rule and without a model.

    Its rules were tuned on one half of a set of human judgements; ``docs/judges.md`` has what it reaches on the other.
    """

    name = "alias"
    stamp = "alias 2"

    def judge(self, question: Question, answers: Sequence[str]) -> list[Judgement]:
        """One judgement an answer, in order; see ``judge_one`` for the rules."""
        return [self.judge_one(question, answer) for answer in answers]

    def judge_one(self, question: Question, answer: str) -> Judgement:
        """Judge one answer.

        Header and template text is not judged: a leading ``Answer:`` is taken off, and whatever follows a
        ``Question:`` is not the answer to ours.
        """
        own_text = text_of_its_own(answer)
        is_refusal = bool(_REFUSAL.match(" ".join(re.findall(r"\w+", fold(own_text[:_REFUSAL_REACH])))))
        if is_refusal:  # "I couldn't find the newspaper. However, there was one called Today" tells of something else
            own_text = _HOWEVER.split(own_text, maxsplit=1)[0]
        found = split_words(own_text)
        if not found.words:
            return Judgement("not_attempted", "no words of its own" if answer.strip() else "empty")
        asked, negated, affirmed = words_asked(question), None, []
        for pattern in literal_patterns(question):
            starts = _occurrences(found.words, pattern.parts[0])
            if _first_affirmed(found, pattern.parts[0], starts, asked) is not None:
                affirmed.append(pattern)
            elif starts:
                negated = pattern.alias
        if affirmed:
            return _correct(_longest(affirmed))
        if negated is not None:
            return Judgement("incorrect", f"negates “{negated}”")
        if is_refusal:
            return Judgement("not_attempted", "a refusal")
        names = Names.of(own_text)
        if said := [pattern for pattern in wider_patterns(question) if _says(found, pattern, names, asked)]:
            return _correct(_longest(said))
        if (alias := _short_form(found, question)) is not None:
            return Judgement("correct", f"a short form of “{alias}”", alias)
        return Judgement("incorrect", NOTHING_FOUND)


def _longest(patterns: Sequence[Pattern]) -> Pattern:
    """The pattern with the most words, then the most letters: "New York City" before "York"; of equals the first."""
    return max(
        patterns, key=lambda each: (sum(map(len, each.parts)), sum(len(word) for part in each.parts for word in part))
    )


def _correct(pattern: Pattern) -> Judgement:
    return Judgement("correct", f"{pattern.rule} “{pattern.alias}”", pattern.alias)


def text_of_its_own(answer: str) -> str:
    """``answer`` without a leading ``Answer:`` and without what follows a ``Question:``."""
    return _PROMPT_LABEL.split(_ANSWER_LABEL.sub("", answer), maxsplit=1)[0]


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


def _says(found: Words, pattern: Pattern, names: Names, asked: frozenset[str]) -> bool:
    """Whether every part of ``pattern`` stands in the answer, affirmed, and near the others."""
    if pattern.is_whole and content_words(found.words, asked) != pattern.parts[0]:
        return False
    places = []
    for part in pattern.parts:
        starts = _occurrences(found.words, part)
        if not starts and pattern.is_name and part[-1] in found.words:
            initials = names.initials | Names.of(pattern.alias).initials
            starts = _name_occurrences(found.words, part, Names(names.capitalised, initials))
        start = _first_affirmed(found, part, starts, asked)
        if start is None:
            return False
        places.append(start)
    return max(places) - min(places) <= _SCATTER


def _short_form(found: Words, question: Question) -> str | None:
    """The accepted answer of which the answer says a part and nothing else, if any: "rugby" for "Rugby union".

    Most of the accepted answers must have that part: "John" is no member of the Beatles. Half of a list is not the
    list, and what tells like things apart can't be left out: "Virginia" is not "West Virginia".
    """
    asked = words_asked(question)
    own = content_words(found.words, asked) or content_words(found.words)
    if not 0 < len(own) < _SHORT_FORM_OF or all(word.isdigit() or len(word) < 3 for word in own):
        return None
    if any(_is_negated(found, place, place + 1, asked) for place, word in enumerate(found.words) if word in own):
        return None
    if not is_in_most(own, question):
        return None
    for pattern in literal_patterns(question):
        alias = content_words(pattern.parts[0], asked)
        dropped = set(pattern.parts[0]) - set(own)
        is_run = any(alias[start : start + len(own)] == own for start in range(len(alias)))
        is_long_enough = len(own) * 2 >= len(alias) and len(alias) <= _SHORT_FORM_OF
        if is_run and is_long_enough and not any(map(tells_apart, dropped)) and not is_list(pattern.alias):
            return pattern.alias
    return None


def _first_affirmed(found: Words, run: tuple[str, ...], starts: list[int], asked: frozenset[str]) -> int | None:
    """Where ``run`` first stands undenied, of the places where it stands at all."""
    if len(run) == 1 and run[0] in YES | NO:
        # Of "No, it is true that ..." the first word is the answer.
        first = next((place for place, word in enumerate(found.words) if _is_yes_or_no(found, place)), None)
        return None if first not in starts or _is_negated(found, first, first + 1, asked) else first
    return next((start for start in starts if not _is_negated(found, start, start + len(run), asked)), None)


def _is_yes_or_no(found: Words, place: int) -> bool:
    """Whether the word there answers: not the "no" of "no reason", nor that of "no doubt"."""
    words, clauses = found.words, found.clauses
    if words[place] in (TRUE, FALSE):
        return True
    if words[place] not in YES | NO:
        return False
    ends_clause = place + 1 == len(words) or clauses[place + 1] != clauses[place]
    return ends_clause or (place == 0 and words[1] not in _AFFIRMED_AFTER_NEGATION)


def _occurrences(words: tuple[str, ...], run: tuple[str, ...]) -> list[int]:
    """Where ``run`` starts in ``words``."""
    first, length = run[0], len(run)
    if first not in words:
        return []
    return [
        start
        for start, word in enumerate(words[: len(words) - length + 1])
        if word == first and words[start : start + length] == run
    ]


def _name_occurrences(words: tuple[str, ...], name: tuple[str, ...], names: Names) -> list[int]:
    """Where ``name`` starts, up to two capitalised words or initials standing between each two of its words."""
    starts = []
    for start, word in enumerate(words):
        if not _is_first_name(word, name[0], names.initials):
            continue
        place = start
        for wanted in name[1:]:
            place += 1
            for _ in range(2):
                if words[place : place + 1] not in ((), (wanted,)) and (
                    len(words[place]) == 1 or words[place] in names.capitalised
                ):
                    place += 1
            if words[place : place + 1] != (wanted,):
                break
        else:
            starts.append(start)
    return starts


def _is_first_name(word: str, name: str, initials: frozenset[str]) -> bool:
    """Whether ``word`` is ``name``, or one of the two is the other's initials: "J.M.W." for "Joseph"."""
    return word == name or (word[0] == name[0] and (word in initials) != (name in initials))


def _is_negated(found: Words, start: int, stop: int, asked: frozenset[str]) -> bool:
    """Whether the words ``start`` to ``stop`` are denied in their own clause: "not X", "X is not".

    A negation that the question has ("Which city never sleeps?") is repeated, not meant.
    """
    words, clauses = found.words, found.clauses
    for place in range(start - 1, max(-1, start - 1 - _NEGATION_REACH), -1):
        if clauses[place] != clauses[start] or words[place] == "but":
            break
        following = words[place + 1]
        if words[place] in asked:
            continue
        if words[place] in _NEGATIONS and following not in _AFFIRMED_AFTER_NEGATION:
            return True
    after = [word for word, clause in zip(words[stop:], clauses[stop:], strict=True) if clause == clauses[stop - 1]]
    if not after or after[0] not in _CONTRACTIONS | _VERBS:
        return False
    # "Paris isn't", "Paris is definitely not", but not "Paris is not only".
    for word, following in zip(after[:3], [*after[1:4], ""], strict=False):
        if (word in _CONTRACTIONS or word in ("not", "never")) and word not in asked:
            return following not in _AFFIRMED_AFTER_NEGATION
    return False
