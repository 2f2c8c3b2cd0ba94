"""The word lists of the alias judge, as ``words.split_words`` gives the words. They were tuned with its rules."""

import itertools

from hcl_core.roman import roman
from hcl_core.words import FUNCTION_WORDS, singular, split_words


def ordinal(number: int) -> str:
    """``number``, from 1 to 99, as ``1st``, ``2nd``, ..."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number in (11, 12, 13) else ending}"


# Kings, popes and Super Bowls.
ROMAN = {number: roman(number) for number in range(1, 61)}
# A number by each of its forms: vii, 7, 7th.
NUMBERS = {form: number for number in ROMAN for form in (ROMAN[number], str(number), ordinal(number))}
# Not "elf", which is English too.
GERMAN_NUMBERS = {
    "0": "null", "1": "eins", "2": "zwei", "3": "drei", "4": "vier", "5": "funf", "6": "sechs", "7": "sieben",
    "8": "acht", "9": "neun", "10": "zehn", "12": "zwolf", "20": "zwanzig", "100": "hundert",
}  # fmt: skip
# Amounts whose unit may be left out where the number is all of the answer.
AMOUNTS = frozenset({"dollar", "pound", "euro", "yen", "percent"})


def _singular(words: set[str]) -> frozenset[str]:
    """``words`` as ``split_words`` gives them."""
    return frozenset(map(singular, words))


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
# English and German, and the plainest words of some other languages.
NEGATIONS = CONTRACTIONS | _singular(
    {"not", "never", "no", "nor", "neither", "none", "without", "except", "instead"}
    | {"nicht", "kein", "keine", "keinen", "keiner", "keines", "keineswegs", "keinesfalls", "nie", "niemals"}
    | {"weder", "ohne", "außer", "ausser", "statt", "anstatt", "anstelle"}
    | {"не", "ни", "нет", "不", "非", "没", "ليس", "ليست", "לא", "δεν", "οχι"}
)
# French and Italian: they deny what they stand beside, as "non" begins other words too ("non-alcoholic").
NEGATIONS_BESIDE = frozenset({"pas", "non", "jamais"})
# Thai, letter by letter as ``split_words`` gives it: "is not".
NEGATION_IN_LETTERS = tuple(split_words("ไม่ใช่").words)
# What denies after the verb: "X is not", "X ist nicht".
DENIALS_AFTER = CONTRACTIONS | {"not", "never", "nicht", "nie", "kein"}
# What denies right after a name without spaces or endings: Japanese, Hindi; Korean by its first syllable.
DENIALS_BEHIND = tuple(tuple(split_words(text).words) for text in ("ではな", "ではあ", "じゃな", "でな", "नहीं"))
KOREAN_DENIALS = ("아니", "아닙", "아닌")
# "X is wrong".
WRONG = _singular({"wrong", "incorrect", "false", "untrue", "mistaken", "misconception", "myth", "falsch", "inkorrekt"})
# "Wrongly attributed to X".
WRONGLY = frozenset(
    {"wrongly", "falsely", "mistakenly", "erroneously", "incorrectly", "falschlicherweise", "irrtumlich"}
)
# What ends the reach of a negation: "not Y but X".
BUT = frozenset({"but", "sondern", "aber", "mais", "ma", "sino", "а"})
# "Anything but X".
ALL_BUT = frozenset({"anything", "anyone", "anybody", "anywhere", "everything", "everyone", "everybody", "everywhere"})
VERBS = frozenset(
    {"is", "was", "are", "were", "can", "could", "would", "has", "does", "did", "ist", "war", "sind", "stimmt"}
)
# Between two answers of which neither is chosen; a hedge may stand beside them, "or maybe X".
OR = frozenset({"or", "oder", "или", "ou", "或", "还", "او", "또는"})
BESIDE_OR = _singular({"and", "maybe", "perhaps", "possibly", "probably", "even", "also", "vielleicht", "auch", "是"})
# Said twice, they leave the answer open: "maybe X, maybe Y".
HEDGES = _singular({"maybe", "perhaps", "possibly", "vielleicht", "could", "might", "konnte"})
BETWEEN = frozenset({"between", "zwischen"})
UNDECIDED = HEDGES | BETWEEN | {"either", "entweder"}
# "More than 6" is another number, and "before 1918" another year.
COMPARED = frozenset({"before", "after", "over", "under", "above", "below", "vor", "nach", "uber", "unter"})
# "Not only Paris", "no doubt Paris" and "none other than Paris" affirm.
AFFIRMED_AFTER_NEGATION = frozenset(
    {"other", "only", "just", "merely", "surprisingly", "doubt", "question", "nur", "bloss", "zweifel"}
)
# "Many think Paris, but ...": what these people think is not what the answer says.
BELIEVERS = _singular(
    {"many", "some", "most", "people", "often", "commonly", "popularly", "widely", "mistakenly", "once", "formerly"}
    | {"viele", "manche", "einige", "meisten", "oft", "fruher"}
)
BELIEFS = _singular(
    {"think", "thought", "believe", "believed", "say", "said", "assume", "assumed", "claim", "claimed", "mistaken"}
    | {"attributed", "credited", "ascribed"}
    | {"denken", "glauben", "meinen", "sagen", "halten", "vermuten"}
)
# What tells that others were wrong: "but it is Y", "it is actually Y".
TURNS = _singular({"but", "however", "actually", "really", "aber", "doch", "eigentlich"})
THOUGH = frozenset({"although", "though", "while", "whereas", "obwohl", "wahrend"})
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
# Chinese and Japanese characters after which a name can begin; another one before it makes a longer name of it.
BEFORE_A_NAME = frozenset("是在为為乃叫即去到住至于於从從由和与與或的我说說选選答非不没")
# Small words within a person's name: "van Gogh".
PARTICLES = frozenset({"van", "von", "de", "da", "di", "del", "la", "le", "der", "den", "du", "bin", "al", "y"})
# What may follow a number that is a year or an amount.
ERAS = frozenset(
    {"bc", "ad", "ce", "degree", "percent", "dollar", "pound", "euro", "year", "am", "pm", "meter", "mile"}
)
PRONOUNS = frozenset({"i", "us", "me", "you", "we", "him", "them"})
# Words that mean something else in small letters wherever they stand in a sentence: "it may be", "went up".
SMALL_WORDS = FUNCTION_WORDS | PRONOUNS | {"may", "will", "can", "go", "see", "set", "let", "up", "out", "so"}
# English words that are names as well. Such a name is told by its capitals: "May", but not "may"; "US", but not "us".
ALSO_WORDS = frozenset(
    {"i", "it", "us", "he", "she", "me", "you", "we", "him", "her", "them", "they", "who", "what", "that", "this"}
    | {"may", "will", "can", "go", "see", "set", "let", "mark", "number", "song", "is", "be", "in", "on", "up", "or"}
    | {"and", "not", "no", "so", "if", "an", "as", "at", "do", "has", "have", "was", "are", "to", "by", "of", "for"}
    | {"nut", "pan", "ash", "august", "march", "rose", "bill", "hope", "grace", "happy", "doc", "job", "acts", "act"}
    | {"king", "judge", "ruth", "early", "don", "sol", "basic", "scheme", "rust", "swift", "there", "then", "all"}
)
