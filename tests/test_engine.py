"""The engine equals transformers, and its answers depend on nothing but the seed and the question."""

import weakref

import numpy as np
import pytest
import torch
from conftest import FAMILIES, NUM_LAYERS, VOCAB_SIZE, make_decoder, make_lm, stored_question
from scipy.stats import chisquare
from torch.utils._python_dispatch import TorchDispatchMode

from hcl_core.decode.engine import EngineParts, TrieDecoder
from hcl_core.decode.trie import kv_pool, session
from hcl_core.decode.trie.kv_pool import GrowingRows
from hcl_core.decode.trie.session import PromptSession
from hcl_core.errors import ContextTooLongError, SettingsError, UnsupportedArchitectureError
from hcl_core.records import Question, SamplingSettings

QUESTION = Question("q1", "Name a planet", ("Mars",))
ALL_LAYERS = tuple(range(1, NUM_LAYERS + 1))
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


def decode(decoder, settings, waves, question=QUESTION):
    """All samples of ``waves`` by key."""
    samples = [
        s for progress in decoder.decode(stored_question(decoder, question), settings, waves) for s in progress.finished
    ]
    assert len(samples) == sum(len(wave) for wave in waves)
    return {(sample.exit_layer, sample.sample_idx): sample for sample in samples}


def wave(layers, sample_idxs):
    return [(layer, idx) for layer in layers for idx in sample_idxs]


def truncated_generate(lm, exit_layer, prompt, max_new_tokens):
    """Greedy tokens of transformers' own model, cut to ``exit_layer`` blocks."""
    model = lm.peer
    blocks, count = model.model.layers, model.config.num_hidden_layers
    try:
        model.model.layers = blocks[:exit_layer]
        model.config.num_hidden_layers = exit_layer
        ids = torch.tensor([lm.tokenize(prompt)], device=model.device)
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=max_new_tokens
        )
    finally:
        model.model.layers, model.config.num_hidden_layers = blocks, count
    return output[0, ids.shape[1] :].tolist()


def assert_greedy_equals_generate(lm, decoder, layers, question, max_new_tokens):
    settings = SamplingSettings(temperature=0, max_new_tokens=max_new_tokens)
    ours = decode(decoder, settings, [wave(layers, range(2))], question)
    for layer in layers:
        theirs = truncated_generate(lm, layer, decoder.prompt_for(question), max_new_tokens)
        for idx in range(2):
            mine = list(ours[layer, idx].completion_token_ids)
            assert mine == theirs[: len(mine)], f"layer {layer}"
            assert len(mine) == len(theirs) or "\n" in lm.detokenize(mine)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_equals_truncated_generate_on_every_layer(family, device):
    for seed in range(3):
        lm = make_lm(family, seed, device=device)
        assert_greedy_equals_generate(lm, make_decoder(lm), ALL_LAYERS, QUESTION, 24)


@pytest.mark.model
@pytest.mark.slow
def test_greedy_equals_truncated_generate_on_smollm2(smollm2):
    from hcl_core.decode.heads.exit_heads import load_exit_head
    from hcl_core.settings.prompts import load_template

    decoder = TrieDecoder(EngineParts(smollm2, load_exit_head("shared", smollm2), load_template()))
    question = Question("p", "Name a planet in the solar system.", ("Mars",))
    assert_greedy_equals_generate(smollm2, decoder, (1, 5, 9, 13, 17, 21, 25, 27, 29, 30), question, 12)


@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_are_the_full_distribution_at_temperature_one(family):
    lm = make_lm(family)
    samples = decode(make_decoder(lm), SamplingSettings(max_new_tokens=6), [wave(ALL_LAYERS, range(3))])
    prompt = lm.tokenize(make_decoder(lm).prompt_for(QUESTION))
    for (layer, _), sample in samples.items():
        ids = torch.tensor([prompt + list(sample.completion_token_ids)])
        hidden = lm.peer(ids, output_hidden_states=True).hidden_states[layer]
        if layer < NUM_LAYERS:  # transformers norms the last one already
            hidden = lm.peer.model.norm(hidden)
        logprobs = lm.peer.lm_head(hidden)[0].log_softmax(-1)
        expected = logprobs[torch.arange(len(prompt) - 1, ids.shape[1] - 1), ids[0, len(prompt) :]]
        np.testing.assert_allclose(sample.token_logprobs, expected.detach(), atol=2e-4)


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(temperature=0.7, top_p=0.8, max_new_tokens=2),
        SamplingSettings(temperature=1.3, top_p=1.0, top_k=7, max_new_tokens=2),
    ],
    ids=["top_p", "top_k"],
)
def test_first_two_tokens_follow_the_exact_distribution_on_every_layer(settings):
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    lm = make_lm("llama", seed=1)
    decoder = make_decoder(lm)
    num_samples = 4000
    samples = decode(decoder, settings, [wave(ALL_LAYERS, range(num_samples))])
    warpers = [TemperatureLogitsWarper(settings.temperature)]
    warpers += [TopKLogitsWarper(settings.top_k)] if settings.top_k else []
    warpers += [TopPLogitsWarper(settings.top_p)] if settings.top_p < 1 else []
    prompt = lm.tokenize(decoder.prompt_for(QUESTION))

    @torch.no_grad()
    def next_probs(layer, prefixes):
        hidden = lm.peer(torch.tensor(prefixes), output_hidden_states=True).hidden_states[layer][:, -1]
        logits = lm.peer.lm_head(hidden if layer == NUM_LAYERS else lm.peer.model.norm(hidden))
        for warper in warpers:
            logits = warper(None, logits)
        return logits.softmax(-1).double()

    for layer in ALL_LAYERS:
        first = next_probs(layer, [prompt])[0]
        tokens = first.nonzero().flatten().tolist()
        second = next_probs(layer, [[*prompt, token] for token in tokens])
        expected = {}
        for token, row in zip(tokens, second, strict=True):
            # An answer that ends with its first token has no second one.
            alone = token in lm.stop_token_ids
            pairs = (
                {(token,): 1.0}
                if alone
                else {(token, other): row[other].item() for other in row.nonzero().flatten().tolist()}
            )
            expected |= {pair: first[token].item() * prob * num_samples for pair, prob in pairs.items()}
        counts = dict.fromkeys(expected, 0)
        for idx in range(num_samples):
            counts[samples[layer, idx].completion_token_ids] += 1  # KeyError: a token outside the nucleus
        big = [pair for pair in expected if expected[pair] >= 5]
        rest = num_samples - sum(expected[pair] for pair in big)
        observed = [counts[pair] for pair in big] + (
            [num_samples - sum(counts[pair] for pair in big)] if rest > 1e-9 else []
        )
        wanted = [expected[pair] for pair in big] + ([rest] if rest > 1e-9 else [])
        if len(wanted) > 1:
            assert chisquare(observed, np.array(wanted) * num_samples / sum(wanted)).pvalue > 1e-4, f"layer {layer}"


def assert_same(ours, expected):
    """The same tokens for each key; log-probabilities up to the last bits that another CPU may round otherwise."""
    assert ours.keys() == expected.keys()
    for key, sample in ours.items():
        assert sample.completion_token_ids == expected[key].completion_token_ids
        assert (sample.answer, sample.finish_reason) == (expected[key].answer, expected[key].finish_reason)
        np.testing.assert_allclose(sample.token_logprobs, expected[key].token_logprobs, atol=1e-5)


class TestSameSeedSameAnswers:
    settings = SamplingSettings(temperature=1.2, top_p=0.95, max_new_tokens=10, seed=7)
    idxs = range(12)

    def reference(self, lm):
        return decode(make_decoder(lm), self.settings, [wave(ALL_LAYERS, self.idxs)])

    @pytest.fixture(scope="class")
    def lm(self):
        return make_lm("qwen3", initializer_range=0.2)

    def test_whatever_the_layer_range(self, lm):
        whole = self.reference(lm)
        for layers in [(2,), (1, 4), (3, 4)]:
            part = decode(make_decoder(lm), self.settings, [wave(layers, self.idxs)])
            assert_same(part, {key: whole[key] for key in part})

    def test_whatever_the_waves(self, lm):
        whole = self.reference(lm)
        waves = [
            wave(ALL_LAYERS, [0]),
            wave((1, 2), range(1, 12)),
            wave((4, 3), range(1, 5)),
            wave((3, 4), range(5, 12)),
        ]
        assert_same(decode(make_decoder(lm), self.settings, waves), whole)

    def test_whatever_the_memory_budget(self, lm):
        whole = self.reference(lm)
        for budget in (1, 30_000, 200_000):
            assert_same(decode(make_decoder(lm, budget), self.settings, [wave(ALL_LAYERS, self.idxs)]), whole)

    def test_one_sample_at_a_time(self, lm):
        whole = self.reference(lm)
        for key in [(1, 0), (2, 5), (4, 11)]:
            assert_same(decode(make_decoder(lm), self.settings, [[key]]), {key: whole[key]})

    def test_but_another_seed_or_question_gives_others(self, lm):
        whole = [sample.answer for sample in self.reference(lm).values()]
        other_seed = SamplingSettings(temperature=1.2, top_p=0.95, max_new_tokens=10, seed=8)
        assert [s.answer for s in decode(make_decoder(lm), other_seed, [wave(ALL_LAYERS, self.idxs)]).values()] != whole
        twin = Question("q2", QUESTION.text, QUESTION.accepted_answers)
        assert [
            s.answer for s in decode(make_decoder(lm), self.settings, [wave(ALL_LAYERS, self.idxs)], twin).values()
        ] != whole


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_smollm2_answers_do_not_depend_on_waves_layers_or_budget(smollm2, dtype):
    if dtype != "float32":
        from hcl_core.decode.model.loading import load_model

        smollm2, _ = load_model("smollm2-135m", dtype, "cpu")
    decoder, split = make_decoder(smollm2), make_decoder(smollm2, 8 * 2**20)
    settings = SamplingSettings(temperature=1.0, top_p=0.95, max_new_tokens=10)
    layers = (3, 12, 21, 29, 30)
    whole = decode(decoder, settings, [wave(layers, range(12))])
    waves = [wave(layers, range(3)), wave((30, 3), range(3, 12)), wave((12, 21, 29), range(3, 12))]
    assert_same(decode(split, settings, waves), whole)


def test_waves_share_what_was_computed():
    decoder = make_decoder(make_lm())
    settings = SamplingSettings(temperature=0, max_new_tokens=8)
    waves = [wave((4,), [0]), wave((4,), range(1, 9))]
    sizes = [p.num_nodes for p in decoder.decode(stored_question(decoder, QUESTION), settings, waves)]
    assert sizes[-1] == max(sizes) <= 9  # greedy: the second wave walks the first one's path


def test_a_split_wave_stays_within_its_budget(monkeypatch):
    pools, peaks = weakref.WeakSet(), []  # a pool that is dropped takes no memory

    class Spied(GrowingRows):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            pools.add(self)

        def append(self, rows):
            row = super().append(rows)
            peaks.append(sum(pool.capacity_bytes for pool in pools))  # spare rows too
            return row

    monkeypatch.setattr(kv_pool, "GrowingRows", Spied)
    monkeypatch.setattr(session, "GrowingRows", Spied)
    lm, budget = make_lm(initializer_range=0.05), 400_000
    settings = SamplingSettings(temperature=1.5, top_p=1.0, max_new_tokens=12)
    decode(make_decoder(lm, budget), settings, [wave(ALL_LAYERS, range(30))])
    unsplit = max(peaks)
    assert unsplit <= budget
    peaks.clear()
    decode(make_decoder(lm, 2**30), settings, [wave(ALL_LAYERS, range(30))])
    assert max(peaks) > budget  # the budget did bind


def test_half_precision_is_close_to_float32():
    exact = make_lm("mistral")
    settings = SamplingSettings(temperature=0, max_new_tokens=4)
    reference = decode(make_decoder(exact), settings, [wave(ALL_LAYERS, [0])])
    for dtype in ("bfloat16", "float16"):
        half = decode(make_decoder(make_lm("mistral", dtype=dtype)), settings, [wave(ALL_LAYERS, [0])])
        for key, sample in half.items():
            if sample.completion_token_ids[0] == reference[key].completion_token_ids[0]:
                assert sample.token_logprobs[0] == pytest.approx(reference[key].token_logprobs[0], abs=0.5)


def test_an_answer_ends_at_the_first_newline_after_text():
    lm = make_lm(initializer_range=0.02)  # nearly uniform: newlines come up
    settings = SamplingSettings(temperature=1.0, top_p=1.0, max_new_tokens=40)
    for sample in decode(make_decoder(lm), settings, [wave((4,), range(300))]).values():
        text = sample.completion_text
        assert "\n" not in text.strip("\n \t\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0")
        ends_line = text.strip() != "" and text.rstrip(" \t").endswith("\n")
        ends_token = sample.completion_token_ids[-1] in lm.stop_token_ids
        assert (sample.finish_reason == "stop") == (ends_line or ends_token)
        assert sample.finish_reason == "stop" or len(sample.completion_token_ids) == 40


def test_too_long_a_prompt_is_refused_with_the_numbers():
    decoder = make_decoder(make_lm(max_position_embeddings=32))
    with pytest.raises(ContextTooLongError, match=r"19 tokens.* 16 exceed .* 32"):
        next(decoder.decode(stored_question(decoder, QUESTION), SamplingSettings(max_new_tokens=16), [wave((1,), [0])]))


def test_a_sliding_window_bounds_the_run():
    assert make_lm("mistral", sliding_window=48).max_positions == 48
    assert make_lm("qwen2", use_sliding_window=True, sliding_window=40, max_window_layers=0).max_positions == 40
    assert make_lm("qwen2", use_sliding_window=False, sliding_window=40).max_positions == 512


def test_other_architectures_are_refused_by_name():
    from transformers import AutoConfig

    from hcl_core.decode.model.causal_lm import check_architecture

    with pytest.raises(UnsupportedArchitectureError, match="gpt2.*llama, mistral, qwen2, qwen3"):
        check_architecture(AutoConfig.for_model("gpt2"))


def test_a_layer_that_does_not_exist_is_refused():
    decoder = make_decoder(make_lm())
    with pytest.raises(SettingsError, match="from 1 to 4"):
        next(decoder.decode(stored_question(decoder, QUESTION), SamplingSettings(), [[(5, 0)]]))


def test_vocabulary_is_the_unembeddings():
    assert make_lm().vocab_size == VOCAB_SIZE


class _HostReads(TorchDispatchMode):
    """Fails where the host asks a tensor for its numbers, which on a GPU waits for all that was queued."""

    READS = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.equal", "aten._unique2")

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert not str(function).startswith(self.READS), f"{function} in the layer loop"
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("device", DEVICES)
def test_the_layer_loop_never_waits_for_the_device(device, monkeypatch):
    lm, in_loop, layers = make_lm(device=device), False, []
    block, run_blocks = lm.block, PromptSession._run_blocks

    def guarded(sends):
        def checked(*args, **options):
            assert not in_loop, f"{sends.__name__} in the layer loop"
            return sends(*args, **options)

        return checked

    def entered(layer, *args):
        nonlocal in_loop
        in_loop = True  # from a step's first block to its last
        layers.append(layer)
        return block(layer, *args)

    def watched(*args):
        nonlocal in_loop
        monkeypatch.setattr(lm, "block", entered)
        with _HostReads():
            run_blocks(*args)
        in_loop = False

    monkeypatch.setattr(PromptSession, "_run_blocks", watched)
    for name in ("from_numpy", "tensor"):
        monkeypatch.setattr(torch, name, guarded(getattr(torch, name)))
    # The second wave resumes nodes of the first, so that some rest while others move.
    decode(make_decoder(lm), SamplingSettings(max_new_tokens=5), [wave((2,), range(6)), wave(ALL_LAYERS, range(6, 12))])
    assert len(layers) > NUM_LAYERS
