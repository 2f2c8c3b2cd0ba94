"""Every word of the page in one place and in every language."""

import json
import math
import re
import string
from pathlib import Path

import pytest

from app.handlers.measures import MEASURES
from app.language import Translator, labels

ROOT = Path(__file__).parent.parent
FILES = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in (ROOT / "assets" / "words").glob("*.json")}
ENGLISH = FILES["en"]
SOURCE = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "app").rglob("*.py"))


def placeholders(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def test_there_are_further_languages():
    assert set(FILES) == {"en", "de", "zh"}


def test_a_language_that_nobody_has_read_over_says_so():
    said = {language: words["machine_made"].strip() for language, words in FILES.items()}
    assert said == {"en": "", "de": "", "zh": "机器翻译，尚无人校对。"}


@pytest.mark.parametrize("language", sorted(set(FILES) - {"en"}))
def test_a_language_has_every_word_and_no_other(language):
    assert list(FILES[language]) == list(ENGLISH)


@pytest.mark.parametrize("language", FILES)
def test_no_word_stands_twice_in_a_file(language):
    pairs = json.loads(
        (ROOT / "assets" / "words" / f"{language}.json").read_text(encoding="utf-8"), object_pairs_hook=list
    )
    assert len(pairs) == len(dict(pairs))


# Static texts, which no values are put into: Markdown with formulas among them.
STATIC = [key for key in ENGLISH if re.fullmatch(r"learn_\d_(text|formula|picture|question|option_\d|name)", key)]


@pytest.mark.parametrize("language", sorted(set(FILES) - {"en"}))
@pytest.mark.parametrize("key", [key for key in ENGLISH if key not in STATIC])
def test_a_sentence_has_the_same_values_in_it(language, key):
    assert placeholders(FILES[language][key]) == placeholders(ENGLISH[key])


@pytest.mark.parametrize("language", sorted(set(FILES) - {"en"}))
def test_formulas_are_the_same(language):
    def formulas(text):
        return sorted(re.findall(r"\$([^$]+)\$", text))

    assert [formulas(FILES[language][key]) for key in STATIC] == [formulas(ENGLISH[key]) for key in STATIC]


def is_used(key):
    """Literally, as a measure's name, or as one of a family whose name is put together."""
    plain = key.removesuffix("_one").removesuffix("_other")
    if key in MEASURES or any(quote + each + quote in SOURCE for quote in "\"'" for each in (key, plain)):
        return True
    families = re.findall(r"""f?["']([a-z_]+_)(?:\{|["'] \+)""", SOURCE)
    return any(each.startswith(family) for each in (key, plain) for family in families) or bool(
        re.match(r"learn_\d_", key)
    )


@pytest.mark.parametrize("key", ENGLISH)
def test_every_word_is_used(key):
    assert is_used(key)


def test_labels_of_the_page_are_words_and_not_written_where_they_stand():
    from app.page import build
    from app.service import Service

    kept = {"HCL Explorer", "", None}
    own = [
        (type(block).__name__, text)
        for block in build(Service()).blocks.values()
        for text in (getattr(block, "label", None), getattr(block, "info", None), getattr(block, "placeholder", None))
        # The values of an endpoint for programs stand on no page.
        if isinstance(text, str) and "__i18n__" not in text and text not in kept and type(block).__name__ != "Api"
    ]
    assert own == []


def test_a_label_that_is_no_word_is_refused():
    with pytest.raises(KeyError):
        labels()("no such word")


class Request:
    def __init__(self, accepted):
        self.headers = {"accept-language": accepted} if accepted is not None else {}


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de-DE,de;q=0.9", "de"),
        ("DE", "de"),
        ("en-US,de", "en"),
        ("fr", "en"),
        ("", "en"),
        (None, "en"),
        ("../de", "en"),
        ("en;q=0.2, de-AT;q=0.9", "de"),
        ("en;q=x, de;q=0.1", "de"),
        ("de;q=0", "en"),
        ("fr, de;q=0.9", "de"),
        ("fr-CA,fr;q=0.9,de-CH;q=0.8,en;q=0.7", "de"),
        ("fr;q=0.5, en;q=0.6, de;q=0.4", "en"),
        ("fr, de;q=0", "en"),
        ("fr, *;q=0.5", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh", "zh"),
        ("zh-TW", "zh"),
        ("zh-Hans-CN", "zh"),
        ("ZH-cn", "zh"),
        ("de, zh-CN;q=0.9", "de"),
    ],
)
def test_the_first_of_the_browsers_languages_that_the_page_has_is_spoken(accepted, language):
    assert Translator.of(Request(accepted)).language == language


def test_numbers_have_the_languages_marks():
    english, german, chinese = Translator("en"), Translator("de"), Translator("zh")
    assert (chinese.number(1234.5, 1), chinese.percent(0.951), chinese.count(12345)) == ("1,234.5", "95%", "12,345")
    assert (english.number(1234.5, 1), english.percent(0.951), english.count(12345)) == ("1,234.5", "95%", "12,345")
    assert (german.number(1234.5, 1), german.percent(0.951), german.count(12345)) == ("1.234,5", "95\u202f%", "12.345")
    assert [english.percent(share) for share in (0, 1e-6, 0.005, 0.006, 0.994, 0.995, 0.99996, 1)] == [
        *("0%", "0.1%", "0.5%", "1%", "99%", "99.5%", "99.9%", "100%"),
    ]
    assert english.percent(0.1 * 3 + 0.7 - 1e-16) == english.percent(1 + 1e-12) == "100%"
    assert german.percent(0.9951) == "99,5\u202f%"
    assert (english.separators, german.separators) == (".,", ",.")


@pytest.mark.parametrize(
    ("value", "digits", "shown"), [(2.675, 2, "2.67"), (0.5, 0, "0"), (-0.001, 2, "-0.00"), (math.nan, 2, "–")]
)
def test_a_number_is_rounded_as_python_does(value, digits, shown):
    assert Translator().number(value, digits) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [(1, "1 right idea"), (0, "0 different right ideas"), (1234.5, "1,234.5 different right ideas")],
)
def test_a_number_of_things_has_the_languages_plural(number, shown):
    assert Translator().plural("right_ideas", number) == shown


@pytest.mark.parametrize("number", [1, 0, 1234.5])
def test_chinese_has_one_form_for_every_number(number):
    chinese = Translator("zh")
    assert chinese.plural("right_ideas", number) == chinese("right_ideas_other", number=chinese.shortest(number))


def test_what_is_put_into_a_sentence_is_no_format():
    assert "{layer.__class__}" in Translator()("tied_best", layers="{layer.__class__}")


def test_parts_are_listed():
    parts = (["3"], ["3", "4"], ["2", "4", "7"])
    assert [Translator().listed(each) for each in parts] == ["3", "3 and 4", "2, 4 and 7"]
    assert Translator("de").listed(parts[-1]) == "2, 4 und 7"
    assert Translator("zh").listed(parts[-1]) == "2、4和7"


def test_chinese_joins_with_its_own_marks():
    words = Translator("zh")
    assert (
        words.joined("ab") == "a，b"
        and words.clauses("ab") == "a；b"
        and words.sentences(["a。", "", "b。"]) == "a。b。"
    )
    assert Translator("de").sentences(["a.", "b."]) == "a. b."


def test_a_number_of_hundreds_of_digits_is_short():
    assert Translator("en").number(int(1e308), 0) == Translator("de").number(1e308, 0) == "1e+308"
