"""The token trie: every distinct continuation of one prompt, once."""

import numpy as np
from numpy.typing import NDArray

from hcl_core.answer_rules import FIRST_LINE, AnswerRule
from hcl_core.decode.model.token_texts import TokenTexts

IntArray = NDArray[np.int64]

ROOT = 0
# Bits of a token id in a key of node and token.
_TOKEN_BITS = 32
Completion = tuple[tuple[int, ...], str]  # token ids and their text


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
        texts: Of the vocabulary's tokens.
        stop_token_ids: Tokens that end a text.
        answer_rule: How an answer ends, and where it stands.
    """

    def __init__(
        self,
        texts: TokenTexts,
        stop_token_ids: frozenset[int],
        answer_rule: AnswerRule = FIRST_LINE,
    ) -> None:
        self.answer_rule = answer_rule
        self._texts, self._stop_token_ids = texts, np.array(sorted(stop_token_ids), dtype=np.int64)
        # Node and token in one number, ascending, up to a number that no child has; and the child of each.
        self._keys: IntArray = np.array([np.iinfo(np.int64).max], dtype=np.int64)
        self._children: IntArray = np.array([-1], dtype=np.int64)
        self._completions: dict[int, Completion] = {}
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
        keys: IntArray
        keys, inverse = np.unique(nodes << _TOKEN_BITS | tokens, return_inverse=True)
        places = np.searchsorted(self._keys, keys)
        children: IntArray = self._children[places]
        is_new = self._keys[places] != keys
        if is_new.any():
            children[is_new] = added = self._add(keys[is_new])
            self._keys = np.insert(self._keys, places[is_new], keys[is_new])
            self._children = np.insert(self._children, places[is_new], added)
        return children[inverse]

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

    def completions(self, nodes: IntArray) -> list[Completion]:
        """Token ids from the prompt to each of ``nodes [n]``, and their text."""
        known = self._completions
        if len(missing := np.array([node for node in nodes.tolist() if node not in known])):
            rows = self.tokens[self.padded_paths(missing)].tolist()
            for node, depth, row in zip(missing.tolist(), self.depths[missing].tolist(), rows, strict=True):
                token_ids = row[len(row) - depth :]
                known[node] = tuple(token_ids), self._texts.detokenize(token_ids)
        return [known[node] for node in nodes.tolist()]

    def _add(self, keys: IntArray) -> IntArray:
        """New nodes for ``keys [n]``, none of which has one: ``[n]``."""
        added = np.arange(self._size, self._size + len(keys))
        self._size += len(keys)
        while self._size > len(self.parents):
            self._grow()
        nodes, tokens = keys >> _TOKEN_BITS, keys & ((1 << _TOKEN_BITS) - 1)
        self.parents[added], self.tokens[added], self.depths[added] = nodes, tokens, self.depths[nodes] + 1
        follows_text, (has_text, breaks, breaks_after_text) = self.has_text[nodes], self._texts.traits(tokens)
        self.has_text[added] = follows_text | has_text
        is_final = np.isin(tokens, self._stop_token_ids)
        if self.answer_rule.ends_at_line_break:  # where the answer is the first non-empty line
            is_final |= np.where(follows_text, breaks, breaks_after_text)
        if self.answer_rule.stops:  # one may have begun in an earlier token
            is_final |= [any(stop in text for stop in self.answer_rule.stops) for _, text in self.completions(added)]
        self.is_final[added] = is_final
        return added

    def _grow(self) -> None:
        for name in ("parents", "tokens", "depths", "num_computed", "has_text", "is_final"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
