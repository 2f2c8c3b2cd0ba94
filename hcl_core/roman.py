"""Roman numerals from 1 to 3999."""

_DIGITS = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc")),
    (50, "l"),
    (40, "xl"),
    (10, "x"),
    (9, "ix"),
    (5, "v"),
    (4, "iv"),
    (1, "i"),
)


def roman(number: int) -> str:
    """``number``, from 1 to 3999, as a Roman numeral in lower case."""
    digits = ""
    for value, digit in _DIGITS:
        digits += digit * (number // value)
        number %= value
    return digits


# A number by its Roman numeral of at least two letters, years among them.
ROMAN_VALUES = {numeral: number for number in range(1, 4000) if len(numeral := roman(number)) > 1}
