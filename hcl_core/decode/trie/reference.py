"""Prompts and trees of the reference engine: ``transformers``' own cache, a row for each text that is under way.

All texts of a step are one token longer than those before, so they go on with the rows of the step before, chosen and
repeated by their parents. Where that is not so, as when a wave begins on a tree that has nodes, their paths are run
again from the prompt's cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hcl_core.answer_rules import AnswerRule
from hcl_core.decode.model.linear import MIN_ROWS, pad_rows
from hcl_core.decode.model.reference_lm import ReferenceLM
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.token_trie import ROOT, IntArray
from hcl_core.decode.trie.tree import PromptTree
from hcl_core.models.footprint import row_scratch, scratch_bytes


class ReferencePrompt(PromptCache):
    """A prompt that was run once; ``cache`` is that of its one text.

    Args:
        lm: The model.
        token_ids: The prompt.
        answer_rule: How the answers to it end, and where they stand.
    """

    def __init__(self, lm: ReferenceLM, token_ids: Sequence[int], answer_rule: AnswerRule) -> None:
        states, self.cache = lm.run(torch.tensor([list(token_ids)]), lm.num_hidden_layers)
        last_states = torch.cat([state[:, -1].to(lm.readout_device) for state in states])
        super().__init__(lm, len(token_ids), [], last_states, answer_rule)
        self.reference = lm

    @property
    def text_bytes(self) -> int:
        """Bytes of the prompt that each text which follows it has for itself: a copy of its keys and values."""
        shape = self.lm.shape
        return self.num_tokens * shape.num_hidden_layers * shape.kv_numbers * self.lm.dtype.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Latest:
    """The texts that ran last in a tree, all of one length.

    Attributes:
        nodes: ``[n]`` of the texts, ascending.
        cache: Keys and values of at least ``n`` texts, as ``transformers`` keeps them.
        states: The states ``[n or more, hidden_size]`` of the last tokens after each block that has run.
        num_bytes: Of ``cache``, about.
    """

    nodes: IntArray
    cache: Any
    states: list[Tensor]
    num_bytes: int


def grow_reference(asked: Sequence[tuple[PromptTree, IntArray, IntArray]]) -> None:
    """Compute and store the states of nodes after their exit layers; see ``blocks.grow``."""
    for tree, nodes, exit_layers in asked:
        if tree.has_states(nodes, exit_layers).all():
            continue
        depth = int(exit_layers.max())
        texts = np.unique(nodes[nodes != ROOT])
        latest = tree.latest if tree.latest is not None and len(tree.latest.states) >= depth else None
        if latest is not None and np.isin(texts, latest.nodes).all():
            _store(tree, latest, nodes, exit_layers)  # another layer of the same texts
        elif latest is not None and np.isin(tree.trie.parents[texts], latest.nodes).all():
            tree.latest = _next_tokens(tree, latest, texts)
            _store(tree, tree.latest, nodes, exit_layers)
        else:
            _run_paths(tree, texts, depth, nodes, exit_layers)


def _next_tokens(tree: PromptTree, latest: Latest, texts: IntArray) -> Latest:
    """Run the last tokens of ``texts``, whose parents are the texts of ``latest``."""
    rows = _padded(np.searchsorted(latest.nodes, tree.trie.parents[texts]))
    latest.cache.batch_select_indices(torch.from_numpy(rows).to(_prompt_of(tree).reference.layer_devices[0]))
    return _run(tree, texts, _padded(tree.trie.tokens[texts])[:, None], latest.cache, len(latest.states))


def _run_paths(tree: PromptTree, texts: IntArray, depth: int, nodes: IntArray, exit_layers: IntArray) -> None:
    """Run ``texts`` from the prompt on, those of one length together, and store the states that are asked for."""
    trie, prompt = tree.trie, _prompt_of(tree)
    lm = prompt.reference
    tree.latest = None
    lengths = trie.depths[texts]
    for length in np.unique(lengths).tolist():
        of_length = texts[lengths == length]
        row_bytes = length * row_scratch(lm.shape, prompt.num_tokens, length)
        most = max(MIN_ROWS, scratch_bytes(lm.layer_devices[0].type) // row_bytes)
        for begin in range(0, len(of_length), most):
            part = of_length[begin : begin + most]
            token_ids = _padded(trie.tokens[trie.paths(part, length)])
            latest = _run(tree, part, token_ids, lm.spread(prompt.cache, len(token_ids)), depth)
            _store(tree, latest, nodes, exit_layers)
            if len(part) == len(texts):
                tree.latest = latest


def _run(tree: PromptTree, texts: IntArray, token_ids: IntArray, cache: Any, depth: int) -> Latest:
    prompt = _prompt_of(tree)
    states, cache = prompt.reference.run(torch.from_numpy(token_ids), depth, cache)
    tree.blocks_run += depth * len(texts) * token_ids.shape[1]
    num_bytes = prompt.text_bytes * len(token_ids) * cache.get_seq_length() // prompt.num_tokens
    return Latest(texts, cache, [state[:, -1] for state in states], num_bytes)


def _store(tree: PromptTree, latest: Latest, nodes: IntArray, exit_layers: IntArray) -> None:
    """Store those states of ``nodes [m]`` after ``exit_layers [m]`` that ``latest`` has and the tree lacks."""
    wanted = np.isin(nodes, latest.nodes) & ~tree.has_states(nodes, exit_layers)
    for layer in np.unique(exit_layers[wanted]).tolist():
        of_layer = nodes[wanted & (exit_layers == layer)]
        state = latest.states[layer - 1]
        rows = torch.from_numpy(np.searchsorted(latest.nodes, of_layer)).to(state.device)
        tree.store(of_layer, np.full(len(of_layer), layer), state[rows].to(tree.prompt.lm.readout_device))


def _prompt_of(tree: PromptTree) -> ReferencePrompt:
    assert isinstance(tree.prompt, ReferencePrompt)
    return tree.prompt


def _padded(rows: IntArray) -> IntArray:
    """``rows`` with the first one repeated, to one of few numbers of rows: see ``model.linear``."""
    missing = len(pad_rows(torch.empty(len(rows), 1), MIN_ROWS)) - len(rows)
    return np.concatenate([rows, np.repeat(rows[:1], missing, axis=0)])
