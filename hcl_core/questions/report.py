"""What loading a question file did: the layout found, the questions, the rows that were joined or skipped, and why."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Encoding = Literal["UTF-8", "UTF-16", "UTF-32", "Windows-1252"]
# Numbers of rows that a message lists.
MOST_NUMBERS = 5


class Reason(StrEnum):
    """Why a row was skipped; ``assets/words`` has a sentence for each, as ``skipped_<value>``."""

    NOT_JSON = "not_json"
    COLUMNS = "columns"
    CELLS = "cells"
    QUESTION = "question"
    ANSWER = "answer"
    CHOICE = "choice"
    ID = "id"
    VALUE = "value"


class Note(StrEnum):
    """What a person should know of the rows that were read; ``assets/words`` has ``note_<value>``."""

    SPLIT = "split"
    COMMA = "comma"
    CHOICES = "choices"


_REASONS = {
    Reason.NOT_JSON: "not JSON",
    Reason.COLUMNS: "other columns",
    Reason.CELLS: "cells that do not fit the header",
    Reason.QUESTION: "no question",
    Reason.ANSWER: "no answer, and no [] as for an open question",
    Reason.CHOICE: "the right choice is not among the choices",
    Reason.ID: "an id of another question",
    Reason.VALUE: "a value that cannot be read",
}
_NOTES = {
    Note.SPLIT: "several answers in a cell, divided at | or ; or a line's end",
    Note.COMMA: "one answer has commas or slashes; write | between answers to divide it",
    Note.CHOICES: "the model is not shown the choices",
}


@dataclass(frozen=True, slots=True)
class Places:
    """Rows of one kind.

    Attributes:
        count: How many.
        numbers: Of the first ones in the file, at most ``MOST_NUMBERS``.
        example: What was wrong with the first, in English.
    """

    count: int
    numbers: tuple[int, ...]
    example: str = ""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What loading a question set did.

    Attributes:
        source: Name of the set.
        layouts: Names of the layouts found, the most frequent first.
        unit: What row numbers count: the file's lines or its rows.
        num_questions: Questions that came of it.
        num_merged: Rows that were joined with an earlier row of the same question.
        skipped: Rows that were left out, by reason.
        notes: Rows of which something should be known, by kind.
        unread: Columns that the layout does not have.
        encoding: Of the file's text.
    """

    source: str
    layouts: tuple[str, ...]
    unit: Literal["line", "row"]
    num_questions: int
    num_merged: int = 0
    skipped: tuple[tuple[Reason, Places], ...] = ()
    notes: tuple[tuple[Note, Places], ...] = ()
    unread: tuple[str, ...] = ()
    encoding: Encoding = "UTF-8"

    @property
    def num_skipped(self) -> int:
        """Rows that were left out."""
        return sum(places.count for _, places in self.skipped)

    def describe(self) -> str:
        """The report as one English line."""
        parts = [
            f"{self.source}: layout {', '.join(self.layouts)}",
            f"{self.num_questions:,} question{'s' * (self.num_questions != 1)}",
        ]
        if self.encoding != "UTF-8":
            parts.append(f"read as {self.encoding}")
        if self.num_merged:
            parts.append(f"{self.num_merged:,} row{'s' * (self.num_merged != 1)} joined with the same question")
        if self.skipped:
            reasons = ", ".join(f"{_REASONS[reason]} ({self._numbers(places)})" for reason, places in self.skipped)
            parts.append(f"{self.num_skipped:,} skipped: {reasons}")
        parts += [f"{_NOTES[note]} ({self._numbers(places)})" for note, places in self.notes]
        if self.unread:
            parts.append(f"columns not read: {', '.join(self.unread)}")
        return "; ".join(parts)

    def _numbers(self, places: Places) -> str:
        listed = ", ".join(map(str, places.numbers))
        more = f" and {places.count - len(places.numbers):,} more" * (places.count > len(places.numbers))
        return f"{self.unit}{'s' * (places.count > 1)} {listed}{more}"


# Told of each set that was loaded.
OnReport = Callable[[LoadReport], None]
