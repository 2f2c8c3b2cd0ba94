"""What went wrong, in the visitor's language: found by the English sentence that the code writes.

``assets/errors/<language>.json`` holds a translation of each sentence, with ``{0}``, ``{1}``, ... where values stand.
The code raises errors in English, as the terminal shows them; a test holds that each has its translation.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent.parent / "assets" / "errors"
_VALUE = re.compile(r"\{(\d+)\}")
# A value, and one that another follows at once: it ends before a space, comma or semicolon, where the other begins.
_ANY, _BEFORE_ANOTHER = "(.*?)", r"((?:[^\s,;]|,(?=\d))*)"
# Values can hold sentences of their own, such as the cause of an error.
_MOST_NESTED = 3


class ErrorTexts:
    """The errors in one language.

    Args:
        translations: By the English sentences.
        translate_value: What a value in a sentence becomes, such as the label of a field; returns others as they are.
    """

    def __init__(self, translations: Mapping[str, str], translate_value: Callable[[str], str]) -> None:
        self._translate_value = translate_value
        # The sentence with most words of its own is tried first: "{0}: {1}" is like any other with a colon.
        by_words = sorted(translations.items(), key=lambda pair: -len(_VALUE.sub("", pair[0])))
        self._patterns = [(_pattern(english), translated) for english, translated in by_words]

    def __call__(self, text: str, depth: int = 0) -> str:
        """``text`` in the language; as it is where no sentence is like it."""
        for pattern, translated in self._patterns:
            if (match := pattern.fullmatch(text)) is not None:
                return self._filled(translated, [self._value(value, depth) for value in match.groups()])
        return text

    def _filled(self, sentence: str, values: Sequence[str]) -> str:
        """``sentence`` with its values; nothing in them is read as a place for another."""
        return _VALUE.sub(lambda place: values[int(place[1])], sentence)

    def _line(self, line: str, depth: int) -> str:
        """One of many mistakes, which may begin with its place: ``- models 1: ...``."""
        if (told := self(line, depth)) != line:
            return told
        place, separator, mistake = line.partition("- " if line.startswith("- ") else ": ")
        return f"{place}{separator}{self._line(mistake, depth)}" if separator else line

    def _value(self, value: str, depth: int) -> str:
        if value.startswith("- "):  # a line for each mistake
            return "\n".join(self._line(line, depth + 1) for line in value.split("\n"))
        translated = self._translate_value(value)
        return self(value, depth + 1) if translated == value and depth < _MOST_NESTED else translated


@cache
def translations(language: str) -> dict[str, str]:
    """Those of a language by the English sentences; empty for English."""
    file = _FOLDER / f"{language}.json"
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def _pattern(english: str) -> re.Pattern[str]:
    pieces = _VALUE.split(english)  # text, number, text, number, ...
    groups = [_BEFORE_ANOTHER if text == "" else _ANY for text in pieces[2:-1:2]] + [_ANY]
    values = iter(groups)
    return re.compile(
        "".join(next(values) if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)), re.S
    )
