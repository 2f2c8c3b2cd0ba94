"""The word lists of the alias judge, as ``words.split_words`` gives the words. They were tuned with its rules."""

import itertools

from hcl_core.words import FUNCTION_WORDS, singular

_ROMAN_DIGITS = ((50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


def roman(number: int) -> str:
    """``number``, from 1 to 89, as a Roman numeral in lower case."""
    digits = ""
    for value, digit in _ROMAN_DIGITS:
        digits += digit * (number // value)
        number %= value
    return digits


def ordinal(number: int) -> str:
    """``number``, from 1 to 99, as ``1st``, ``2nd``, ..."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number in (11, 12, 13) else ending}"


# Kings, popes and Super Bowls.
ROMAN = {number: roman(number) for number in range(1, 61)}
# A number by each of its forms: vii, 7, 7th.
NUMBERS = {form: number for number in ROMAN for form in (ROMAN[number], str(number), ordinal(number))}

MONTHS = frozenset(
    {"january", "february", "march", "april", "may", "june", "july", "august"}
    | {"september", "october", "november", "december"}
)
TITLES = frozenset({"mr", "mrs", "ms", "miss", "dr", "sir", "dame", "professor", "prof", "president", "jr", "sr"})
# Words that tell one of several from another: what is left without them is something else.
TELLING = (
    frozenset({"north", "south", "east", "west", "northern", "southern", "eastern", "western", "central", "new", "old"})
    | {"upper", "lower", "great", "greater", "little", "big", "last", "equatorial"}
    | set(itertools.islice(ROMAN.values(), 25))
)

CONTRACTIONS = frozenset(
    {"isnt", "wasnt", "arent", "werent", "aint", "dont", "doesnt", "didnt", "cant", "couldnt", "wont", "wouldnt"}
    | {"shouldnt", "hasnt", "havent", "cannot"}
)
# English, German, Russian and Chinese.
NEGATIONS = (
    CONTRACTIONS
    | {"not", "never", "no", "nor", "neither", "none", "without", "except", "instead"}
    | {"nicht", "kein", "keine", "keinen", "keiner", "nie", "niemals", "weder", "ohne", "außer", "ausser"}
    | {"не", "ни", "нет", "不", "非", "没"}
)
# What denies after the verb: "X is not", "X ist nicht".
DENIALS_AFTER = CONTRACTIONS | {"not", "never", "nicht", "nie", "kein"}
VERBS = frozenset({"is", "was", "are", "were", "can", "could", "would", "has", "does", "did", "ist", "war", "sind"})
# "Not only Paris", "no doubt Paris" and "none other than Paris" affirm.
AFFIRMED_AFTER_NEGATION = frozenset(
    {"other", "only", "just", "merely", "surprisingly", "doubt", "question", "nur", "bloss", "zweifel"}
)
# "Many think Paris, but ...": what these people think is not what the answer says.
BELIEVERS = frozenset({"many", "some", "most", "people", "often", "commonly", "popularly", "widely", "mistakenly"})
BELIEFS = frozenset(
    {"think", "thought", "believe", "believed", "say", "said", "assume", "assumed", "claim", "claimed", "mistaken"}
)
# "A friend of Mark Twain" is somebody else.
RELATIONS = frozenset(
    {"friend", "son", "daughter", "wife", "husband", "brother", "sister", "mother", "father", "cousin", "nephew"}
    | {"niece", "widow", "uncle", "aunt", "pupil", "student", "rival", "contemporary", "colleague"}
)
# Ranks and kinds of things that stand beside a name: "King John", "Mt Everest".
RANKS = frozenset(
    {"king", "queen", "prince", "princess", "lord", "lady", "emperor", "pope", "st", "general", "captain", "lake", "mt"}
)
# What a name may be the name of: "the city of Paris", "planet Earth".
KINDS = frozenset({"city", "country", "state", "planet", "continent", "river", "island"})
# Words around a name that leave it what it is: "the famous city of Paris", "probably Paris, of course".
NEUTRAL = frozenset(
    map(
        singular,
        FUNCTION_WORDS
        | KINDS
        | {"famous", "great", "answer", "course", "probably", "surely", "also", "maybe", "well", "yes", "opinion", "my"}
        | {"think", "i", "all", "but", "just", "very", "too", "etc", "eg", "ie", "option", "correct", "right"},
    )
)
PREPOSITIONS = frozenset({"of", "in", "at", "on", "with", "from", "by", "against", "about", "near", "over", "for"})
QUESTION_WORDS = frozenset({"what", "which", "who", "whom", "whose", "where", "when", "why", "how"})
# Words of a question that asks for a person.
PEOPLE = frozenset(
    {"who", "whom", "whose", "person", "man", "woman", "king", "queen", "pope", "president", "minister", "leader"}
    | {"poet", "author", "writer", "novelist", "playwright", "philosopher", "painter", "artist", "composer", "singer"}
    | {"actor", "actress", "director", "player", "physicist", "chemist", "scientist", "astronaut", "astronomer"}
    | {"inventor", "explorer", "general"}
)
# Words of a question that asks for a place.
PLACES = frozenset({"where", "city", "town", "village", "place", "location", "located"})
# Small words within a person's name: "van Gogh".
PARTICLES = frozenset({"van", "von", "de", "da", "di", "del", "la", "le", "der", "den", "du", "bin", "al", "y"})
# What may follow a number that is a year or an amount.
ERAS = frozenset(
    {"bc", "ad", "ce", "degree", "percent", "dollar", "pound", "euro", "year", "am", "pm", "meter", "mile"}
)
PRONOUNS = frozenset({"i", "us", "me", "you", "we", "him", "them"})
# English words that are names as well. Such a name is told by its capitals: "May", but not "may"; "US", but not "us".
ALSO_WORDS = frozenset(
    {"i", "it", "us", "he", "she", "me", "you", "we", "him", "her", "them", "they", "who", "what", "that", "this"}
    | {"may", "will", "can", "go", "see", "set", "let", "mark", "number", "song", "is", "be", "in", "on", "up", "or"}
    | {"and", "not", "no", "so", "if", "an", "as", "at", "do", "has", "have", "was", "are", "to", "by", "of", "for"}
    | {"nut", "pan", "ash", "august", "march", "rose", "bill", "hope", "grace", "happy", "doc", "job", "acts", "act"}
    | {"king", "judge", "ruth", "early", "don", "sol", "basic", "scheme", "rust", "swift", "there", "then", "all"}
)
