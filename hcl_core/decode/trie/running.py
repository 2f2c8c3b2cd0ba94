"""The samples of a wave while they are decoded."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hcl_core.decode.trie.sampling import sample_uniforms
from hcl_core.decode.trie.token_trie import ROOT, Completion, IntArray, TokenTrie
from hcl_core.records import Sample, SampleKey, SamplingSettings

LayerSample = tuple[int, int]  # (exit_layer, sample_idx)


class Running:
    """The samples that still run, one row each.

    Attributes:
        exit_layers: ``[s]``.
        sample_idxs: ``[s]``.
        nodes: ``[s]`` trie node of each sample's text so far.
        uniforms: ``[s, max_new_tokens]`` noise of each token; ``[s, max_new_tokens, uniforms_per_token]`` where a
            token uses several.
        logprobs: ``[s, max_new_tokens]`` log-probability of each token, filled as tokens are drawn.

    Args:
        samples: Their exit layers and numbers.
        question_id: Part of their noise and keys.
        settings: How many tokens each may have, and the seed.
        uniforms_per_token: Uniform numbers that one token of a sample uses at most.
    """

    def __init__(
        self,
        samples: Sequence[LayerSample],
        question_id: str,
        settings: SamplingSettings,
        uniforms_per_token: int = 1,
    ) -> None:
        steps = settings.max_new_tokens
        self._question_id = question_id
        self.exit_layers: IntArray = np.array([exit_layer for exit_layer, _ in samples], dtype=np.int64)
        self.sample_idxs: IntArray = np.array([sample_idx for _, sample_idx in samples], dtype=np.int64)
        self.nodes: IntArray = np.full(len(samples), ROOT, dtype=np.int64)
        count = steps * uniforms_per_token
        self.uniforms = np.stack([sample_uniforms(settings.seed, question_id, *each, count) for each in samples])
        if uniforms_per_token > 1:
            self.uniforms = self.uniforms.reshape(len(samples), steps, uniforms_per_token)
        self.logprobs = np.empty((len(samples), steps))

    def __len__(self) -> int:
        return len(self.nodes)

    def readouts(self) -> tuple[IntArray, IntArray, IntArray]:
        """Distinct pairs of node ``[m]`` and exit layer ``[m]`` to read, and the one of each sample, ``[s]``."""
        stride = int(self.exit_layers.max(initial=0)) + 1
        pairs, row_of_sample = np.unique(self.nodes * stride + self.exit_layers, return_inverse=True)
        nodes, exit_layers = np.divmod(pairs, stride)
        return nodes, exit_layers, row_of_sample

    def pop_finished(self, trie: TokenTrie) -> tuple[Sample, ...]:
        """Drop the samples whose text has ended or has its last token, and return them in order."""
        ended = trie.is_final[self.nodes] | (trie.depths[self.nodes] == self.logprobs.shape[1])
        if not ended.any():
            return ()
        rows = np.flatnonzero(ended)
        completions = trie.completions(self.nodes[rows])
        finished = tuple(self._sample(trie, *each) for each in zip(rows.tolist(), completions, strict=True))
        self._keep_rows(~ended)
        return finished

    def _sample(self, trie: TokenTrie, row: int, completion: Completion) -> Sample:
        token_ids, text = completion
        key = SampleKey(self._question_id, int(self.exit_layers[row]), int(self.sample_idxs[row]))
        logprobs = self.logprobs[row, : len(token_ids)].tolist()
        is_final = bool(trie.is_final[self.nodes[row]])
        return Sample.of_completion(key, text, token_ids, logprobs, rule=trie.answer_rule, is_final=is_final)

    def _keep_rows(self, mask: NDArray[np.bool_]) -> None:
        for name, column in vars(self).items():
            if isinstance(column, np.ndarray):
                setattr(self, name, column[mask])
