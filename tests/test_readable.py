"""Which texts the sentence embedder can read."""

import pytest

from hcl_core.readable import is_readable


@pytest.mark.parametrize(
    "text", ["Paris", "Beyoncé", "Straße", "1914", "3 apples", "Paris (М)", "Ｐａｒｉｓ", "İstanbul"]
)
def test_latin_letters_and_digits_are_read(text):
    assert is_readable(text)


@pytest.mark.parametrize("text", ["北京", "Москва", "서울", "القاهرة", "दिल्ली", "😀", "£", "", "१२", "1984年"])
def test_other_scripts_and_signs_are_not(text):
    assert not is_readable(text)
