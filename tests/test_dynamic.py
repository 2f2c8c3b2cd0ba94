"""Dynamic early exit: deeper where the model is unsure, and the whole model's where nothing may leave."""

import numpy as np
import pytest
from conftest import FAMILIES, NUM_LAYERS, make_decoder, make_lm, stored_question
from test_speculative import QUESTION, answers, prompt_cache
from test_tree import read

from hcl_core.decode import dynamic as dynamic_module
from hcl_core.decode.dynamic import DynamicExitDecoder
from hcl_core.decode.trie.tree import PromptTree
from hcl_core.errors import SettingsError
from hcl_core.records import SamplingSettings
from hcl_core.settings.strategies import ExitRule

NEVER = (ExitRule("probability", 1), ExitRule("entropy", 0), ExitRule("agreement", NUM_LAYERS + 1))
ALWAYS = (ExitRule("probability", 0), ExitRule("entropy", 1e6))
DRAWN = SamplingSettings(temperature=1.0, top_p=0.9, max_new_tokens=10)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rule", NEVER, ids=lambda rule: rule.name)
def test_where_nothing_may_leave_the_answers_are_the_whole_models(family, rule):
    decoder = make_decoder(make_lm(family))
    whole = answers(decoder, [(NUM_LAYERS, 0)])[NUM_LAYERS, 0]
    dynamic = DynamicExitDecoder(decoder.parts, rule)
    found = answers(dynamic, [(layer, 0) for layer in range(1, NUM_LAYERS + 1)])
    assert {sample.completion_token_ids for sample in found.values()} == {whole.completion_token_ids}
    assert dynamic.report.exits.tolist()[:-1] == [0] * (NUM_LAYERS - 1) and dynamic.report.blocks_saved == 0


def test_drawn_answers_at_the_last_layer_are_the_whole_models():
    decoder = make_decoder(make_lm())
    keys = [(NUM_LAYERS, number) for number in range(10)]
    whole, dynamic = answers(decoder, keys, DRAWN), answers(DynamicExitDecoder(decoder.parts, ALWAYS[0]), keys, DRAWN)
    assert {key: sample.completion_token_ids for key, sample in dynamic.items()} == {
        key: sample.completion_token_ids for key, sample in whole.items()
    }


@pytest.mark.parametrize("rule", ALWAYS, ids=lambda rule: rule.name)
@pytest.mark.parametrize("layer", range(1, NUM_LAYERS + 1))
def test_where_all_leave_at_once_it_is_true_early_exit(rule, layer):
    decoder = make_decoder(make_lm("qwen2"))
    keys = [(layer, number) for number in range(6)]
    early, dynamic = answers(decoder, keys, DRAWN), DynamicExitDecoder(decoder.parts, rule)
    for key, sample in answers(dynamic, keys, DRAWN).items():
        assert sample.completion_token_ids == early[key].completion_token_ids
        assert sample.token_logprobs == pytest.approx(early[key].token_logprobs, abs=1e-4)
    assert np.flatnonzero(dynamic.report.exits).tolist() == [layer - 1]
    assert dynamic.report.blocks_saved == pytest.approx(1 - layer / NUM_LAYERS)


@pytest.mark.parametrize(
    "rule", [ExitRule("probability", 0.5), ExitRule("entropy", 2.0), ExitRule("agreement", 2)], ids=lambda r: r.name
)
def test_a_token_leaves_where_its_rule_first_holds(rule):
    """Each token's layer, found again from the readouts of true early exit along the same text."""
    decoder = make_decoder(make_lm(seed=2))
    dynamic = DynamicExitDecoder(decoder.parts, rule)
    sample = answers(dynamic, [(1, 0)])[1, 0]
    tree = PromptTree(prompt_cache(decoder))
    node, layers = np.array([0]), []
    for token in sample.completion_token_ids:
        streak, before = 0, None
        for layer in range(1, NUM_LAYERS + 1):
            log_probs = read(tree, node, layer, decoder.exit_head).log_softmax(-1)[0]
            top = int(log_probs.argmax())
            streak, before = (streak + 1 if top == before else 1), top
            entropy = float(-(log_probs.exp() * log_probs).sum())
            holds = {
                "probability": float(log_probs.max().exp()) > rule.threshold,
                "entropy": entropy < rule.threshold,
                "agreement": streak >= rule.threshold,
            }[rule.name]
            if holds or layer == NUM_LAYERS:
                layers.append(layer)
                assert top == token
                break
        node = tree.children(node, np.array([token]))
    assert np.bincount(layers, minlength=NUM_LAYERS + 1)[1:].tolist() == dynamic.report.exits.tolist()
    assert len(set(layers)) > 1


def test_an_answer_of_one_token_exits_like_any_other():
    decoder, one_token = make_decoder(make_lm()), SamplingSettings(temperature=0, max_new_tokens=1)
    keys = [(layer, 0) for layer in range(1, NUM_LAYERS + 1)]
    early = answers(decoder, keys, one_token)
    dynamic = DynamicExitDecoder(decoder.parts, ALWAYS[0])
    for key, sample in answers(dynamic, keys, one_token).items():
        assert sample.completion_token_ids == early[key].completion_token_ids
    assert dynamic.report.exits.tolist() == [1] * NUM_LAYERS and dynamic.report.blocks_run == 0


def test_drawn_answers_depend_on_nothing_but_the_sample():
    parts, rule = make_decoder(make_lm("qwen3", initializer_range=0.2)).parts, ExitRule("probability", 0.15)
    keys = [(layer, number) for layer in (1, 2, 3, 4) for number in range(6)]
    reference = DynamicExitDecoder(parts, rule)
    whole = answers(reference, keys, DRAWN)
    assert (reference.report.exits > 0).all()  # tokens exit at every layer

    def tokens(samples):
        return {key: sample.completion_token_ids for key, sample in samples.items()}

    for groups in ([keys[::-1]], [keys[:1], keys[1:15], keys[15:]], [keys[::2], keys[1::2]], [[key] for key in keys]):
        decoder = DynamicExitDecoder(parts, rule)
        in_waves = decoder.decode(stored_question(decoder, QUESTION), DRAWN, groups)
        samples = [sample for progress in in_waves for sample in progress.finished]
        by_key = {(sample.exit_layer, sample.sample_idx): sample for sample in samples}
        assert tokens(by_key) == tokens(whole)
    alone = answers(DynamicExitDecoder(parts, rule), [key for key in keys if key[0] == 2], DRAWN)
    assert tokens(alone) == {key: ids for key, ids in tokens(whole).items() if key[0] == 2}


def test_the_report_counts_the_tokens_that_the_whole_model_would_have_put_otherwise():
    decoder = make_decoder(make_lm())
    for rule, is_different in ((ExitRule("probability", 1), False), (ExitRule("probability", 0), True)):
        dynamic = DynamicExitDecoder(decoder.parts, rule, compares=True)
        found = answers(dynamic, [(1, number) for number in range(4)], DRAWN)
        assert dynamic.report.num_compared == sum(len(each.completion_token_ids) for each in found.values())
        assert (dynamic.report.num_different > 0) is is_different


def test_comparing_changes_neither_answers_nor_cost():
    decoder = make_decoder(make_lm())
    rule, keys = ExitRule("probability", 0.4), [(1, number) for number in range(5)]
    plain, comparing = DynamicExitDecoder(decoder.parts, rule), DynamicExitDecoder(decoder.parts, rule, compares=True)
    found = [[each.completion_token_ids for each in answers(one, keys, DRAWN).values()] for one in (plain, comparing)]
    assert found[0] == found[1]
    assert plain.report.blocks_run == comparing.report.blocks_run


def test_a_layer_that_does_not_exist_is_refused():
    with pytest.raises(SettingsError, match="exit layer 0"):
        answers(DynamicExitDecoder(make_decoder(make_lm()).parts, NEVER[0]), [(0, 0)])


@pytest.mark.parametrize("compares", [False, True])
def test_a_wave_that_exceeds_the_budget_is_split_and_answers_as_before(compares, monkeypatch):
    sizes = []  # of the parts decoded together: each has a tree, which makes room for 10 tokens a sample

    class Spied(PromptTree):
        def reserve_for(self, exit_layers, num_nodes, num_states=1):
            sizes.append(len(exit_layers))
            assert num_nodes == DRAWN.max_new_tokens
            super().reserve_for(exit_layers, num_nodes, num_states)

    monkeypatch.setattr(dynamic_module, "PromptTree", Spied)
    lm, rule, tries = make_lm(), ExitRule("probability", 0.5), 2 if compares else 1
    keys = [(layer, number) for layer in (2, 3) for number in range(8)]
    whole = answers(DynamicExitDecoder(make_decoder(lm).parts, rule, compares), keys, DRAWN)
    assert sizes == [16] * tries
    split = answers(DynamicExitDecoder(make_decoder(lm, 60_000).parts, rule, compares), keys, DRAWN)
    assert len(sizes[tries::tries]) > 2 and sum(sizes[tries::tries]) == len(keys)
    assert {key: each.completion_token_ids for key, each in split.items()} == {
        key: each.completion_token_ids for key, each in whole.items()
    }
