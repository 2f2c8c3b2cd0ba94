"""Answers to the chat template: where the model ends, which line is judged, and what the run stores."""

import json
from typing import Any

import numpy as np
import pytest
from conftest import make_lm, run_command, stored_question

from hcl_core.answer_rules import AFTER_PREAMBLE, AFTER_THINKING, FIRST_LINE
from hcl_core.decode.engine import EngineParts, TrieDecoder
from hcl_core.decode.heads.exit_heads import load_exit_head
from hcl_core.decode.model.token_texts import TokenTexts
from hcl_core.decode.trie.token_trie import ROOT, TokenTrie
from hcl_core.errors import SettingsError
from hcl_core.records import Question, Sample, SampleKey, SamplingSettings
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest, RunSettings
from hcl_core.settings.prompts import PromptTemplate, load_template

QUESTION = Question("q", "Name a planet", ("Mars",))
CHAT = "{% for m in messages %}<s>{{ m.content }}{{ end }}{% endfor %}"
LETTERS = "Sure!\nMars."
END = len(LETTERS)


def letters(token_ids):
    return "".join(LETTERS[number] for number in token_ids if number < END)


def final_after(rule, token_ids):
    """Whether the text has ended after each of ``token_ids``."""
    trie, node = TokenTrie(TokenTexts(letters), frozenset({END}), rule), ROOT
    ended = []
    for token in token_ids:
        node = int(trie.children(np.array([node]), np.array([token]))[0])
        ended.append(bool(trie.is_final[node]))
    return ended


def test_a_line_break_ends_a_first_line_and_no_message():
    tokens = [*range(END), END]
    assert final_after(FIRST_LINE, tokens).index(True) == LETTERS.index("\n")
    assert final_after(AFTER_PREAMBLE, tokens).index(True) == END


def test_a_sample_keeps_the_whole_message_and_is_judged_by_its_answer():
    sample = Sample.of_completion(SampleKey("q", 1, 0), LETTERS, (0,), [0.0], rule=AFTER_PREAMBLE, is_final=True)
    assert (sample.completion_text, sample.answer) == (LETTERS, "Mars.")


@pytest.mark.parametrize("name", ["few_shot", "instruction"])
def test_other_templates_take_the_first_line(name):
    template = load_template(name)
    assert template.answer_rule(template.render("Why? <think>")) is FIRST_LINE


def test_a_template_file_takes_the_first_line():
    assert PromptTemplate("file", "{question}<think>").answer_rule("Why?<think>") is FIRST_LINE


@pytest.mark.parametrize(("prompt", "rule"), [("<a>", AFTER_PREAMBLE), ("<a><think>\n", AFTER_THINKING)])
def test_the_chat_template_takes_what_follows_the_preamble(prompt, rule):
    assert load_template("chat").answer_rule(prompt) is rule


def with_chat(lm, turn_end, *added):
    lm.tokenizer.add_tokens(list(added), special_tokens=False)
    lm.tokenizer.chat_template = CHAT.replace("{{ end }}", turn_end)
    return lm


def test_the_token_after_a_turn_ends_a_message():
    lm = with_chat(make_lm(vocab_size=300), "<end_of_turn>", "<end_of_turn>")
    assert lm.end_of_turn_ids == {lm.tokenizer.convert_tokens_to_ids("<end_of_turn>")}


@pytest.mark.parametrize("turn_end", ["\n", "", "{{ raise_exception('no') }}"])
def test_a_format_without_such_a_token_has_none(turn_end):
    assert with_chat(make_lm(), turn_end).end_of_turn_ids == frozenset()


def decode(lm, template, num_tokens=24):
    decoder = TrieDecoder(EngineParts(lm, load_exit_head("shared", lm), template))
    settings = SamplingSettings(temperature=1.0, top_p=1.0, max_new_tokens=num_tokens)
    waves = [[(layer, index) for layer in (2, 4) for index in range(20)]]
    steps = decoder.decode(stored_question(decoder, QUESTION), settings, waves)
    return [sample for step in steps for sample in step.finished]


def test_messages_go_on_over_line_breaks():
    samples = decode(with_chat(make_lm(), "</s>"), load_template("chat"), num_tokens=200)
    assert any("\n" in sample.completion_text.strip() for sample in samples)
    assert all(sample.finish_reason == "length" or sample.completion_token_ids[-1] == 1 for sample in samples)
    assert all(sample.answer == AFTER_PREAMBLE.answer_in(sample.completion_text) for sample in samples)


# Run ids and manifests.

SETTINGS: dict[str, Any] = {
    "model": "m",
    "model_revision": "1",
    "dtype": "float32",
    "exit_head": "shared",
    "exit_head_hash": "",
    "exit_layers": (1,),
    "num_samples": 1,
    "sampling": SamplingSettings(),
}


def run_id(template, **changes):
    return RunSettings(**SETTINGS, template=load_template(template), **changes).run_id([])


def test_the_rule_of_messages_makes_another_run():
    assert run_id("chat", answer_rule=AFTER_PREAMBLE.name) != run_id("chat")


def test_the_rule_of_first_lines_is_no_part_of_a_run_id():
    # As it was before runs had a rule.
    assert run_id("few_shot", answer_rule=FIRST_LINE.name) == run_id("few_shot") == "bcf851058b2881d3"


def test_an_unknown_rule_is_refused():
    with pytest.raises(SettingsError, match="answer_rule must be one of"):
        run_id("chat", answer_rule="after preamble 99")


def test_a_manifest_without_a_rule_is_of_first_lines(finished):
    fields = json.loads((finished.path / "manifest.json").read_text())
    del fields["settings"]["answer_rule"]
    assert Manifest.from_json(json.dumps(fields)).settings.answer_rule == FIRST_LINE.name


def test_a_chat_run_names_its_rule_and_comes_back_from_an_export(capsys, tiny_folder, tmp_path, monkeypatch):
    from test_model_folders import ask, save_tokenizer

    save_tokenizer(tiny_folder, chat_template=CHAT.replace("{{ end }}", "</s>"))
    assert ask(capsys, tiny_folder, tmp_path / "run")[0] == 0
    manifest = RunFolder(tmp_path / "run").manifest()
    assert manifest.settings.answer_rule == AFTER_PREAMBLE.name
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "own"))
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    assert run_command(capsys, "export", tmp_path / "run", "--out", tmp_path / "run.zip")[0] == 0
    assert run_command(capsys, "import", tmp_path / "run.zip")[0] == 0
