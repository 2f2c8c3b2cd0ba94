"""Rows to questions: rows of one question are joined, rows that cannot be read are counted or refused."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from hcl_core.errors import QuestionFileError, SettingsError
from hcl_core.questions.columns import LayoutError, named_values, written_name
from hcl_core.questions.layouts import layout_of, read_question, unread_columns
from hcl_core.questions.report import MOST_NUMBERS, Encoding, LoadReport, Note, Places, Reason
from hcl_core.questions.rows import Row, RowError, Unit
from hcl_core.records import Question
from hcl_core.text import one_line

_MAX_PROBLEM = 300  # characters of a message, which may quote a long value
_MAX_UNREAD = 5


class Gatherer:
    """The questions of the rows added so far.

    Two rows ask one question if their texts are the same, whatever their ids: a model is asked the same. An accepted
    idea of a later row joins the idea with which it shares a name, else it is one more.

    Args:
        source: Name or path of the set, for errors.
        unit: What row numbers count.
        is_strict: Whether a row that cannot be read is an error; else it is left out and counted.
        limit: Rows of further questions are passed over.
    """

    def __init__(self, source: str, unit: Unit = "row", is_strict: bool = False, limit: int | None = None) -> None:
        self._source, self._unit, self._is_strict, self._limit = source, unit, is_strict, limit
        self._questions: dict[str, Question] = {}  # by their texts on one line
        self._joined: dict[str, _JoinedIdeas] = {}
        self._number_by_id: dict[str, int] = {}
        self._layouts: Counter[str] = Counter()
        self._num_merged = 0
        self._skipped: OrderedDict[Reason, Places] = OrderedDict()
        self._notes: OrderedDict[Note, Places] = OrderedDict()
        self._unread: dict[str, str] = {}  # as the file has them, by their names

    @property
    def is_full(self) -> bool:
        """Whether there are as many questions as wanted."""
        return self._limit is not None and len(self._questions) >= self._limit

    def add(self, row: Row) -> None:
        """Take a row in.

        Raises:
            QuestionFileError: The columns have several meanings; or the row cannot be read, and ``is_strict``.
        """
        try:
            if isinstance(row.values, RowError):
                raise row.values
            values = named_values(row.values)
            if not any(value not in (None, "", [], {}) for value in values.values()) and values:
                layout_of(values, row.values)  # a header without rows: its columns may be unknown
                return
            layout = layout_of(values, row.values)
            question, note = read_question(values, layout)
            self._keep(question, row.number)
        except LayoutError as error:
            raise self._error(row.number, str(error)) from None
        except RowError as error:
            self._skip(row.number, error.reason, str(error))
        except (KeyError, TypeError, ValueError, AttributeError, SettingsError) as error:
            self._skip(row.number, Reason.VALUE, str(error))
        else:
            self._layouts[layout.name] += 1
            for name in unread_columns(values, layout)[:_MAX_UNREAD]:
                if name not in self._unread:
                    self._unread[name] = written_name(row.values, name)
            if note is not None:
                self._notes[note] = _one_more(self._notes.get(note), row.number)

    def add_all(self, rows: Iterable[Row]) -> None:
        """Take rows in; see ``add``."""
        for row in rows:
            self.add(row)

    def questions(self) -> list[Question]:
        """The questions, in the order of their first rows.

        Raises:
            QuestionFileError: There is none; the message names the first row that could not be read.
        """
        if not self._questions:
            if self._skipped:
                first = min(self._skipped.values(), key=lambda places: places.numbers)
                raise self._error(first.numbers[0], first.example)
            raise QuestionFileError(f"{self._source}: no question in it")
        for text, joined in self._joined.items():
            self._questions[text] = replace(self._questions[text], answers=joined.answers())
        self._joined.clear()
        return list(self._questions.values())

    def report(self, name: str, encoding: Encoding = "UTF-8") -> LoadReport:
        """What was done so far, in a set of that name."""
        layouts = tuple(name for name, _ in self._layouts.most_common())
        return LoadReport(
            name,
            layouts,
            self._unit,
            len(self._questions),
            self._num_merged,
            tuple(self._skipped.items()),
            tuple(self._notes.items()),
            tuple(self._unread.values())[:_MAX_UNREAD],
            encoding,
        )

    def _keep(self, question: Question, number: int) -> None:
        text = one_line(question.text)
        if (first := self._questions.get(text)) is not None:
            self._joined.setdefault(text, _JoinedIdeas(first)).add(question)
            self._num_merged += 1
        elif (before := self._number_by_id.get(question.id)) is not None:
            place = f"on {self._unit} {before}"
            raise RowError(Reason.ID, f"id {question.id!r} is another question's already, {place}")
        elif not self.is_full:
            self._questions[text], self._number_by_id[question.id] = question, number

    def _skip(self, number: int, reason: Reason, problem: str) -> None:
        if self._is_strict:
            raise self._error(number, problem)
        self._skipped[reason] = _one_more(self._skipped.get(reason), number, problem)

    def _error(self, number: int, problem: str) -> QuestionFileError:
        line = one_line(problem)[:_MAX_PROBLEM]
        return QuestionFileError(f"{self._source}, {self._unit} {number}: {line}")


class _JoinedIdeas:
    """The accepted ideas of several rows of one question."""

    def __init__(self, question: Question) -> None:
        self._ideas: list[list[str]] = []
        self._place_by_name: dict[str, int] = {}
        self.add(question)

    def add(self, question: Question) -> None:
        """The ideas of one more row."""
        for names in question.ideas:
            known = (self._place_by_name[name.casefold()] for name in names if name.casefold() in self._place_by_name)
            place = next(known, len(self._ideas))
            if place == len(self._ideas):
                self._ideas.append([])
            for name in names:
                if self._place_by_name.setdefault(name.casefold(), place) == place and name not in self._ideas[place]:
                    self._ideas[place].append(name)

    def answers(self) -> tuple[tuple[str, ...], ...]:
        """As ``Question.answers`` has them."""
        return tuple(map(tuple, self._ideas))


def _one_more(places: Places | None, number: int, example: str = "") -> Places:
    if places is None:
        return Places(1, (number,), example[:_MAX_PROBLEM])
    numbers = places.numbers if len(places.numbers) == MOST_NUMBERS else (*places.numbers, number)
    return replace(places, count=places.count + 1, numbers=numbers)
