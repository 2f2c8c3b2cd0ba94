"""Rows of a question file before it is known what they mean, each with its number in the file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hcl_core.questions.report import Encoding, Reason

Unit = Literal["line", "row"]


class RowError(ValueError):
    """A row that cannot be read.

    Attributes:
        reason: Its kind.
    """

    def __init__(self, reason: Reason, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason


class LineError(ValueError):
    """A file that cannot be read from some line on.

    Attributes:
        line: From 1.
    """

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True, slots=True)
class Row:
    """A row.

    Attributes:
        number: Its first line in the file, or its place among the rows; from 1 (see ``RowFile.unit``).
        values: By column, as the file has them; or why there are none.
    """

    number: int
    values: Mapping[str, Any] | RowError


@dataclass(frozen=True, slots=True)
class RowFile:
    """The rows of a file.

    Attributes:
        rows: Read while they are taken.
        unit: What their numbers count.
        encoding: Of the text.
    """

    rows: Iterator[Row]
    unit: Unit
    encoding: Encoding = "UTF-8"
