"""JSON text to rows: JSON lines, objects over several lines, an array, and objects that programs put around rows."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hcl_core.questions.report import Reason
from hcl_core.questions.rows import LineError, Row, RowError, Unit

# A line is longer only in files that are no question sets.
_MAX_LINE = 4 * 2**20
# Attempts to read an object from a line on that is no JSON by itself; each may read on to the end of the file.
_MAX_ATTEMPTS = 100
_SPACE = re.compile(r"\s*")
_decoder = json.JSONDecoder()

# Whether columns of these names have a known layout.
IsKnown = Callable[[Iterable[str]], bool]


def json_rows(text: str, is_known: IsKnown) -> tuple[Iterator[Row], Unit]:
    """The rows of ``text`` and what their numbers count.

    Raises:
        ValueError: It is one JSON value without rows.
    """
    start = _skip_space(text, 0)
    if text.startswith("[", start):
        return _array_rows(text, start)
    try:
        value, end = _decoder.raw_decode(text, start)
    except (ValueError, RecursionError):
        return _stream_rows(text), "line"
    if not isinstance(value, dict) or _skip_space(text, end) < len(text):
        return _stream_rows(text), "line"
    return _document_rows(text, start, value, is_known)


def _stream_rows(text: str) -> Iterator[Row]:
    """Objects one after the other: one a line, or each over several lines."""
    attempts, start, number = 0, 0, 1
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        line = text[start:end]
        if line.strip():
            value = _read(line)
            may_go_on = line.lstrip().startswith("{") and len(line) <= _MAX_LINE and attempts < _MAX_ATTEMPTS
            if isinstance(value, RowError) and may_go_on:
                try:
                    value, decoded_end = _decoder.raw_decode(text, _skip_space(text, start))
                    end = text.find("\n", decoded_end) + 1 or len(text)
                    if text[decoded_end:end].strip(" \t\r\n,"):
                        value = RowError(Reason.NOT_JSON, "not JSON: two objects on a line")
                except (ValueError, RecursionError):
                    attempts += 1
            yield from _unnested(number, value)
        number += text.count("\n", start, end)
        start = end


def _read(line: str) -> Any:
    if len(line) > _MAX_LINE:
        return RowError(Reason.NOT_JSON, f"the line is longer than {_MAX_LINE:,} letters")
    line = line.rstrip()  # a decoder that fails at the line's end would name the line after it
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        problem = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        return RowError(Reason.NOT_JSON, f"not JSON: {problem}")


def _document_rows(text: str, start: int, value: dict[str, Any], is_known: IsKnown) -> tuple[Iterator[Row], Unit]:
    """The rows inside one object: its columns, a list under some key, an object a row, or itself."""
    if (columns := _columns(value)) is not None and is_known(columns) and not _has_chat(columns):
        names, lists = list(columns), columns.values()
        if len({len(each) for each in lists}) > 1:
            raise ValueError(f"its columns have different lengths: {', '.join(names)}")
        cells = zip(*lists, strict=True)
        return (Row(number, dict(zip(names, row, strict=True))) for number, row in enumerate(cells, 1)), "row"
    if is_known(value) or {"question", "paragraphs", "qas"} & value.keys():
        return _unnested(1 + text.count("\n", 0, start), value), "line"
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):  # pandas, orient="split"
        names = list(map(str, value["columns"]))
        return (
            Row(number, dict(zip(names, row, strict=False)))
            if isinstance(row, list) and len(row) == len(names)
            else Row(number, RowError(Reason.CELLS, "its cells are not as many as the columns"))
            for number, row in enumerate(value["data"], 1)
        ), "row"
    lists_of_rows = [name for name, each in value.items() if _is_rows(each) and name not in ("features", "schema")]
    if len(lists_of_rows) > 1:
        raise ValueError(f"it has several lists of rows: {', '.join(lists_of_rows[:8])}: keep one of them")
    if lists_of_rows:
        return _array_rows(text, _place_of(text, start, lists_of_rows[0]))
    if value and all(isinstance(each, dict) for each in value.values()):  # an object a row, under its id
        return (Row(number, _with_id(name, each)) for number, (name, each) in enumerate(value.items(), 1)), "row"
    raise ValueError(f"an array of objects was wanted; got an object with {', '.join(map(str, value))[:200]}")


def _columns(value: dict[str, Any]) -> dict[str, list[Any]] | None:
    """Columns as lists, or as pandas writes them by default: an object of row numbers each."""
    if not value:
        return None
    if all(isinstance(each, list) for each in value.values()):
        return value
    if all(isinstance(each, dict) and each and all(map(str.isdigit, each)) for each in value.values()):
        return {name: list(each.values()) for name, each in value.items()}
    return None


def _has_chat(columns: dict[str, list[Any]]) -> bool:
    """Whether a list has the messages of a chat, so that it is the value of a single row."""
    return any(isinstance(each, dict) and "role" in each for values in columns.values() for each in values)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _with_id(name: str, row: dict[str, Any]) -> dict[str, Any]:
    return row if name.isdigit() or "id" in row else {"id": name} | row


def _array_rows(text: str, start: int) -> tuple[Iterator[Row], Unit]:
    """The elements of the array at ``start``, numbered by their lines where each begins on a line of its own."""
    starts: list[int] = []
    elements: list[Any] = []
    place = _skip_space(text, start + 1)
    while not text.startswith("]", place):
        try:
            element, end = _decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise LineError(error.lineno, f"not JSON: {error.msg}") from None
        except RecursionError:
            raise ValueError("its JSON is nested too deeply") from None
        elements.append(element)
        starts.append(place)
        place = _skip_space(text, end)
        if text.startswith(",", place):
            place = _skip_space(text, place + 1)
        elif not text.startswith("]", place):
            raise LineError(text.count("\n", 0, place) + 1, "not JSON: a comma or ] was wanted")
    numbers = list(_line_numbers(text, starts))
    unit: Unit = "line" if len(set(numbers)) == len(numbers) and not _is_nested(elements) else "row"
    if unit == "row":
        rows = (inner for element in elements for inner in _unnested(0, element))
        return (Row(number, row.values) for number, row in enumerate(rows, 1)), unit
    pairs = zip(numbers, elements, strict=True)
    return (row for number, element in pairs for row in _unnested(number, element)), unit


def _line_numbers(text: str, starts: list[int]) -> Iterator[int]:
    number, before = 1, 0
    for start in starts:
        number += text.count("\n", before, start)
        before = start
        yield number


def _place_of(text: str, start: int, key: str) -> int:
    """Where the value of ``key`` begins, in the object that begins at ``start``."""
    place = _skip_space(text, start + 1)
    while True:
        name, place = _decoder.raw_decode(text, place)
        place = _skip_space(text, _skip_space(text, place) + 1)  # after the colon
        if name == key:
            return place
        _, place = _decoder.raw_decode(text, place)
        place = _skip_space(text, _skip_space(text, place) + 1)  # after the comma


def _is_nested(elements: list[Any]) -> bool:
    return any(isinstance(each, dict) and {"paragraphs", "qas"} & each.keys() for each in elements)


def _unnested(number: int, value: Any) -> Iterator[Row]:
    """The row or rows of one element: SQuAD has questions below paragraphs, the Hub's viewer a row below ``row``."""
    if isinstance(value, RowError):
        yield Row(number, value)
    elif not isinstance(value, Mapping):
        yield Row(number, RowError(Reason.NOT_JSON, f"an object was wanted; got {type(value).__name__}"))
    elif isinstance(value.get("row"), dict) and "row_idx" in value:
        yield Row(number, value["row"])
    elif _is_rows(inner := value.get("qas", value.get("paragraphs"))) and "question" not in value:
        for each in inner:
            yield from _unnested(number, each)
    else:
        yield Row(number, value)


def _skip_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    assert found is not None
    return found.end()
