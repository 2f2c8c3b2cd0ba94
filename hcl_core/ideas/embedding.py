"""Ideas as the paper counts them: clusters of whole answers by meaning."""

from collections.abc import Sequence

import numpy as np

from hcl_core.ideas.clustering import COSINE_THRESHOLD, leader_clusters
from hcl_core.ports import Embed, RightAnswer
from hcl_core.records import Question


class EmbeddingIdeas:
    """Clusters the right answers of a layer by the meaning of their whole texts (paper's code; DESIGN section 2).

    Rewordings with a low cosine count as ideas of their own, and different short answers with a high one count as one.

    Args:
        embed: Unit vectors of texts.
    """

    name = "embedding"
    stamp = f"embedding at {COSINE_THRESHOLD}"

    def __init__(self, embed: Embed) -> None:
        self._embed = embed

    def find(self, question: Question, layers: Sequence[Sequence[RightAnswer]]) -> list[list[int]]:
        """The cluster of each answer; see ``ports.IdeaFinder``."""
        texts = list(dict.fromkeys(answer.text for answers in layers for answer in answers))
        if not texts:
            return [[] for _ in layers]
        vectors = dict(zip(texts, self._embed(texts), strict=True))  # one batch for all layers
        return [
            leader_clusters(np.stack([vectors[answer.text] for answer in answers])) if answers else []
            for answers in layers
        ]
