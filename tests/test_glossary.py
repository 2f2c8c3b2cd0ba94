"""The glossary: the same terms in every language, each explained in plain text."""

import pytest

from hcl_core.glossary import glossary

LANGUAGES = ("en", "de")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_entry_in_the_same_order(language):
    assert list(glossary(language)) == list(glossary("en"))


def test_languages_have_words_of_their_own():
    english, german = (list(glossary(language).values()) for language in LANGUAGES)
    assert not {each.definition for each in english} & {each.definition for each in german}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_term_is_explained_once(language):
    terms = [each.term.casefold() for each in glossary(language).values()]
    assert len(terms) == len(set(terms))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_definition_is_whole_sentences_that_fit_a_table(language):
    texts = [each.definition for each in glossary(language).values()]
    assert [text for text in texts if not text.endswith(".") or "|" in text or "\n" in text or len(text) > 300] == []


def test_an_unknown_language_gets_the_english_entries():
    assert glossary("xx") == glossary("en")
