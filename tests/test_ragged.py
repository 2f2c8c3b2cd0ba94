"""The ragged trie computes the states of the step-by-step trie, in whatever order and depth it is asked for them."""

import numpy as np
import pytest
import torch
from conftest import FAMILIES, NUM_LAYERS, make_decoder, make_lm
from test_engine import ALL_LAYERS, QUESTION, RecordingHead, states_by_layer

from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.ragged import RaggedTrie
from hcl_core.decode.trie.token_trie import ROOT

STEPS = 8


def add_path(ragged, tokens):
    """Nodes from which ``tokens`` are drawn, the root first: ``[n]``."""
    nodes = [np.array([ROOT])]
    for token in tokens[:-1]:
        nodes.append(ragged.children(nodes[-1], np.array([token])))
    return np.concatenate(nodes)


@pytest.mark.parametrize("order", ["deepest layer first", "last node first", "all at once"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_states_are_those_of_the_prompt_session(family, order):
    lm, head = make_lm(family), RecordingHead()
    prompt = PromptCache(lm, lm.tokenize(make_decoder(lm).prompt_for(QUESTION)))
    by_layer = states_by_layer(lm, STEPS)
    ragged = RaggedTrie(prompt, head, STEPS * NUM_LAYERS)
    nodes = {layer: add_path(ragged, by_layer[layer][0]) for layer in ALL_LAYERS}
    if order == "deepest layer first":
        for layer in reversed(ALL_LAYERS):
            ragged.compute(nodes[layer], layer)
    elif order == "last node first":
        for layer in ALL_LAYERS:
            for node in reversed(nodes[layer]):
                ragged.compute(np.array([node]), layer)
    else:
        for layer in ALL_LAYERS:
            ragged.compute(np.concatenate(list(nodes.values())), layer)
    for layer in ALL_LAYERS:
        ragged.logits(nodes[layer], layer)
        torch.testing.assert_close(torch.stack(head.states[layer]), by_layer[layer][1], rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_a_block_runs_once_for_a_node():
    lm = make_lm()
    ragged = RaggedTrie(PromptCache(lm, [5, 6, 7]), RecordingHead(), 20)
    nodes = add_path(ragged, [9, 8, 7, 6])[1:]
    ragged.compute(nodes[:2], 2)
    ragged.compute(nodes[-1:], NUM_LAYERS)  # its ancestors go on from block 2
    assert ragged.blocks_run == 3 * NUM_LAYERS
    ragged.compute(nodes[-1:], NUM_LAYERS)
    assert ragged.blocks_run == 3 * NUM_LAYERS


@torch.inference_mode()
def test_nothing_is_computed_for_the_prompt_itself():
    lm = make_lm()
    ragged = RaggedTrie(PromptCache(lm, [5, 6, 7]), RecordingHead(), 20)
    for layer in ALL_LAYERS:
        ragged.compute(np.array([ROOT]), layer)
        assert ragged.logits(np.array([ROOT]), layer).shape == (1, lm.vocab_size)
    assert ragged.blocks_run == 0
