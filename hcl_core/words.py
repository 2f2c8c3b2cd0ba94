"""Text as the judges compare it: words without case, accents, punctuation, articles, plurals or spelling of numbers."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from text_to_num import alpha2digit

# Letters that Unicode does not take apart into a base letter and an accent.
_PLAIN_LETTERS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ł": "l", "đ": "d", "ı": "i"})
_ARTICLES = frozenset({"a", "an", "the"})
_QUOTES = "'’‘ʼʻ`´"
_POSSESSIVE = re.compile(rf"(?<=\w)[{_QUOTES}]s\b")
_APOSTROPHES = re.compile(rf"(?<=\w)[{_QUOTES}](?=\w)")
# U.S.A., J. R. R., D-I-V-O-R-C-E
_INITIALS = re.compile(r"\b(?:(?:[^\W\d_]\.)+[^\W\d_]\b\.?|(?:[^\W\d_]\.\s?){2,}|(?:[^\W\d_]-){2,}[^\W\d_]\b)")
_DIGIT = re.compile(r"\d")
_DIGIT_GROUPS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# 3.14 is one word, and a trailing + or # is part of a name: C++, C#.
_PIECES = re.compile(r"\d+(?:\.\d+)+|\w+[+#]*|[,.;:!?()\u2013\u2014\n]")

_CLAUSE_ENDS = frozenset(",.;:!?()\u2013\u2014\n")

# "Vitamin A is" has a letter where "Once Upon A Time" has an article.
_LETTER_A = re.compile(r"(?<=\w )A(?= [a-z])")

_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_ONES = "one|two|three|four|five|six|seven|eight|nine"
# "Nineteen eighty-four" is a year, where "twenty" and "one" make another number.
_YEAR_IN_WORDS = re.compile(rf"\b({_TEENS}|twenty)[ -]((?:{_TENS})(?:[ -](?:{_ONES}))?|{_TEENS})\b")
_NUMBER_WORD = re.compile(
    rf"\b(?:{_TEENS}|(?:{_TENS})|{_ONES}|zero|hundred|thousand|million|billion|trillion|third|\w*(?:first|second|fifth)"
    r"|(?:four|six|seven|nin|ten|eleven|twelf|\w+teen|\w+tie)th|eighth)\b"
)
_AND_IN_NUMBER = re.compile(r"\b(hundred|thousand|million|billion),? and (?=\w)|\b(thousand|million|billion), (?=\w)")
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_SCALED = re.compile(rf"\b(\d+(?:\.\d+)?)[ -]?({'|'.join(_SCALES)})\b")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_MONTH = rf"({'|'.join(f'{month[:3]}(?:{month[3:]})?' if month != 'may' else month for month in _MONTHS)}|sept)\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_DAY_MONTH = re.compile(rf"\b(?:the )?{_DAY}(?: day)?(?: of)? {_MONTH}(?=\W|$)")
_MONTH_DAY = re.compile(rf"\b{_MONTH} (?:the )?{_DAY}\b(?!,?\d)")
_ISO_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_DATE_YEAR = re.compile(rf"\b({'|'.join(_MONTHS)}) (\d{{1,2}}),?(?: of)?,? (\d{{3,4}})\b")
_CURRENCIES = {"$": "dollar", "£": "pound", "€": "euro", "¥": "yen"}
_MONEY = re.compile(r"[$£€¥]\s?(\d+(?:\.\d+)?)(?:\s?(m|bn|k)\b)?")
_MONEY_SCALES = {"k": 10**3, "m": 10**6, "bn": 10**9}
# "No. 1" is a number and denies nothing.
_NUMBER_SIGN = re.compile(r"\bno\.?\s*(?=\d)")
_SHORT_UNITS = {
    "m": "meter", "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "mi": "mile", "ft": "foot",
    "kg": "kilogram", "g": "gram", "lb": "pound", "lbs": "pound", "oz": "ounce", "sec": "second",
    "secs": "second", "min": "minute", "mins": "minute", "hr": "hour", "hrs": "hour", "yr": "year",
    "yrs": "year", "mph": "mph", "kmh": "kmh",
}  # fmt: skip
_MEASURE = re.compile(rf"\b(\d+(?:\.\d+)?)\s?({'|'.join(sorted(_SHORT_UNITS, key=len, reverse=True))})\b\.?(?!['’])")
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
    "saint": "st", "mount": "mt", "doctor": "dr", "mister": "mr", "versus": "vs", "cent": "cent",
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
    if text.isascii():
        plain = text.lower()
    else:
        # Twice: taking apart makes new capitals (a trade mark sign), and lower case new accents.
        lower = unicodedata.normalize("NFKD", text).casefold()
        decomposed = unicodedata.normalize("NFKD", lower)
        plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter)).translate(_PLAIN_LETTERS)
    # Most words have none of these marks, and a search costs as much as a replacement.
    if any(mark in plain for mark in _QUOTES):
        plain = _APOSTROPHES.sub("", _POSSESSIVE.sub("", plain))
    if _DIGIT.search(plain):
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
    for piece in _PIECES.findall(_one_spelling(fold(_LETTER_A.sub("a_", text)))):
        if piece in _CLAUSE_ENDS:
            clause += 1
        else:
            words.append(singular(piece))
            clauses.append(clause)
    # The last word of a clause is no article: "vitamin A".
    ends = [place + 1 == len(words) or clauses[place + 1] != clauses[place] for place in range(len(words))]
    kept = [place for place, word in enumerate(words) if word not in _ARTICLES or ends[place]]
    return Words(
        tuple("a" if words[place] == "a_" else words[place] for place in kept), tuple(clauses[place] for place in kept)
    )


@lru_cache(maxsize=50_000)
def singular(word: str) -> str:
    """One key for a noun's singular and plural and for its British and American spelling; not always a word."""
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
        else:
            key = re.sub(r"is(e|ed|er|ing|ation)$", r"iz\1", key)
    return _SAME_WORD.get(key, key)


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


def _one_spelling(text: str) -> str:
    """Numbers in digits, dates as month, day, year, units in full."""
    text = text.replace("&", " and ").replace("%", " percent ").replace("per cent", "percent")
    text = text.replace("rather than", "instead of")
    if _DIGIT.search(text):
        text = _NUMBER_SIGN.sub("number ", text)
        text = _SCALED.sub(lambda match: f"{float(match[1]) * _SCALES[match[2]]:.0f}", text)
    if _NUMBER_WORD.search(text):
        text = _YEAR_IN_WORDS.sub(lambda match: "".join(alpha2digit(part, "en", 0) for part in match.groups()), text)
        text = alpha2digit(_AND_IN_NUMBER.sub(lambda match: f"{match[1] or match[2]} ", text), "en", 0)
    if not _DIGIT.search(text):
        return text
    text = _ISO_DATE.sub(lambda match: f"{_month(match[2])} {int(match[3])} {match[1]}", text)
    text = _DAY_MONTH.sub(lambda match: f"{_month(match[2])} {int(match[1])}", text)
    text = _MONTH_DAY.sub(lambda match: f"{_month(match[1])} {int(match[2])}", text)
    text = _DATE_YEAR.sub(r"\1 \2 \3", text)
    text = _MONEY.sub(_money, text)
    return _MEASURE.sub(lambda match: f"{match[1]} {_SHORT_UNITS[match[2]]}", text)


def _month(name: str) -> str:
    if name.isdigit():
        return _MONTHS[int(name) - 1] if 1 <= int(name) <= 12 else name
    return next(month for month in _MONTHS if month.startswith(name[:3]))


def _money(match: re.Match[str]) -> str:
    amount = f"{float(match[1]) * _MONEY_SCALES[match[2]]:.0f}" if match[2] else match[1]
    return f"{amount} {_CURRENCIES[match[0][0]]} "
