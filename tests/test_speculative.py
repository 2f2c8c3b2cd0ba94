"""Self-speculative decoding: the whole model's answers, whatever drafts them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import FAMILIES, NUM_LAYERS, make_decoder, make_lm, stored_question
from scipy.stats import chisquare
from test_tree import read

from hcl_core.decode import speculative
from hcl_core.decode.engine import EngineParts, TrieDecoder
from hcl_core.decode.heads.exit_heads import LinearHead, QuantizedMaps
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.speculative import SelfSpeculativeDecoder
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.sampling import truncated_distribution
from hcl_core.decode.trie.token_trie import ROOT
from hcl_core.decode.trie.tree import PromptTree
from hcl_core.errors import SettingsError
from hcl_core.records import Question, SamplingSettings

QUESTION = Question("planet", "Name a planet", ("Mars",))
GREEDY = SamplingSettings(temperature=0, max_new_tokens=20)


def linear_decoder(lm: CausalLM):
    """A decoder with an affine map a layer, near the identity."""
    generator = torch.Generator().manual_seed(1)
    width = lm.hidden_size
    maps = torch.eye(width).repeat(lm.num_hidden_layers - 1, 1, 1)
    maps += 0.05 * torch.randn(maps.shape, generator=generator)
    shape = (lm.num_hidden_layers - 1, width)
    head = LinearHead(QuantizedMaps.of(maps, torch.zeros(shape), torch.ones(shape)), "test", lm)
    return TrieDecoder(EngineParts(lm, head, make_decoder(lm).parts.template))


def prompt_cache(decoder):
    """The prompt of ``QUESTION``, run through the decoder's model."""
    return PromptCache.of(decoder.parts.lm, decoder.tokenize_checked(stored_question(decoder, QUESTION), GREEDY))


def answers(decoder, keys, settings=GREEDY, question=QUESTION):
    """Samples by key."""
    found = [
        sample
        for progress in decoder.decode(stored_question(decoder, question), settings, [keys])
        for sample in progress.finished
    ]
    return {(sample.exit_layer, sample.sample_idx): sample for sample in found}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("make", [make_decoder, linear_decoder], ids=["shared", "linear"])
def test_greedy_answers_are_the_whole_models_for_every_layer_and_number_of_drafts(family, make):
    decoder = make(make_lm(family))
    # Twenty tokens leave room for 16 drafts, which one family has to show.
    settings = GREEDY if family == "llama" else replace(GREEDY, max_new_tokens=8)
    whole = answers(decoder, [(NUM_LAYERS, 0)], settings)[NUM_LAYERS, 0]
    keys = [(layer, 0) for layer in range(1, NUM_LAYERS + 1)]
    for drafts in (0, 1, 2, 5, 16):
        found = answers(SelfSpeculativeDecoder(decoder.parts, drafts), keys, settings)
        assert list(found) == keys
        for sample in found.values():
            assert sample.completion_token_ids == whole.completion_token_ids
            assert sample.token_logprobs == pytest.approx(whole.token_logprobs, abs=1e-4)
            assert (sample.answer, sample.finish_reason) == (whole.answer, whole.finish_reason)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("head", ["shared", "linear"])
def test_greedy_answers_of_smollm2_are_the_whole_models(smollm2, head):
    from hcl_core import registry
    from hcl_core.settings.prompts import load_template

    decoder = registry.make_decoder(smollm2, head, load_template())
    question = Question("capital", "What is the capital of France?", ("Paris",))
    for settings in (GREEDY, SamplingSettings(temperature=0, max_new_tokens=3)):
        whole = answers(decoder, [(30, 0)], settings, question)[30, 0]
        for drafts in (1, 4, 0):
            keys = [(layer, 0) for layer in (1, 15, 24, 29, 30)]
            found = answers(SelfSpeculativeDecoder(decoder.parts, drafts), keys, settings, question)
            assert {sample.completion_token_ids for sample in found.values()} == {whole.completion_token_ids}


def test_samples_in_a_batch_are_those_drawn_alone():
    decoder = make_decoder(make_lm())
    settings = SamplingSettings(temperature=1.0, top_p=0.9, max_new_tokens=8)
    together = answers(SelfSpeculativeDecoder(decoder.parts, 3), [(2, number) for number in range(12)], settings)
    for number in (0, 5, 11):
        alone = answers(SelfSpeculativeDecoder(decoder.parts, 3), [(2, number)], settings)[2, number]
        assert alone.completion_token_ids == together[2, number].completion_token_ids


def exact_first_two(decoder, layer, settings):
    """Probability of each first token, and of each pair of first tokens, ``[V]`` and ``[V, V]``, at one exit layer."""
    tree = PromptTree(prompt_cache(decoder))
    root = np.array([ROOT])
    first = truncated_distribution(read(tree, root, layer, decoder.exit_head), settings)[0]
    tokens = np.flatnonzero(first.numpy() > 0)
    nodes = tree.children(np.repeat(root, len(tokens)), tokens)
    pairs = torch.zeros(len(first), len(first), dtype=torch.float64)
    ends = torch.from_numpy(tree.trie.is_final[nodes])
    second = truncated_distribution(read(tree, nodes, layer, decoder.exit_head), settings)
    pairs[torch.from_numpy(tokens)] = first[tokens, None] * torch.where(ends[:, None], 0.0, second)
    pairs[torch.from_numpy(tokens[ends.numpy()]), 0] = first[tokens[ends.numpy()]]  # ended: counted under token 0
    return first.numpy(), pairs.numpy()


def p_value(counts, probabilities):
    """Of a chi-square test; cells expected less than five times are taken together."""
    expected = probabilities.ravel() * counts.sum()
    rare = expected < 5
    seen = np.append(counts.ravel()[~rare], counts.ravel()[rare].sum())
    wanted = np.append(expected[~rare], expected[rare].sum())
    if wanted[-1] < 5:
        seen, wanted = seen[:-1], wanted[:-1]
        if counts.ravel()[rare].sum() > 20:  # what should hardly be there is there
            return 0.0
    wanted *= seen.sum() / wanted.sum()
    return chisquare(seen, wanted).pvalue


@pytest.mark.slow
@pytest.mark.parametrize("settings", [
    SamplingSettings(temperature=0.7, top_p=1.0, max_new_tokens=4, seed=5),
    SamplingSettings(temperature=1.0, top_p=0.8, top_k=20, max_new_tokens=4, seed=6),
], ids=["whole", "truncated"])  # fmt: skip
def test_sampled_answers_follow_the_whole_model_and_not_the_drafting_layer(settings):
    decoder = make_decoder(make_lm(seed=3))
    num_samples, layer = 4000, 2
    found = answers(
        SelfSpeculativeDecoder(decoder.parts, 2), [(layer, number) for number in range(num_samples)], settings
    )
    ids = [sample.completion_token_ids for sample in found.values()]
    size = decoder.parts.lm.vocab_size
    first = np.bincount([tokens[0] for tokens in ids], minlength=size)
    pairs = np.zeros((size, size), dtype=int)
    for tokens in ids:
        pairs[tokens[0], tokens[1] if len(tokens) > 1 else 0] += 1
    whole, early = exact_first_two(decoder, NUM_LAYERS, settings), exact_first_two(decoder, layer, settings)
    assert p_value(first, whole[0]) > 1e-3 and p_value(pairs, whole[1]) > 1e-3
    assert p_value(first, early[0]) < 1e-9 and p_value(pairs, early[1]) < 1e-9


def test_the_report_counts_what_was_drafted_and_kept():
    decoder = make_decoder(make_lm())
    last = SelfSpeculativeDecoder(decoder.parts, 3)
    sample = answers(last, [(NUM_LAYERS, 0)])[NUM_LAYERS, 0]
    # The last layer drafts what it will say: all is kept, four tokens a check, each block once.
    assert last.report.acceptance_rates[:3].tolist() == [1, 1, 1] and np.isnan(last.report.acceptance_rates[3])
    assert last.report.num_tokens == len(sample.completion_token_ids) == 20
    assert last.report.tokens_per_verification == 4
    early = SelfSpeculativeDecoder(decoder.parts, 3)
    answers(early, [(1, 0)])
    assert 1 <= early.report.tokens_per_verification < 4 and early.report.accepted[0] <= early.report.proposed[0]
    assert early.report.blocks_per_token > last.report.blocks_per_token


def test_adaptive_drafting_drafts_less_where_less_is_kept():
    decoder = make_decoder(make_lm())
    runs = {}
    for drafts in (0, 8):
        runs[drafts] = SelfSpeculativeDecoder(decoder.parts, drafts)
        answers(runs[drafts], [(1, 0)])
    assert runs[0].report.proposed.sum() < runs[8].report.proposed.sum()


@pytest.mark.parametrize("drafts", [0, 1, 3])
def test_an_answer_of_one_token_is_the_whole_models(drafts):
    decoder, one_token = make_decoder(make_lm()), SamplingSettings(temperature=0, max_new_tokens=1)
    whole = answers(decoder, [(NUM_LAYERS, 0)], one_token)[NUM_LAYERS, 0]
    speculative = SelfSpeculativeDecoder(decoder.parts, drafts)
    samples = answers(speculative, [(layer, 0) for layer in range(1, NUM_LAYERS + 1)], one_token)
    assert [sample.completion_token_ids for sample in samples.values()] == [whole.completion_token_ids] * NUM_LAYERS
    # The only token is the verifier's: nothing was drafted.
    assert speculative.report.proposed.sum() == 0 and speculative.report.tokens_per_verification == 1


@pytest.mark.parametrize("drafts", [-1, 17])
def test_a_number_of_drafts_that_cannot_be_is_refused(drafts):
    with pytest.raises(SettingsError, match="drafts must be from 1 to 16"):
        SelfSpeculativeDecoder(make_decoder(make_lm()).parts, drafts)


def test_a_layer_that_does_not_exist_is_refused():
    with pytest.raises(SettingsError, match="exit layer 5"):
        answers(SelfSpeculativeDecoder(make_decoder(make_lm()).parts, 2), [(5, 0)])


def test_a_wave_that_exceeds_the_budget_is_split_and_answers_as_before(monkeypatch):
    sizes = []  # of the groups decoded together: each has a tree, which makes room for 10 tokens x (1 + 3) a sample

    class Spied(PromptTree):
        def reserve_for(self, exit_layers, num_nodes, num_states=1):
            sizes.append(len(exit_layers))
            assert num_nodes == 40
            super().reserve_for(exit_layers, num_nodes, num_states)

    monkeypatch.setattr(speculative, "PromptTree", Spied)
    lm, settings = make_lm(), SamplingSettings(max_new_tokens=10)
    keys = [(layer, number) for layer in (2, 3) for number in range(8)]
    whole = answers(SelfSpeculativeDecoder(make_decoder(lm).parts, 3), keys, settings)
    assert sizes == [8, 8]
    split = answers(SelfSpeculativeDecoder(make_decoder(lm, 200_000).parts, 3), keys, settings)
    assert len(sizes) > 4 and sum(sizes[2:]) == len(keys)
    assert {key: each.completion_token_ids for key, each in split.items()} == {
        key: each.completion_token_ids for key, each in whole.items()
    }
