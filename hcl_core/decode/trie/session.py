"""One prompt's trie at work: its keys, values and hidden states, and the step that moves samples along it.

A step runs the decoder blocks on the distinct prefixes (trie nodes) that samples stand on, deepest first,
reads them out at each exit that some sample wants, draws tokens, and moves every sample to a child node.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.linear import MIN_ROWS
from hcl_core.decode.trie.kv_pool import GrowingRows, empty_layers, prefill
from hcl_core.decode.trie.sampling import draw_tokens, sample_uniforms
from hcl_core.decode.trie.token_trie import ROOT, IntArray, TokenTrie
from hcl_core.models.footprint import SCRATCH_BYTES, sample_bytes
from hcl_core.ports import DecodeProgress
from hcl_core.records import Sample, SampleKey, SamplingSettings

Key = tuple[int, int]  # (exit_layer, sample_idx)


class Running:
    """The samples that still run, one row each.

    Args:
        keys: Of the samples.
        question_id: Part of their noise.
        settings: How many tokens each may have, and the seed.
        uniforms_per_token: Numbers that each token of a sample may use.
    """

    def __init__(
        self, keys: Sequence[Key], question_id: str, settings: SamplingSettings, uniforms_per_token: int = 1
    ) -> None:
        steps = settings.max_new_tokens
        self.exit_layers: IntArray = np.array([exit_layer for exit_layer, _ in keys], dtype=np.int64)
        self.sample_idxs: IntArray = np.array([sample_idx for _, sample_idx in keys], dtype=np.int64)
        self.nodes: IntArray = np.full(len(keys), ROOT, dtype=np.int64)
        num_uniforms = steps * uniforms_per_token
        self.uniforms = np.stack([sample_uniforms(settings.seed, question_id, *key, num_uniforms) for key in keys])
        self.logprobs = np.empty((len(keys), steps))

    def __len__(self) -> int:
        return len(self.nodes)

    def keep(self, alive: NDArray[np.bool_]) -> None:
        """Drop the samples that ended."""
        for column, values in vars(self).items():
            setattr(self, column, values[alive])


class PromptSession:
    """Everything computed for one prompt, kept from wave to wave.

    Args:
        lm: The model.
        exit_head: How early layers are read.
        settings: How tokens are drawn.
        question_id: Part of the samples' noise and keys.
        prompt_token_ids: The prompt; run once, at full depth, here.
    """

    def __init__(
        self,
        lm: CausalLM,
        exit_head: ExitHead,
        settings: SamplingSettings,
        question_id: str,
        prompt_token_ids: list[int],
    ) -> None:
        self._lm, self._head, self._settings, self._question_id = lm, exit_head, settings, question_id
        self._num_prompt_tokens = len(prompt_token_ids)
        self._token_texts: dict[int, str] = {}
        self._layers = empty_layers(lm)
        # One buffer for all steps: fresh pages for every step would cost more than filling them.
        readout_rows = max(MIN_ROWS, SCRATCH_BYTES // (4 * lm.vocab_size))
        self._logits = lm.logits_buffer(readout_rows)
        self._prompt_states = prefill(lm, self._layers, prompt_token_ids)
        self._forget()

    def _forget(self) -> None:
        """Start an empty trie; the prompt's own keys and values stay."""
        lm = self._lm
        self._trie = TokenTrie(self._token_text, lm.stop_token_ids)
        self._completions: dict[int, tuple[tuple[int, ...], str]] = {}
        for kv in self._layers:
            kv.clear()
        # States by (node, exit layer). A node has run just as deep as its deepest stored state.
        self._states = GrowingRows(lm.hidden_size, lm.dtype, lm.readout_device)
        self._states.append(self._prompt_states)
        self._state_rows = {(ROOT, exit_layer): exit_layer - 1 for exit_layer in range(1, lm.num_hidden_layers + 1)}

    # Memory: what a wave may add is counted before it runs.

    def plan(self, keys: Sequence[Key], memory_budget: int) -> tuple[list[Key], list[Key]]:
        """Split ``keys`` into those that surely fit into ``memory_budget`` bytes now, at least one, and the rest.

        Where not even the first would fit beside the trie, the trie is forgotten: its samples are done, and
        noise that belongs to the sample makes later answers the same without it.
        """
        left = memory_budget - self._bytes_held()
        if left < self._bytes_at_most(keys[0][0]):
            self._forget()
            left = memory_budget - self._bytes_held()
        needed = np.cumsum([self._bytes_at_most(exit_layer) for exit_layer, _ in keys])
        count = max(1, int(np.searchsorted(needed, left, side="right")))
        return list(keys[:count]), list(keys[count:])

    def _bytes_held(self) -> int:
        return sum(kv.num_bytes for kv in self._layers) + self._states.num_bytes

    def _bytes_at_most(self, exit_layer: int) -> int:
        lm = self._lm
        return sample_bytes(lm.shape, lm.dtype.itemsize, self._settings.max_new_tokens, exit_layer)

    def _expect(self, exit_layers: IntArray) -> None:
        """Tell the pools how many rows the planned samples can add."""
        steps = self._settings.max_new_tokens
        self._states.expect(steps * len(exit_layers))
        for layer, kv in enumerate(self._layers):
            kv.expect(steps * int((exit_layers > layer).sum()))

    def _rows_per_chunk(self, step: int) -> int:
        """Nodes whose activations fit into the scratch memory."""
        lm = self._lm
        activations = 3 * lm.intermediate_size + 6 * lm.hidden_size + 2 * step * lm.num_key_value_heads * lm.head_dim
        scores = 3 * lm.num_heads * (self._num_prompt_tokens + step)
        return max(MIN_ROWS, SCRATCH_BYTES // (4 * (activations + scores)))

    # Decoding.

    def run(self, keys: Sequence[Key], num_waiting: int) -> Iterator[DecodeProgress]:
        """Decode the samples ``keys`` to their ends, reporting each step; ``num_waiting`` more follow in this wave."""
        running = Running(keys, self._question_id, self._settings)
        self._expect(running.exit_layers)
        for step in range(self._settings.max_new_tokens):
            self._step(running, step)
            is_last = step + 1 == self._settings.max_new_tokens
            ended = self._trie.is_final[running.nodes] | is_last
            finished = tuple(self._sample(running, row, step + 1) for row in np.flatnonzero(ended).tolist())
            running.keep(~ended)
            num_running = len(running) + num_waiting
            yield DecodeProgress(finished, num_running, len(self._trie), wave_done=num_running == 0)
            if not len(running):
                return

    def _step(self, running: Running, step: int) -> None:
        """Move every running sample one token on."""
        # By exit layer first, so that an exit head meets each layer's readouts together.
        by_layer, sample_readouts = np.unique(
            np.stack([running.exit_layers, running.nodes]), axis=1, return_inverse=True
        )  # [2, m]; [s]
        readouts = by_layer[::-1]  # [2, m] node and exit layer
        self._compute_missing(readouts, step)
        tokens, running.logprobs[:, step] = self._draw(readouts, sample_readouts.reshape(-1), running.uniforms[:, step])
        running.nodes = self._trie.children(running.nodes, tokens)

    def _compute_missing(self, readouts: IntArray, step: int) -> None:
        """Run the blocks for those of ``readouts [2, m]`` that no wave has run yet."""
        missing = np.array([pair not in self._state_rows for pair in zip(*readouts.tolist(), strict=True)])
        if not missing.any():
            return
        exit_layers = readouts[1, missing]
        nodes, which = np.unique(readouts[0, missing], return_inverse=True)
        depths, shallowest = np.zeros_like(nodes), np.full_like(nodes, self._lm.num_hidden_layers)
        np.maximum.at(depths, which, exit_layers)
        np.minimum.at(shallowest, which, exit_layers)
        # A node that an earlier wave ran goes on from there, unless an exit above that is wanted now.
        computed = self._trie.num_computed[nodes]
        starts = np.where(shallowest > computed, computed, 0)
        order = np.argsort(-depths, kind="stable")
        places = np.argsort(order)[which]  # position of each readout's node in that order
        for kv in self._layers:
            kv.reserve(len(self._trie))
        chunk = self._rows_per_chunk(step)
        for begin in range(0, len(nodes), chunk):
            part = order[begin : begin + chunk]
            inside = (places >= begin) & (places < begin + chunk)
            wanted = np.stack([places[inside] - begin, exit_layers[inside]])
            self._run_blocks(nodes[part], starts[part], depths[part], wanted, step)

    def _run_blocks(self, nodes: IntArray, starts: IntArray, depths: IntArray, wanted: IntArray, step: int) -> None:
        """Run ``nodes [n]``, deepest first, from ``starts [n]`` to ``depths [n]`` blocks.

        ``wanted [2, m]`` (position in ``nodes``, exit layer) says which hidden states to keep.
        """
        lm = self._lm
        layers = range(int(starts.min()), int(depths[0]))
        num_alive = np.searchsorted(-depths, -np.array(layers))  # nodes that go below each layer
        moving = [np.flatnonzero(starts[:count] <= layer) for layer, count in zip(layers, num_alive, strict=True)]
        kept = [wanted[0, wanted[1] == layer + 1] for layer in layers]
        # All that the layers need is sent ahead: in the loop, the host waits for nothing (a GPU would stand idle).
        hidden = self._starting_states(nodes, starts)  # [n, hidden_size]
        rotary = lm.rotary(torch.tensor([self._num_prompt_tokens + step - 1]))
        paths = torch.from_numpy(self._trie.paths(nodes, step)).to(hidden.device)  # [n, step]
        moving_rows, kept_rows = self._send_ahead(moving, layers), self._send_ahead(kept, layers)
        for place, layer in enumerate(layers):
            device, count = lm.layer_devices[layer], int(num_alive[place])
            hidden, paths = hidden[:count].to(device), paths[:count].to(device)
            if len(moving[place]) == count:
                hidden = lm.block(layer, hidden, rotary, partial(self._layers[layer].attend, paths=paths))
            elif len(moving[place]):
                rows = moving_rows[place]
                attend = partial(self._layers[layer].attend, paths=paths[rows])
                hidden = hidden.index_copy(0, rows, lm.block(layer, hidden[rows], rotary, attend))
            if len(kept[place]):
                start = self._states.append(hidden[kept_rows[place]].to(lm.readout_device))
                for row, node in enumerate(nodes[kept[place]].tolist(), start):
                    self._state_rows[node, layer + 1] = row
        self._trie.num_computed[nodes] = np.maximum(self._trie.num_computed[nodes], depths)

    def _send_ahead(self, by_layer: Sequence[IntArray], layers: Sequence[int]) -> list[Tensor]:
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
        """Hidden state of each node where its computation begins or goes on: ``[n, hidden_size]``."""
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
        return tokens, logprobs

    # Text.

    def _token_text(self, token_id: int) -> str:
        text = self._token_texts.get(token_id)
        if text is None:
            text = self._token_texts[token_id] = self._lm.detokenize([token_id])
        return text

    def _sample(self, running: Running, row: int, num_tokens: int) -> Sample:
        node = int(running.nodes[row])
        if node not in self._completions:
            path = self._trie.paths(running.nodes[row : row + 1], num_tokens)[0]
            token_ids = tuple(self._trie.tokens[path].tolist())
            self._completions[node] = token_ids, self._lm.detokenize(list(token_ids))
        token_ids, text = self._completions[node]
        key = SampleKey(self._question_id, int(running.exit_layers[row]), int(running.sample_idxs[row]))
        logprobs = running.logprobs[row, :num_tokens].tolist()
        return Sample.of_completion(key, text, token_ids, logprobs, bool(self._trie.is_final[node]))
