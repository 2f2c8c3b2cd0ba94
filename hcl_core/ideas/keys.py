"""What tells short answers apart, or joins them, before their meaning is asked: words, numbers, and words of order."""

import re
import unicodedata
from functools import lru_cache

from hcl_core.roman import ROMAN_VALUES
from hcl_core.words import number_of, numbers_in, split_words

_INTRODUCED = re.compile(
    r"^\W*(?:(?:it|this|that|they|he|she|the answer)\s+(?:is|was|are|were)|it['’]s)\s+", re.IGNORECASE
)
# "Henry VIII", "XLII"; one capital is a letter: "Vitamin C".
_ROMAN = re.compile(r"\b(?=[IVXLCDM]{2})M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})\b(?!['’])")


def _words(text: str) -> frozenset[str]:
    return frozenset(word for each in text.split() for word in split_words(each).words)


# Words that tell like things apart, which have nearly the same meaning to an embedder.
_TELLING = _words(
    "north south east west northern southern eastern western upper lower left right "
    "January February March April May June July August September October November December "
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday first second third last "
    "not never no none without yes isn't aren't wasn't don't doesn't can't won't"
)
_UNITS = _words(
    "millimeter centimeter meter kilometer inch foot yard mile gram kilogram pound ounce dollar euro yen percent "
    "celsius fahrenheit kelvin seconds minute hour day week month year century"
)


@lru_cache(maxsize=50_000)
def word_key(text: str) -> tuple[str, ...]:
    """The words of an answer in one spelling; answers with equal keys are one idea.

    ``1,000`` and ``one thousand`` are equal, ``colour`` and ``color``, ``Henry VIII`` and ``Henry 8``. An answer of
    signs alone has these as its key.
    """
    words = split_words(_in_digits(_INTRODUCED.sub("", text))).words
    if len(words) > 1:  # "Henry the Eighth"
        words = (*words[:-1], number_of(words[-1]))
    return words or ("".join(unicodedata.normalize("NFKC", text).replace("\ufe0f", "").split()),)


def are_told_apart(first: str, second: str) -> bool:
    """Whether two answers have different numbers or units, or differ in a word such as "North" or "not"."""
    numbers, units, telling = _tells(first)
    other_numbers, other_units, other_telling = _tells(second)
    differ = (one and other and one != other for one, other in ((numbers, other_numbers), (units, other_units)))
    return telling != other_telling or any(differ)


@lru_cache(maxsize=50_000)
def _tells(text: str) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The numbers, units and telling words of an answer."""
    words = word_key(text)
    return numbers_in(_in_digits(text)), _UNITS.intersection(words), _TELLING.intersection(words)


def _in_digits(text: str) -> str:
    return _ROMAN.sub(lambda match: str(ROMAN_VALUES[match.group().lower()]), text)
