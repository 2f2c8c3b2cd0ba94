"""Text as the judges compare it: words without case, accents, punctuation or articles."""

import re
import unicodedata
from dataclasses import dataclass

# Letters that Unicode does not take apart into a base letter and an accent.
_PLAIN_LETTERS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ł": "l", "đ": "d", "ı": "i"})
_ARTICLES = frozenset({"a", "an", "the"})
_APOSTROPHES = re.compile(r"(?<=\w)['’‘ʼʻ`´](?=\w)")
_INITIALS = re.compile(r"\b(?:[^\W\d_]\.\s?){2,}")
_DIGIT_GROUPS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# 3.14 is one word, and a trailing + or # is part of a name: C++, C#.
_PIECES = re.compile(r"\d+(?:\.\d+)+|\w+[+#]*|[,.;:!?()\u2013\u2014\n]")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text, and the number of the clause that each stands in."""

    words: tuple[str, ...]
    clauses: tuple[int, ...]


def fold(text: str) -> str:
    """Lower case without accents; ``U.S.`` becomes ``us``, ``Rubik's`` ``rubiks``, ``1,000`` ``1000``."""
    # Twice: taking apart makes new capitals (a trade mark sign), and lower case new accents.
    lower = unicodedata.normalize("NFKD", text).casefold()
    decomposed = unicodedata.normalize("NFKD", lower)
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter)).translate(_PLAIN_LETTERS)
    plain = _DIGIT_GROUPS.sub("", _APOSTROPHES.sub("", plain))
    return _INITIALS.sub(lambda match: re.sub(r"[.\s]", "", match.group()) + " ", plain)


def split_words(text: str) -> Words:
    """Folded words, articles left out unless nothing else is there ("A" can be an answer)."""
    words: list[str] = []
    clauses: list[int] = []
    clause = 0
    for piece in _PIECES.findall(fold(text)):
        if piece[0].isalnum() or piece[0] == "_":
            words.append(piece)
            clauses.append(clause)
        else:
            clause += 1
    kept = [place for place, word in enumerate(words) if word not in _ARTICLES] or range(len(words))
    return Words(tuple(words[place] for place in kept), tuple(clauses[place] for place in kept))
