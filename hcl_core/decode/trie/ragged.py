"""One prompt's trie for nodes at different text positions and depths.

Like ``session.PromptSession``, for drafts that are verified later, and for tokens that exited early and whose remaining
blocks run once a later token attends to them. A node's hidden state at a layer is the whole model's, whichever step
computes it.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.finite import check_rows
from hcl_core.decode.trie.kv_pool import GrowingRows, LayerKv
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.token_trie import ROOT, IntArray
from hcl_core.models.footprint import sample_bytes


def max_samples(lm: CausalLM, memory_budget: int, num_nodes: int, num_bytes: int = 0) -> int:
    """How many samples surely fit into ``memory_budget`` bytes together, at least one.

    Args:
        lm: The model.
        memory_budget: Bytes for everything that grows with the samples.
        num_nodes: The most that one sample can add; each runs every block and has three states stored.
        num_bytes: What a sample takes in addition to its nodes.
    """
    node = sample_bytes(lm.shape, lm.dtype.itemsize, 1, lm.num_hidden_layers) + 2 * lm.hidden_size * lm.dtype.itemsize
    return max(1, memory_budget // (num_nodes * node + num_bytes))


class RaggedTrie:
    """Keys, values and hidden states of the texts that follow one prompt.

    Attributes:
        trie: The texts, as nodes; its ``num_computed`` says how many blocks each has run.
        blocks_run: Blocks run so far, each node's once; the prompt's are not counted.
        num_hidden_layers: Deepest exit layer.

    Args:
        prompt: The prompt's keys, values and last states.
        head: How early layers are read.
        num_nodes: The most that will be added.
    """

    def __init__(self, prompt: PromptCache, head: ExitHead, num_nodes: int) -> None:
        lm = prompt.lm
        self._prompt, self._lm, self._head = prompt, lm, head
        self.trie = prompt.new_trie()
        self.trie.num_computed[ROOT] = lm.num_hidden_layers
        self.blocks_run, self.num_hidden_layers = 0, lm.num_hidden_layers
        self._layers = [LayerKv(kv) for kv in prompt.layers]
        for kv in self._layers:
            kv.reserve_for(num_nodes)
        self._logits = lm.logits_buffer(lm.readout_rows())
        # The state of each node after the last block that it has run, by node number; the root needs none.
        self._latest = torch.empty(256, lm.hidden_size, dtype=lm.dtype, device=lm.readout_device)
        # States stored for readouts, by (node, exit layer).
        self._states = GrowingRows(lm.hidden_size, lm.dtype, lm.readout_device)
        self._state_rows = {(ROOT, exit_layer): exit_layer - 1 for exit_layer in range(1, lm.num_hidden_layers + 1)}
        self._states.reserve_for(lm.num_hidden_layers + 2 * num_nodes)
        self._states.append(prompt.last_states)

    def children(self, nodes: IntArray, tokens: IntArray) -> IntArray:
        """Children of ``nodes [s]`` by ``tokens [s]``, made where missing: ``[s]``."""
        children = self.trie.children(nodes, tokens)
        if len(self.trie) > len(self._latest):
            grown = self._latest.new_empty(len(self.trie.parents), self._latest.shape[1])
            self._latest = torch.cat([self._latest, grown])
        return children

    def compute(self, nodes: IntArray, exit_layer: int) -> None:
        """Run ``nodes`` to ``exit_layer`` and store their states there; those stored already are left alone.

        A node that ran deeper without its state at ``exit_layer`` being stored starts again from block 0.
        """
        missing = [node for node in np.unique(nodes).tolist() if (node, exit_layer) not in self._state_rows]
        if not missing:
            return
        new = np.array(missing, dtype=np.int64)
        self.trie.num_computed[new[self.trie.num_computed[new] > exit_layer]] = 0
        self._advance(new, exit_layer)
        start = self._states.append(self._latest[torch.from_numpy(new)])
        self._state_rows |= {(node, exit_layer): row for row, node in enumerate(missing, start)}

    def _advance(self, nodes: IntArray, stop: int) -> None:
        """Run ``nodes`` and all their ancestors to ``stop`` blocks; blocks that have run are not run again."""
        family = self.trie.with_ancestors(nodes)
        computed = self.trie.num_computed
        for layer in range(int(computed[family].min(initial=stop)), stop):
            waiting = family[computed[family] == layer]
            if not len(waiting):
                continue
            # Ancestors run before the nodes that attend to their keys: their numbers are lower.
            chunk = self._prompt.rows_per_chunk(int(self.trie.depths[waiting].max()))
            for start in range(0, len(waiting), chunk):
                self._run_block(waiting[start : start + chunk], layer)

    def _run_block(self, nodes: IntArray, layer: int) -> None:
        """Run block ``layer`` on ``nodes [n]``, each of which has run exactly the blocks below it."""
        lm, trie = self._lm, self.trie
        device = lm.layer_devices[layer]
        rows = torch.from_numpy(nodes)
        hidden = lm.embed(torch.from_numpy(trie.tokens[nodes])) if layer == 0 else self._latest[rows]
        depths = trie.depths[nodes]
        paths = torch.from_numpy(trie.padded_paths(nodes)).to(device)
        padding = torch.from_numpy(depths.max() - depths).to(device) if depths.min() < depths.max() else None
        rotary = lm.rotary(torch.from_numpy(self._prompt.num_tokens + depths - 1))
        self._layers[layer].grow_index(len(trie))
        attend = partial(self._layers[layer].attend, paths=paths, padding=padding)
        self._latest[rows] = lm.block(layer, hidden.to(device), rotary, attend).to(lm.readout_device)
        trie.num_computed[nodes] = layer + 1
        self.blocks_run += len(nodes)

    def logits(self, nodes: IntArray, exit_layer: int) -> Tensor:
        """Read out states that ``compute`` has stored: ``[n, vocab_size]`` float32, a new tensor.

        Raises:
            NotFiniteError: A logit is infinite or undefined.
        """
        lm = self._lm
        rows = torch.tensor([self._state_rows[node, exit_layer] for node in nodes.tolist()])
        logits = torch.empty(len(nodes), lm.vocab_size, device=lm.readout_device)
        for begin in range(0, len(nodes), len(self._logits)):
            part = rows[begin : begin + len(self._logits)].to(lm.readout_device)
            states = self._head.translate(self._states.gather(part), np.full(len(part), exit_layer))
            logits[begin : begin + len(part)] = lm.unembed(lm.final_norm(states), out=self._logits)
        check_rows(lm, logits, np.full(len(nodes), exit_layer))
        return logits
