"""What an accepted answer stands for: the ways of saying it that people count as the same.

A ``Pattern`` is words to be found in an answer. A list ("A, B and C") is one pattern of several parts, in any
order; a remark around the answer proper ("Nicholas Breakspear, who was Adrian IV") is left off.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from hcl_core.records import Question
from hcl_core.words import FUNCTION_WORDS, singular, split_words

# As ``split_words`` gives them.
TRUE, FALSE = "true", singular("false")
YES, NO = frozenset({"yes", TRUE}), frozenset({"no", FALSE})

_BRACKETED = re.compile(r"[(\[][^()\[\]]*[)\]]")
_ALSO = re.compile(r"[(\[](?:accept|also|or|a\.?k\.?a\.?|formerly|now)\b[ :]*([^()\[\]]+)[)\]]", re.IGNORECASE)
_ALTERNATIVES = re.compile(r"\bor\b|;|\ba\.?k\.?a\.?(?=\s)|\balso known as\b", re.IGNORECASE)
_LIST = re.compile(r",(?:\s(?:and|&)\s)?|\band\b|&|;", re.IGNORECASE)
# What follows is a remark: ", who was ...", " - the ...", "Mississippi. He took ...", "Park in Augusta, Georgia".
_REMARK = re.compile(
    r",\s+(?:who|which|that|where|when|whose|as|in|at|on|by|from|for|near|after|before|because|then|(?:the|an?)(?=\s[a-z])|not|with|of"
    r"|daughter|son|brother|sister|wife|husband|including|born|during)\b|\s[-\u2013\u2014]\s|(?<=[a-z]{4})\.\s+(?=[A-Z])"
    r"|\s(?:in|at|near|on)\s(?=[^,]+,[^,]+$)",
)
_LEADING = re.compile(
    r"^(?:(?:it|they|he|she|this|that)\s+(?:is|was|are|were|has|had)\s+|(?:in|on|at|to|by|from|for|of|with|into|as|about|"
    r"approximately|around|because(?: of)?|inside|under|near|over)\s+(?!\())",
    re.IGNORECASE,
)
# "inventor Alexander Graham Bell": a name after what it is the name of.
_NAME_AT_END = re.compile(
    r"(?:^|\s)(?!and\b|or\b|like\b|the\b|of\b|for\b|with\b|from\b|[a-z]{1,2}\b)[a-z]+\s+((?:[A-Z][\w'’.-]*\s*)+)$"
)
_CAPITALISED = re.compile(r"^[^\W\d_a-zß-öø-ÿ][\w'’.-]*$")
INITIALS = re.compile(r"\b(?:[A-Z]\.\s?)+")
_TITLES = frozenset({"mr", "mrs", "ms", "miss", "dr", "sir", "dame", "professor", "prof", "president", "jr", "sr"})
_ROMAN = (
    *("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv", "xv", "xvi", "xvii"),
    *("xviii", "xix", "xx", "xxi", "xxii", "xxiii", "xxiv", "xxv"),
)
_NUMERALS = {numeral: number for number, numeral in enumerate(_ROMAN, 1)}
_ORDINALS = {
    number: {1: "1st", 2: "2nd", 3: "3rd", 21: "21st", 22: "22nd", 23: "23rd"}.get(number, f"{number}th")
    for number in _NUMERALS.values()
}
# Words that tell one of several from another: what is left without them is something else.
_TELLING = (
    frozenset({"north", "south", "east", "west", "northern", "southern", "eastern", "western", "central", "new", "old"})
    | {"upper", "lower", "great", "greater", "little", "big", "last", "equatorial"}
    | _NUMERALS.keys()
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Words to be found in an answer.

    Attributes:
        alias: The accepted answer that they stand for, as written.
        rule: Why they do, for people to read.
        parts: Runs of words; all must stand in the answer, in any order.
        is_name: Whether middle names and initials may stand between the words of a part.
        is_whole: Whether the answer may say nothing else: in a sentence these words could mean anything.
    """

    alias: str
    rule: str
    parts: tuple[tuple[str, ...], ...]
    is_name: bool = False
    is_whole: bool = False


def content_words(words: Iterable[str], asked: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The words that say something, without those of the question."""
    return tuple(word for word in words if word not in FUNCTION_WORDS and word not in asked)


@lru_cache(maxsize=512)
def words_asked(question: Question) -> frozenset[str]:
    """The words of the question."""
    return frozenset(split_words(question.text).words)


@lru_cache(maxsize=512)
def literal_patterns(question: Question) -> tuple[Pattern, ...]:
    """The accepted answers as they are; one without any word (``"?"``) can't be looked for."""
    split = ((alias, split_words(alias).words) for alias in question.accepted_answers)
    return tuple(Pattern(alias, "contains", (words,)) for alias, words in split if words)


@lru_cache(maxsize=512)
def wider_patterns(question: Question) -> tuple[Pattern, ...]:
    """Other ways of saying the accepted answers, the most literal first."""
    asked = words_asked(question)
    seen = {(pattern.parts, False) for pattern in literal_patterns(question)}
    found = []
    for alias in question.accepted_answers:
        for rule, text in _versions(alias):
            for pattern in (*_patterns(alias, rule, text, asked), *_new_to(asked, alias, text)):
                if (key := (pattern.parts, pattern.is_name)) not in seen:
                    seen.add(key)
                    found.append(pattern)
    return tuple(found)


def is_in_most(words: Iterable[str], question: Question) -> bool:
    """Whether most of the accepted answers have these words: they are then what the question is after."""
    accepted, wanted = literal_patterns(question), set(words)
    return 2 * sum(wanted <= set(pattern.parts[0]) for pattern in accepted) > len(accepted)


def tells_apart(word: str) -> bool:
    """Whether ``word`` is a number, or one that tells like things apart: "West Virginia", "George VI"."""
    return word in _TELLING or any(letter.isdigit() for letter in word)


def is_list(alias: str) -> bool:
    """Whether ``alias`` names several things, all of which are wanted."""
    return len([part for part in _LIST.split(alias) if content_words(split_words(part).words)]) > 1


def _versions(alias: str) -> Iterator[tuple[str, str]]:
    """``alias`` and its texts with less around them, each with the rule that made it; no text twice."""
    bare = " ".join(_BRACKETED.sub(" ", alias).split())
    head = _REMARK.split(bare, maxsplit=1)[0]
    versions = [("without brackets", bare), ("without the remark", head)]
    versions += [("an alternative", inner) for inner in _ALSO.findall(alias)]
    versions += [("without leading words", _LEADING.sub("", text)) for _, text in versions]
    versions += [("the name alone", match[1]) for _, text in versions if (match := _NAME_AT_END.search(text))]
    for _, text in list(versions):
        if len(parts := _ALTERNATIVES.split(text)) > 1:
            versions += [("an alternative", part) for part in parts]
    seen = set()
    for rule, text in versions:
        if text not in seen:
            seen.add(text)
            yield rule, text


def _patterns(alias: str, rule: str, text: str, asked: frozenset[str]) -> Iterator[Pattern]:
    words = split_words(text).words
    content = content_words(words, asked)
    if not content:
        return
    # One word left of a title could mean anything within a sentence: "boy" of "About a Boy".
    is_whole = rule != "without brackets" and len(content) == 1 and not _is_prose(alias)
    yield Pattern(alias, rule, (words,), is_whole=is_whole)
    yield from _yes_or_no(alias, words)
    yield from _numeral(alias, words)
    listed = [split_words(part).words for part in _LIST.split(text)]
    listed = [part for part in listed if content_words(part)]
    if len(listed) > 1:
        yield Pattern(alias, "names all of", tuple(sorted(listed)))
    if len(listed) == 2 and text.count(",") == 1 and not text[0].isdigit():
        yield Pattern(alias, "surname first", (listed[1] + listed[0],))
        if len(listed[0]) > 1:
            yield Pattern(alias, "without the place", (listed[0],))
    if "year" in asked:
        yield from (Pattern(alias, "has the year of", ((word,),)) for word in words if _is_year(word))
    together = "".join(words)
    if together.isalpha() and (len(words) == 2 and len(together) > 5 or len(words) == len(together) > 2):
        yield Pattern(alias, "written as one word", ((together,),))
    name = tuple(word for word in words if word not in _TITLES)
    if name and name != words:
        yield Pattern(alias, "without the title", (name,))
    if _is_name(text, words):
        if len(name) > 1:
            yield Pattern(alias, "with a middle name", (name,), is_name=True)
        if len(name) > 2:
            yield Pattern(alias, "without the middle name", ((name[0], name[-1]),), is_name=True)
        return
    scattered = sorted(set(content))
    if len(scattered) >= 3 or (len(scattered) == 2 and len(words) > 2):
        yield Pattern(alias, "has all the words of", tuple((word,) for word in scattered))


def _new_to(asked: frozenset[str], alias: str, text: str) -> Iterator[Pattern]:
    """What ``text`` has that the question has not: "citric" of "Citric acid" where an acid is asked for."""
    words = split_words(text).words
    new = _without(words, asked)
    if new:
        yield Pattern(alias, "the question says the rest of", (new,), is_whole=len(new) == 1 and not _is_prose(alias))


def _yes_or_no(alias: str, words: tuple[str, ...]) -> Iterator[Pattern]:
    for kind in (YES, NO):
        if len(words) == 1 and words[0] in kind:
            yield from (Pattern(alias, "means", ((word,),)) for word in sorted(kind))
    if words in (("none",), ("0",)):
        yield from (Pattern(alias, "means", ((word,),)) for word in ("none", "0"))


def _numeral(alias: str, words: tuple[str, ...]) -> Iterator[Pattern]:
    """``VII`` at the end as ``7`` and ``7th``, and the other way round."""
    if len(words) < 2:
        return
    for numeral, number in _NUMERALS.items():
        if words[-1] in (forms := (numeral, str(number), _ORDINALS[number])):
            yield from (Pattern(alias, "numeral", ((*words[:-1], form),)) for form in forms)


def _without(words: tuple[str, ...], asked: frozenset[str]) -> tuple[str, ...]:
    """``words`` without those of the question, and then without function words at the ends; empty if that is nothing.

    Empty as well where the question has none of them.
    """
    kept = [word for word in words if word not in asked]
    if len(kept) == len(words):
        return ()
    while kept and kept[0] in FUNCTION_WORDS:
        kept.pop(0)
    while kept and kept[-1] in FUNCTION_WORDS:
        kept.pop()
    return tuple(kept) if any(len(word) > 2 or word.isdigit() for word in kept) else ()


def _is_prose(alias: str) -> bool:
    """Whether ``alias`` is said in words of its own, names among them, where a title would be all capitals."""
    raw = re.findall(r"\w+", alias)
    is_lower = any(word[0].islower() and content_words(split_words(word).words) for word in raw)
    return is_lower and any(word[0].isupper() for word in raw)


def _is_year(word: str) -> bool:
    return word.isdigit() and len(word) == 4


def _is_name(text: str, words: tuple[str, ...]) -> bool:
    """Whether ``text`` could be a person's name: two to five capitalised words and nothing else."""
    raw = INITIALS.sub("I ", text.replace(",", " ")).split()
    return 2 <= len(raw) <= 5 and len(raw) == len(words) and all(_CAPITALISED.match(word) for word in raw)
