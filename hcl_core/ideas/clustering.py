"""Which correct answers mean the same."""

import numpy as np
from numpy.typing import NDArray

COSINE_THRESHOLD = 0.8


def leader_clusters(embeddings: NDArray[np.float32], threshold: float = COSINE_THRESHOLD) -> list[int]:
    """Cluster by first come (DESIGN section 2, after the paper's code).

    An item joins the first cluster whose *first member* has a cosine of at least ``threshold`` with it,
    else it opens one.

    Args:
        embeddings: ``[n, width]`` unit vectors in sample order.
        threshold: Cosine, from -1 to 1.

    Returns:
        ``n`` cluster numbers from 0, in order of opening.
    """
    leaders: list[int] = []
    cluster_ids = []
    similarity = embeddings @ embeddings.T
    for item in range(len(embeddings)):
        joined = next((number for number, leader in enumerate(leaders) if similarity[item, leader] >= threshold), None)
        if joined is None:
            joined = len(leaders)
            leaders.append(item)
        cluster_ids.append(joined)
    return cluster_ids
