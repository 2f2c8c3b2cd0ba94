"""What goes wrong is said in the visitor's language, too."""

import re
from pathlib import Path

import pytest
from error_sentences import ErrorSentences

import hcl_core.errors
from app.error_texts import ErrorTexts, translations
from app.language import Translator
from app.lessons.reading import LessonError
from app.lessons.store import ClassFileError
from hcl_core.errors import HclError

ROOT = Path(__file__).parent.parent
LANGUAGES = sorted(path.stem for path in (ROOT / "assets" / "words").glob("*.json") if path.stem != "en")
ERRORS = {
    name for name, value in vars(hcl_core.errors).items() if isinstance(value, type) and issubclass(value, HclError)
} | {LessonError.__name__, ClassFileError.__name__}
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


# Mistakes of whoever writes this program, and what is caught and told in other words.
UNSEEN = {
    "not a cell: {0}",
    "not a number: {0}",
    "not a whole number: {0}",
    "not further curves: {0}",
    "num_accepted_ideas must be one number a question, {0}; got shape {1}",
    "question {0} has accepted answers",
    "too long",
    "{0} has no known size",
}


def sentences():
    """The English sentences of all errors that the page can show."""
    files = (path for folder in ("app", "hcl_core") for path in sorted((ROOT / folder).rglob("*.py")))
    shown = (path for path in files if not path.relative_to(ROOT).as_posix().startswith(TERMINAL))
    # ``error`` is the class that a caller of ``strict_yaml`` gives.
    return ErrorSentences((path.read_text(encoding="utf-8") for path in shown), (*ERRORS, "error")).found() - UNSEEN


SENTENCES = sentences()


def test_the_sentences_of_the_code_are_found():
    assert len(SENTENCES) > 400
    assert {"{0} is empty: type a number", "this run has no such exit layer: {0}"} <= SENTENCES


@pytest.mark.parametrize(
    ("code", "sentences"),
    [
        ("raise Bad('no head')", {"no head"}),
        ("raise Bad(f'no head {a} of {b}')", {"no head {0} of {1}"}),
        ("raise Bad(NONE)\nNONE = 'there is none'", {"there is none"}),
        ("raise Bad(NONE.format(1))\nNONE = '{} is no head'", {"{0} is no head"}),
        ("raise Bad('one is bad' if a else 'all are bad')", {"one is bad", "all are bad"}),
        ("def f(a):\n b = a or 'there is none'\n raise Bad(b[:9])", {"there is none"}),
        ("raise Bad(_why(1))\ndef _why(a):\n return f'this is {a} twice'", {"this is {0} twice"}),
        ("raise Bad(f'no: {_why()}')\ndef _why():\n return 'it is gone'", {"no: {0}", "it is gone"}),
        (
            "class A:\n def a(self):\n  raise self._bad('it is old')\n"
            " def _bad(self, b) -> Bad:\n  return Bad(f'no: {b}')",
            {"no: {0}", "it is old"},
        ),
        (
            "def f():\n try:\n  g()\n except ValueError as e:\n  raise Bad(str(e))\n"
            "def g():\n raise ValueError('two are alike')",
            {"two are alike"},
        ),
        ("raise ValueError('nobody sees this')", set()),
        ("raise Bad(f'{a}')\nf('this is no error')", set()),
        ("raise Bad('{0}')", set()),
    ],
)
def test_a_sentence_is_found_wherever_it_is_made(code, sentences):
    assert ErrorSentences([code], ("Bad",)).found() == sentences


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_part_of_a_sentence_says_is_translated_too(language):
    words = Translator(language)
    for english in (
        "model family 'x' cannot be read at its early layers: its blocks hand on more than one hidden state",
        "the folder 'm' has no config.json: it is not a transformers model; it holds a GGUF file: give that file, 'a'",
        "layers must be 'all', start:stop[:step] or a list such as 24,28,30; got 'x'",
        "run: the manifest cannot be read: unknown key 'a'; known are b: the same `run` command writes it anew; "
        "`repair` may do it too",
        "questions must be from 1 to 1,000 on a page; the terminal takes more; got 1001",
        "out of memory while decoding: ask for fewer layers, samples or tokens, or choose a smaller model",
    ):
        assert not re.search(r"blocks|early|holds|ask|choose|smaller|list|known|same|page", words.error(english)), (
            words.error(english)
        )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_translated_and_no_other(language):
    assert set(translations(language)) == SENTENCES


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_has_the_values_of_its_sentence(language):
    for english, translated in translations(language).items():
        assert sorted(re.findall(r"\{\d+\}", english)) == sorted(re.findall(r"\{\d+\}", translated)), english
        assert english != translated


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_is_taken_for_another(language):
    def filled(sentence):
        return re.sub(r"\{(\d+)\}", r"Q\1Q", sentence)

    words = Translator(language)
    for english, translated in translations(language).items():
        assert words.error(filled(english)) == filled(translated)


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
