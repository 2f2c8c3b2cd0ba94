"""JSON read as records: exact types, no unknown keys, and what is wrong in one line."""

from dataclasses import dataclass

import pytest

from hcl_core.errors import SettingsError
from hcl_core.strict_json import read_record


@dataclass(frozen=True, slots=True)
class Inner:
    size: int

    def __post_init__(self):
        if self.size < 0:
            raise SettingsError("size must be 0 or more")


@dataclass(frozen=True, slots=True)
class Outer:
    name: str
    share: float
    inner: Inner
    texts: tuple[str, ...] = ()


GOOD = '{"name": "a", "share": 1, "inner": {"size": 2}, "texts": ["b", "c"]}'


def test_a_record_is_read_with_the_records_in_it():
    assert read_record(Outer, GOOD) == Outer("a", 1.0, Inner(2), ("b", "c"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GOOD.replace('"a"', "5"), "name: Input should be a valid string; got 5"),
        (GOOD.replace('"size": 2', '"size": "2"'), "inner.size: Input should be a valid integer; got '2'"),
        (GOOD.replace('"size": 2', '"size": true'), "inner.size: Input should be a valid integer; got True"),
        (GOOD.replace('"c"', "null"), "texts.1: Input should be a valid string; got None"),
        (GOOD.replace('"name": "a", ', ""), "name missing"),
        (GOOD.replace('"size": 2', '"sice": 2'), "inner.size missing"),
        (GOOD.replace('"texts"', '"text"'), "unknown key 'text'; known are name, share, inner, texts"),
        (GOOD.replace('"size": 2', '"size": 2, "more": 1'), "unknown key 'inner.more'"),
        ("[1]", "Input should be an object; got [1]"),
        ("{", "not JSON: EOF while parsing an object at line 1 column 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text, problem):
    with pytest.raises(ValueError) as caught:
        read_record(Outer, text)
    assert str(caught.value) == problem


def test_a_records_own_check_raises_its_own_error():
    with pytest.raises(SettingsError, match="size must be 0 or more"):
        read_record(Outer, GOOD.replace("2", "-2"))
