"""One prompt's tree: the texts that follow it, and the keys, values and hidden states computed for them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.trie.kv_pool import GrowingRows, TreeKv
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.slot_pool import PooledKv
from hcl_core.decode.trie.token_trie import ROOT, IntArray
from hcl_core.models.footprint import sample_bytes


def node_bytes(lm: LanguageModel) -> int:
    """The most bytes of a node that runs every block and has three states stored."""
    return sample_bytes(lm.shape, lm.dtype.itemsize, 1, lm.num_hidden_layers) + 2 * lm.hidden_size * lm.dtype.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Growth:
    """What has to be computed in one tree.

    Attributes:
        nodes: ``[n]``; those that will have run more blocks come first, and ancestors before the nodes that attend to
            their keys.
        starts: ``[n]`` blocks that each has run before.
        stops: ``[n]`` blocks that each will have run.
        stored_rows: ``[m]`` a row of ``nodes`` for each hidden state that will be stored.
        stored_layers: ``[m]`` blocks after which it is stored.
        paths: ``[n, t]`` from the first token to each node, padded on the left.
        padding: ``[n]`` columns of ``paths`` that are padding.
    """

    nodes: IntArray
    starts: IntArray
    stops: IntArray
    stored_rows: IntArray
    stored_layers: IntArray
    paths: IntArray
    padding: IntArray


class PromptTree:
    """The texts that follow one prompt. A node's hidden state at a layer is the whole model's, whoever asks for it.

    Attributes:
        prompt: Its keys, values and last states.
        trie: The texts, as nodes; its ``num_computed`` says how many blocks each has run.
        kv: Keys and values of the nodes: the tree's own, or its part of a pool.
        latest: What the reference engine keeps of the texts that ran last.
        blocks_run: Blocks run so far, each node's once; the prompt's are not counted.

    Args:
        prompt: See above.
    """

    def __init__(self, prompt: PromptCache) -> None:
        self.prompt, self.blocks_run = prompt, 0
        self.kv = TreeKv(prompt.layers) if prompt.slots is None else PooledKv(prompt.slots)
        self.clear()

    def clear(self) -> None:
        """Drop all nodes. As noise belongs to the sample, later answers are the same without them."""
        lm = self.prompt.lm
        self.trie = self.prompt.new_trie()
        self.trie.num_computed[ROOT] = lm.num_hidden_layers
        self.kv.clear()
        self.latest: Any = None
        # A node's state after the last block that it has run is always stored, so that it can go on from there.
        self._states = GrowingRows(lm.hidden_size, lm.dtype, lm.readout_device)
        self._states.append(self.prompt.last_states)
        # Row of each stored state, by node and exit layer; -1 where there is none.
        self._state_rows = np.full((256, lm.num_hidden_layers + 1), -1, dtype=np.int32)
        self._state_rows[ROOT, 1:] = np.arange(lm.num_hidden_layers)
        # Nodes that grew last, ascending, and their paths: those that grow next are usually their children.
        self._grown: tuple[IntArray, IntArray] = np.array([ROOT]), np.empty((1, 0), dtype=np.int64)

    @property
    def num_bytes(self) -> int:
        """Bytes in use for nodes."""
        kept = self.latest.num_bytes if self.latest is not None else 0
        return self.kv.num_bytes + self._states.num_bytes + self._state_rows.nbytes + kept

    def reserve_for(self, exit_layers: IntArray, num_nodes: int, num_states: int = 1) -> None:
        """Prepare for samples at ``exit_layers [s]``, each of at most ``num_nodes`` nodes of ``num_states`` states."""
        self._states.reserve_for(num_states * num_nodes * len(exit_layers))
        self.kv.reserve_for(exit_layers, num_nodes)

    def children(self, nodes: IntArray, tokens: IntArray) -> IntArray:
        """Children of ``nodes [s]`` by ``tokens [s]``, made where missing: ``[s]``."""
        children = self.trie.children(nodes, tokens)
        if (missing := len(self.trie) - len(self._state_rows)) > 0:
            grown = np.full((max(missing, len(self._state_rows)), self._state_rows.shape[1]), -1, dtype=np.int32)
            self._state_rows = np.concatenate([self._state_rows, grown])
        return children

    def states(self, nodes: IntArray, exit_layers: IntArray) -> Tensor:
        """Stored hidden states ``[k, hidden_size]``."""
        rows = torch.from_numpy(self._state_rows[nodes, exit_layers]).to(self.prompt.lm.readout_device)
        return self._states.gather(rows)

    def store(self, nodes: IntArray, exit_layers: IntArray, states: Tensor) -> None:
        """Keep ``states [k, hidden_size]`` of ``nodes [k]`` after ``exit_layers [k]`` blocks."""
        start = self._states.append(states)
        self._state_rows[nodes, exit_layers] = np.arange(start, start + len(nodes))

    def has_states(self, nodes: IntArray, exit_layers: IntArray) -> NDArray[np.bool_]:
        """Which of the states of ``nodes [m]`` after ``exit_layers [m]`` blocks are stored: ``[m]``."""
        has: NDArray[np.bool_] = self._state_rows[nodes, exit_layers] >= 0
        return has

    def growth(self, nodes: IntArray, exit_layers: IntArray) -> Growth | None:
        """What is missing for the states of ``nodes [m]`` after ``exit_layers [m]`` blocks; ``None`` if nothing is."""
        missing = ~self.has_states(nodes, exit_layers)
        if not missing.any():
            return None
        nodes, exit_layers = nodes[missing], exit_layers[missing]
        rows, stops = self._stops(nodes, exit_layers)
        starts = self.trie.num_computed[rows]
        asked = np.searchsorted(rows, nodes)
        shallowest = np.full(len(rows), self.prompt.lm.num_hidden_layers)
        np.minimum.at(shallowest, asked, exit_layers)
        # A node that ran deeper, without the state that is asked for now, starts anew.
        starts = np.where(shallowest > starts, starts, 0)
        stored = np.zeros((len(rows), self.prompt.lm.num_hidden_layers + 1), dtype=bool)
        stored[asked, exit_layers] = True
        stored[np.arange(len(rows)), stops] |= self._state_rows[rows, stops] < 0
        depths = self.trie.depths[rows]
        padding = depths.max() - depths
        paths = self.trie.padded_paths(rows) if padding.any() else self._paths(rows, int(depths[0]))
        # An ancestor that has to run stops no earlier than what needs its keys, so it stays in front of that.
        order = np.argsort(-stops, kind="stable")
        stored_rows, stored_layers = np.nonzero(stored[order])
        return Growth(
            rows[order], starts[order], stops[order], stored_rows, stored_layers, paths[order], padding[order]
        )

    def _paths(self, nodes: IntArray, num_tokens: int) -> IntArray:
        """``trie.paths`` of ascending nodes, from those of their parents where these grew last."""
        last, last_paths = self._grown
        parents = self.trie.parents[nodes]
        rows = np.searchsorted(last, parents).clip(max=len(last) - 1)
        if num_tokens == last_paths.shape[1] + 1 and (last[rows] == parents).all():
            paths = np.concatenate([last_paths[rows], nodes[:, None]], axis=1)
        else:
            paths = self.trie.paths(nodes, num_tokens)
        self._grown = nodes, paths
        return paths

    def _stops(self, nodes: IntArray, exit_layers: IntArray) -> tuple[IntArray, IntArray]:
        """Nodes ``[n]`` that have to run, and to how many blocks; ancestors run as many, for their keys."""
        computed, parents = self.trie.num_computed, self.trie.parents
        asked, row_of_node = np.unique(nodes, return_inverse=True)
        deepest = np.zeros(len(asked), dtype=np.int64)
        np.maximum.at(deepest, row_of_node, exit_layers)
        if (computed[parents[asked]] >= deepest).all():  # the usual step
            return asked, deepest
        stops = np.zeros(len(self.trie), dtype=np.int64)  # by node number; 0 where nothing is to do
        stops[asked] = deepest
        while len(asked):
            above = parents[asked]
            lacking = np.maximum(computed[above], stops[above]) < stops[asked]
            np.maximum.at(stops, above[lacking], stops[asked[lacking]])
            asked = np.unique(above[lacking])
        rows = np.flatnonzero(stops)
        return rows, stops[rows]
