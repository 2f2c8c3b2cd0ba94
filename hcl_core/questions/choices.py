"""Multiple choice: the text of the right choice, however a set stores the choices and names the right one."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hcl_core.questions.cells import is_empty, literal, names_of
from hcl_core.questions.columns import LayoutError, column_name
from hcl_core.questions.report import Reason
from hcl_core.questions.rows import RowError

# Columns with all choices, and columns that say which is right; the first that a row has counts.
LISTS = ("choices", "options", "mc1_targets", "endings", "candidates")
KEYS = ("answerkey", "answer_index", "answer_idx", "correct_index", "correct_idx", "answer_letter", "correct_option",
        "correct_answer", "correct_choice", "right_answer", "cop", "gold", "label", "answer", "correct", "target",
        "solution")  # fmt: skip
# One choice a column: a, A, opa, option_a, option1, choice 2, answer_b, answer0.
_SINGLE = re.compile(r"(?:(?:option|choice|answer)_?([a-j]|\d)|op([a-j])|([a-j]))")
_LETTER = re.compile(r"\(?([A-Za-z])[).:]?")
_PREFIX = re.compile(r"\s*\(?([A-Za-z])[).:]\s*(?=\S)")


@dataclass(frozen=True, slots=True)
class _Choices:
    """The choices of a question.

    Attributes:
        texts: In order.
        labels: One each, in capitals: letters, or the set's own.
        are_named: Whether the set names the labels, so that a number is a label and no index.
        are_columns: Whether each has a column of its own.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    are_named: bool = False
    are_columns: bool = False


def single_columns(columns: Iterable[str]) -> dict[str, str]:
    """Columns with one choice each and the label in their names, ``{"option_a": "A"}``; none if there is one alone."""
    found = {name: match for name in columns if (match := _SINGLE.fullmatch(name))}
    labels = {name: next(filter(None, match.groups())).upper() for name, match in found.items()}
    return labels if len(labels) > 1 else {}


def is_single(column: str) -> bool:
    """Whether a column can have one of several choices."""
    return _SINGLE.fullmatch(column) is not None


def has_choices(columns: Iterable[str]) -> bool:
    """Whether there are choices and a column that says which is right."""
    names = set(columns)
    singles = single_columns(names)
    return "mc1_targets" in names or (bool(names & set(LISTS) or singles) and _key(names, singles) is not None)


def _key(columns: Iterable[str], singles: Iterable[str]) -> str | None:
    """The column that says which choice is right. Beside ``answer1`` and ``answer2``, ``answer`` is one more answer."""
    names = set(columns) - set(singles)
    if any(name.startswith("answer") for name in singles) and not names & set(LISTS):
        names.discard("answer")
    return next((key for key in KEYS if key in names), None)


def right_choice(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the right choice.

    An index counts from 0, as in MMLU.

    Raises:
        RowError: The choices or the key cannot be read, or the key is none of them.
        LayoutError: An index is the number of choices, so that indices seem to count from 1.
    """
    singles = single_columns(row)
    name = next((name for name in LISTS if name in row), None)
    value = literal(row[name]) if name else None
    if name == "mc1_targets" or (isinstance(value, Mapping) and "labels" in value):
        return _marked(value)
    choices = _of_list(value) if name else _of_columns(row, singles)
    if (key_name := _key(row, singles)) is None:
        raise RowError(Reason.COLUMNS, "no column says which choice is right")
    return (_find(choices, row[key_name], key_name),)


def _of_list(value: Any) -> _Choices:
    """Choices in one column: texts, records of label and text, lists of labels and texts, or texts by label."""
    if isinstance(value, Mapping):
        record = {column_name(str(name)): each for name, each in value.items()}
        texts, labels = record.get("text"), record.get("label")
        if texts is None or labels is None:  # {"A": "Sun", "B": "Mars"}
            texts, labels = list(value.values()), list(value)
        return _Choices(tuple(map(_text, texts)), tuple(str(label).upper() for label in labels), are_named=True)
    if isinstance(value, str):
        separator = next((each for each in ("\n", "|", ";") if each in value), None)
        value = value.split(separator) if separator else value
    if not isinstance(value, list) or len(value) < 2:
        raise RowError(Reason.VALUE, f"a list of choices was wanted; got {str(value)[:60]!r}")
    if all(isinstance(each, Mapping) for each in value):
        records = [{column_name(str(name)): each for name, each in record.items()} for record in value]
        if not all({"label", "text"} <= record.keys() for record in records):
            raise RowError(Reason.VALUE, "choices with label and text were wanted")
        labels = tuple(str(record["label"]).upper() for record in records)
        return _Choices(tuple(_text(record["text"]) for record in records), labels, are_named=True)
    texts = tuple(map(_text, value))
    letters = tuple(chr(ord("A") + place) for place in range(len(texts)))
    prefixes = tuple(match.group(1).upper() if (match := _PREFIX.match(text)) else "" for text in texts)
    if prefixes == letters:  # ["A) Sun", "B) Mars"]
        texts = tuple(_PREFIX.sub("", text, count=1) for text in texts)
    return _Choices(texts, letters)


def _of_columns(row: Mapping[str, Any], singles: Mapping[str, str]) -> _Choices:
    filled = [(label, _text(row[name])) for name, label in singles.items() if not is_empty(row[name])]
    labels = tuple(label for label, _ in filled)
    return _Choices(tuple(text for _, text in filled), labels, all(map(str.isdigit, labels)), are_columns=True)


def _find(choices: _Choices, key: Any, key_name: str) -> str:
    """The text of the choice that ``key`` names: a label, an index, or the text itself."""
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    text = str(key).strip()
    if is_empty(key):
        raise RowError(Reason.ANSWER, f"{key_name} does not say which choice is right")
    if choices.are_named and text.upper() in choices.labels:
        return choices.texts[choices.labels.index(text.upper())]
    if text.isascii() and text.isdigit():
        if choices.are_columns and key_name != "cop":  # MedMCQA's cop counts from 0
            raise LayoutError(
                f"{key_name} {text} with choices in columns could count from 0 or from 1; from 0, "
                f"{_at(choices, int(text), key_name)[:40]!r} would be read: write letters, or the answer's text"
            )
        return _at(choices, int(text), key_name)
    letter = _LETTER.fullmatch(text)
    if letter is not None and letter.group(1).upper() in choices.labels:
        return choices.texts[choices.labels.index(letter.group(1).upper())]
    prefix = _PREFIX.match(text)
    for spelled in (text, text[prefix.end() :] if prefix else text):
        for choice in choices.texts:
            if choice.casefold() == spelled.casefold():
                return choice
    raise RowError(Reason.CHOICE, f"{key_name} {text[:40]!r} is none of the {len(choices.texts)} choices")


def _at(choices: _Choices, index: int, key_name: str) -> str:
    same = [text for text in choices.texts if text == str(index)]
    if index < len(choices.texts):
        return choices.texts[index]
    if same:
        return same[0]
    if index == len(choices.texts):
        raise LayoutError(
            f"{key_name} {index} of {index} choices: indices seem to count from 1, and would be read from 0, as in "
            "MMLU: write letters, or the answer's text"
        )
    raise RowError(Reason.CHOICE, f"{key_name} {index} is none of the {len(choices.texts)} choices")


def _marked(value: Any) -> tuple[str, ...]:
    """The choices marked 1, as in TruthfulQA's ``mc1_targets``: ``{"choices": [...], "labels": [1, 0, ...]}``."""
    value = literal(value)
    if not isinstance(value, Mapping):
        raise RowError(Reason.VALUE, "a record of choices and labels was wanted")
    if "labels" not in value:  # the original file: {"text": 1, "other text": 0}
        return tuple(str(text) for text, mark in value.items() if mark == 1)
    pairs = zip(value.get("choices", ()), value["labels"], strict=False)
    return tuple(_text(text) for text, mark in pairs if mark == 1)


def _text(value: Any) -> str:
    """A choice; ``None`` can be one, so nothing but an empty text is refused."""
    names = (value.strip(),) if isinstance(value, str) else names_of(value)
    if not names or not names[0]:
        raise RowError(Reason.VALUE, "a choice is empty")
    return names[0]
