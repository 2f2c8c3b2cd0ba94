"""Text from models and users, made safe to print."""

import unicodedata

# Invisible, but letters and emoji are spelled with them.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    """``text`` with control and direction characters shown as ``·``, safe for a terminal and one line."""
    return "".join(
        "·" if unicodedata.category(letter) in ("Cc", "Cf", "Cs") and letter not in _JOINERS else letter
        for letter in text
    )
