"""Text as the judges compare it: words without case, accents, punctuation, articles, plurals or spelling of numbers."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from hcl_core.spelling import one_spelling, take_signs_apart, unmark

# Letters that Unicode does not take apart into a base letter and an accent, and two Arabic letters with two spellings.
_PLAIN_LETTERS = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ł": "l", "đ": "d", "ı": "i", "⁄": "/", "ة": "ه", "ى": "ي"}
    | {"‐": "-", "−": "-", "٫": ".", "٬": ",", "،": ",", "٪": "%", "؟": "?", "।": "."}
    # Katakana as hiragana.
    | {chr(code): chr(code - 0x60) for code in range(0x30A1, 0x30F7)}
)
_ARTICLES = frozenset({"a", "an", "the"})
_QUOTES = "'’‘ʼʻ`´"
_POSSESSIVE = re.compile(rf"(?<=\w)[{_QUOTES}]s\b")
_APOSTROPHES = re.compile(rf"(?<=\w)[{_QUOTES}](?=\w)")
_INITIALS = re.compile(
    r"""\b(?:
        (?:[^\W\d_]\.)+[^\W\d_]\b\.?    # U.S.A
      | (?:[^\W\d_]\.\s?){2,}           # J. R. R.
      | (?:[^\W\d_]-){2,}[^\W\d_]\b     # D-I-V-O-R-C-E
    )""",
    re.VERBOSE,
)
_OTHER_DIGIT = re.compile(r"(?![0-9])\d")
_DIGIT_GROUPS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")

# Marks on letters. Of these scripts and of kana they make other letters; elsewhere they are accents.
_FIRST_VOWEL_SIGN, _LAST_VOWEL_SIGN, _FIRST_KANA = 0x0900, 0x1AAF, 0x3040
_MARKS = [code for code in range(0xFFFF) if unicodedata.category(chr(code)) in ("Mn", "Mc")]
_VOWEL_SIGNS = "".join(chr(code) for code in _MARKS if _FIRST_VOWEL_SIGN <= code < 0xAC00)
_ACCENTS = re.compile(
    "["
    + "".join(
        chr(code)
        for code in _MARKS
        if unicodedata.combining(chr(code))
        and not (_FIRST_VOWEL_SIGN <= code <= _LAST_VOWEL_SIGN or _FIRST_KANA <= code < 0xFE00)
    )
    + "]"
)
# Thai and Lao, Burmese, Khmer, kana, Chinese characters: written without spaces, so that each letter is a word.
_UNSPACED = "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_PIECES = re.compile(
    rf"""
    (?<!\d\s) (?<![\w).\]%/-]) -\d+ (?:\.\d+)* (?!\w)   # -39, but not "5 - 3" or "1914-1918"
  | \d+ (?:\.\d+)+                                          # 3.14
  | (?<![\d/]) \d{{1,2}}/\d{{1,2}} (?![\d/])                # 1/2
  | [{_UNSPACED}] [{_VOWEL_SIGNS}]*
  | [^\W{_UNSPACED}]+ (?:[{_VOWEL_SIGNS}]+[^\W{_UNSPACED}]*)* [+\#]*  # C++ and C# are names
  | [,.;:!?()\u2013\u2014\u3001\u3002\n]
    """,
    re.VERBOSE,
)
_CLAUSE_ENDS = frozenset(",.;:!?()\u2013\u2014\u3001\u3002\n")
# What follows a name in Korean: "city", then "is" or a particle.
_KOREAN_ENDING = re.compile(
    r"(?<=[가-힣]{2})(?:특별시|광역시|시)?(?:입니다|이에요|예요|이다|이었습니다|이었다|였다|이라고|라고|이며|이고"
    r"|에서|까지|부터|으로|은|는|이|가|을|를|에|의|도|로|와|과|만)?$"
)
# "Vitamin A is" has a letter where "Once Upon A Time" has an article.
_LETTER_A = re.compile(r"(?<=\w )A(?= [a-z])")
_LETTER_A_KEY = "ʘ"  # a letter that no text has, while articles are taken out

_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)$")

# Words that say little by themselves.
FUNCTION_WORDS = frozenset(
    {
        *("a", "an", "the", "if", "not", "no", "than", "then", "there", "about", "only"),
        *("of", "in", "on", "at", "to", "by", "from", "for", "with", "and", "or", "as", "into"),
        *("is", "was", "are", "were", "be", "been", "did", "do", "does", "had", "has", "have"),
        *("it", "its", "his", "her", "their", "he", "she", "they", "this", "that", "these", "those"),
        *("who", "whom", "whose", "which", "what", "when", "where", "why", "how", "name", "give", "called", "known"),
    }
)
# Words that are one word, once they are singular.
_SAME_WORD = {
    "feet": "foot", "kph": "kmh", "jnr": "jr", "junior": "jr", "snr": "sr", "senior": "sr",
    "saint": "st", "mount": "mt", "doctor": "dr", "mister": "mr", "versus": "vs", "cent": "cent", "bce": "bc",
    "men": "man", "women": "woman", "children": "child", "teeth": "tooth", "mice": "mouse", "geese": "goose",
    "wolve": "wolf", "wive": "wife", "knive": "knife", "shelve": "shelf", "thieve": "thief",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text, and the number of the clause that each stands in."""

    words: tuple[str, ...]
    clauses: tuple[int, ...]


def fold(text: str) -> str:
    """Lower case without accents; ``U.S.`` becomes ``us``, ``Rubik's`` ``rubik``, ``1,000`` ``1000``."""
    plain = text.lower() if text.isascii() else _fold_letters(text)
    # Most words have none of these marks, and a search costs as much as a replacement.
    if any(mark in plain for mark in _QUOTES):
        plain = _APOSTROPHES.sub("", _POSSESSIVE.sub("", plain))
    if "," in plain:
        plain = _DIGIT_GROUPS.sub("", plain)
    if "." in plain or "-" in plain:
        plain = _INITIALS.sub(lambda match: re.sub(r"[.\s-]", "", match.group()) + " ", plain)
    return plain


@lru_cache(maxsize=4096)
def split_words(text: str) -> Words:
    """Folded words in one spelling, articles left out unless they end a clause ("vitamin A")."""
    words: list[str] = []
    clauses: list[int] = []
    clause = 0
    plain = text if text.isascii() else _without_accents(take_signs_apart(text))
    for piece in _PIECES.findall(one_spelling(fold(unmark(_LETTER_A.sub(_LETTER_A_KEY, plain))))):
        if piece in _CLAUSE_ENDS:
            clause += 1
        else:
            words.append(singular(piece))
            clauses.append(clause)
    # The last word of a clause is no article: "vitamin A".
    ends = [index + 1 == len(words) or clauses[index + 1] != clauses[index] for index in range(len(words))]
    kept = [index for index, word in enumerate(words) if word not in _ARTICLES or ends[index]]
    return Words(
        tuple("a" if words[index] == _LETTER_A_KEY else words[index] for index in kept),
        tuple(clauses[index] for index in kept),
    )


def numbers_in(text: str) -> frozenset[str]:
    """The words of ``text`` that have digits, ordinals as their numbers: ``8`` for "8th"."""
    words = split_words(text).words
    return frozenset(number_of(word) for word in words if any(letter.isdigit() for letter in word))


def number_of(word: str) -> str:
    """``word``, an ordinal such as ``8th`` as its number."""
    return _ORDINAL.sub("", word)


@lru_cache(maxsize=50_000)
def singular(word: str) -> str:
    """One key for a noun's singular and plural and for its British and American spelling; not always a word."""
    if "가" <= word[0] <= "힣":
        return _KOREAN_ENDING.sub("", word)
    if len(word) <= 3 or word in FUNCTION_WORDS or not word.isalpha():
        return _SAME_WORD.get(word, word)
    key = _without_plural(word)
    if key in FUNCTION_WORDS:  # "toes" is no "to", and "Ares" is no "are"
        key = word[:-1] if word.endswith("s") and word[:-1] not in FUNCTION_WORDS else word
    if len(key) > 4:
        if key.endswith("our"):
            key = key[:-3] + "or"
        elif key.endswith("tre"):
            key = key[:-3] + "ter"
        elif key.endswith("ll"):  # distill, fulfill
            key = key[:-1]
        else:
            key = re.sub(r"is(e|ed|er|ing|ation)$", r"iz\1", key)
    return _SAME_WORD.get(key, key)


def _without_accents(text: str) -> str:
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text))


def _fold_letters(text: str) -> str:
    # Twice: taking apart makes new capitals (a trade mark sign), and lower case new accents.
    plain = _without_accents(unicodedata.normalize("NFKD", text).casefold()).translate(_PLAIN_LETTERS)
    if not plain.isascii():  # Korean syllables and the vowel signs of other scripts are put together again
        plain = unicodedata.normalize("NFC", plain)
    return _OTHER_DIGIT.sub(lambda match: str(unicodedata.digit(match.group())), plain)


def _without_plural(word: str) -> str:
    if word.endswith(("ies", "ie")):
        return word[: word.rindex("ie")] + "y"
    if word.endswith("zzes"):
        return word[:-3]
    if word.endswith("sis"):
        return word[:-2]
    for ending in ("s", "x", "z", "ch", "sh", "o"):  # both "headaches" and "headache", "boxes" and "box"
        if word.endswith((f"{ending}es", f"{ending}e")):
            return word[: word.rindex("e")]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and word != "lens" else word
