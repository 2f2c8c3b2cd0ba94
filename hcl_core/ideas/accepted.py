"""Ideas as accepted answers: "USA" and "United States" are one, however an answer is worded around them."""

from collections.abc import Sequence

import numpy as np

from hcl_core.ideas.meaning import MeaningIdeas
from hcl_core.ports import Embed, RightAnswer
from hcl_core.records import Question
from hcl_core.words import split_words

# Below this cosine an answer may be an idea that is not listed. ``python -m bench.ideas`` measures how often the
# nearest listed idea is right.
NEAREST_COSINE = 0.4
MOST_WORDS_OF_AN_IDEA = 5


class AcceptedIdeas:
    """The idea whose name the judge matched; else the nearest one by meaning; else an idea that is not listed.

    Answers to an open question, where no idea is listed, are told apart as ``MeaningIdeas`` does.

    Args:
        embed: Unit vectors of texts; called only for answers without a matched name.
    """

    name = "accepted"
    stamp = f"accepted 2 at {NEAREST_COSINE}, {MOST_WORDS_OF_AN_IDEA} words; open questions: {MeaningIdeas.stamp}"

    def __init__(self, embed: Embed) -> None:
        self._embed = embed

    def find(self, question: Question, layers: Sequence[Sequence[RightAnswer]]) -> list[list[int]]:
        """The idea of each answer; see ``ports.IdeaFinder``."""
        if question.is_open:
            return MeaningIdeas(self._embed).find(question, layers)
        idea_of = {name: number for number, names in enumerate(question.ideas) for name in names}
        return [self._find_in_layer(idea_of, len(question.ideas), answers) for answers in layers]

    def _find_in_layer(self, idea_of: dict[str, int], num_ideas: int, answers: Sequence[RightAnswer]) -> list[int]:
        matched = [None if answer.matched is None else idea_of.get(answer.matched) for answer in answers]
        unmatched = [answer.text for answer, idea in zip(answers, matched, strict=True) if idea is None]
        others = iter(self._find_by_meaning(idea_of, num_ideas, unmatched))
        return [next(others) if idea is None else idea for idea in matched]

    def _find_by_meaning(self, idea_of: dict[str, int], num_ideas: int, texts: list[str]) -> list[int]:
        if not texts:
            return []
        names = list(idea_of)
        cosines = self._embed(texts) @ self._embed(names).T  # [texts, names]
        unlisted: dict[tuple[str, ...], int] = {}  # numbers by the words of the idea's first answer
        ideas = []
        for text, row in zip(texts, cosines, strict=True):
            nearest = int(np.argmax(row))
            words = split_words(text).words
            # A long answer that matches no name rambles about an accepted idea: a new idea is short.
            if row[nearest] >= NEAREST_COSINE or not 0 < len(words) <= MOST_WORDS_OF_AN_IDEA:
                ideas.append(idea_of[names[nearest]])
            else:
                ideas.append(unlisted.setdefault(words, num_ideas + len(unlisted)))
        return ideas
