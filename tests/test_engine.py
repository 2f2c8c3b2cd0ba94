"""The engine equals transformers, and its answers depend on nothing but the seed and the question."""

import weakref
from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import FAMILIES, NUM_LAYERS, VOCAB_SIZE, make_decoder, make_lm, stored_question
from scipy.stats import chisquare
from torch.utils._python_dispatch import TorchDispatchMode

from bench.engine import cut_to
from hcl_core.decode.engine import EngineParts, TrieDecoder, tokenize_checked
from hcl_core.decode.heads.exit_heads import SharedHead
from hcl_core.decode.strategy import decoder_of
from hcl_core.decode.trie import kv_pool, tree
from hcl_core.decode.trie.kv_pool import GrowingRows
from hcl_core.errors import ContextTooLongError, SettingsError, UnsupportedArchitectureError
from hcl_core.models.attention_kinds import BY_TREE, GATHERED, MASKED
from hcl_core.records import Question, SamplingSettings, StoredQuestion
from hcl_core.settings.prompts import PromptTemplate, load_template
from hcl_core.settings.strategies import Strategy

QUESTION = Question("q1", "Name a planet", ("Mars",))
ALL_LAYERS = tuple(range(1, NUM_LAYERS + 1))
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]),
]


def decode(decoder, settings, waves, question=QUESTION):
    """All samples of ``waves`` by key."""
    samples = [
        s for progress in decoder.decode(stored_question(decoder, question), settings, waves) for s in progress.finished
    ]
    assert len(samples) == sum(len(wave) for wave in waves)
    return {(sample.exit_layer, sample.sample_idx): sample for sample in samples}


class RecordingHead(SharedHead):
    """The shared head, with every state that it was given, by exit layer."""

    def __init__(self):
        self.states = defaultdict(list)

    def translate(self, hidden, exit_layers):
        for row, exit_layer in zip(hidden, exit_layers.tolist(), strict=True):
            self.states[exit_layer].append(row.clone())
        return hidden


def states_by_layer(lm, max_new_tokens):
    """Greedy tokens of each exit layer, and the states ``[n, hidden_size]`` that they were drawn from."""
    head = RecordingHead()
    decoder = TrieDecoder(replace(make_decoder(lm).parts, exit_head=head))
    settings = SamplingSettings(temperature=0, max_new_tokens=max_new_tokens)
    layers = range(1, lm.num_hidden_layers + 1)
    samples = decode(decoder, settings, [wave(layers, [0])])
    return {layer: (samples[layer, 0].completion_token_ids, torch.stack(head.states[layer])) for layer in layers}


def assert_states_are_those_of_transformers(lm):
    """In half precision, up to its rounding."""
    prompt = lm.tokenize(make_decoder(lm).prompt_for(QUESTION))
    for layer, (tokens, states) in states_by_layer(lm, max_new_tokens=6).items():
        with torch.inference_mode():
            ids = torch.tensor([[*prompt, *tokens[:-1]]], device=lm.peer.device)
            output = lm.peer(ids, output_hidden_states=True)
            theirs = output.hidden_states[layer][0, len(prompt) - 1 :].float()
            ours = (lm.final_norm(states) if layer == NUM_LAYERS else states).float()  # transformers norms the last
        # Each block rounds a few times: two units in the last place a block, relative to the whole state.
        assert (ours - theirs).norm() < 2 * layer * torch.finfo(lm.dtype).eps * theirs.norm()


def wave(layers, sample_idxs):
    return [(layer, idx) for layer in layers for idx in sample_idxs]


@torch.inference_mode()
def truncated_generate(lm, exit_layer, prompt_ids, max_new_tokens):
    """Greedy tokens of transformers' own model, cut to ``exit_layer`` blocks."""
    ids = torch.tensor([prompt_ids], device=lm.peer.device)
    options = {"attention_mask": torch.ones_like(ids), "do_sample": False, "max_new_tokens": max_new_tokens}
    with cut_to(lm.peer, exit_layer):
        return lm.peer.generate(ids, **options)[0, ids.shape[1] :].tolist()


@torch.inference_mode()
def truncated_choices(lm, exit_layer, prompt_ids, tokens):
    """What the same model would put in the place of each of ``tokens``: in one pass, where ``generate`` takes many."""
    ids = torch.tensor([[*prompt_ids, *tokens[:-1]]], device=lm.peer.device)
    with cut_to(lm.peer, exit_layer):
        return lm.peer(ids).logits[0, len(prompt_ids) - 1 :].argmax(-1).tolist()


def assert_greedy_is_that_of_transformers(lm, decoder, layers, question, max_new_tokens, generated=()):
    """Each token is the truncated model's choice after those before it; by ``generate`` too at layers ``generated``."""
    settings = SamplingSettings(temperature=0, max_new_tokens=max_new_tokens)
    ours = decode(decoder, settings, [wave(layers, range(2))], question)
    prompt_ids = lm.tokenize(decoder.prompt_for(question))
    for layer in layers:
        mine = list(ours[layer, 0].completion_token_ids)
        assert mine == truncated_choices(lm, layer, prompt_ids, mine), f"layer {layer}"
        assert ours[layer, 1].completion_token_ids == ours[layer, 0].completion_token_ids
        ends_as_it_should = len(mine) == max_new_tokens or mine[-1] in lm.stop_token_ids or "\n" in lm.detokenize(mine)
        assert ends_as_it_should and not lm.stop_token_ids & set(mine[:-1])
        if layer in generated:
            theirs = truncated_generate(lm, layer, prompt_ids, max_new_tokens)
            assert mine == theirs[: len(mine)], f"layer {layer}"
            assert len(mine) == len(theirs) or "\n" in lm.detokenize(mine)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_is_that_of_the_truncated_model_on_every_layer(family, device):
    for seed in range(3):
        lm = make_lm(family, seed, device=device)
        generated = () if seed else ALL_LAYERS
        assert_greedy_is_that_of_transformers(lm, make_decoder(lm), ALL_LAYERS, QUESTION, 24, generated)


@pytest.mark.model
@pytest.mark.slow
def test_greedy_is_that_of_the_truncated_model_on_smollm2(smollm2):
    decoder = TrieDecoder(EngineParts(smollm2, SharedHead(), load_template()))
    question = Question("p", "Name a planet in the solar system.", ("Mars",))
    layers = (1, 5, 9, 13, 17, 21, 25, 27, 29, 30)
    assert_greedy_is_that_of_transformers(smollm2, decoder, layers, question, 12, generated=(9, 30))


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
        expected: dict[tuple[int, ...], float] = {}
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

    @pytest.fixture(scope="class")
    def lm(self):
        return make_lm("qwen3", initializer_range=0.2)

    @pytest.fixture(scope="class")
    def whole(self, lm):
        return decode(make_decoder(lm), self.settings, [wave(ALL_LAYERS, self.idxs)])

    def test_whatever_the_layer_range(self, lm, whole):
        for layers in [(2,), (1, 4), (3, 4)]:
            part = decode(make_decoder(lm), self.settings, [wave(layers, self.idxs)])
            assert_same(part, {key: whole[key] for key in part})

    def test_whatever_the_waves(self, lm, whole):
        waves = [
            wave(ALL_LAYERS, [0]),
            wave((1, 2), range(1, 12)),
            wave((4, 3), range(1, 5)),
            wave((3, 4), range(5, 12)),
        ]
        assert_same(decode(make_decoder(lm), self.settings, waves), whole)

    def test_whatever_the_memory_budget(self, lm, whole):
        for budget in (1, 30_000, 200_000):
            assert_same(decode(make_decoder(lm, budget), self.settings, [wave(ALL_LAYERS, self.idxs)]), whole)

    def test_one_sample_at_a_time(self, lm, whole):
        for key in [(1, 0), (2, 5), (4, 11)]:
            assert_same(decode(make_decoder(lm), self.settings, [[key]]), {key: whole[key]})

    def test_but_another_seed_or_question_gives_others(self, lm, whole):
        answers = [sample.answer for sample in whole.values()]
        other_seed = SamplingSettings(temperature=1.2, top_p=0.95, max_new_tokens=10, seed=8)
        assert [
            s.answer for s in decode(make_decoder(lm), other_seed, [wave(ALL_LAYERS, self.idxs)]).values()
        ] != answers
        twin = Question("q2", QUESTION.text, QUESTION.accepted_answers)
        assert [
            s.answer for s in decode(make_decoder(lm), self.settings, [wave(ALL_LAYERS, self.idxs)], twin).values()
        ] != answers


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
    whole = decode(decoder, settings, [wave(layers, range(8))])
    waves = [wave(layers, range(3)), wave((30, 3), range(3, 8)), wave((12, 21, 29), range(3, 8))]
    assert_same(decode(split, settings, waves), whole)


def test_waves_share_what_was_computed():
    decoder = make_decoder(make_lm())
    settings = SamplingSettings(temperature=0, max_new_tokens=8)
    waves = [wave((4,), [0]), wave((4,), range(1, 9))]
    sizes = [p.num_nodes for p in decoder.decode(stored_question(decoder, QUESTION), settings, waves)]
    assert sizes[-1] == max(sizes) <= 9  # greedy: the second wave walks the first one's path


def test_a_split_wave_stays_within_its_budget(monkeypatch):
    pools: weakref.WeakSet[GrowingRows] = weakref.WeakSet()  # a pool that is dropped takes no memory
    peaks = []

    class Spied(GrowingRows):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            pools.add(self)

        def append(self, rows):
            row = super().append(rows)
            peaks.append(sum(pool.capacity_bytes for pool in pools))  # spare rows too
            return row

    monkeypatch.setattr(kv_pool, "GrowingRows", Spied)
    monkeypatch.setattr(tree, "GrowingRows", Spied)
    lm, budget = make_lm(initializer_range=0.05), 400_000
    settings = SamplingSettings(temperature=1.5, top_p=1.0, max_new_tokens=12)
    decode(make_decoder(lm, budget), settings, [wave(ALL_LAYERS, range(30))])
    unsplit = max(peaks)
    assert unsplit <= budget
    peaks.clear()
    decode(make_decoder(lm, 2**30), settings, [wave(ALL_LAYERS, range(30))])
    assert max(peaks) > budget  # the budget did bind


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_states_are_those_of_transformers_in_half_precision(family, dtype):
    assert_states_are_those_of_transformers(make_lm(family, dtype=dtype))


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


def test_other_architectures_are_refused_by_name():
    from transformers import AutoConfig

    from hcl_core.decode.model.families import check_fast

    with pytest.raises(UnsupportedArchitectureError, match="'opt' is not one .* llama, mistral, qwen2, qwen3, smollm3"):
        check_fast(AutoConfig.for_model("opt"))


def test_a_layer_that_does_not_exist_is_refused():
    decoder = make_decoder(make_lm())
    with pytest.raises(SettingsError, match="from 1 to 4"):
        next(decoder.decode(stored_question(decoder, QUESTION), SamplingSettings(), [[(5, 0)]]))


def test_vocabulary_is_the_unembeddings():
    assert make_lm().vocab_size == VOCAB_SIZE


class HostReads(TorchDispatchMode):
    """Notes where the host asks a tensor for its numbers, which on a GPU waits for all that was queued."""

    READS = (
        *("aten._local_scalar_dense", "aten.nonzero.", "aten.masked_select", "aten.equal", "aten._unique"),
        *("aten.unique", "aten.bincount", "aten.repeat_interleave.Tensor"),
    )
    BY_MASK = ("aten.index.", "aten.index_put")  # which read a mask, unlike numbers of rows

    def __init__(self, events):
        super().__init__()
        self.events = events

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        by_mask = str(function).startswith(self.BY_MASK) and any(
            each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1]
        )
        if by_mask or str(function).startswith(self.READS):
            self.events.append(f"read by {function}")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("attention", [BY_TREE, GATHERED, MASKED])  # no dispatch mode looks into torch's flex attention
@pytest.mark.parametrize("device", DEVICES)
def test_the_layer_loop_never_waits_for_the_device(device, attention, monkeypatch):
    lm, events = make_lm(device=device), []
    lm.attention = attention

    def noted(owner, name):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **options: (events.append(name), original(*args, **options))[1])

    for name in ("embed", "block", "unembed"):
        noted(lm, name)
    for name in ("from_numpy", "tensor"):  # uploads
        noted(torch, name)
    # The second wave resumes nodes of the first, so that some rest while others move.
    with HostReads(events):
        waves = [wave((2,), range(6)), wave(ALL_LAYERS, range(6, 12))]
        decode(make_decoder(lm), SamplingSettings(max_new_tokens=5), waves)
    loops = [part for part in " ".join(events).split("embed") if "block" in part]  # of "unembed" too
    assert sum(loop.count("block") for loop in loops) > NUM_LAYERS
    between_blocks = [loop[loop.index("block") : loop.rindex("block")].split() for loop in loops]
    assert {event for loop in between_blocks for event in loop} == {"block"}


@pytest.mark.parametrize("strategy", ["early_exit", "self_speculative:2", "dynamic:probability:0.5"])
def test_a_prompt_runs_once_whatever_the_layers_waves_and_budget(strategy, monkeypatch):
    lm = make_lm()
    decoder = decoder_of(make_decoder(lm, memory_budget=1).parts, Strategy.parse(strategy))
    num_prompt_tokens = len(lm.tokenize(decoder.prompt_for(QUESTION)))
    embedded, original = [], lm.embed
    monkeypatch.setattr(lm, "embed", lambda ids, *at: (embedded.append(len(ids)), original(ids, *at))[1])
    waves = [wave(ALL_LAYERS, [0]), wave(ALL_LAYERS, [1])]
    decode(decoder, SamplingSettings(temperature=1.0, max_new_tokens=4), waves)
    assert embedded[0] == num_prompt_tokens > max(embedded[1:])


def test_a_prompt_of_which_the_tokenizer_leaves_nothing_is_refused():
    leaves_nothing = SimpleNamespace(tokenize=lambda *_, **__: [])
    stored = StoredQuestion(Question("q", "\u200b", ()), "\u200b")
    with pytest.raises(SettingsError, match="question 'q': this model's tokenizer makes no tokens of its prompt"):
        tokenize_checked(stored, 5, leaves_nothing, PromptTemplate("file", "{question}"), 100)
