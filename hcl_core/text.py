"""Text from models, users and libraries on one line, made safe to print."""

import hashlib
import unicodedata

# Invisible joiners that the spelling of some words and emoji needs.
_JOINERS = "\u200c\u200d"


def one_line(text: str) -> str:
    """``text`` with each run of white space as one space, and none around it."""
    return " ".join(text.split())


def counted(number: int, noun: str) -> str:
    """``1 layer`` or ``2 layers``, for a noun whose plural ends in s."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def id_of(text: str) -> str:
    """The id of a question to which nobody gave one: the same for texts that are the same on one line."""
    return "q-" + hashlib.blake2b(one_line(text).encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def printable(text: str) -> str:
    """``text`` on one line, safe for a terminal: control and direction characters become ``·``."""
    if text.isprintable():  # almost every text: none of these characters is
        return text
    return "".join(
        "·" if unicodedata.category(letter) in ("Cc", "Cf", "Cs") and letter not in _JOINERS else letter
        for letter in text
    )


def code_span(text: str) -> str:
    """``text``, which others may have written, as a code span inside a table of Markdown."""
    return f"`{printable(text).replace('`', '').replace('|', '/') or '-'}`"
