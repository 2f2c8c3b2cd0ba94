"""One prompt's trie in use: its keys, values and hidden states, and the step that moves samples along it.

A step runs the decoder blocks on the distinct prefixes (trie nodes) that samples stand on, deepest first, reads them
out at each exit layer of their samples, draws tokens, and moves every sample to a child node.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.model.finite import check_finite
from hcl_core.decode.trie.kv_pool import GrowingRows, LayerKv
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.running import LayerSample, Running
from hcl_core.decode.trie.sampling import draw_tokens
from hcl_core.decode.trie.token_trie import ROOT, IntArray
from hcl_core.models.footprint import sample_bytes
from hcl_core.ports import DecodeProgress
from hcl_core.records import SamplingSettings


class PromptSession:
    """Everything computed for one prompt, from wave to wave.

    Args:
        prompt: The prompt's keys, values and last states.
        exit_head: How early layers are read.
        settings: How tokens are drawn.
        question_id: Part of the samples' noise and keys.
    """

    def __init__(self, prompt: PromptCache, exit_head: ExitHead, settings: SamplingSettings, question_id: str) -> None:
        self._prompt, self._lm, self._head = prompt, prompt.lm, exit_head
        self._settings, self._question_id = settings, question_id
        self._layers = [LayerKv(kv) for kv in prompt.layers]
        # One buffer for all steps: newly mapped memory at every step would cost more than filling it.
        self._logits = self._lm.logits_buffer(self._lm.readout_rows())
        self._start_trie()

    def _start_trie(self) -> None:
        """Begin with an empty trie; keys, values and states of an earlier one are dropped."""
        lm = self._lm
        self._trie = self._prompt.new_trie()
        for kv in self._layers:
            kv.clear()
        # States by (node, exit layer). A node has run exactly as deep as its deepest stored state.
        self._states = GrowingRows(lm.hidden_size, lm.dtype, lm.readout_device)
        self._states.append(self._prompt.last_states)
        self._state_rows = {(ROOT, exit_layer): exit_layer - 1 for exit_layer in range(1, lm.num_hidden_layers + 1)}

    # Memory: what a wave may add is counted before it runs.

    def plan(
        self, samples: Sequence[LayerSample], memory_budget: int
    ) -> tuple[Sequence[LayerSample], Sequence[LayerSample]]:
        """Split ``samples`` into those that surely fit into ``memory_budget`` bytes now, at least one, and the rest.

        Where not even the first would fit beside the trie, a new trie is started. The samples on the old one have
        ended, and as noise belongs to the sample, later answers are the same without it.
        """
        left = memory_budget - self._bytes_in_use()
        if left < self._bytes_at_most(samples[0][0]):
            self._start_trie()
            left = memory_budget - self._bytes_in_use()
        needed = np.cumsum([self._bytes_at_most(exit_layer) for exit_layer, _ in samples])
        count = max(1, int(np.searchsorted(needed, left, side="right")))
        return samples[:count], samples[count:]

    def _bytes_in_use(self) -> int:
        return sum(kv.num_bytes for kv in self._layers) + self._states.num_bytes

    def _bytes_at_most(self, exit_layer: int) -> int:
        lm = self._lm
        return sample_bytes(lm.shape, lm.dtype.itemsize, self._settings.max_new_tokens, exit_layer)

    def _reserve_for(self, exit_layers: IntArray) -> None:
        """Prepare the pools for as many rows as samples at ``exit_layers [s]`` can add."""
        steps = self._settings.max_new_tokens
        self._states.reserve_for(steps * len(exit_layers))
        for layer, kv in enumerate(self._layers):
            kv.reserve_for(steps * int((exit_layers > layer).sum()))

    # Decoding.

    def run(self, samples: Sequence[LayerSample], num_waiting: int) -> Iterator[DecodeProgress]:
        """Decode ``samples`` to their ends, reporting each step; ``num_waiting`` more of the wave come later."""
        running = Running(samples, self._question_id, self._settings)
        self._reserve_for(running.exit_layers)
        for step in range(self._settings.max_new_tokens):
            self._step(running, step)
            finished = running.pop_finished(self._trie)
            num_running = len(running) + num_waiting
            yield DecodeProgress(finished, num_running, len(self._trie), wave_done=num_running == 0)
            if not len(running):
                return

    def _step(self, running: Running, step: int) -> None:
        """Move every running sample on by one token."""
        # By exit layer first, so that an exit head translates each layer's readouts together.
        by_layer, sample_readouts = np.unique(
            np.stack([running.exit_layers, running.nodes]), axis=1, return_inverse=True
        )  # [2, m]; [s]
        readouts = by_layer[::-1]  # [2, m] node and exit layer
        self._compute_missing(readouts, step)
        tokens, running.logprobs[:, step] = self._draw(readouts, sample_readouts.reshape(-1), running.uniforms[:, step])
        running.nodes = self._trie.children(running.nodes, tokens)

    def _compute_missing(self, readouts: IntArray, step: int) -> None:
        """Run the blocks for those of ``readouts [2, m]`` whose states are not stored yet."""
        missing = np.array([pair not in self._state_rows for pair in zip(*readouts.tolist(), strict=True)])
        if not missing.any():
            return
        exit_layers = readouts[1, missing]
        nodes, node_of_readout = np.unique(readouts[0, missing], return_inverse=True)
        depths, shallowest = np.zeros_like(nodes), np.full_like(nodes, self._lm.num_hidden_layers)
        np.maximum.at(depths, node_of_readout, exit_layers)
        np.minimum.at(shallowest, node_of_readout, exit_layers)
        # A node that an earlier wave computed goes on from there, unless a shallower exit layer is needed now.
        computed = self._trie.num_computed[nodes]
        starts = np.where(shallowest > computed, computed, 0)
        order = np.argsort(-depths, kind="stable")
        positions = np.argsort(order)[node_of_readout]  # position of each readout's node in that order
        for kv in self._layers:
            kv.grow_index(len(self._trie))
        chunk = self._prompt.rows_per_chunk(step)
        for begin in range(0, len(nodes), chunk):
            part = order[begin : begin + chunk]
            inside = (positions >= begin) & (positions < begin + chunk)
            to_store = np.stack([positions[inside] - begin, exit_layers[inside]])
            self._run_blocks(nodes[part], starts[part], depths[part], to_store, step)

    def _run_blocks(self, nodes: IntArray, starts: IntArray, depths: IntArray, to_store: IntArray, step: int) -> None:
        """Run ``nodes [n]``, deepest first, from ``starts [n]`` to ``depths [n]`` blocks.

        ``to_store [2, m]`` (position in ``nodes``, exit layer) says which hidden states to store.
        """
        lm = self._lm
        layers = range(int(starts.min()), int(depths[0]))
        num_alive = np.searchsorted(-depths, -np.array(layers))  # nodes that run each layer or a deeper one
        moving = [np.flatnonzero(starts[:count] <= layer) for layer, count in zip(layers, num_alive, strict=True)]
        storing = [to_store[0, to_store[1] == layer + 1] for layer in layers]
        # Upload all indices before the layer loop, so that it never synchronises with the GPU.
        hidden = self._starting_states(nodes, starts)  # [n, hidden_size]
        rotary = lm.rotary(torch.tensor([self._prompt.num_tokens + step - 1]))
        paths = torch.from_numpy(self._trie.paths(nodes, step)).to(hidden.device)  # [n, step]
        moving_rows, storing_rows = self._upload(moving, layers), self._upload(storing, layers)
        for index, layer in enumerate(layers):
            device, count = lm.layer_devices[layer], int(num_alive[index])
            hidden, paths = hidden[:count].to(device), paths[:count].to(device)
            if len(moving[index]) == count:
                hidden = lm.block(layer, hidden, rotary, partial(self._layers[layer].attend, paths=paths))
            elif len(moving[index]):
                rows = moving_rows[index]
                attend = partial(self._layers[layer].attend, paths=paths[rows])
                hidden = hidden.index_copy(0, rows, lm.block(layer, hidden[rows], rotary, attend))
            if len(storing[index]):
                start = self._states.append(hidden[storing_rows[index]].to(lm.readout_device))
                for row, node in enumerate(nodes[storing[index]].tolist(), start):
                    self._state_rows[node, layer + 1] = row
        self._trie.num_computed[nodes] = np.maximum(self._trie.num_computed[nodes], depths)

    def _upload(self, by_layer: Sequence[IntArray], layers: Sequence[int]) -> list[Tensor]:
        """Row numbers of each layer, on its device, in one transfer a device."""
        on_device = {
            device: torch.from_numpy(np.concatenate(by_layer)).to(device)
            for device in {self._lm.layer_devices[layer] for layer in layers}
        }
        stops = np.cumsum([len(rows) for rows in by_layer]).tolist()
        return [
            on_device[self._lm.layer_devices[layer]][stop - len(rows) : stop]
            for layer, rows, stop in zip(layers, by_layer, stops, strict=True)
        ]

    def _starting_states(self, nodes: IntArray, starts: IntArray) -> Tensor:
        """``[n, hidden_size]``: a node's embedding if it starts at block 0, else its stored state."""
        hidden = self._lm.embed(torch.from_numpy(self._trie.tokens[nodes]))
        resumed = np.flatnonzero(starts)
        if len(resumed):
            states = self._gather_states(nodes[resumed], starts[resumed]).to(hidden.device)
            hidden = hidden.index_copy(0, torch.from_numpy(resumed).to(hidden.device), states)
        return hidden

    def _gather_states(self, nodes: IntArray, exit_layers: IntArray) -> Tensor:
        """Stored hidden states ``[k, hidden_size]``."""
        rows = [self._state_rows[pair] for pair in zip(nodes.tolist(), exit_layers.tolist(), strict=True)]
        return self._states.gather(torch.tensor(rows, device=self._lm.readout_device))

    def _draw(
        self, readouts: IntArray, sample_readouts: IntArray, uniforms: NDArray[np.float64]
    ) -> tuple[IntArray, NDArray[np.float64]]:
        """Read out ``readouts [2, m]`` and draw for every sample from its own: tokens and log-probabilities ``[s]``."""
        lm, device = self._lm, self._lm.readout_device
        tokens = np.empty(len(sample_readouts), dtype=np.int64)
        logprobs = np.empty(len(sample_readouts))
        chunk = len(self._logits)
        for begin in range(0, readouts.shape[1], chunk):
            nodes, exit_layers = readouts[:, begin : begin + chunk]
            hidden = self._head.translate(self._gather_states(nodes, exit_layers), exit_layers)
            logits = lm.unembed(lm.final_norm(hidden), out=self._logits)
            drawing = np.flatnonzero((sample_readouts >= begin) & (sample_readouts < begin + chunk))
            drawn, drawn_logprobs = draw_tokens(
                logits,
                torch.from_numpy(sample_readouts[drawing] - begin).to(device),
                torch.from_numpy(uniforms[drawing]).to(device),
                self._settings,
            )
            # One transfer for both; float64 holds token ids exactly.
            tokens[drawing], logprobs[drawing] = torch.stack((drawn.double(), drawn_logprobs)).cpu().numpy()
            # Every row of logits is drawn from, and a log-probability contains the mass of its whole row.
            check_finite(lm, logprobs[drawing], readouts[1, sample_readouts[drawing]])
        return tokens, logprobs
