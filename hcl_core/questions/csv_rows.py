"""Text with separated cells to rows, as Excel, LibreOffice, Google Sheets and pandas write it."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from hcl_core.questions.report import Reason
from hcl_core.questions.rows import LineError, Row, RowError

_SEPARATORS = (",", ";", "\t", "|")
# Excel reads and writes the separator in a line before the header.
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(.)"?[ ,;\t]*(?:\r\n|\n|\r|\Z)', re.IGNORECASE)
# Records that are searched for the header: some people write a title above it.
_MAX_ABOVE_HEADER = 5
_WRONG_QUOTE = "a quote inside a cell must be written twice, and a cell must end at its last quote"

# Whether columns of these names have a known layout.
IsKnown = Callable[[Iterable[str]], bool]
# A record: the line on which it begins, and its cells; ``None`` where its quotes are wrong.
_Record = tuple[int, list[str] | None]


def csv_rows(text: str, is_known: IsKnown, headerless: Callable[[list[str]], list[str] | None]) -> Iterator[Row]:
    """The rows of ``text``; the separator is the one with which the header has a known layout.

    Args:
        text: Of the file.
        is_known: See ``IsKnown``.
        headerless: The columns of a published file without a header, by the cells of its first record.

    Raises:
        LineError: A quote is opened and never closed.
    """
    csv.field_size_limit(2**31 - 1)
    named = _SEPARATOR_LINE.match(text)
    separators = (named.group(1),) if named else _SEPARATORS
    first_line = 2 if named else 1
    text = text[named.end() :] if named else text
    problem = None
    for separator in separators:
        try:
            above = list(islice(_filled(_records(text, separator, first_line)), _MAX_ABOVE_HEADER))
        except LineError as error:  # with another separator, the quotes may be right
            problem = problem or error
            continue
        for number, cells in above:
            if cells is not None and is_known(_unlike(cells)):
                return _rows(text, separator, first_line, _unlike(cells), number)
        if above and above[0][1] is not None and (columns := headerless(above[0][1])) is not None:
            return _rows(text, separator, first_line, columns, above[0][0] - 1)
    if problem is not None:
        raise problem
    # The header is unknown: one row without values says which columns there are.
    separator = max(separators, key=text.partition("\n")[0].count)
    header = next(_filled(_records(text, separator, first_line)), None)
    if header is None:
        return iter(())
    if header[1] is None:
        return iter([Row(header[0], RowError(Reason.CELLS, _WRONG_QUOTE))])
    return iter([Row(header[0], dict.fromkeys(_unlike(header[1]), ""))])


def _rows(text: str, separator: str, first_line: int, columns: list[str], header_line: int) -> Iterator[Row]:
    for number, cells in _filled(_records(text, separator, first_line)):
        if number <= header_line:
            continue
        if cells is None:
            yield Row(number, RowError(Reason.CELLS, _WRONG_QUOTE))
        elif any(cell.strip() for cell in cells[len(columns) :]):
            problem = "more cells than the header; quote a cell that has a comma"
            yield Row(number, RowError(Reason.CELLS, problem))
        else:
            filled = cells + [""] * (len(columns) - len(cells))
            yield Row(number, dict(zip(columns, filled, strict=False)))


def _records(text: str, separator: str, first_line: int) -> Iterator[_Record]:
    """The records of ``text``, each with the line on which it begins."""
    # Files with tabs are often written without quoting, so a quote in them may be a letter.
    lines = io.StringIO(text, newline="")
    if separator == "\t" and not _is_quoted_well(text, separator):
        reader = csv.reader(lines, delimiter=separator, strict=True, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    while True:
        number = reader.line_num + first_line
        try:
            yield number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise LineError(number, "a quote is opened here and never closed") from None
            yield number, None


def _is_quoted_well(text: str, separator: str) -> bool:
    try:
        for _ in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True):
            pass
    except csv.Error:
        return False
    return True


def _filled(records: Iterable[_Record]) -> Iterator[_Record]:
    """The records without those whose cells are all empty, which a spreadsheet writes for rows once used."""
    return (record for record in records if record[1] is None or any(cell.strip() for cell in record[1]))


def _unlike(names: list[str]) -> list[str]:
    """Column names, each once: a repeated one gets a number, as pandas writes it."""
    counts: dict[str, int] = {}
    unlike = []
    for name in (name.strip() for name in names):
        counts[name] = counts.get(name, -1) + 1
        unlike.append(f"{name}.{counts[name]}" if counts[name] and name else name)
    return unlike
