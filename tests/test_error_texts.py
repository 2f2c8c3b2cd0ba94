"""What goes wrong is said in the visitor's language, too."""

import ast
import re
from pathlib import Path

import pytest

import hcl_core.errors
from app.error_texts import ErrorTexts, translations
from app.language import Translator
from hcl_core.errors import HclError

ROOT = Path(__file__).parent.parent
LANGUAGES = sorted(path.stem for path in (ROOT / "assets" / "words").glob("*.json") if path.stem != "en")
ERRORS = {
    name for name, value in vars(hcl_core.errors).items() if isinstance(value, type) and issubclass(value, HclError)
}
# Only the terminal and Python get here.
TERMINAL = (
    "hcl_core/api/",
    "hcl_core/cli/",
    "hcl_core/cluster/",
    "hcl_core/__main__.py",
    "hcl_core/decode/continuing.py",
    "hcl_core/decode/likelihood.py",
    "hcl_core/decode/timing.py",
    "hcl_core/judges/llm.py",
    "hcl_core/neighbours/",
    "hcl_core/pipeline/judge_eval.py",
    "hcl_core/pipeline/judge_precision.py",
    "hcl_core/transfer/data_set.py",
    "hcl_core/transfer/hub.py",
    "hcl_core/transfer/space.py",
)


def sentence(node):
    """The text of a literal, with its values numbered; ``None`` for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    values = iter(range(99))
    return "".join(str(part.value) if isinstance(part, ast.Constant) else f"{{{next(values)}}}" for part in node.values)


def sentences():
    """The English sentences of all errors that the page can show."""
    found = set()
    for folder in ("app", "hcl_core"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.relative_to(ROOT).as_posix().startswith(TERMINAL):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                # ``error`` is the class that a caller of ``strict_yaml`` gives.
                if isinstance(node, ast.Call) and node.args and getattr(node.func, "id", "") in (*ERRORS, "error"):
                    found.add(sentence(node.args[0]))
    # Values alone need no translation.
    return {each for each in found if each is not None and re.search(r"[a-z]", re.sub(r"\{\d+\}", "", each))}


SENTENCES = sentences()


def test_the_sentences_of_the_code_are_found():
    assert len(SENTENCES) > 150
    assert {"{0} is empty: type a number", "this run has no such exit layer: {0}"} <= SENTENCES


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated_and_no_other(language):
    assert set(translations(language)) == SENTENCES


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_values_of_its_sentence(language):
    for english, translated in translations(language).items():
        assert sorted(re.findall(r"\{\d+\}", english)) == sorted(re.findall(r"\{\d+\}", translated)), english
        assert english != translated


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_error_is_said_in_a_language_with_its_values_and_the_names_of_fields(language):
    words = Translator(language)
    said = words.error("Answers a layer must be a number; got 'viele'")
    assert "viele" in said and words("label_num_samples") in said and "must" not in said
    assert words.error("nobody wrote this sentence") == "nobody wrote this sentence"


def test_an_error_has_no_other_words_in_english():
    assert Translator("en").error("Temperature is empty: type a number") == "Temperature is empty: type a number"


def test_the_sentence_with_more_words_is_taken_and_values_are_text():
    told = ErrorTexts({"{0}: {1}": "{1} ({0})", "no file {0}: {1}": "keine Datei {0}: {1}"}, str)
    assert told("no file a.b: gone {0}") == "keine Datei a.b: gone {0}"
    assert told("x: (.*)") == "(.*) (x)"


def test_each_line_of_many_mistakes_is_translated_and_its_place_is_kept():
    told = ErrorTexts({"{0} has mistakes:\n{1}": "{0} hat Fehler:\n{1}", "no head {0}": "kein Kopf {0}"}, str)
    mistakes = "a.yaml has mistakes:\n- models 1, exit_heads 2: no head b\n- samplez: unknown key"
    assert told(mistakes) == "a.yaml hat Fehler:\n- models 1, exit_heads 2: kein Kopf b\n- samplez: unknown key"


def test_a_cause_inside_a_sentence_is_translated_too():
    told = ErrorTexts({"cannot read {0}: {1}": "{0} ist nicht lesbar: {1}", "no such file": "keine Datei"}, str)
    assert told("cannot read a: no such file") == "a ist nicht lesbar: keine Datei"
