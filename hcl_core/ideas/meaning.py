"""Ideas of open questions: by words first, then by meaning."""

from collections.abc import Sequence

import numpy as np

from hcl_core.ideas.clustering import COSINE_THRESHOLD
from hcl_core.ideas.keys import are_told_apart, word_key
from hcl_core.ports import Embed, RightAnswer
from hcl_core.readable import is_readable
from hcl_core.records import Question


class MeaningIdeas:
    """Groups the answers of a layer by their words, and by meaning where words do not decide.

    Answers with the same words in one spelling are one idea. Else an answer joins the first idea whose first answer
    is near in meaning, unless the two have different numbers or words such as "North" and "South", or the embedder
    cannot read one of them.

    Args:
        embed: Unit vectors of texts; called only for answers that it can read and words do not decide.
    """

    name = "meaning"
    stamp = f"meaning 1 at {COSINE_THRESHOLD}"

    def __init__(self, embed: Embed) -> None:
        self._embed = embed

    def find(self, question: Question, layers: Sequence[Sequence[RightAnswer]]) -> list[list[int]]:
        """The idea of each answer; see ``ports.IdeaFinder``."""
        firsts: dict[tuple[str, ...], str] = {}
        for answers in layers:
            for answer in answers:
                firsts.setdefault(word_key(answer.text), answer.text)
        readable = [text for text in firsts.values() if is_readable(text)]
        vectors = dict(zip(readable, self._embed(readable), strict=True)) if len(readable) > 1 else {}
        by_key = {key: vectors[text] for key, text in firsts.items() if text in vectors}
        return [self._find_in_layer(answers, by_key) for answers in layers]

    def _find_in_layer(self, answers: Sequence[RightAnswer], vectors: dict[tuple[str, ...], np.ndarray]) -> list[int]:
        ideas: dict[tuple[str, ...], int] = {}  # numbers by key
        leaders: list[RightAnswer] = []
        for answer in answers:
            key = word_key(answer.text)
            if key in ideas:
                continue
            near = (
                number
                for number, leader in enumerate(leaders)
                if key in vectors
                and (leader_key := word_key(leader.text)) in vectors
                and float(vectors[key] @ vectors[leader_key]) >= COSINE_THRESHOLD
                and not are_told_apart(answer.text, leader.text)
            )
            ideas[key] = next(near, len(leaders))
            if ideas[key] == len(leaders):
                leaders.append(answer)
        return [ideas[word_key(answer.text)] for answer in answers]
