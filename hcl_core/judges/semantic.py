"""The semantic judge: the alias judge first; what it finds nothing in is weighed by meaning.

A logistic regression on four numbers says how probable it is that a person would call the answer right. It was
fitted on human judgements by ``python -m bench.semantic_judge``, which wrote ``assets/judges/semantic.json``.
"""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from hcl_core.folders import PROGRAM
from hcl_core.judges.accepted import content_words, literal_patterns, words_asked
from hcl_core.judges.alias import NOTHING_FOUND, AliasJudge, text_of_its_own
from hcl_core.ports import Embed, Judgement
from hcl_core.readable import is_readable
from hcl_core.records import Question
from hcl_core.words import numbers_in, split_words

FEATURES = ("answer_like_accepted", "nearer_with_accepted", "share_of_words", "log_num_words")

_FILE = PROGRAM / "assets" / "judges" / "semantic.json"
# Not after "Dr." and initials.
_SENTENCE_END = re.compile(r"(?<=\w{4}[.!?])\s|(?<=[!?])\s")
# An embedder reads about so much of a text; the first sentence has the answer.
_MAX_LETTERS = 400
_MAX_ACCEPTED = 40
# Words that begin alike are forms of one word: "magnetised", "magnetism".
_STEM = 5


@dataclass(frozen=True, slots=True)
class FittedWeights:
    """The fitted regression.

    Attributes:
        bias: Log-odds where every feature is 0.
        weights: One a feature, in the order of ``FEATURES``.
        threshold: Probability from which an answer counts as right.
    """

    bias: float
    weights: tuple[float, ...]
    threshold: float

    def probability(self, features: Sequence[float]) -> float:
        """How probable it is that a person would call the answer right, in (0, 1)."""
        odds = self.bias + sum(weight * value for weight, value in zip(self.weights, features, strict=True))
        return 1 / (1 + math.exp(-odds))


class SemanticJudge:
    """The alias judge, and for what it finds no accepted answer in, a sentence embedder.

    Args:
        embed: Unit vectors of texts, all-MiniLM-L6-v2's: the weights were fitted to those.
    """

    name = "semantic"
    stamp = f"semantic 2 {hashlib.blake2b(_FILE.read_bytes(), digest_size=4).hexdigest()}, {AliasJudge.stamp}"

    def __init__(self, embed: Embed) -> None:
        self._embed, self._alias = embed, AliasJudge()

    def judge(self, question: Question, answers: Sequence[str]) -> list[Judgement]:
        """One judgement an answer, in order."""
        judgements = self._alias.judge(question, answers)
        undecided = [
            index
            for index, judgement in enumerate(judgements)
            if judgement.reason == NOTHING_FOUND and _can_be_weighed(question, answers[index])
        ]
        if not undecided:
            return judgements
        weights = fitted_weights()
        rows = features(question, [answers[index] for index in undecided], self._embed)
        for index, row in zip(undecided, rows, strict=True):
            probability = weights.probability(row)
            if probability >= weights.threshold:
                judgements[index] = Judgement("correct", f"means an accepted answer ({probability:.2f})")
            else:
                judgements[index] = Judgement("incorrect", f"{NOTHING_FOUND}, nor its meaning ({probability:.2f})")
        return judgements


def _can_be_weighed(question: Question, answer: str) -> bool:
    """Whether the embedder can read the answer and some accepted answer, and these are not different numbers."""
    readable = [name for name in question.accepted_answers if is_readable(name)]
    if not readable or not is_readable(answer):
        return False
    said = numbers_in(answer)
    return not said or any(not (asked := numbers_in(name)) or asked & said for name in readable)


def features(question: Question, answers: Sequence[str], embed: Embed) -> list[tuple[float, ...]]:
    """What the regression weighs, one row an answer, in the order of ``FEATURES``.

    ``answer_like_accepted``: cosine of the answer's first sentence with the accepted answer it is most like.
    ``nearer_with_accepted``: how much nearer it is to question and accepted answer together than to the question alone.
    ``share_of_words``: share of an accepted answer's own words that the answer has, of the best one.
    ``log_num_words``: natural logarithm of 1 + the number of words: long answers are nearer to everything.
    """
    # In lower case, which is what the embedder reads: many accepted answers differ in capitals alone.
    asked_text = question.text[:_MAX_LETTERS].lower()
    accepted = list(dict.fromkeys(name.lower() for name in question.accepted_answers[:_MAX_ACCEPTED]))
    together = [f"{question.text} {name}"[:_MAX_LETTERS].lower() for name in accepted]
    own_texts = [text_of_its_own(answer).strip() for answer in answers]
    sentences = [_SENTENCE_END.split(text, maxsplit=1)[0][:_MAX_LETTERS].lower() for text in own_texts]
    texts = list(dict.fromkeys([asked_text, *accepted, *together, *sentences]))
    vectors = dict(zip(texts, embed(texts), strict=True))
    asked = words_asked(question)
    accepted_stems = [_stems(content_words(each.parts[0], asked)) for each in literal_patterns(question)]
    rows: list[tuple[float, ...]] = []
    for text, sentence in zip(own_texts, sentences, strict=True):
        vector, words = vectors[sentence], split_words(text).words
        own_stems = _stems(content_words(words, asked))
        with_accepted = max(float(vector @ vectors[other]) for other in together)
        rows.append(
            (
                max(float(vector @ vectors[other]) for other in accepted),
                with_accepted - float(vector @ vectors[asked_text]),
                max((len(own_stems & stems) / len(stems) for stems in accepted_stems if stems), default=0.0),
                math.log1p(len(words)),
            )
        )
    return rows


@cache
def fitted_weights() -> FittedWeights:
    """The weights that ship with the program."""
    entry = json.loads(_FILE.read_text(encoding="utf-8"))
    weights = entry["weights"]
    return FittedWeights(entry["bias"], tuple(weights[name] for name in FEATURES), entry["threshold"])


def _stems(words: Sequence[str]) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in words)
