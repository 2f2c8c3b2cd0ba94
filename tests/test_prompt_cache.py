"""Prompts with a common beginning: it runs once, and no prompt's states depend on who ran it."""

from dataclasses import replace

import pytest
import torch
from conftest import FAMILIES, make_decoder, make_lm, stored_question
from test_forest import GREEDY, STRATEGIES, WARM, alone, requests, together
from test_pooled_attention import lms, model_of

from hcl_core.decode.engine import EngineParts
from hcl_core.decode.forest import Forest
from hcl_core.decode.strategy import decoder_of
from hcl_core.decode.trie import prompt_cache
from hcl_core.decode.trie.prompt_cache import Beginnings, Prompt, PromptCache
from hcl_core.models.attention_kinds import BY_TREE, GATHERED
from hcl_core.records import Question
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import Strategy

TEMPLATE = PromptTemplate("file", "Say it in a word.\nQ: {question}\nA:")
SHARED = [5, 6, 7, 8, 9, 10, 11, 12, 13]
RESTS = [[20, 21], [22], [20, 23, 24, 25]]
NUM_SHARED = len(SHARED)


def prompts(num_shared=NUM_SHARED):
    return [Prompt([*SHARED, *rest], num_shared=num_shared) for rest in RESTS]


def counted_rows(lm, monkeypatch):
    """Rows of each pass through the first block from now on."""
    block, rows = lm.block, []

    def counting(layer, hidden, *others):
        if layer == 0:
            rows.append(len(hidden))
        return block(layer, hidden, *others)

    monkeypatch.setattr(lm, "block", counting, raising=False)
    return rows


@pytest.mark.parametrize("kind", [BY_TREE, GATHERED])
@pytest.mark.parametrize("case", [*FAMILIES, "gemma2", "gemma3_text", "mixtral-window", "gpt2", "gpt_neox"])
@torch.inference_mode()
def test_the_states_are_those_of_whole_prompts(case, kind):
    lm = lms(model_of(case), kind)[1]
    whole, split = (PromptCache.of_many(lm, prompts(num_shared)) for num_shared in (0, len(SHARED)))
    for one, other in zip(whole, split, strict=True):
        assert one.num_tokens == other.num_tokens
        torch.testing.assert_close(one.last_states, other.last_states, rtol=1e-4, atol=1e-4)
        for kv, other_kv in zip(one.layers, other.layers, strict=True):
            torch.testing.assert_close(kv.keys, other_kv.keys, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(kv.values, other_kv.values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@torch.inference_mode()
def test_no_bit_depends_on_who_ran_the_beginning(dtype):
    lm = make_lm(dtype=dtype)
    kept = Beginnings(lm)
    company = PromptCache.of_many(lm, prompts(), beginnings=kept)
    later = PromptCache.of_many(lm, prompts()[1:2], beginnings=kept)
    (by_itself,) = PromptCache.of_many(lm, prompts()[1:2])
    for one in (company[1], *later):
        assert torch.equal(one.last_states, by_itself.last_states)
        for kv, expected in zip(one.layers, by_itself.layers, strict=True):
            assert torch.equal(kv.keys, expected.keys) and torch.equal(kv.values, expected.values)


@torch.inference_mode()
def test_a_beginning_runs_once(monkeypatch):
    lm = make_lm()
    rows, kept = counted_rows(lm, monkeypatch), Beginnings(lm)
    PromptCache.of_many(lm, [*prompts(), Prompt([9, 8, 7])], beginnings=kept)
    assert rows == [len(SHARED), sum(map(len, RESTS)) + 3]
    PromptCache.of_many(lm, prompts(), beginnings=kept)
    assert rows[2:] == [sum(map(len, RESTS))]


@torch.inference_mode()
def test_few_beginnings_are_kept(monkeypatch):
    lm = make_lm()
    size = prompt_cache.Beginning.of(lm, SHARED).num_bytes
    monkeypatch.setattr(prompt_cache, "_MOST_KEPT_BYTES", 2 * size)
    rows, kept = counted_rows(lm, monkeypatch), Beginnings(lm)
    others = [Prompt([first, *SHARED[1:], 20], num_shared=len(SHARED)) for first in (100, 101)]
    for prompt in (prompts()[0], others[0], prompts()[0], others[1], prompts()[0], others[0]):
        kept.of([prompt])
    # The first was used again before the third came, which took the place of the second.
    assert rows == [len(SHARED)] * 4
    monkeypatch.setattr(prompt_cache, "_MOST_KEPT_BYTES", size - 1)
    assert all(kept.of(prompts())), "one that is too large to keep still serves the prompts that ask for it"
    kept.of(prompts())
    assert len(rows) == 5  # the first was there still, and was then dropped


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_answers_are_the_same_alone_and_in_company(strategy, monkeypatch):
    parts = replace(make_decoder(lm := make_lm()).parts, template=TEMPLATE)
    decoder = decoder_of(parts, Strategy.parse(strategy))
    asked = requests(decoder, settings=(WARM, GREEDY))
    expected = [alone(decoder, request) for request in asked]
    rows = counted_rows(lm, monkeypatch)
    assert together(decoder, asked) == expected
    num_shared = len("Say it in a word.\nQ: ")
    prompt_rows = [len(decoder.tokenize_checked(each.stored, each.settings)) - num_shared for each in asked]
    assert rows[:2] == [num_shared, sum(prompt_rows)]


def test_a_forest_keeps_the_beginning_for_later_questions(monkeypatch):
    decoder = decoder_of(replace(make_decoder(lm := make_lm()).parts, template=TEMPLATE), Strategy.parse("early_exit"))
    forest, rows = Forest(lm, decoder.parts.budget_now), counted_rows(lm, monkeypatch)
    firsts = []
    for request in requests(decoder)[:2]:
        firsts.append(len(rows))
        forest.open(decoder, request)
        while not forest.is_idle:
            forest.step()
    assert rows[firsts[0]] == len("Say it in a word.\nQ: ")
    assert rows[firsts[1]] == len("Name a colour of the rainbow.\nA:")


@pytest.mark.parametrize(
    ("text", "question", "num_shared"),
    [
        ("Say it in a word.\nQ: {question}\nA:", "Name a planet.", 21),
        ("Q: {question}\nA:", "Name a planet.", 0),  # too few to run by themselves
        ("{question}", "Name a planet.", 0),
    ],
)
def test_what_prompts_of_a_template_share(text, question, num_shared):
    parts = make_decoder(make_lm()).parts
    decoder = decoder_of(
        EngineParts(parts.lm, parts.exit_head, PromptTemplate("file", text)), Strategy.parse("early_exit")
    )
    token_ids = parts.lm.tokenize(decoder.prompt_for(Question("q", question, ())))
    assert decoder._num_shared(token_ids) == num_shared


def test_a_prompt_that_begins_otherwise_shares_nothing():
    parts = replace(make_decoder(make_lm()).parts, template=TEMPLATE)
    decoder = decoder_of(parts, Strategy.parse("early_exit"))
    stored = replace(
        stored_question(decoder, Question("q", "Name a planet.", ())), prompt="Another prompt: Name a planet."
    )
    assert decoder._num_shared(parts.tokenize(stored)) == 0
