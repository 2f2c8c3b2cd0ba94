"""A tree computes the same states in whatever order and depth it is asked for them."""

import numpy as np
import pytest
import torch
from conftest import FAMILIES, NUM_LAYERS, make_decoder, make_lm
from test_engine import ALL_LAYERS, QUESTION, RecordingHead, states_by_layer

from hcl_core.decode.trie import blocks
from hcl_core.decode.trie.blocks import grow
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.readouts import logits_of
from hcl_core.decode.trie.requests import Read
from hcl_core.decode.trie.token_trie import ROOT
from hcl_core.decode.trie.tree import PromptTree

STEPS = 8


def compute(tree, nodes, layer):
    grow(tree.prompt.lm, [(tree, nodes, np.full(len(nodes), layer))])


def read(tree, nodes, layer, head=None):
    lm = tree.prompt.lm
    compute(tree, nodes, layer)
    return logits_of(lm, Read(tree, nodes, np.full(len(nodes), layer), head or RecordingHead()), lm.logits_buffer(64))


def add_path(tree, tokens):
    """Nodes from which ``tokens`` are drawn, the root first: ``[n]``."""
    nodes = [np.array([ROOT])]
    for token in tokens[:-1]:
        nodes.append(tree.children(nodes[-1], np.array([token])))
    return np.concatenate(nodes)


@pytest.mark.parametrize("order", ["deepest layer first", "last node first", "all at once"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_states_are_those_of_early_exit(family, order):
    lm, head = make_lm(family), RecordingHead()
    prompt = PromptCache.of(lm, lm.tokenize(make_decoder(lm).prompt_for(QUESTION)))
    by_layer = states_by_layer(lm, STEPS)
    tree = PromptTree(prompt)
    nodes = {layer: add_path(tree, by_layer[layer][0]) for layer in ALL_LAYERS}
    if order == "deepest layer first":
        for layer in reversed(ALL_LAYERS):
            compute(tree, nodes[layer], layer)
    elif order == "last node first":
        for layer in ALL_LAYERS:
            for node in reversed(nodes[layer]):
                compute(tree, np.array([node]), layer)
    else:
        for layer in ALL_LAYERS:
            compute(tree, np.concatenate(list(nodes.values())), layer)
    for layer in ALL_LAYERS:
        read(tree, nodes[layer], layer, head)
        torch.testing.assert_close(torch.stack(head.states[layer]), by_layer[layer][1], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_block_runs_once_for_a_node():
    lm = make_lm()
    tree = PromptTree(PromptCache.of(lm, [5, 6, 7]))
    nodes = add_path(tree, [9, 8, 7, 6])[1:]
    compute(tree, nodes[:2], 2)
    compute(tree, nodes[-1:], NUM_LAYERS)  # its ancestors go on from block 2
    assert tree.blocks_run == 3 * NUM_LAYERS
    compute(tree, nodes[-1:], NUM_LAYERS)
    assert tree.blocks_run == 3 * NUM_LAYERS


@torch.inference_mode()
def test_nothing_is_computed_for_the_prompt_itself():
    lm = make_lm()
    tree = PromptTree(PromptCache.of(lm, [5, 6, 7]))
    for layer in ALL_LAYERS:
        compute(tree, np.array([ROOT]), layer)
        assert read(tree, np.array([ROOT]), layer).shape == (1, lm.vocab_size)
    assert tree.blocks_run == 0


@torch.inference_mode()
def test_rows_of_a_question_that_go_on_are_a_slice_and_those_that_resume_are_numbers(monkeypatch):
    lm, segments, cut = make_lm(), [], blocks._segments

    def noted(*arguments):
        for segment in cut(*arguments):
            segments.append(
                (segment.layers, segment.rows if isinstance(segment.rows, slice) else segment.rows.tolist())
            )
            yield segment

    monkeypatch.setattr(blocks, "_segments", noted)
    tree = PromptTree(PromptCache.of(lm, [5, 6, 7]))
    nodes = tree.children(np.full(4, ROOT), np.array([10, 11, 12, 13]))
    grow(lm, [(tree, nodes, np.array([1, 4, 1, 3]))])
    assert segments == [(range(0, 1), slice(4)), (range(1, 3), slice(2)), (range(3, 4), slice(1))]
    segments.clear()
    newer = tree.children(np.full(2, ROOT), np.array([14, 15]))
    grow(lm, [(tree, np.concatenate([nodes[:1], newer]), np.array([3, 3, 2]))])
    assert segments == [(range(0, 1), [1, 2]), (range(1, 2), slice(3)), (range(2, 3), slice(2))]
