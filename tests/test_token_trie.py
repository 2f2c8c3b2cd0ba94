"""The trie and what has to be computed in it, against definitions node by node."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from conftest import NUM_LAYERS, make_lm
from hypothesis import given, settings

from hcl_core.answer_rules import AFTER_PREAMBLE, FIRST_LINE, until
from hcl_core.decode.model.token_texts import TokenTexts
from hcl_core.decode.trie.blocks import grow
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.token_trie import ROOT, IntArray, TokenTrie
from hcl_core.decode.trie.tree import PromptTree

WORDS = ("a", "b", " ", "\n", " \n", "\na", "a\n", "b c", "", "<end>")
STOP_TOKEN = len(WORDS) - 1
LEVELS = st.lists(st.lists(st.tuples(st.integers(0, 40), st.integers(0, len(WORDS) - 1)), min_size=1), max_size=8)


def text_of(token_ids):
    return "".join(WORDS[token_id] for token_id in token_ids)


class NodeByNode:
    """The definition of the trie: a list of paths, ``children`` in the order of node and token."""

    def __init__(self, rule):
        self.rule, self.has_text, self.is_final = rule, [False], [False]
        self.paths: list[tuple[int, ...]] = [()]

    def children(self, pairs):
        for node, token in sorted(set(pairs)):
            path = (*self.paths[node], token)
            if path not in self.paths:
                line = WORDS[token] if self.has_text[node] else WORDS[token].lstrip()
                self.paths.append(path)
                self.has_text.append(self.has_text[node] or bool(line))
                ends_line = self.rule.ends_at_line_break and self.has_text[-1] and "\n" in line
                has_stop = any(stop in text_of(path) for stop in self.rule.stops)
                self.is_final.append(ends_line or token == STOP_TOKEN or has_stop)
        return [self.paths.index((*self.paths[node], token)) for node, token in pairs]


@pytest.mark.parametrize("rule", [FIRST_LINE, AFTER_PREAMBLE, until(["ab", "\nb"])], ids=lambda rule: rule.name)
@given(LEVELS)
def test_nodes_are_those_of_the_definition(rule, levels):
    trie, expected = TokenTrie(TokenTexts(text_of), frozenset({STOP_TOKEN}), rule), NodeByNode(rule)
    for asked in levels:
        pairs = [(node % len(trie), token) for node, token in asked]
        columns: IntArray = np.array(pairs, dtype=np.int64)
        assert trie.children(columns[:, 0], columns[:, 1]).tolist() == expected.children(pairs)
        size = len(trie)
        assert size == len(expected.paths)
        assert trie.depths[:size].tolist() == [len(path) for path in expected.paths]
        assert trie.tokens[1:size].tolist() == [path[-1] for path in expected.paths[1:]]
        assert trie.has_text[:size].tolist() == expected.has_text
        assert trie.is_final[:size].tolist() == expected.is_final
        completions = trie.completions(np.arange(size))
        assert completions == [(path, text_of(path)) for path in expected.paths]


def ancestors(trie, node):
    """``node`` and those above it, the root left out."""
    return [] if node == ROOT else [*ancestors(trie, int(trie.parents[node])), node]


@settings(max_examples=30)
@given(st.lists(st.tuples(LEVELS, st.lists(st.tuples(st.integers(0, 40), st.integers(1, NUM_LAYERS)))), max_size=4))
@torch.inference_mode()
def test_what_grows_is_what_the_definition_lacks(steps):
    lm = make_lm()
    tree = PromptTree(PromptCache.of(lm, [5, 6, 7]))
    trie = tree.trie
    for levels, asked in steps:
        for pairs in levels:
            columns = np.array([(node % len(trie), token) for node, token in pairs], dtype=np.int64)
            tree.children(columns[:, 0], columns[:, 1])
        wanted = sorted({(node % len(trie), layer) for node, layer in asked})
        nodes, layers = np.array(wanted, dtype=np.int64).reshape(-1, 2).T
        has = dict(zip(wanted, tree.has_states(nodes, layers).tolist(), strict=True))
        lacking = [pair for pair in wanted if not has[pair]]
        stops: dict[int, int] = {}
        for node, layer in lacking:
            for above in ancestors(trie, node):
                if above == node or trie.num_computed[above] < layer:
                    stops[above] = max(layer, stops.get(above, 0))
        growth = tree.growth(nodes, layers)
        if growth is None:
            assert not lacking
            continue
        assert dict(zip(growth.nodes.tolist(), growth.stops.tolist(), strict=True)) == stops
        assert (np.diff(growth.stops) <= 0).all()
        place = {node: row for row, node in enumerate(growth.nodes.tolist())}
        for node, path, padding in zip(growth.nodes.tolist(), growth.paths.tolist(), growth.padding, strict=True):
            assert path == [node] * padding + ancestors(trie, node)
            for above in ancestors(trie, node):  # its keys are there before: from now, or from an earlier time
                assert place.get(above, -1) <= place[node] or trie.num_computed[above] >= stops[node]
        grow(lm, [(tree, nodes, layers)])
        assert tree.has_states(nodes, layers).all()
