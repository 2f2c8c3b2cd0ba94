"""Where the answer stands in a completion: the first line, or what follows a chat model's preamble."""

import json
from pathlib import Path

import pytest

from hcl_core.answer_rules import (
    AFTER_PREAMBLE,
    AFTER_THINKING,
    FIRST_LINE,
    answer_after_preamble,
    answer_after_thinking,
    chat_rule,
    find_answer_rule,
    first_line,
)
from hcl_core.errors import SettingsError

CASES = Path(__file__).parents[2] / "shared" / "cases" / "questions" / "first_line.jsonl"


def first_line_cases():
    lines = CASES.read_text(encoding="utf-8").splitlines() if CASES.is_file() else []
    return [json.loads(line) for line in lines]


@pytest.mark.skipif(not CASES.is_file(), reason="needs the failing cases")
@pytest.mark.parametrize("case", first_line_cases(), ids=lambda case: case["completion"])
def test_answers_of_chat_models_as_handed_over(case):
    assert answer_after_preamble(case["completion"]) == case["want_answer"]


THOUGHTS = {
    "closed": ("<think>\nFrance. Lyon?\n</think>\n\nParis", "Paris"),
    "empty": ("<think>\n\n</think>\n\nParis", "Paris"),
    "long tag": ("<thinking>Lyon?</thinking>Paris", "Paris"),
    "in capitals": ("<THINK>Lyon?</THINK>\nParis", "Paris"),
    "in brackets": ("[THINK]Lyon?[/THINK]Paris", "Paris"),
    "reasoning": ("<reasoning>Lyon?</reasoning>\n<answer>\nParis\n</answer>", "Paris"),
    "answer in a tag": ("<answer>Paris</answer>", "Paris"),
    "never closed": ("<think>\nOkay, France. Its capital is", ""),
    "never closed after an answer": ("Paris\n<think>Or is it", "Paris"),
    "closed, then opened again": ("<think>a</think>\nParis\n<think>b", "Paris"),
    "closed only": ("The capital of France?\n</think>\n\nParis", "Paris"),
    "twice": ("<think>a</think>\n<think>b</think>\nParis", "Paris"),
    "tags in another script": ("◁think▷Lyon?◁/think▷Paris", "Paris"),
    "nothing after it": ("Paris\n<think>sure?</think>\n", "Paris"),
    "channels": (
        "<|channel|>analysis<|message|>Lyon?<|end|><|start|>assistant<|channel|>final<|message|>Paris<|return|>",
        "Paris",
    ),
    "an open channel": ("<|channel|>analysis<|message|>Which one is it", ""),
    "channels without special tokens": ("analysisLyon? No.assistantfinalParis", "Paris"),
    "an open channel without special tokens": ("analysisWe need to answer", ""),
    "the word alone": ("analysis", "analysis"),
    "a phrase that begins with it": ("analysis of variance", "analysis of variance"),
    "a word that begins alike": ("Finally, Paris", "Finally, Paris"),
}
PREAMBLES = {
    "courtesy and introduction": ("Sure! Here is the answer:\n\n**Paris**", "**Paris**"),
    "courtesy alone": ("Sure!\nParis", "Paris"),
    "two courtesies": ("Of course. I'd be happy to help!\n\nParis", "Paris"),
    "courtesy in the line": ("Sure, Paris.", "Paris."),
    "introduction in the line": ("Sure! Here's the answer: Paris", "Paris"),
    "certainly": ("Certainly!\n\nThe capital of France is Paris.", "The capital of France is Paris."),
    "German": ("Natürlich! Hier ist die Antwort:\nParis", "Paris"),
    "Chinese": ("当然！\n巴黎", "巴黎"),
    "label": ("Answer:\nParis", "Paris"),
    "label in the line": ("Answer: Paris", "Paris"),
    "bold label": ("**Answer:** Paris", "Paris"),
    "bold label, colon outside": ("**Answer**: Paris", "Paris"),
    "bold label alone": ("**Final Answer**\n\nParis", "Paris"),
    "label and answer in bold": ("**Answer: Paris**", "Paris"),
    "label of another language": ("Antwort: Paris", "Paris"),
    "full-width colon": ("答案：\n巴黎", "巴黎"),
    "label in a heading": ("## Answer\n\nParis", "Paris"),
    "heading": ("# The capital of France\n\nParis", "Paris"),
    "heading alone": ("# Paris", "# Paris"),
    "rule": ("---\nParis", "Paris"),
    "fence": ("```\nParis\n```", "Paris"),
    "fence with a language": ("```text\nParis\n```", "Paris"),
    "introduction, fence": ("Here you go:\n```\nParis\n```", "Paris"),
    "the question again": ("Question: What is the capital?\nAnswer: Paris", "Paris"),
    "sentence before a colon": ("The capital of France is:\nParis", "Paris"),
    "list with numbers": ("Here are two planets:\n1. Mars\n2. Venus", "Mars"),
    "list with dots": ("* Mars\n* Venus", "Mars"),
    "list with dashes": ("- Mars\n- Venus", "Mars"),
    "number of one item": ("1. Mars", "1. Mars"),
    "date": ("3. Oktober 1990", "3. Oktober 1990"),
    "decimal": ("1.5 million", "1.5 million"),
    "minus": ("-39", "-39"),
    "sign alone": ("£", "£"),
    "emoji alone": ("😀", "😀"),
    "title that begins as a courtesy": ("Sure Thing", "Sure Thing"),
    "title that begins as a greeting": ("Hello, Dolly!", "Hello, Dolly!"),
    "greeting": ("Hello! Paris", "Paris"),
    "name that begins as a label": ("Answer Me", "Answer Me"),
    "plain": ("Paris", "Paris"),
    "lines after the answer": ("Paris\n\nIt lies on the Seine.", "Paris"),
    "lines before": ("\n\n  Paris  \n", "Paris"),
    "courtesy is all": ("Sure!", "Sure!"),
    "label is all": ("Answer:", "Answer:"),
    "nothing": (" \n ", ""),
}


@pytest.mark.parametrize(("completion", "answer"), THOUGHTS.values(), ids=THOUGHTS)
def test_thoughts_are_no_answers(completion, answer):
    assert answer_after_preamble(completion) == answer


@pytest.mark.parametrize(("completion", "answer"), PREAMBLES.values(), ids=PREAMBLES)
def test_what_comes_before_the_answer_is_left_off(completion, answer):
    assert answer_after_preamble(completion) == answer


@pytest.mark.parametrize(
    ("completion", "answer"),
    [("France. Lyon?</think>\n\nParis", "Paris"), ("France. Its capital", ""), ("a</think>Sure!\nParis", "Paris")],
)
def test_after_a_prompt_that_opens_a_thought_the_answer_follows_its_end(completion, answer):
    assert answer_after_thinking(completion) == answer


@pytest.mark.parametrize("prompt", ["<|im_start|>assistant\n<think>\n", "[THINK]", "x<thinking>"])
def test_a_prompt_that_ends_in_a_thought_has_a_rule_of_its_own(prompt):
    assert chat_rule(prompt) is AFTER_THINKING


@pytest.mark.parametrize("prompt", ["<|im_start|>assistant\n", "<think>\n\n</think>\n\n", "What is a <think> tag?"])
def test_other_prompts_have_the_rule_of_messages(prompt):
    assert chat_rule(prompt) is AFTER_PREAMBLE


def test_rules_are_found_by_name():
    rules = (FIRST_LINE, AFTER_PREAMBLE, AFTER_THINKING)
    assert tuple(find_answer_rule(rule.name) for rule in rules) == rules


def test_an_unknown_rule_is_refused():
    with pytest.raises(SettingsError, match="first line 1, .*; got 'last line 1'"):
        find_answer_rule("last line 1")


def test_a_first_line_keeps_its_preamble():
    assert first_line("\nSure! Here is the answer:\n\n**Paris**") == "Sure! Here is the answer:"
