"""The token trie: every distinct continuation of one prompt, once."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hcl_core.answer_rules import FIRST_LINE, AnswerRule

IntArray = NDArray[np.int64]

ROOT = 0
# Bits of a token id in a key of node and token.
_TOKEN_BITS = 32


class TokenTrie:
    """Unique token prefixes after one prompt.

    Node 0 is the prompt itself. A node's number never changes; children are found by ``(node, token)``.
    ``depths``, ``has_text`` and ``is_final`` depend on the token path alone, so all samples on a node share them.

    Attributes:
        parents: Node number of each node's parent; -1 for the root.
        tokens: Last token of each prefix; -1 for the root.
        depths: Tokens after the prompt.
        num_computed: Decoder blocks run at the node.
        has_text: Whether the prefix has a character other than white space.
        is_final: Whether the answer ends at the node.
        answer_rule: How an answer ends, and where it stands.

    Args:
        detokenize: Text of token ids, special tokens left out.
        stop_token_ids: Tokens that end a text.
        answer_rule: How an answer ends, and where it stands.
    """

    def __init__(
        self,
        detokenize: Callable[[list[int]], str],
        stop_token_ids: frozenset[int],
        answer_rule: AnswerRule = FIRST_LINE,
    ) -> None:
        self.answer_rule = answer_rule
        self._detokenize = detokenize
        self._stop_token_ids = stop_token_ids
        self._children: dict[int, int] = {}  # by node and token in one number
        self._token_texts: dict[int, str] = {}
        self._completions: dict[int, tuple[tuple[int, ...], str]] = {}
        self._size = 1
        self.parents: IntArray = np.full(256, -1, dtype=np.int64)
        self.tokens: IntArray = np.full(256, -1, dtype=np.int64)
        self.depths: IntArray = np.zeros(256, dtype=np.int64)
        self.num_computed: IntArray = np.zeros(256, dtype=np.int64)
        self.has_text: NDArray[np.bool_] = np.zeros(256, dtype=bool)
        self.is_final: NDArray[np.bool_] = np.zeros(256, dtype=bool)

    def __len__(self) -> int:
        return self._size

    def children(self, nodes: IntArray, tokens: IntArray) -> IntArray:
        """Children of ``nodes [s]`` by ``tokens [s]``, made where missing: ``[s]``."""
        keys, inverse = np.unique(nodes << _TOKEN_BITS | tokens, return_inverse=True)
        known = self._children
        unique = [known[key] if key in known else self._add_child(key) for key in keys.tolist()]
        return np.asarray(unique, dtype=np.int64)[inverse]

    def paths(self, nodes: IntArray, num_tokens: int) -> IntArray:
        """Node numbers from the first token to each of ``nodes [n]``, all of depth ``num_tokens``: ``[n, num_tokens]``.

        A path holds no root.
        """
        path = np.empty((len(nodes), num_tokens), dtype=np.int64)
        for column in range(num_tokens - 1, -1, -1):
            path[:, column] = nodes
            nodes = self.parents[nodes]
        return path

    def padded_paths(self, nodes: IntArray) -> IntArray:
        """The same for nodes of any depth, each path padded on the left with its own node: ``[n, max depth]``."""
        depths = self.depths[nodes]
        path = np.repeat(nodes[:, None], depths.max(), axis=1)
        ancestors = nodes
        for column in range(path.shape[1] - 2, -1, -1):
            ancestors = np.where(depths > path.shape[1] - 1 - column, self.parents[ancestors], nodes)
            path[:, column] = ancestors
        return path

    def with_ancestors(self, nodes: IntArray) -> IntArray:
        """``nodes`` and all their ancestors, without the root and without repetition, ascending."""
        levels = [nodes]
        while len(nodes := np.unique(self.parents[nodes[nodes != ROOT]])):
            levels.append(nodes)
        family = np.unique(np.concatenate(levels))
        return family[family != ROOT]

    def completion(self, node: int) -> tuple[tuple[int, ...], str]:
        """Token ids from the prompt to ``node``, and their text."""
        if node not in self._completions:
            path = self.paths(np.array([node]), int(self.depths[node]))[0]
            token_ids = tuple(self.tokens[path].tolist())
            self._completions[node] = token_ids, self._detokenize(list(token_ids))
        return self._completions[node]

    def _add_child(self, key: int) -> int:
        node, token = divmod(key, 1 << _TOKEN_BITS)
        child = self._size
        if child == len(self.parents):
            self._grow()
        self._size += 1
        self._children[key] = child
        self.parents[child], self.tokens[child] = node, token
        self.depths[child] = self.depths[node] + 1
        text = self._token_text(token)
        line = text if self.has_text[node] else text.lstrip()
        self.has_text[child] = self.has_text[node] or bool(line)
        # Where the answer is the first non-empty line, a newline after text ends it.
        ends_line = self.answer_rule.ends_at_line_break and self.has_text[child] and "\n" in line
        self.is_final[child] = ends_line or token in self._stop_token_ids or self._has_stop(child)
        return child

    def _has_stop(self, node: int) -> bool:
        stops = self.answer_rule.stops
        if not stops:
            return False
        text = self.completion(node)[1]  # a stop may have begun in an earlier token
        return any(stop in text for stop in stops)

    def _token_text(self, token: int) -> str:
        if token not in self._token_texts:
            self._token_texts[token] = self._detokenize([token])
        return self._token_texts[token]

    def _grow(self) -> None:
        for name in ("parents", "tokens", "depths", "num_computed", "has_text", "is_final"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
