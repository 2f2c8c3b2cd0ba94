"""Which texts the sentence embedder can read: its vocabulary is English, and it has few signs of other scripts."""

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=50_000)
def is_readable(text: str) -> bool:
    """Whether a text has Latin letters or digits, and most of its letters are Latin.

    all-MiniLM-L6-v2 knows most Chinese characters and all emoji as one unknown token, so that any two of them are the
    same to it; words of other alphabets it spells letter by letter, and their vectors say little of their meaning.
    """
    letters = [letter for letter in unicodedata.normalize("NFKC", text) if letter.isalpha()]
    num_latin = sum("LATIN" in unicodedata.name(letter, "") for letter in letters)
    has_digits = any(letter.isdecimal() and letter.isascii() for letter in text)
    return 2 * num_latin > len(letters) or (has_digits and not letters)
