"""The alias judge: an answer is right when an accepted answer stands in it, as whole words, and is not negated."""

import re
from collections.abc import Sequence
from functools import lru_cache

from hcl_core.judges.text import Words, fold, split_words
from hcl_core.ports import Judgement
from hcl_core.records import Question

_CONTRACTIONS = frozenset(
    {"isnt", "wasnt", "arent", "werent", "aint", "dont", "doesnt", "didnt", "cant", "couldnt", "wont", "wouldnt"}
    | {"shouldnt", "hasnt", "havent", "cannot"}
)
_NEGATIONS = _CONTRACTIONS | {"not", "never", "no", "nor", "neither", "none", "without", "except"}
_VERBS = frozenset({"is", "was", "are", "were", "can", "could", "would", "has", "does", "did"})
# "Not only Paris" and "no doubt Paris" affirm.
_AFFIRMED_AFTER_NEGATION = frozenset({"only", "just", "merely", "surprisingly", "doubt", "question"})
# How far before the alias a negation may stand: "not the city of Paris".
_NEGATION_REACH = 4

_ANSWER_LABEL = re.compile(r"^\s*(?:answer|a)\s*:\s*", re.IGNORECASE)
_PROMPT_LABEL = re.compile(r"\b(?:question|q)\s*:", re.IGNORECASE)
_REFUSAL = re.compile(
    r"^(?:sorry )?(?:i (?:do not|dont|cannot|cant|could not|couldnt) (?:know|say|tell|answer|determine|provide)"
    r"|i am (?:not sure|unable|sorry)|im (?:not sure|unable|sorry)|i have no idea|no idea|no answer|not sure"
    r"|unknown|unsure|n a|as an ai|cannot (?:answer|be determined)|unable to)\b"
)


class AliasJudge:
    """Looks for accepted answers in the answer, by rule and without a model."""

    name = "alias"

    def judge(self, question: Question, answers: Sequence[str]) -> list[Judgement]:
        """One judgement an answer, in order; see ``judge_one`` for the rules."""
        return [self.judge_one(question, answer) for answer in answers]

    def judge_one(self, question: Question, answer: str) -> Judgement:
        """Judge one answer.

        Header and template text is not judged: a leading ``Answer:`` is taken off, and whatever follows a
        ``Question:`` is not the answer to ours.
        """
        own_words = _PROMPT_LABEL.split(_ANSWER_LABEL.sub("", answer), maxsplit=1)[0]
        found = split_words(own_words)
        if not found.words:
            return Judgement("not_attempted", "no words of its own" if answer.strip() else "empty")
        negated = None
        for alias, alias_words in _aliases(question):
            for start in _occurrences(found.words, alias_words):
                if not _is_negated(found, start, start + len(alias_words)):
                    return Judgement("correct", f"contains “{alias}”")
                negated = alias
        if negated is not None:
            return Judgement("incorrect", f"negates “{negated}”")
        if _REFUSAL.match(" ".join(re.findall(r"\w+", fold(own_words)))):
            return Judgement("not_attempted", "a refusal")
        return Judgement("incorrect", "no accepted answer in it")


@lru_cache(maxsize=256)
def _aliases(question: Question) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Accepted answers with their words; one without any word (``"?"``) can't be looked for."""
    split = ((alias, split_words(alias).words) for alias in question.accepted_answers)
    return tuple((alias, words) for alias, words in split if words)


def _occurrences(words: tuple[str, ...], alias: tuple[str, ...]) -> list[int]:
    """Where ``alias`` starts in ``words``."""
    length = len(alias)
    return [
        start
        for start, word in enumerate(words[: len(words) - length + 1])
        if word == alias[0] and words[start : start + length] == alias
    ]


def _is_negated(found: Words, start: int, stop: int) -> bool:
    """Whether the words ``start`` to ``stop`` are denied in their own clause: "not X", "X is not"."""
    words, clauses = found.words, found.clauses
    for place in range(start - 1, max(-1, start - 1 - _NEGATION_REACH), -1):
        if clauses[place] != clauses[start] or words[place] == "but":
            break
        if words[place] in _NEGATIONS and words[place + 1] not in _AFFIRMED_AFTER_NEGATION:
            return True
    after = [word for word, clause in zip(words[stop:], clauses[stop:], strict=True) if clause == clauses[stop - 1]]
    if not after or after[0] not in _CONTRACTIONS | _VERBS:
        return False
    # "Paris isn't", "Paris is definitely not", but not "Paris is not only".
    for word, following in zip(after[:3], [*after[1:4], ""], strict=False):
        if word in _CONTRACTIONS or word in ("not", "never"):
            return following not in _AFFIRMED_AFTER_NEGATION
    return False
