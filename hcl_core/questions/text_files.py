"""Bytes of a question file to text: which encoding it has, and what is refused."""

import codecs
import re
from dataclasses import dataclass

from hcl_core.questions.report import Encoding
from hcl_core.questions.rows import LineError

# Larger files are refused: their text and rows would take several times as much memory.
MAX_TEXT_BYTES = 256 * 2**20

# UTF-32 before UTF-16: its mark begins with the mark of UTF-16.
_MARKS: tuple[tuple[bytes, str, Encoding], ...] = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_BINARY = (
    (b"PK\x03\x04", "a zip file or a workbook of a spreadsheet: save its sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "a workbook of an old spreadsheet: save its sheet as CSV UTF-8"),
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"%PDF", "a PDF: jsonl, json, csv, tsv or parquet was wanted"),
)
# What text in Windows-1252 does not have, but text in another encoding has when it is read as Windows-1252: a capital
# letter inside a word (Mac Roman), a sign inside a word or a pound sign before one (Windows-1250, DOS), and three
# letters with accents in a row (Cyrillic, Greek and Asian encodings).
_NOT_WINDOWS = re.compile(
    "[a-zß-öø-ÿ][À-ÖØ-ÞŠŒŽŸ]|[A-Z][ŠŒŽŸ][a-z]|[a-z][€ƒˆ†‡‰¡-©¬®-³µ¶¸¹¼-¿][a-z]|£[a-zß-öø-ÿ]{2}|[À-ÖØ-öø-ÿ]{3}"
)


@dataclass(frozen=True, slots=True)
class DecodedText:
    """The text of a file.

    Attributes:
        text: Without a byte order mark.
        encoding: As people call it.
    """

    text: str
    encoding: Encoding


def decode(content: bytes) -> DecodedText:
    """The text that ``content`` holds: UTF-8, UTF-16 or UTF-32 by their marks, UTF-8, UTF-16, or Windows-1252.

    Raises:
        ValueError: It is no text, or in another encoding; the message says what to do.
        LineError: One of its lines is not.
    """
    for mark, problem in _BINARY:
        if content.startswith(mark):
            raise ValueError(f"it is {problem}")
    for mark, codec, encoding in _MARKS:
        if content.startswith(mark):
            return _checked(_decode_as(codec, content[len(mark) :]), encoding)
    if (utf_16 := _utf_16_without_mark(content)) is not None:
        return _checked(_decode_as(utf_16, content), "UTF-16")
    try:
        return _checked(content.decode("utf-8"), "UTF-8")
    except UnicodeDecodeError as error:
        return _checked(_decode_windows(content, error), "Windows-1252")


def _utf_16_without_mark(content: bytes) -> str | None:
    """UTF-16 of mostly Latin letters has a zero in every second byte."""
    start = content[:4096]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) < len(start) * 0.3 or min(even, odd) > len(start) * 0.05:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _decode_windows(content: bytes, error: UnicodeDecodeError) -> str:
    """``content`` as Windows-1252, if it is not UTF-8 that is damaged, nor in another encoding of one byte a letter."""
    line = content.count(b"\n", 0, error.start) + 1
    in_line = error.start - (content.rfind(b"\n", 0, error.start) + 1)
    has_utf_8 = any("\x80" <= letter != "\ufffd" for letter in set(content.decode("utf-8", "replace")))
    if has_utf_8:
        raise LineError(line, f"not UTF-8 at byte {in_line}: save the file as UTF-8")
    text = content.decode("cp1252", "replace")
    if "\ufffd" in text or _NOT_WINDOWS.search(text):
        problem = f"not UTF-8 at byte {in_line}, and not surely Windows-1252: save the file as UTF-8"
        raise LineError(line, problem)
    return text


def _decode_as(codec: str, content: bytes) -> str:
    try:
        return content.decode(codec)
    except UnicodeDecodeError as error:
        raise ValueError(f"its mark says {codec}, but byte {error.start} is not: save it as UTF-8") from None


def _checked(text: str, encoding: Encoding) -> DecodedText:
    text = text.lstrip("\ufeff")
    if (place := text.find("\0")) >= 0:
        raise LineError(text.count("\n", 0, place) + 1, "a NUL character, which no text has")
    return DecodedText(text, encoding)
