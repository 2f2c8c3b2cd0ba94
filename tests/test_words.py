"""One spelling for what people write in many ways."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hcl_core.words import FUNCTION_WORDS, singular, split_words


def words(text):
    return " ".join(split_words(text).words)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("seven", "7"),
        ("twenty-nine stone", "29 stone"),
        ("one thousand, one hundred and thirty-two", "1,132"),
        ("nineteen eighty-four", "1984"),
        ("twelve hundred", "1200"),
        ("the third man", "the 3rd man"),
        ("2.5 million", "2500000"),
        ("5 million dollars", "$5 million"),
        ("£186k", "186,000 pounds"),
        ("five percent", "5%"),
        ("5 per cent", "5 %"),
        ("4 July 1776", "July 4, 1776"),
        ("the 4th of July, 1776", "1776-07-04"),
        ("Sept. 3", "3 September"),
        ("5.97m", "5.97 metres"),
        ("100 km", "100 kilometers"),
        ("48 Hrs.", "forty-eight hours"),
        ("6 ft", "six feet"),
        ("Harry Connick Jnr", "Harry Connick Jr."),
        ("Saint Peter", "St. Peter"),
        ("salt & pepper", "salt and pepper"),
        ("elephants", "elephant"),
        ("cherries", "cherry"),
        ("boxes", "box"),
        ("wolves", "wolf"),
        ("women", "woman"),
        ("colour", "color"),
        ("centre", "center"),
        ("organised", "organized"),
        ("Roger Maris's", "Roger Maris"),
        ("U.S.A", "USA"),
        ("D-I-V-O-R-C-E", "D.I.V.O.R.C.E."),
    ],
)
def test_two_ways_of_writing_have_the_same_words(one, other):
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7", "7th"),
        ("first", "one"),
        ("H2O", "HO"),
        ("the 1980s", "1980"),
        ("3D", "3"),
        ("Paris2", "Paris"),
        ("in 1984 in Rome", "1984 inches"),
        ("glass", "glas"),
        ("bus", "bu"),
        ("Ares", "are"),
    ],
)
def test_other_things_keep_other_words(one, other):
    assert words(one) != words(other)


def test_clauses_are_counted_at_punctuation():
    assert split_words("not Rome, but Paris; yes").clauses == (0, 0, 1, 1, 2)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
def test_any_text_has_words(text):
    found = split_words(text)
    assert len(found.words) == len(found.clauses) and list(found.clauses) == sorted(found.clauses)


@given(st.integers(0, 10**12))
@example(11_000)
@example(21_000_000)
def test_every_number_is_one_word(number):
    assert split_words(f"{number:,}").words == (str(number),)


@pytest.mark.parametrize(
    "month", ["January", "Feb", "March", "Apr.", "May", "June", "Jul", "Aug", "Sept", "Oct", "Nov.", "Dec"]
)
def test_every_month_is_known(month):
    assert words(f"3 {month} 1999") == words(f"{month} 3rd, 1999")
    assert words(f"3 {month} 1999").split()[1:] == ["3", "1999"]


@pytest.mark.parametrize("word", ["ares", "toes", "doe", "thes", "ifs", "ases", "nos"])
def test_no_plural_becomes_a_word_that_says_nothing(word):
    assert singular(word) not in FUNCTION_WORDS


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("movie", "movies"), ("cookie", "cookies"), ("city", "cities"), ("headache", "headaches"), ("shoe", "shoes"),
        ("canoe", "canoes"), ("avalanche", "avalanches"), ("walrus", "walruses"), ("virus", "viruses"),
        ("octopus", "octopuses"), ("lens", "lenses"), ("crisis", "crises"), ("quiz", "quizzes"),
        ("house", "houses"), ("bus", "buses"), ("glass", "glasses"), ("box", "boxes"), ("hero", "heroes"),
        ("time", "times"), ("toe", "toes"), ("horse", "horses"), ("prize", "prizes"), ("match", "matches"),
    ],
)  # fmt: skip
def test_singular_and_plural_have_one_key(one, many):
    assert singular(one) == singular(many)
