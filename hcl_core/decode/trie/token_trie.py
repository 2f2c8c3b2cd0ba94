"""The token trie: every distinct continuation of one prompt, once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

ROOT = 0


class TokenTrie:
    """Unique token prefixes after one prompt.

    Node 0 is the prompt itself. A node's number never changes; children are found by ``(node, token)``.
    ``has_text`` and ``is_final`` are facts of the token path alone, so every sample that reaches a node
    shares them.

    Args:
        token_text: Text of one token, special tokens as ``""``.
        stop_token_ids: Tokens that end a text.
    """

    def __init__(self, token_text: Callable[[int], str], stop_token_ids: frozenset[int]) -> None:
        self._token_text = token_text
        self._stop_token_ids = stop_token_ids
        self._children: dict[tuple[int, int], int] = {}
        self._size = 1
        self.parents: IntArray = np.full(256, -1, dtype=np.int64)
        self.tokens: IntArray = np.full(256, -1, dtype=np.int64)
        self.num_computed: IntArray = np.zeros(256, dtype=np.int64)  # decoder blocks run at the node
        self.has_text: NDArray[np.bool_] = np.zeros(256, dtype=bool)
        self.is_final: NDArray[np.bool_] = np.zeros(256, dtype=bool)

    def __len__(self) -> int:
        return self._size

    def children(self, nodes: IntArray, tokens: IntArray) -> IntArray:
        """Children of ``nodes [s]`` by ``tokens [s]``, made where missing: ``[s]``."""
        pairs, inverse = np.unique(np.stack([nodes, tokens]), axis=1, return_inverse=True)
        unique = [self._child(int(node), int(token)) for node, token in pairs.T]
        return np.asarray(unique, dtype=np.int64)[inverse.reshape(-1)]

    def paths(self, nodes: IntArray, num_tokens: int) -> IntArray:
        """Node numbers from the first token down to each of ``nodes [n]``: ``[n, num_tokens]``."""
        path = np.empty((len(nodes), num_tokens), dtype=np.int64)
        for column in range(num_tokens - 1, -1, -1):
            path[:, column] = nodes
            nodes = self.parents[nodes]
        return path

    def padded_paths(self, nodes: IntArray, lengths: IntArray) -> IntArray:
        """The same for nodes at depths ``lengths [n]``, each path padded on the left with its node: ``[n, t]``."""
        path = np.repeat(nodes[:, None], lengths.max(), axis=1)
        at = nodes
        for column in range(path.shape[1] - 2, -1, -1):
            at = np.where(lengths > path.shape[1] - 1 - column, self.parents[at], nodes)
            path[:, column] = at
        return path

    def _child(self, node: int, token: int) -> int:
        known = self._children.get((node, token))
        if known is not None:
            return known
        child = self._size
        if child == len(self.parents):
            self._grow()
        self._size += 1
        self._children[node, token] = child
        self.parents[child], self.tokens[child] = node, token
        text = self._token_text(token)
        line = text if self.has_text[node] else text.lstrip()
        self.has_text[child] = self.has_text[node] or bool(line)
        # An answer is its first non-empty line: a newline after text ends it.
        self.is_final[child] = token in self._stop_token_ids or (self.has_text[child] and "\n" in line)
        return child

    def _grow(self) -> None:
        for name in ("parents", "tokens", "num_computed", "has_text", "is_final"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
