"""One prompt's trie where nodes of any depth run together, each from the block that it has reached.

What ``session`` does for samples that all stand at one step, for those that do not: a draft that is verified, a token
that left early and whose later blocks a later token needs. A hidden state is what the whole model would have there,
whoever asks for it and when.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.linear import MIN_ROWS
from hcl_core.decode.trie.kv_pool import GrowingRows, empty_layers, prefill
from hcl_core.decode.trie.session import Running
from hcl_core.decode.trie.token_trie import ROOT, IntArray, TokenTrie
from hcl_core.models.footprint import sample_bytes
from hcl_core.records import Sample, SampleKey

# Rows of logits at a time.
_LOGITS_BYTES = 64 * 2**20


def samples_at_once(lm: CausalLM, memory_budget: int, num_nodes: int, num_bytes: int = 0) -> int:
    """How many samples surely fit into ``memory_budget`` bytes together, at least one.

    Args:
        lm: The model.
        memory_budget: Bytes for everything that grows with the samples.
        num_nodes: The most that one sample can add; each runs through every block and keeps three states.
        num_bytes: What a sample takes beside its nodes.
    """
    node = sample_bytes(lm.shape, lm.dtype.itemsize, 1, lm.num_hidden_layers) + 2 * lm.hidden_size * lm.dtype.itemsize
    return max(1, memory_budget // (num_nodes * node + num_bytes))


class RaggedTrie:
    """Keys, values and hidden states of a prompt and of the texts that follow it.

    Attributes:
        trie: The texts, as nodes; its ``num_computed`` says how many blocks each has run.
        blocks_run: Blocks run so far, each node's once; the prompt's are not counted.

    Args:
        lm: The model.
        head: How early layers are read.
        prompt_token_ids: The prompt; run once, at full depth, here.
        num_nodes: The most that will be added.
    """

    def __init__(self, lm: CausalLM, head: ExitHead, prompt_token_ids: list[int], num_nodes: int) -> None:
        self._lm, self._head = lm, head
        self._num_prompt_tokens = len(prompt_token_ids)
        self.trie = TokenTrie(lambda token_id: lm.detokenize([token_id]), lm.stop_token_ids)
        self._depths: IntArray = np.zeros(256, dtype=np.int64)
        self.blocks_run = 0
        self._layers = empty_layers(lm)
        for kv in self._layers:
            kv.expect(num_nodes)
        rows = max(MIN_ROWS, _LOGITS_BYTES // (4 * lm.vocab_size))
        self._logits = lm.logits_buffer(rows)
        # The state that each node goes on from, by node; the root's is its last.
        self._latest = torch.empty(256, lm.hidden_size, dtype=lm.dtype, device=lm.readout_device)
        # States kept to be read out, by (node, exit layer).
        self._kept = GrowingRows(lm.hidden_size, lm.dtype, lm.readout_device)
        self._kept_rows = {(ROOT, exit_layer): exit_layer - 1 for exit_layer in range(1, lm.num_hidden_layers + 1)}
        self._kept.expect(lm.num_hidden_layers + 2 * num_nodes)
        self._kept.append(prefill(lm, self._layers, prompt_token_ids))
        self.trie.num_computed[ROOT] = lm.num_hidden_layers

    def children(self, nodes: IntArray, tokens: IntArray) -> IntArray:
        """Children of ``nodes [s]`` by ``tokens [s]``, made where missing: ``[s]``."""
        found = self.trie.children(nodes, tokens)
        if len(self.trie) > len(self._depths):
            self._depths = np.concatenate([self._depths, np.zeros(len(self.trie.parents), dtype=np.int64)])
            self._latest = torch.cat(
                [self._latest, self._latest.new_empty(len(self.trie.parents), self._latest.shape[1])]
            )
        self._depths[found] = self._depths[nodes] + 1
        return found

    def advance(self, nodes: IntArray, stop: int) -> None:
        """Run ``nodes`` and all before them to ``stop`` blocks; blocks that have run are not run again."""
        family = self._with_ancestors(nodes)
        reached = self.trie.num_computed
        for layer in range(int(reached[family].min(initial=stop)), stop):
            if len(waiting := family[reached[family] == layer]):
                self._run_block(waiting, layer)

    def _with_ancestors(self, nodes: IntArray) -> IntArray:
        """``nodes`` and every node on the way to them, without the root, ascending."""
        family, at = [nodes], nodes
        while len(at := np.unique(self.trie.parents[at[at != ROOT]])):
            family.append(at)
        found = np.unique(np.concatenate(family))
        return found[found != ROOT]

    def _run_block(self, nodes: IntArray, layer: int) -> None:
        """Run one block on ``nodes [n]``, all of which stand before it."""
        lm = self._lm
        device = lm.layer_devices[layer]
        where = torch.from_numpy(nodes)
        hidden = lm.embed(torch.from_numpy(self.trie.tokens[nodes])) if layer == 0 else self._latest[where]
        lengths = self._depths[nodes]
        paths = torch.from_numpy(self.trie.padded_paths(nodes, lengths)).to(device)
        padding = torch.from_numpy(lengths.max() - lengths).to(device) if lengths.min() < lengths.max() else None
        rotary = lm.rotary(torch.from_numpy(self._num_prompt_tokens + lengths - 1))
        self._layers[layer].reserve(len(self.trie))
        attend = partial(self._layers[layer].attend, paths=paths, padding=padding)
        self._latest[where] = lm.block(layer, hidden.to(device), rotary, attend).to(lm.readout_device)
        self.trie.num_computed[nodes] = layer + 1
        self.blocks_run += len(nodes)

    def bring_to(self, nodes: IntArray, exit_layer: int) -> None:
        """Have the states of ``nodes`` at ``exit_layer`` kept; one that has gone past it unkept is run anew."""
        new = np.array([node for node in nodes.tolist() if (node, exit_layer) not in self._kept_rows], dtype=np.int64)
        if len(new):
            self.trie.num_computed[new[self.trie.num_computed[new] > exit_layer]] = 0
            self.advance(new, exit_layer)
            self.keep(new, exit_layer)

    def keep(self, nodes: IntArray, exit_layer: int) -> None:
        """Keep the states of those of ``nodes`` that stand at ``exit_layer`` now and are not kept yet."""
        new = [node for node in np.unique(nodes).tolist() if (node, exit_layer) not in self._kept_rows]
        if not new:
            return
        assert (self.trie.num_computed[new] == exit_layer).all()
        start = self._kept.append(self._latest[torch.tensor(new)])
        self._kept_rows |= {(node, exit_layer): row for row, node in enumerate(new, start)}

    def logits(self, nodes: IntArray, exit_layer: int) -> Tensor:
        """Read kept states out: ``[n, vocab_size]`` float32, its own tensor."""
        lm = self._lm
        rows = torch.tensor([self._kept_rows[node, exit_layer] for node in nodes.tolist()])
        read = torch.empty(len(nodes), lm.vocab_size, device=lm.readout_device)
        for begin in range(0, len(nodes), len(self._logits)):
            part = rows[begin : begin + len(self._logits)].to(lm.readout_device)
            states = self._head.translate(self._kept.gather(part), np.full(len(part), exit_layer))
            read[begin : begin + len(part)] = lm.unembed(lm.final_norm(states), out=self._logits)
        return read

    def sample(self, running: Running, row: int, question_id: str) -> Sample:
        """What the sample in a row of ``running`` has written down to its node."""
        node = running.nodes[row]
        path = self.trie.paths(np.array([node]), int(self._depths[node]))[0]
        token_ids = tuple(self.trie.tokens[path].tolist())
        key = SampleKey(question_id, int(running.exit_layers[row]), int(running.sample_idxs[row]))
        logprobs = running.logprobs[row, : len(token_ids)].tolist()
        text = self._lm.detokenize(list(token_ids))
        return Sample.of_completion(key, text, token_ids, logprobs, bool(self.trie.is_final[node]))

    def depth(self, nodes: IntArray) -> IntArray:
        """Tokens after the prompt: ``[n]``."""
        return self._depths[nodes]
