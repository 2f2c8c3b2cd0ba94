"""What an accepted answer stands for: other ways of saying it that people count as the same.

A ``Pattern`` is words to be found in an answer. A list ("A, B and C") is one pattern of several parts, in any
order; a remark around the answer proper ("Nicholas Breakspear, who was Adrian IV") is left off.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from hcl_core.judges import tables
from hcl_core.judges.versions import INITIALS, LIST, is_name, versions
from hcl_core.records import Question
from hcl_core.roman import ROMAN_VALUES, roman
from hcl_core.words import FUNCTION_WORDS, singular, split_words

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_SPELLED_UMLAUT = re.compile(r"(?<=.)([aou])e(?=.)")  # within a word
# As ``split_words`` gives them.
TRUE, FALSE = "true", singular("false")
YES, NO = frozenset({"yes", TRUE, "ja"}), frozenset({"no", FALSE, "nein"})
CONTAINS = "contains"
# Rules that hold unless another year follows, and unless the answer tells another day or month.
WITHOUT_THE_YEAR = "without the year"
NO_OTHER_DAY = "has the year, and no other day, of"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Words to be found in an answer.

    Attributes:
        alias: The accepted answer that they stand for, as written.
        rule: Why they do, for people to read.
        parts: Runs of words; all must stand in the answer, in any order.
        is_name: Whether middle names and initials may stand between the words of a part.
        between: Which ones; ``None`` for any.
        is_whole: Whether the answer may say nothing else: in a sentence these words could mean anything.
    """

    alias: str
    rule: str
    parts: tuple[tuple[str, ...], ...]
    is_name: bool = False
    between: frozenset[str] | None = None
    is_whole: bool = False


def content_words(words: Iterable[str], asked: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The words that say something, without those of the question."""
    return tuple(word for word in words if word not in FUNCTION_WORDS and word not in asked)


@lru_cache(maxsize=512)
def words_asked(question: Question) -> frozenset[str]:
    """The words of the question."""
    return frozenset(split_words(question.text).words)


@lru_cache(maxsize=512)
def words_accepted(question: Question) -> frozenset[str]:
    """The words of all accepted answers."""
    return frozenset(word for pattern in literal_patterns(question) for word in pattern.parts[0])


@lru_cache(maxsize=512)
def literal_patterns(question: Question) -> tuple[Pattern, ...]:
    """The accepted answers as they are; one of signs only (``"?"``) has no words: see ``accepted_signs``."""
    split = ((alias, split_words(alias).words) for alias in question.accepted_answers)
    return tuple(Pattern(alias, CONTAINS, (words,)) for alias, words in split if words)


@lru_cache(maxsize=512)
def accepted_signs(question: Question) -> frozenset[str]:
    """The accepted answers that have no words: ``£``, an emoji."""
    return frozenset(alias for alias in question.accepted_answers if not split_words(alias).words)


@lru_cache(maxsize=512)
def wider_patterns(question: Question) -> tuple[Pattern, ...]:
    """Other ways of saying the accepted answers, the most literal first."""
    asked = words_asked(question)
    seen: set[tuple[object, ...]] = {(pattern.parts, False, None) for pattern in literal_patterns(question)}
    found = []
    for alias in question.accepted_answers:
        for rule, text in versions(alias):
            for pattern in (*_patterns(alias, rule, text, asked), *_new_to(question, alias, text)):
                if (key := (pattern.parts, pattern.is_name, pattern.between)) not in seen:
                    seen.add(key)
                    found.append(pattern)
    return tuple(found)


def asks_for_one_of_many(question: Question) -> bool:
    """Whether any of several things is right: "Name a planet." So much the likelier is it that one is hit by chance."""
    return len(question.ideas) > 1


def is_in_most(words: Iterable[str], question: Question) -> bool:
    """Whether most of the accepted answers have these words: they are then what the question asks for."""
    accepted, wanted = literal_patterns(question), set(words)
    return 2 * sum(wanted <= set(pattern.parts[0]) for pattern in accepted) > len(accepted)


def tells_apart(word: str) -> bool:
    """Whether ``word`` is a number, or one that tells like things apart: "West Virginia", "George VI"."""
    return word in tables.TELLING or any(letter.isdigit() for letter in word)


def is_list(alias: str) -> bool:
    """Whether ``alias`` names several things, all of which are needed."""
    return len([part for part in LIST.split(alias) if content_words(split_words(part).words)]) > 1


def _patterns(alias: str, rule: str, text: str, asked: frozenset[str]) -> Iterator[Pattern]:
    words = split_words(text).words
    content = content_words(words, asked)
    if not content:
        return
    # One word left of a title could mean anything within a sentence: "boy" of "About a Boy".
    is_whole = rule != "without brackets" and len(content) == 1 and not _says_itself(alias, content[0])
    yield Pattern(alias, rule, (words,), is_whole=is_whole)
    yield from _yes_or_no(alias, words)
    yield from _none(alias, words, asked)
    yield from _numeral(alias, words)
    yield from _number(alias, text, words)
    yield from _other_letters(alias, words)
    yield from _listed(alias, text, asked)
    yield from _dates(alias, words, asked)
    together = "".join(words)
    if together.isalpha() and (len(words) == 2 and len(together) > 5 or len(words) == len(together) > 2):
        yield Pattern(alias, "written as one word", ((together,),))
    name = tuple(word for word in words if word not in tables.TITLES)
    if name and name != words:
        yield Pattern(alias, "without the title", (name,))
    if is_name(text, words):
        yield from _names(alias, text, name)
        return
    scattered = sorted(set(content))
    if len(scattered) >= 3 or (len(scattered) == 2 and len(words) > 2):
        yield Pattern(alias, "has all the words of", tuple((word,) for word in scattered))


def _listed(alias: str, text: str, asked: frozenset[str]) -> Iterator[Pattern]:
    """The parts of a list in any order; of two, "Surname, First", "City, Place" and "Day, Year"."""
    listed = [split_words(part).words for part in LIST.split(text)]
    listed = [part for part in listed if content_words(part)]
    if len(listed) > 1:
        yield Pattern(alias, "names all of", tuple(sorted(listed)))
    if len(listed) != 2 or text.count(",") != 1 or text[0].isdigit():
        return
    # "Malibu" of "Malibu, California" where a place is asked for; "Nash" of "Nash, John" could be another Nash.
    if len(listed[0]) > 1 or listed[0][0].lstrip("-").isdigit() or asked & tables.PLACES:
        is_date = len(listed[1]) == 1 and _is_year(listed[1][0])
        yield Pattern(alias, WITHOUT_THE_YEAR if is_date else "without the place", (listed[0],))
    if not listed[1][0].isdigit():
        yield Pattern(alias, "surname first", (listed[1] + listed[0],))


def _dates(alias: str, words: tuple[str, ...], asked: frozenset[str]) -> Iterator[Pattern]:
    """The year of a date where a year is asked for, or "when"; a month and year within a whole date."""
    if "year" in asked:
        yield from (Pattern(alias, "has the year of", ((word,),)) for word in words if _is_year(word))
    elif "when" in asked and tables.MONTHS & set(words):
        yield from (Pattern(alias, NO_OTHER_DAY, ((word,),)) for word in words if _is_year(word))
    if len(words) == 2 and words[0] in tables.MONTHS and _is_year(words[1]):
        yield Pattern(alias, "a day in", tuple((word,) for word in words))


def _names(alias: str, text: str, name: tuple[str, ...]) -> Iterator[Pattern]:
    """A person's name with and without middle names."""
    # "George H. W. Bush" is not "George W. Bush", and Johann Christian Bach is not Johann Sebastian.
    if len(name) == 2 or (len(name) > 2 and not INITIALS.search(text)):
        yield Pattern(alias, "with a middle name", (name,), is_name=True)
    if len(name) > 2:
        middle = name[1:-1]
        initials = {word[0] for word in middle} | {"".join(word[0] for word in middle)}
        outer = (name[0], name[-1])
        yield Pattern(
            alias, "without the middle name", (outer,), is_name=True, between=frozenset(initials | set(middle))
        )


def _new_to(question: Question, alias: str, text: str) -> Iterator[Pattern]:
    """What ``text`` has that the question has not: "citric" of "Citric acid" where an acid is asked for.

    Of many different answers such a word is none, unless it is the name after "of": "John" says "Gospel of John", but
    "honey" of "honey berry" is no fruit that ends in berry.
    """
    asked, words = words_asked(question), split_words(text).words
    new = _without(words, asked)
    is_own = is_in_most(new, question) or not asks_for_one_of_many(question)
    if len(new) > 1 or (new and (is_own or _is_after_of(words, new[0], asked))):
        is_whole = len(new) == 1 and not _says_itself(alias, new[0])
        yield Pattern(alias, "the question says the rest of", (new,), is_whole=is_whole)
        if len(new) == 1 and (number := tables.NUMBERS.get(new[0])) is not None:
            forms = {tables.ROMAN[number], str(number), tables.ordinal(number)} - {new[0]}
            yield from (Pattern(alias, "numeral", ((form,),), is_whole=True) for form in sorted(forms))


def _is_after_of(words: tuple[str, ...], name: str, asked: frozenset[str]) -> bool:
    index = words.index(name)
    return index > 1 and words[index - 1] == "of" and words[index - 2] in asked


def _yes_or_no(alias: str, words: tuple[str, ...]) -> Iterator[Pattern]:
    for kind in (YES, NO):
        if len(words) == 1 and words[0] in kind:
            yield from (Pattern(alias, "means", ((word,),)) for word in sorted(kind))


def _none(alias: str, words: tuple[str, ...], asked: frozenset[str]) -> Iterator[Pattern]:
    """``0`` as "none", and as "no countries" where it is asked how many countries there are."""
    if words in (("none",), ("0",), ("nil",)):
        yield from (Pattern(alias, "means", ((word,),)) for word in ("none", "0", "nil"))
        yield from (Pattern(alias, "means", (("no", word),)) for word in sorted(content_words(asked)))


def _numeral(alias: str, words: tuple[str, ...]) -> Iterator[Pattern]:
    """``VII`` at the end as ``7`` and ``7th``, and the other way round."""
    if len(words) > 1 and (number := tables.NUMBERS.get(words[-1])) is not None:
        forms = (tables.ROMAN[number], str(number), tables.ordinal(number))
        yield from (Pattern(alias, "numeral", ((*words[:-1], form),)) for form in forms)


def _number(alias: str, text: str, words: tuple[str, ...]) -> Iterator[Pattern]:
    """A number as a Roman numeral, in German, in thousands (``120K``) or, if an amount of money, without its unit."""
    first, *others = words
    if len(words) == 2 and first.replace(".", "").isdigit() and others[0] in tables.AMOUNTS:
        yield Pattern(alias, "without the unit", ((first,),), is_whole=True)
    if len(words) == 2 and first[0].isdigit() and tables.NUMBERS.get(first) and not first.isdigit():
        yield Pattern(alias, "numeral", ((tables.ROMAN[tables.NUMBERS[first]], *others),))  # XIX century
    if others:
        return
    if (value := ROMAN_VALUES.get(first)) is not None and text.strip().isupper():
        yield Pattern(alias, "numeral", ((str(value),),), is_whole=True)
    if not (first.isdigit() and first.isascii()) or len(first) > 15:
        return
    number = int(first)
    if 0 < number < 4000 and (numeral := roman(number)) in ROMAN_VALUES:
        yield Pattern(alias, "numeral", ((numeral,),), is_whole=True)
    if first in tables.GERMAN_NUMBERS:
        yield Pattern(alias, "numeral", ((tables.GERMAN_NUMBERS[first],),))
    if number and number % 1000 == 0:
        yield Pattern(alias, "in thousands", ((f"{number // 1000}k",),))
        yield Pattern(alias, "in millions", ((f"{number / 10**6:g}", "meter"),))  # as 1.4M is read
        yield Pattern(alias, "in billions", ((f"{number / 10**9:g}b",),))


def _other_letters(alias: str, words: tuple[str, ...]) -> Iterator[Pattern]:
    """``Müller`` as ``Mueller`` and the other way round; ``L'Alsace`` for ``Alsace``."""
    longer = split_words(alias.translate(_UMLAUTS)).words
    if longer != words and len(longer) == len(words):
        yield Pattern(alias, "written without umlauts", (longer,))
    if alias[:1].isupper() and (shorter := tuple(_SPELLED_UMLAUT.sub(r"\1", word) for word in words)) != words:
        yield Pattern(alias, "written with umlauts", (shorter,))
    if alias[:1].isupper() and words[0][0] in "aeiouh" and len(words[0]) > 3:
        yield from (Pattern(alias, "with an article", ((letter + words[0], *words[1:]),)) for letter in "ld")


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


def _says_itself(alias: str, word: str) -> bool:
    """Whether one word of ``alias`` can stand in a sentence and still mean it.

    So it is where ``alias`` is prose with names in it (a title would be all capitals), and with numbers.
    """
    if len(word) > 1 and word.lstrip("-").isdigit():
        return True
    raw = re.findall(r"\w+", alias)
    is_lower = any(part[0].islower() and content_words(split_words(part).words) for part in raw)
    return is_lower and any(part[0].isupper() for part in raw)


def _is_year(word: str) -> bool:
    return word.isdigit() and len(word) == 4
