"""Every word of the page, in each language it speaks: ``assets/words/<language>.json``.

Labels go through ``gr.I18n`` and are translated in the browser. Sentences with numbers in them are made here. Both take
the first of the visitor's languages that the page has: here from the header ``Accept-Language``, in the browser by
``assets/language.js``.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.routes
from babel import Locale
from babel.core import negotiate_locale
from babel.lists import format_list
from babel.numbers import format_decimal, format_percent, get_decimal_symbol, get_group_symbol
from jinja2 import ChoiceLoader, DictLoader

from app.error_texts import ErrorTexts, translations
from hcl_core.glossary import glossary

_ASSETS = Path(__file__).parent.parent / "assets"
_FOLDER = _ASSETS / "words"
_FALLBACK = "en"
# From here on a number is written by its power of ten: Babel takes no more than 28 digits.
_LARGE = 1e15
# Whose numbers and lists a language has, where its code alone means another country's: no comma before "and".
_SPELLINGS = {"en": "en_GB"}
# A language tag and its quality, from 0 to 1.
_TAG = re.compile(r"([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)(?:\s*;\s*q=([01](?:\.\d{0,3})?))?")


@cache
def _all_words() -> dict[str, dict[str, str]]:
    files = {file.stem: file for file in sorted(_FOLDER.glob("*.json"))}
    return {
        language: _with_glossary(language, json.loads(file.read_text(encoding="utf-8")))
        for language, file in files.items()
    }


def _with_glossary(language: str, words: dict[str, str]) -> dict[str, str]:
    """``words``, the glossary as a text, and what ``assets/glossary.js`` reads."""
    entries = {key: asdict(entry) for key, entry in glossary(language).items()}
    terms = {"entries": entries, "more": words["more_in_learn"], "back": words["back_from_learn"]}
    return words | {"glossary": _glossary_text(language), "terms": json.dumps(terms)}


def _glossary_text(language: str) -> str:
    """The program's terms as Markdown, a paragraph each."""
    return "\n\n".join(
        f"**{entry.term}**: {entry.definition}" + (f" *{entry.formula}*" if entry.formula else "")
        for entry in glossary(language).values()
    )


# What stands beside the colour of an outcome, in every language.
SIGNS = {"correct": "✓", "incorrect": "✕", "not_attempted": "–", "unjudged": "•"}
# Gradio translates whatever string is a key, values of controls too: ours are like no value.
_PREFIX = "hcl_word_"


class Labels(gr.I18n):
    """``Labels()("key")`` is a label that the browser translates; itself an argument of ``launch``."""

    def __init__(self) -> None:
        prefixed = {
            language: {_PREFIX + key: text for key, text in words.items()} for language, words in _all_words().items()
        }
        super().__init__(**prefixed)

    def __call__(self, key: str) -> Any:
        """The label of ``key``; raises ``KeyError`` if there is none."""
        if key not in _all_words()[_FALLBACK]:
            raise KeyError(key)
        return super().__call__(_PREFIX + key)


@cache
def labels() -> Labels:
    """The one of the program."""
    return Labels()


def english_label(label: object) -> str:
    """What a component is called in English; ``label`` is a text, or what ``labels()`` made."""
    key = str(getattr(label, "key", "")).removeprefix(_PREFIX)
    return _all_words()[_FALLBACK].get(key, str(label))


def choose_language_in_browser() -> None:
    """Put ``assets/language.js`` in front of Gradio's own scripts, which read the browser's language as they start.

    ``launch(head=...)`` comes too late for that: Gradio adds it to the page after it has translated the labels.
    """
    environment, page = gradio.routes.templates.env, "frontend/index.html"
    source = environment.loader.get_source(environment, page)[0]
    script = (_ASSETS / "language.js").read_text(encoding="utf-8")
    scripted = f"<head><script>{{const languages = {json.dumps(list(_all_words()))};\n{script}}}</script>"
    changed = DictLoader({page: source.replace("<head>", scripted, 1)})
    environment.loader = ChoiceLoader([changed, environment.loader])


class Translator:
    """The page's sentences and numbers in one language.

    Args:
        language: A code such as ``"de"``; English where there is no such language.
    """

    def __init__(self, language: str = _FALLBACK) -> None:
        self.language = language if language in _all_words() else _FALLBACK
        self._sentences = _all_words()[self.language]
        self._locale = Locale.parse(_SPELLINGS.get(self.language, self.language))
        self._errors = _errors(self.language)

    @classmethod
    def of(cls, request: gr.Request | None) -> "Translator":
        """In the first of the browser's languages that the page has; English if it has none of them."""
        header = request.headers.get("accept-language", "") if request else ""
        preferred = negotiate_locale(_accepted_languages(header), list(_all_words()), sep="-")
        return cls((preferred or _FALLBACK).lower())

    def __call__(self, key: str, **values: object) -> str:
        """The sentence of that key with ``values`` in it; nothing in them is read as a format."""
        return self._sentences[key].format(**values)

    def number(self, value: float, digits: int = 2) -> str:
        """``value`` with ``digits`` decimals and the language's marks; a dash where there is none."""
        if not math.isfinite(value):
            return "–"
        return f"{value:g}" if abs(value) >= _LARGE else _decimal(f"{value:.{digits}f}", self._locale)

    def shortest(self, value: float) -> str:
        """``value`` with as many decimals as it needs, six at most: ``0.6``, ``1``."""
        _, _, decimals = f"{value:.6f}".rstrip("0").partition(".")
        return self.number(value, len(decimals))

    def interval(self, bounds: tuple[float, float]) -> str:
        """``0.12 to 0.34``."""
        return self("range", low=self.number(bounds[0]), high=self.number(bounds[1]))

    def percent(self, share: float) -> str:
        """``share`` of 1 as a whole percentage; a dash where there is none.

        What is not quite none or all has a decimal, from 0.1% to 99.9%: 0% and 100% would say that it is certain.
        """
        if not math.isfinite(share):
            return "–"
        whole = round(100 * share) / 100
        is_nearly = whole in (0, 1) and 0 < share < 1 and not math.isclose(share, whole, abs_tol=1e-9)
        shown = round(min(0.999, max(0.001, share)), 3) if is_nearly else whole
        return _percentage(shown, self._locale)

    def count(self, number: int) -> str:
        """A whole number with thousands apart."""
        return _whole(number, self._locale)

    def plural(self, key: str, number: float, **values: object) -> str:
        """``<key>_one``, or ``<key>_other`` with ``number`` in it, by the language's plural rule.

        A number that is not whole has one decimal.
        """
        whole = int(number) if float(number).is_integer() else None
        form = self._locale.plural_form(number if whole is None else whole)
        shown = self.number(number, 1) if whole is None else self.count(whole)
        return self(f"{key}_{form}", number=shown, **values)

    def ideas(self, number: float, is_open: bool = False) -> str:
        """``3 different right ideas``; where no question has creativity, which is ``nan``, that there is none.

        Args:
            number: Of ideas, a mean over questions.
            is_open: Whether the questions are open: no idea is right then.
        """
        name = "different_ideas" if is_open else "right_ideas"
        return self.plural(name, number) if math.isfinite(number) else self("no_creativity")

    def error(self, text: str) -> str:
        """What went wrong; in English where the page has no other words for it."""
        return self._errors(text)

    @property
    def separators(self) -> str:
        """Decimal mark and thousands mark, as Plotly takes them."""
        return get_decimal_symbol(self._locale) + get_group_symbol(self._locale)

    def joined(self, parts: Iterable[str]) -> str:
        """``a, b, c``."""
        return self("comma").join(parts)

    def clauses(self, parts: Iterable[str]) -> str:
        """``a; b; c``."""
        return self("semicolon").join(parts)

    def sentences(self, parts: Iterable[str]) -> str:
        """One after another; empty ones are left out."""
        return self("between_sentences").join(filter(None, parts))

    def listed(self, parts: Sequence[str]) -> str:
        """``a, b and c``."""
        return format_list(parts, locale=self._locale)


@cache
def _errors(language: str) -> ErrorTexts:
    """The errors in a language; the names of fields in them are the page's labels."""
    key_of_label = {text: key for key, text in _all_words()[_FALLBACK].items() if key.startswith("label_")}
    sentences = _all_words()[language]

    def translate(value: str) -> str:
        return sentences[key_of_label[value]] if value in key_of_label else value

    return ErrorTexts(translations(language), translate)


@lru_cache(maxsize=4_096)
def _decimal(rounded: str, locale: Locale) -> str:
    """A number that Python has rounded, with the locale's marks; babel would round a float's shortest text instead.

    Cached: the table of one layer holds thousands of probabilities with three digits.
    """
    _, _, decimals = rounded.partition(".")
    return format_decimal(Decimal(rounded), f"#,##0.{'0' * len(decimals)}" if decimals else "#,##0", locale)


@lru_cache(maxsize=4_096)
def _percentage(share: float, locale: Locale) -> str:
    """A rounded share of 1 in percent, with the locale's marks."""
    text = format_percent(share, locale=locale, decimal_quantization=False)
    # A narrow space, as in French: German's usual one is too wide for the bars of a chart.
    return text.replace("\u00a0", "\u202f")


@lru_cache(maxsize=4_096)
def _whole(number: int, locale: Locale) -> str:
    """A whole number, with the locale's thousands marks."""
    return format_decimal(number, locale=locale)


def _accepted_languages(header: str) -> list[str]:
    """Language tags of an ``Accept-Language`` header, the preferred first (RFC 9110, section 12.5.4)."""
    found = [(float(match[2] or 1), match[1]) for part in header.split(",") if (match := _TAG.fullmatch(part.strip()))]
    return [tag for quality, tag in sorted(found, key=lambda each: -each[0]) if quality]
