"""The glossary: the same terms in every language, each explained in plain text."""

import json
import re

import pytest

from app.handlers.learn import NUM_STEPS
from app.handlers.measures import MEASURES
from app.language import Translator
from app.tabs.form import _EXPLAINED
from app.terms import chart_terms, explained, mark, term_of
from app.views.base import setting
from hcl_core.folders import PROGRAM
from hcl_core.glossary import glossary

LANGUAGES = ("en", "de", "zh")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_entry_in_the_same_order(language):
    assert list(glossary(language)) == list(glossary("en"))


def test_languages_have_words_of_their_own():
    definitions = [each.definition for language in LANGUAGES for each in glossary(language).values()]
    assert len(definitions) == len(set(definitions))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_term_is_explained_once(language):
    terms = [each.term.casefold() for each in glossary(language).values()]
    assert len(terms) == len(set(terms))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_definition_is_whole_sentences_that_fit_a_table(language):
    texts = [each.definition for each in glossary(language).values()]
    assert [
        text for text in texts if not text.endswith((".", "。")) or "|" in text or "\n" in text or len(text) > 300
    ] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_term_is_asked_for_and_its_formula_is_on_one_line(language):
    entries = glossary(language).values()
    assert [each.asked for each in entries if not each.asked.endswith(("?", "？"))] == []
    assert [each.formula for each in entries if "\n" in each.formula or each.formula.endswith((".", "。"))] == []


def test_formulas_are_of_the_same_terms_in_every_language():
    english, *others = ([bool(each.formula) for each in glossary(language).values()] for language in LANGUAGES)
    assert others == [english] * (len(LANGUAGES) - 1)


def test_a_step_of_a_term_is_one_of_learn_and_the_same_in_every_language():
    steps = [each.step for each in glossary("en").values()]
    assert set(steps) - {None} <= set(range(1, NUM_STEPS + 1))
    assert all([each.step for each in glossary(language).values()] == steps for language in LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "measure", ["hallucination_rate", "creativity", "hcb_score", "p_optimal", "interval", *MEASURES]
)
def test_every_curve_of_the_chart_is_explained_with_a_step(language, measure):
    entry = glossary(language)[measure]
    assert entry.definition and entry.step


def test_every_mark_of_the_program_names_a_term_of_the_glossary():
    source = "\n".join(file.read_text(encoding="utf-8") for file in (PROGRAM / "app").rglob("*.py"))
    named = re.findall(r'(?:mark|explained)\("([a-z_0-9]+)"', source)
    assert len(named) > 10
    assert [name for name in named if term_of(name) is None] == []
    assert [name for name in named if glossary()[term_of(name)].step is None] == []


def test_every_control_of_the_form_with_a_mark_has_a_term():
    assert [name for name in _EXPLAINED if term_of(name) is None] == []


def test_a_control_of_a_term_that_is_not_there_is_refused():
    with pytest.raises(KeyError):
        explained("no such term")


def test_a_mark_is_a_named_button_and_what_has_no_term_has_none():
    assert 'data-term="p_optimal" aria-label="What is the probability of being best?"' in mark("best_in", Translator())
    assert 'aria-label="Was ist HCB?"' in mark("hcb_score", Translator("de"))
    assert mark("no_such_word", Translator()) == ""


def test_a_chart_names_each_term_once():
    terms = chart_terms(["best_in", "p_optimal", "nothing", "hcb_score"], Translator())
    assert [each["term"] for each in terms] == ["p_optimal", "hcb_score"]
    assert terms[1] == {"term": "hcb_score", "asked": "What is HCB?", "word": "HCB"}


# One thing has one word. What is left of the other one stands in brackets, as what files and commands call it.
OTHER_WORDS = {
    "en": r"\b(linear|shared|as it is|samples?|correct|incorrect)\b",
    "de": r"\b(linear\w*|geteilte[rn]? Kopf|wie (er|sie) ist|Stichproben?|korrekt\w*|Papers?|Seed|Scores?)\b",
    "zh": r"线性|共享|样本|认可|令牌|创造力|合理度|原生头|模型自己的头|答案",
}


def spoken(language):
    """Every text of the page and of its glossary, without values, formulas and what stands in brackets."""
    words = json.loads((PROGRAM / "assets" / "words" / f"{language}.json").read_text(encoding="utf-8"))
    texts = words | {key: entry.definition for key, entry in glossary(language).items()}
    return {key: re.sub(r"\$[^$]*\$|\{[^}]*\}|\([^()]*\)|（[^（）]*）", "", text) for key, text in texts.items()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_has_one_word_for_one_thing(language):
    found = {key: each[0] for key, text in spoken(language).items() if (each := re.search(OTHER_WORDS[language], text))}
    assert found == {}


def test_the_other_word_would_be_found():
    assert re.search(OTHER_WORDS["en"], "the linear head") and re.search(OTHER_WORDS["de"], "mit dem linearen Kopf")


def test_an_unknown_language_gets_the_english_entries():
    assert glossary("xx") == glossary("en")


def test_a_head_is_named_in_words_with_its_id_in_brackets_and_other_settings_as_they_are():
    assert setting("exit_head", "linear", Translator()) == "fitted (linear)"
    assert setting("exit_head", "shared", Translator("de")) == "der des Modells (shared)"
    assert setting("exit_head", "<other>", Translator()) == "&lt;other&gt;"
    assert setting("judge", "linear", Translator()) == "linear"
