"""Every word of the page, in each language it speaks: ``assets/words/<language>.json``.

Labels go through ``gr.I18n`` and are translated in the browser. Sentences with numbers in them are made here, in the
language that the browser asks for: it sends the same one with each request that it translates labels into.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

_FOLDER = Path(__file__).parent.parent / "assets" / "words"
_FALLBACK = "en"


@cache
def _all_words() -> dict[str, dict[str, str]]:
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(_FOLDER.glob("*.json"))}


# What stands beside the colour of an outcome, in every language.
SIGNS = {"correct": "✓", "incorrect": "✕", "not_attempted": "–"}
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


class Words:
    """The page's sentences in one language.

    Args:
        language: A code such as ``"de"``; English where there is no such language.
    """

    def __init__(self, language: str = _FALLBACK) -> None:
        self.language = language if language in _all_words() else _FALLBACK
        self._sentences = _all_words()[self.language]

    @classmethod
    def of(cls, request: gr.Request | None) -> "Words":
        """Those of the browser's first language."""
        accepted = request.headers.get("accept-language", "") if request else ""
        return cls(accepted.split(",")[0].split("-")[0].strip().lower())

    def __call__(self, key: str, **values: object) -> str:
        """The sentence of that key with ``values`` in it; nothing in them is read as a format."""
        return self._sentences[key].format(**values)

    def number(self, value: float, digits: int = 2) -> str:
        """``value`` with the language's decimal mark."""
        return f"{value:,.{digits}f}".translate(self._marks)

    def interval(self, bounds: tuple[float, float]) -> str:
        """``0.12 to 0.34``."""
        return self("range", low=self.number(bounds[0]), high=self.number(bounds[1]))

    def percent(self, share: float) -> str:
        """``share`` of 1 as a whole percentage."""
        return f"{share:.0%}" if self.language == "en" else f"{100 * share:.0f}\u202f%"

    def count(self, number: int) -> str:
        """A whole number with thousands apart."""
        return f"{number:,}".translate(self._marks)

    def plural(self, key: str, number: int, **values: object) -> str:
        """``<key>_one`` or ``<key>_many`` with ``number`` in it."""
        return self(f"{key}_{'one' if number == 1 else 'many'}", number=self.count(number), **values)

    @property
    def separators(self) -> str:
        """Decimal mark and thousands mark, as Plotly takes them."""
        return ".," if self.language == "en" else ",."

    @property
    def _marks(self) -> dict[int, str]:
        return {} if self.language == "en" else {ord("."): ",", ord(","): "."}

    def listed(self, parts: list[str]) -> str:
        """``a, b and c``."""
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {self('and')} {parts[-1]}"
