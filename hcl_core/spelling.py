"""One spelling of numbers, dates, units and markup: what people write in several ways becomes the same letters.

``unmark`` works on a text as written, since it needs capitals; ``one_spelling`` works on what ``words.fold`` made.
"""

import math
import re

from text_to_num import alpha2digit

_DIGIT = re.compile(r"\d")

_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_ONES = "one|two|three|four|five|six|seven|eight|nine"
_PARTS = ("half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_FRACTIONS = {name: number for number, name in enumerate(_PARTS, 2)}
_ONES_IN_WORDS = {name: number for number, name in enumerate(_ONES.split("|"), 1)}
_DECADES = {
    "twenties": "1920s", "thirties": "1930s", "forties": "1940s", "fifties": "1950s",
    "sixties": "1960s", "seventies": "1970s", "eighties": "1980s", "nineties": "1990s",
}  # fmt: skip
_SCALES = {
    "thousand": 10**3, "lakh": 10**5, "million": 10**6, "crore": 10**7, "billion": 10**9, "trillion": 10**12,
    # German, and the large numbers of Chinese, Japanese and Korean.
    "tausend": 10**3, "mio": 10**6, "millionen": 10**6, "mrd": 10**9, "milliarden": 10**9,
    "万": 10**4, "萬": 10**4, "만": 10**4, "亿": 10**8, "億": 10**8, "억": 10**8,
}  # fmt: skip
_SHORT_SCALES = {"k": "thousand", "mn": "million", "bn": "billion", "tn": "trillion"}
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_GERMAN_MONTHS = {
    "januar": "january", "februar": "february", "marz": "march", "mai": "may", "juni": "june", "juli": "july",
    "oktober": "october", "dezember": "december",
}  # fmt: skip
_CURRENCIES = {"$": "dollar", "£": "pound", "€": "euro", "¥": "yen"}
_CURRENCY_CODES = {"usd": "$", "gbp": "£", "eur": "€", "jpy": "¥"}
_MONEY_SCALES = {"k": 10**3, "m": 10**6, "bn": 10**9}
_TEMPERATURES = {"c": "celsius", "celsius": "celsius", "centigrade": "celsius", "f": "fahrenheit"}
_UNITS = {
    "m": "meter", "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "mi": "mile", "ft": "foot",
    "kg": "kilogram", "g": "gram", "lb": "pound", "lbs": "pound", "oz": "ounce", "sec": "second",
    "secs": "second", "min": "minute", "mins": "minute", "hr": "hour", "hrs": "hour", "yr": "year",
    "yrs": "year", "mph": "mph", "kmh": "kmh",
}  # fmt: skip
_WARS = {"i": "1", "1": "1", "1st": "1", "first": "1", "ii": "2", "2": "2", "2nd": "2", "second": "2"}
# What stands for another letter in a stage name.
_LETTER_SIGNS = {"!": "i", "$": "s"}

# As written, before letters and signs are taken apart.
_FRACTION_SIGN = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")  # 2½
_DEGREE_SIGNS = str.maketrans("º˚", "°°")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_POWER_SIGN = re.compile(r"(?<=10)[⁰¹²³⁴-⁹]+")  # 10⁶

# As written.
_FRACTION_COMMAND = re.compile(r"\\[dt]?frac\s*\{(\d+)\}\s*\{(\d+)\}")  # \frac{1}{2}
_POWER = re.compile(
    r"""
    (?<![\d.]) (\d+(?:\.\d+)?) (?:
        \s?(?:[x×*·]|\\times|\\cdot)\s?10\^\{?(\d{1,2})\}?   # 1.4 × 10^6
      | e\+?(\d{1,2})                                        # 1.4e6
    ) \b
    """,
    re.VERBOSE,
)
_TEMPERATURE = re.compile(r"(?<=\d) ([CF])\b(?![.'’])")  # 100 C
_COMMAND = re.compile(r"\\[A-Za-z]+|\\(?=\W)")  # \boxed{7}
_SUBSCRIPT = re.compile(r"(?<=\w)[_^](?=[\d{])")  # H_2O, x^2
_UNDERSCORES = re.compile(r"_+")  # __Paris__
_LETTER_SIGN = re.compile(r"(?<=[A-Za-z])[!$](?=[A-Za-z])")  # P!nk
_SHORT_SCALE = re.compile(r"(?<=\d) ?(mn|bn|tn|k)\b")  # 5bn, 120k; K is a unit of temperature
_DECADE_APOSTROPHE = re.compile(r"(?<=\d0)['’](?=s\b)")  # 1960's

# Folded.
_NUMBER_WORD = re.compile(
    rf"""\b(?:
        {_TEENS} | (?:{_TENS}) | {_ONES} | zero
      | hundred | thousand | million | billion | trillion
      | third | half | quarter | eighth
      | \w*(?:first|second|fifth)                                     # twenty-first
      | (?:four|six|seven|nin|ten|eleven|twelf|\w+teen|\w+tie)th      # fourth, sixteenth, thirtieth
      | \w+ties                                                       # sixties
    )\b""",
    re.VERBOSE,
)
_DECADE_IN_WORDS = re.compile(rf"\b(?:nineteen[ -])?({'|'.join(_DECADES)})\b")  # nineteen-sixties
_FRACTION_IN_WORDS = re.compile(
    rf"""
    \b({"|".join(_ONES_IN_WORDS)})[ -]({"|".join(_FRACTIONS)})s?\b   # two thirds
  | \b(?:a[ -])?(half|quarter)\b                                    # a half, half
    """,
    re.VERBOSE,
)
_YEAR_IN_WORDS = re.compile(
    rf"""\b
    ({_TEENS}|twenty) [ -]                    # nineteen: "twenty" and "one" make another number
    ((?:{_TENS})(?:[ -](?:{_ONES}))?|{_TEENS})  # eighty-four
    \b""",
    re.VERBOSE,
)
_AND_IN_NUMBER = re.compile(
    r"""
    \b(hundred|thousand|million|billion),?\ and\ (?=\w)   # one hundred and thirty
  | \b(thousand|million|billion),\ (?=\w)                 # one thousand, one hundred
    """,
    re.VERBOSE,
)
_INDIAN_GROUPS = re.compile(r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?![\d.,]?\d)")  # 14,00,000
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d+|\d{1,3}(?:\.\d{3})+),(\d{1,2})(?![\d.,]?\d)")  # 1,5 and 1.234,5
_SLASH = re.compile(r"(?<=\d) / (?=\d)")  # 1 / 2
_MIXED = re.compile(r"(?<![\d./])(?:(\d+)(?: | and |-))?([1-9])/(2|4|5|8|10)(?![\d/])")  # 2 1/2
_DOZEN = re.compile(r"\b(?:(1/2|0\.5) (?:an? )?|(\d{1,15}) |an? )?dozen\b")  # half a dozen, two dozen
_COUNTER = re.compile(r"(?<=\d)\s?(?:年代|(?:年|月|日|個|个|名|歳|岁|년|개|명|월|일|세|살|번)(?![\w]))")  # 1984年
_SPACED_GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d.,]?\d)")  # 1 400 000
_POINTED_GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.,]?\d)")  # 1.400.000
_ZERO_DECIMALS = re.compile(r"(?<![\d.])(\d+)\.0+(?![\d.])")  # 29.00
_NUMBER_SIGN = re.compile(r"\bno\.?\s*(?=\d)")  # No. 1, which denies nothing
_MINUS = re.compile(r"(?<!\d )\b(?:minus|negative) (?=\d)")  # minus 39
_MINUS_SIGN = re.compile(r"(?<!\d )(?<![\w).\]%/-])[−–](?=\d)")  # −39
_SCALE = "|".join(sorted(_SCALES, key=len, reverse=True))
_SCALED = re.compile(rf"\b(\d+(?:\.\d+)?)[ -]?({_SCALE})s?(?![^\W\d_])")  # 2.5 million
_YEAR_RANGE = re.compile(r"\b(1\d|20)(\d\d)\s?[-–/]\s?(\d\d)\b(?![-–/]?\d)")  # 1951–52
_RANGE_DASH = re.compile(r"(?<=\d)\s?[–—]\s?(?=\d)")  # 5 – 10
_RANGE_IN_WORDS = re.compile(
    r"""
    \bbetween\ (\S*\d)\ and\ (?=\d)   # between 5 and 10
  | (?:\bfrom\ )?(?<!\S)(\d+)\ to\ (?=\d)  # from 5 to 10
    """,
    re.VERBOSE,
)
_TIME = re.compile(r"(?<![\d:.])([01]?\d|2[0-3]):([0-5]\d)(?![\d:])")  # 10:30
_SHORT_DECADE = re.compile(r"(?<![\d.,])([2-9]0)s\b")  # the 60s
_DEGREE = re.compile(rf"(?:\s?°\s?|\bdegrees? )(?:({'|'.join(_TEMPERATURES)})\b)?")  # 100 °C, 100 degrees Celsius
_WORLD_WAR = re.compile(r"\b(?:ww ?(ii?|1|2)|(1st|2nd|first|second) world war|world war (ii?))\b")  # WWII
_MONTH = rf"({'|'.join(f'{month[:3]}(?:{month[3:]})?' if month != 'may' else month for month in _MONTHS)}|sept)\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th|\.)?"
_DAY_MONTH = re.compile(rf"\b(?:the )?{_DAY}(?: day)?(?: of)? {_MONTH}(?=\W|$)")  # the 4th of July
_MONTH_DAY = re.compile(rf"\b{_MONTH} (?:the )?{_DAY}\b(?!,?\d)")  # July 4th
_ISO_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")  # 1776-07-04
_DATE_YEAR = re.compile(rf"\b({'|'.join(_MONTHS)}) (\d{{1,2}})(?: ?,)?(?: of)?(?: ?,)? (\d{{3,4}})\b")  # july 4, 1776
_MONEY = re.compile(
    r"""
    (?:\b(?:us|c|ca|a|au|nz|hk))? [$£€¥] \s? (\d+(?:\.\d+)?) (?:\s?(m|bn|k)\b)?   # US$ 5, £186k
  | (?<![\w.]) (\d+(?:\.\d+)?) \s? [$£€¥] (?!\s?\d)                              # 5 €
    """,
    re.VERBOSE,
)
_CURRENCY_CODE = re.compile(rf"\b({'|'.join(_CURRENCY_CODES)})\s?(?=\d)|(?<=\d)\s?({'|'.join(_CURRENCY_CODES)})\b")
_POINTED_DATE = re.compile(r"(?<![\d.])(\d{1,2})\. ?(0?[1-9]|1[0-2])\. ?(\d{4})(?![\d.])")  # 04.07.1776
_GERMAN_MONTH = re.compile(rf"\b({'|'.join(_GERMAN_MONTHS)})\b")
_CHINESE_DIGITS = {digit: value for value, digit in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2}
_CHINESE_TENS = {"十": 10, "百": 100, "千": 1000}
_CHINESE_NUMBER = re.compile(rf"\s*([{''.join((*_CHINESE_DIGITS, *_CHINESE_TENS))}]+)[。.]?\s*")
_MEASURE = re.compile(rf"\b(\d+(?:\.\d+)?)\s?({'|'.join(sorted(_UNITS, key=len, reverse=True))})\b\.?(?!['’])")  # 5 km


def take_signs_apart(text: str) -> str:
    """``text`` with ``2½``, ``10⁶`` and ``º`` written so that decomposition does not change what they say."""
    text = _FRACTION_SIGN.sub(" ", text.translate(_DEGREE_SIGNS))
    return _POWER_SIGN.sub(lambda match: f"^{match.group().translate(_SUPERSCRIPTS)}", text)


def unmark(text: str) -> str:
    """``text`` without the marks of Markdown and LaTeX, and with signs that stand for letters or scales written out."""
    if _DIGIT.search(text):
        text = _INDIAN_GROUPS.sub(lambda match: match.group().replace(",", ""), text)
        text = _DECIMAL_COMMA.sub(lambda match: f"{match[1].replace('.', '')}.{match[2]}", text)
        text = _POWER.sub(_power, _FRACTION_COMMAND.sub(r"\1/\2", text))
    if "\\" in text or "{" in text:
        text = _COMMAND.sub(" ", text.replace("{,}", ","))
    if "_" in text or "^" in text:
        text = _UNDERSCORES.sub(" ", _SUBSCRIPT.sub("", text))
    if "!" in text or "$" in text:
        text = _LETTER_SIGN.sub(lambda match: _LETTER_SIGNS[match.group()], text)
    if _DIGIT.search(text):
        text = _DECADE_APOSTROPHE.sub("", text)
        text = _SHORT_SCALE.sub(lambda match: f" {_SHORT_SCALES[match[1]]}", text)
        text = _TEMPERATURE.sub(r" °\1", text)
    return text


def one_spelling(text: str) -> str:
    """A folded text with numbers in digits, dates as month, day, year, and units in full."""
    text = text.replace("&", " and ").replace("%", " percent ").replace("per cent", "percent")
    text = text.replace("rather than", "instead of")
    if _DIGIT.search(text):  # before numbers in words: the "no" of "no one" denies
        text = _NUMBER_SIGN.sub("number ", text)
    if _NUMBER_WORD.search(text):
        text = _numbers_in_digits(text)
    if not text.isascii() and (number := _CHINESE_NUMBER.fullmatch(text)):
        text = _chinese_number(number[1])
    if "dozen" in text:
        text = _DOZEN.sub(_dozen, text)
    if "world war" in text or "ww" in text:
        text = _WORLD_WAR.sub(lambda match: f"world war {_WARS[match[1] or match[2] or match[3]]}", text)
    if _DIGIT.search(text):
        text = _with_units_in_full(_with_plain_numbers(text))
    return text


def _numbers_in_digits(text: str) -> str:
    text = _DECADE_IN_WORDS.sub(lambda match: _DECADES[match[1]], text)
    text = _FRACTION_IN_WORDS.sub(_fraction, text)
    text = _SCALED.sub(_scaled, text)
    text = _YEAR_IN_WORDS.sub(lambda match: "".join(alpha2digit(part, "en", 0) for part in match.groups()), text)
    in_digits: str = alpha2digit(_AND_IN_NUMBER.sub(lambda match: f"{match[1] or match[2]} ", text), "en", 0)
    return in_digits


def _with_plain_numbers(text: str) -> str:
    text = _SPACED_GROUPS.sub(lambda match: match.group().replace(" ", ""), text)
    text = _POINTED_GROUPS.sub(lambda match: match.group().replace(".", ""), text)
    text = _ZERO_DECIMALS.sub(r"\1", text)
    text = _MIXED.sub(_mixed, _SLASH.sub("/", text))
    text = _MINUS_SIGN.sub("-", _MINUS.sub("-", text))
    text = _COUNTER.sub(lambda match: "s" if "代" in match.group() else "", _SCALED.sub(_scaled, text))
    text = _YEAR_RANGE.sub(_year_range, text)
    text = _RANGE_IN_WORDS.sub(lambda match: f"{match[1] or match[2]}-", _RANGE_DASH.sub("-", text))
    return _SHORT_DECADE.sub(r"19\1s", _TIME.sub(r"\1.\2", text))


def _with_units_in_full(text: str) -> str:
    text = _GERMAN_MONTH.sub(lambda match: _GERMAN_MONTHS[match[1]], text)
    text = _POINTED_DATE.sub(lambda match: f"{_month(match[2])} {int(match[1])} {match[3]}", text)
    text = _ISO_DATE.sub(lambda match: f"{_month(match[2])} {int(match[3])} {match[1]}", text)
    text = _DAY_MONTH.sub(lambda match: f"{_month(match[2])} {int(match[1])}", text)
    text = _MONTH_DAY.sub(lambda match: f"{_month(match[1])} {int(match[2])}", text)
    text = _DATE_YEAR.sub(r"\1 \2 \3", text)
    text = _DEGREE.sub(lambda match: f" degree {_TEMPERATURES.get(match[1], '')} ", text)
    text = _MONEY.sub(_money, _CURRENCY_CODE.sub(lambda match: _CURRENCY_CODES[match[1] or match[2]], text))
    return _MEASURE.sub(lambda match: f"{_amount(match[1])} {_UNITS[match[2]]}", text)


def _amount(number: str) -> str:
    """``2.50`` as ``2.5``; of other numbers the zero may say something (version 3.10, 10.30 o'clock)."""
    return number.rstrip("0").rstrip(".") if "." in number else number


def _power(match: re.Match[str]) -> str:
    value = float(match[1]) * 10 ** int(match[2] or match[3])
    return f"{value:.0f}" if value < 10**15 else match.group()


def _dozen(match: re.Match[str]) -> str:
    return "6" if match[1] else str(12 * int(match[2] or 1))


def _mixed(match: re.Match[str]) -> str:
    """``2 1/2`` as ``2.5``; ``6/8`` of a time signature is not reduced."""
    part, of = int(match[2]), int(match[3])
    if part >= of or math.gcd(part, of) > 1:
        return match.group()
    return _without_zeros(match[1] or "") + f"{part / of:g}".removeprefix("0")  # of any number of digits


def _without_zeros(digits: str) -> str:
    return digits.lstrip("0") or "0"


def _chinese_number(digits: str) -> str:
    """The value of a numeral below 10,000, or of digits one by one (``一九八四``)."""
    if not set(digits) & set(_CHINESE_TENS):
        return _without_zeros("".join(str(_CHINESE_DIGITS[digit]) for digit in digits))
    total = digit_before = 0
    for digit in digits:
        if digit in _CHINESE_TENS:
            total += (digit_before or 1) * _CHINESE_TENS[digit]
            digit_before = 0
        else:
            digit_before = _CHINESE_DIGITS[digit]
    return str(total + digit_before)


def _fraction(match: re.Match[str]) -> str:
    return f"{_ONES_IN_WORDS.get(match[1], 1)}/{_FRACTIONS[match[2] or match[3]]}"


def _scaled(match: re.Match[str]) -> str:
    return f"{float(match[1]) * _SCALES[match[2]]:.0f}"


def _year_range(match: re.Match[str]) -> str:
    """``1951-52`` with both years in full; what does not rise is no range of years."""
    return f"{match[1]}{match[2]}-{match[1]}{match[3]}" if match[3] > match[2] else match.group()


def _month(name: str) -> str:
    if name.isdigit():
        return _MONTHS[int(name) - 1] if 1 <= int(name) <= 12 else name
    return next(month for month in _MONTHS if month.startswith(name[:3]))


def _money(match: re.Match[str]) -> str:
    sign = next(letter for letter in match.group() if letter in _CURRENCIES)
    amount = match[1] or match[3]
    if match[2]:
        amount = f"{float(amount) * _MONEY_SCALES[match[2]]:.0f}"
    return f"{_amount(amount)} {_CURRENCIES[sign]} "
