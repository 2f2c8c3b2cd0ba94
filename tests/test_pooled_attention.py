"""Attention over one pool for all trees, forced on a CPU: its answers are those of attention tree by tree."""

import gc
from typing import Any

import numpy as np
import pytest
import torch
from conftest import NUM_LAYERS, make_decoder, make_model, make_tokenizer
from test_engine import ALL_LAYERS, DEVICES, decode, wave
from test_families import make_reference
from test_fast_families import CASES, LONG_GREEDY, without_compiling
from test_forest import STRATEGIES, opened, requests, together
from test_tree import add_path, compute

from hcl_core.decode.forest import Forest, Lane
from hcl_core.decode.model.attention import Limits
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.strategy import decoder_of
from hcl_core.decode.trie import pooled_attention
from hcl_core.decode.trie.blocks import grow
from hcl_core.decode.trie.engines import run_prompts
from hcl_core.decode.trie.prompt_cache import Prompt, PromptCache
from hcl_core.decode.trie.slot_pool import SlotPool, Slots
from hcl_core.decode.trie.tree import PromptTree
from hcl_core.errors import HclError
from hcl_core.models.attention_kinds import ATTENTION_KINDS, BY_TREE, FLEX, GATHERED, MASKED, attention_on
from hcl_core.ports import DecodeProgress
from hcl_core.records import SamplingSettings
from hcl_core.settings.strategies import Strategy

POOLED = [kind for kind in ATTENTION_KINDS if kind != BY_TREE]
# The last bits of two kinds differ, and a draw between two tokens can see that: with this noise none does.
WARM = SamplingSettings(temperature=1.0, top_p=0.95, max_new_tokens=20, seed=5)
HOT = SamplingSettings(temperature=1.5, top_p=1.0, max_new_tokens=12)
by_kind = pytest.mark.parametrize("kind", POOLED)


@pytest.fixture(autouse=True)
def flex_is_not_compiled(monkeypatch):
    without_compiling(monkeypatch)


def model_of(case, seed=0, **overrides):
    family, settings = CASES[case]
    return make_reference(family, seed, **(settings | overrides))[1]


def lms(model, kind):
    """The model with attention tree by tree, and of the kind."""
    return [CausalLM(model, make_tokenizer(), attention=each) for each in (BY_TREE, kind)]


def samples(steps):
    return {each.key: each for step in steps if isinstance(step, DecodeProgress) for each in step.finished}


def assert_alike(ours, expected):
    """The same tokens; log-probabilities up to the last bits of attention."""
    for mine, theirs in zip(map(samples, ours), map(samples, expected), strict=True):
        assert mine.keys() == theirs.keys()
        for key, sample in mine.items():
            assert sample.completion_token_ids == theirs[key].completion_token_ids, key
            np.testing.assert_allclose(sample.token_logprobs, theirs[key].token_logprobs, atol=2e-4)


def test_a_cpu_attends_tree_by_tree_and_other_devices_over_a_pool():
    assert attention_on("cpu") == BY_TREE
    assert attention_on("cuda") in POOLED and attention_on("mps") in POOLED
    assert CausalLM(make_model("llama"), make_tokenizer()).attention == BY_TREE


# Uncompiled, ``flex_attention`` takes most of the time; what it sees is what the dense mask names (below).
@pytest.mark.parametrize(
    ("case", "kind"),
    [(case, kind) for kind in (GATHERED, MASKED) for case in CASES]
    + [(case, FLEX) for case in ("llama", "gemma2", "gemma3_text", "mixtral-window", "gpt2")],
)
def test_every_family_has_the_same_tokens_in_company(case, kind):
    expected, ours = (
        together(decoder, requests(decoder, (WARM, LONG_GREEDY), layers=((1, 3), (2,), (1, 2, 3))))
        for decoder in map(make_decoder, lms(model_of(case), kind))
    )
    assert_alike(ours, expected)


@pytest.mark.parametrize(
    ("case", "kind"), [("llama", GATHERED), ("gemma2", GATHERED), ("gemma2", MASKED), ("llama", FLEX)]
)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_has_the_same_tokens_in_company(case, strategy, kind):
    parts = [make_decoder(lm).parts for lm in lms(model_of(case, 1), kind)]
    expected, ours = (
        together(decoder, requests(decoder, (WARM, LONG_GREEDY), layers=((1, 3), (2,), (3,))))
        for decoder in (decoder_of(each, Strategy.parse(strategy)) for each in parts)
    )
    assert_alike(ours, expected)


def with_joins_and_leaves(decoder):
    """The steps of questions that join one after another, and of which the second leaves."""
    forest, lanes = Forest(decoder.parts.lm, decoder.parts.budget_now), []
    steps: dict[Lane, list[Any]] = {}
    waiting = requests(decoder, (WARM,), layers=((1, 3), (2,), (3,)))
    while waiting or not forest.is_idle:
        if waiting:
            lanes += opened(forest, decoder, [waiting.pop(0)])
            steps[lanes[-1]] = []
        if len(lanes) == 4:
            forest.close(lanes[1])
        for lane, step in forest.step():
            steps[lane].append(step)
    return [steps[lane] for number, lane in enumerate(lanes) if number != 1]


@pytest.mark.parametrize(("kind", "budget"), [(GATHERED, None), (GATHERED, 200_000), (MASKED, 200_000), (FLEX, None)])
def test_joins_leaves_and_memory_change_no_token(kind, budget):
    expected, ours = (with_joins_and_leaves(make_decoder(lm, budget)) for lm in lms(model_of("gemma2"), kind))
    assert_alike(ours, expected)


def grown(lm, prompts, paths):
    """States ``[nodes, NUM_LAYERS, hidden_size]`` of ``paths`` after each prompt, all computed together."""
    trees = [PromptTree(prompt) for prompt in run_prompts(lm, [Prompt(ids) for ids in prompts])]
    nodes = [np.concatenate([add_path(tree, path)[1:] for path in paths]) for tree in trees]
    layers = range(1, lm.num_hidden_layers + 1)
    for layer in layers:  # rows of several depths, which go on from where they were
        grow(lm, [(tree, each, np.full(len(each), layer)) for tree, each in zip(trees, nodes, strict=True)])
    return torch.stack(
        [
            torch.cat([tree.states(each, np.full(len(each), layer)) for tree, each in zip(trees, nodes, strict=True)])
            for layer in layers
        ]
    )


@pytest.mark.parametrize(("kind", "tile"), [(GATHERED, 1), (GATHERED, 3), *((kind, 16) for kind in POOLED)])
@pytest.mark.parametrize("case", ["llama", "gemma2", "gemma3_text", "mixtral-window"])
@torch.inference_mode()
def test_states_are_those_of_attention_tree_by_tree(case, kind, tile, monkeypatch):
    monkeypatch.setattr(pooled_attention, "TILE_ROWS", tile)
    prompts = [[5, 6, 7], [9, 8, 7, 6, 5, 4, 3, 2, 33, 35, 36, 37], [40]]
    paths = [[9, 8, 7, 6], [9, 8, 7, 5, 44, 45, 46, 47, 48, 49, 50], [30, 31]]
    expected, ours = (grown(lm, prompts, paths) for lm in lms(model_of(case), kind))
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def texts(prompt_lengths=(3, 5), num_rows=(200, 90), depth=7, num_slots=700, device="cpu"):
    """Rows of two trees with random paths of several depths, in slots that lie apart."""
    generator = np.random.default_rng(0)
    slots = generator.permutation(num_slots)
    width, rows, position = max(prompt_lengths), sum(num_rows), 0
    prompts = np.empty((2, width), dtype=np.int64)
    for tree, length in enumerate(prompt_lengths):
        prompts[tree] = np.pad(slots[position : position + length], (width - length, 0), mode="edge")
        position += length
    trees = np.repeat([0, 1], num_rows)
    by_depth = [{tree: slots[position + 40 * (2 * level + tree) :][:40] for tree in (0, 1)} for level in range(depth)]
    paths, padding = np.empty((rows, depth), dtype=np.int64), generator.integers(0, depth, rows)
    for row in range(rows):
        own = [generator.choice(by_depth[level][trees[row]]) for level in range(depth - padding[row])]
        paths[row] = [own[-1]] * padding[row] + own
    columns = (prompts, np.array(prompt_lengths), trees, paths, padding)
    return pooled_attention._Texts(*(torch.from_numpy(column).to(device) for column in columns)), num_slots


@pytest.mark.parametrize("window", [None, 1, 4, 9])
def test_flex_sees_what_a_dense_mask_names_and_passes_over_no_block_of_it(window):
    rows, num_slots = texts()
    dense = pooled_attention._Masked(rows, num_slots)._mask(window)
    flex = pooled_attention._Flex(rows, num_slots)
    row, slot = (axis.flatten() for axis in torch.meshgrid(*map(torch.arange, dense.shape), indexing="ij"))
    seen = flex._is_visible(window)(torch.tensor(0), torch.tensor(0), row, slot).view(dense.shape)
    assert torch.equal(seen, dense) and 1 <= dense.sum(1).min() <= dense.sum(1).max() <= (window or 12)
    blocks = flex._mask(window).to_dense()[0, 0]  # [row blocks, slot blocks]
    covered = blocks.repeat_interleave(128, 0).repeat_interleave(128, 1)[: len(dense), :num_slots].bool()
    assert not (dense & ~covered).any()


def test_flex_passes_over_blocks_of_other_trees():
    prompts = torch.tensor([[0, 1], [300, 301]])
    trees = torch.arange(2).repeat_interleave(128)
    paths = torch.cat((torch.arange(2, 130), torch.arange(302, 430)))[:, None]
    rows = pooled_attention._Texts(prompts, torch.tensor([2, 2]), trees, paths, torch.zeros(256, dtype=torch.long))
    blocks = pooled_attention._Flex(rows, 430)._mask(None).to_dense()[0, 0]
    assert blocks.tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("limits", [Limits(), Limits(4), Limits(None, 3.0), Limits(6, 3.0)], ids=str)
@pytest.mark.parametrize("device", DEVICES)
@by_kind
@torch.inference_mode()
def test_attention_is_the_weighted_mean_of_what_is_visible(kind, device, limits, dtype):
    rows, num_slots = texts(device=device)
    generator = torch.Generator().manual_seed(0)
    query, keys, values = (torch.randn(*shape, generator=generator) for shape in ((290, 4, 16), *[(700, 2, 16)] * 2))
    query, keys, values = (each.to(device, dtype) for each in (query, keys, values))
    made: Any = {MASKED: pooled_attention._Masked, FLEX: pooled_attention._Flex}
    mix = (
        pooled_attention._Gathered(rows, rows.trees.cpu().numpy()) if kind == GATHERED else made[kind](rows, num_slots)
    )
    dense = pooled_attention._Masked(rows, num_slots)._mask(limits.window)
    exact_keys, exact_values = (each.double().repeat_interleave(2, dim=1) for each in (keys, values))
    scores = limits.cap(torch.einsum("nhd,shd->nhs", query.double(), exact_keys) / 4)
    weights = scores.masked_fill(~dense[:, None], -torch.inf).softmax(-1)
    exact = torch.einsum("nhs,shd->nhd", weights, exact_values).flatten(1)
    tolerance = 1e-5 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(mix(query, keys, values, limits).double(), exact, rtol=tolerance, atol=tolerance)


def test_tiles_hold_each_row_once_and_no_two_trees():
    generator = np.random.default_rng(0)
    for _ in range(200):
        counts = generator.integers(1, 40, generator.integers(1, 8))
        trees = np.repeat(np.arange(len(counts)) * 3, counts)
        rows, place = pooled_attention._tiles(trees)
        assert rows.flatten()[place].tolist() == list(range(len(trees)))
        assert (trees[rows] == trees[rows[:, :1]]).all() and rows.size < 2 * len(trees)


@by_kind
def test_one_call_a_layer_serves_all_trees(kind, monkeypatch):
    lm, calls = lms(make_model("llama"), kind)[1], []
    original = pooled_attention.PooledAttention.__call__

    def counted(self, layer, query, key, value):
        calls.append((layer, len(self.mixes[query.device].texts.lengths)))
        return original(self, layer, query, key, value)

    monkeypatch.setattr(pooled_attention.PooledAttention, "__call__", counted)
    decoder = make_decoder(lm)
    forest = Forest(lm, decoder.parts.budget_now)
    opened(forest, decoder, requests(decoder, (LONG_GREEDY,), layers=((NUM_LAYERS,),)))
    while not calls:
        forest.step()
    assert calls == [(layer, 5) for layer in range(NUM_LAYERS)]


# The pool.


@by_kind
def test_slots_are_free_again_when_questions_end_and_memory_is_given_back(kind):
    decoder = make_decoder(lms(make_model("llama"), kind)[1])
    forest = Forest(decoder.parts.lm, decoder.parts.budget_now)
    pool: Any = forest._pool
    lanes = opened(forest, decoder, requests(decoder))
    for _ in range(4):
        forest.step()
    taken = pool.num_taken
    forest.close(lanes[0])
    gc.collect()
    assert 0 < pool.num_taken < taken
    assert not any([isinstance(event, HclError) for events in run_rest(forest) for event in events])
    gc.collect()
    assert pool.num_taken == pool.capacity == 0 and all(len(rows) == 0 for rows in (*pool.keys, *pool.values))


def run_rest(forest):
    while not forest.is_idle:
        yield [event for _, event in forest.step()]


@torch.inference_mode()
def test_a_cleared_tree_leaves_the_prompts_slots():
    lm = lms(make_model("llama"), GATHERED)[1]
    tree = PromptTree(PromptCache.of(lm, [5, 6, 7]))
    pool: Any = tree.prompt.slots.pool
    compute(tree, add_path(tree, [9, 8, 7, 6])[1:], 2)
    assert pool.num_taken == 6 and tree.kv.num_bytes >= 3 * pool.slot_bytes
    first = tree.states(np.array([1]), np.array([2]))
    tree.clear()
    assert pool.num_taken == 3
    compute(tree, add_path(tree, [9, 8, 7, 6])[1:], 2)
    assert torch.equal(tree.states(np.array([1]), np.array([2])), first)


def test_a_pool_grows_by_half_but_not_beyond_what_is_reserved():
    pool = SlotPool(lms(make_model("llama"), GATHERED)[1])
    prompt, nodes = Slots(pool, 10), Slots(pool)
    nodes.reserve_for(8)
    assert pool.capacity == 10  # a CPU gives memory as it is written
    nodes.take(2)
    assert pool.capacity == 18  # 12 slots and half as many
    nodes.take(7)
    assert pool.capacity == pool.num_taken == 19  # one more than was reserved
    prompt.clear()
    assert nodes.take(4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", [GATHERED, MASKED])
def test_a_split_wave_stays_within_its_budget(kind, monkeypatch):
    lm, budget = lms(make_model("llama", initializer_range=0.05), kind)[1], 400_000  # nothing is shared
    sizes, original = [], SlotPool.take

    def noted(self, count):
        slots = original(self, count)
        sizes.append(self.capacity * self.slot_bytes)
        return slots

    monkeypatch.setattr(SlotPool, "take", noted)
    peaks = []
    for allowed in (budget, 2**30):
        sizes.clear()
        decoder = make_decoder(lm, allowed)
        decode(decoder, HOT, [wave(ALL_LAYERS, range(30))])
        peaks.append(max(sizes))
    prompt = 64 * SlotPool(lm).slot_bytes
    assert peaks[0] <= budget + prompt and peaks[1] > peaks[0]


@by_kind
@torch.inference_mode()
def test_numbers_that_are_not_finite_stay_in_their_own_tree(kind):
    lm = lms(make_model("llama"), kind)[1]
    pool = SlotPool(lm)
    healthy, damaged = (PromptTree(each) for each in PromptCache.of_many(lm, [Prompt([5, 6, 7])] * 2, pool))
    alone = PromptTree(PromptCache.of(lm, [5, 6, 7]))
    nodes = [add_path(tree, [9, 8, 7, 6])[1:] for tree in (healthy, damaged, alone)]
    for step, tree in enumerate((damaged, alone)):
        compute(tree, nodes[step + 1][:1], 2)
    damaged.store(nodes[1][:1], np.array([2]), torch.full((1, 64), torch.nan))
    both = [(healthy, nodes[0], np.full(3, 4)), (damaged, nodes[1], np.full(3, 4))]
    grow(lm, both)
    compute(alone, nodes[2], 4)
    assert damaged.states(nodes[1], np.full(3, 4)).isnan().any()
    torch.testing.assert_close(
        healthy.states(nodes[0], np.full(3, 4)), alone.states(nodes[2], np.full(3, 4)), atol=1e-3, rtol=1e-4
    )
