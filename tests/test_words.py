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
        ("1 400 000", "1400000"),
        ("1.400.000", "1400000"),
        ("1\u202f400\u202f000", "1,400,000"),
        ("£29.00", "29 pounds"),
        ("5 €", "€5"),
        ("US$ 7", "$7"),
        ("120k", "120,000"),
        ("3bn", "3 billion"),
        ("20 °C", "20 degrees Celsius"),
        ("20°", "20 degrees"),
        ("1870's", "1870s"),
        ("the 80s", "the nineteen-eighties"),
        ("9:45", "9.45"),
        ("three quarters", "¾"),
        ("a half", "½"),
        ("WWI", "the First World War"),
        ("World War Two", "WW2"),
        ("1998–99", "1998-1999"),
        ("between 3 and 7", "3–7"),
        ("3 to 7", "3-7"),
        ("minus 12", "−12"),
        ("44 BCE", "44 BC"),
        ("\\boxed{7{,}500}", "7,500"),
        ("$CO_2$", "CO₂"),
        ("y^2", "y²"),
        ("__Rome__", "Rome"),
        ("A$AP", "ASAP"),
        ("Ke$ha", "Kesha"),
        ("distill", "distil"),
        ("٤٢", "42"),
        ("४२", "42"),
        ("مكة", "مكه"),
        ("부산은", "부산"),
        ("부산입니다", "부산"),
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
        ("-12", "12"),
        ("1/2", "1 2"),
        ("120K", "120,000"),  # Kelvin
        ("1960", "1960s"),
        ("कि", "का"),
        ("がん", "かん"),
        ("ไม่", "ไม"),
        ("서울", "서우"),
    ],
)
def test_other_things_keep_other_words(one, other):
    assert words(one) != words(other)


@pytest.mark.parametrize("text", ["5 - 3", "1914-1918", "T-34", "Paris -- 3", "a 5-3 win"])
def test_a_dash_is_no_minus_sign(text):
    assert not any(word.startswith("-") for word in split_words(text).words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("东京都", "东 京 都"), ("กรุง", "ก รุ ง"), ("カナダ", "カ ナ ダ"), ("Tokyo東京", "tokyo 東 京")],
)
def test_in_scripts_without_spaces_each_letter_is_a_word(text, expected):
    assert words(text) == words(expected)


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


@pytest.mark.parametrize("text", ["9" * 5_000 + " dozen", "9" * 400 + " 1/2", "9" * 5_000 + " 1/2", "一" * 5_000])
def test_a_number_of_any_length_is_read(text):
    assert split_words(text).words


def test_a_half_changes_no_digit_of_a_large_number():
    assert words("01234567 1/2 miles") == words("1234567.5 miles")
    assert words("1/2 mile") == words("0.5 mile") and words("2 1/8") == words("2.125")
