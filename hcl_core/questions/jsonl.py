"""Questions from a JSON-lines file: one object a line, ``question`` and ``answers``, optional id, topic, difficulty."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hcl_core.errors import QuestionFileError, SettingsError
from hcl_core.records import Question
from hcl_core.strict_json import read_record

STARTER_FILE = Path(__file__).with_name("starter.jsonl")

_MAX_LINE_BYTES = 2**20
_MAX_PROBLEM = 300  # characters of a message, which may quote a long value


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the file."""

    question: str
    answers: tuple[str | tuple[str, ...], ...]
    id: str | None = None
    topic: str | None = None
    difficulty: str | None = None


class JsonlQuestions:
    """A user's question file, or the starter set.

    Args:
        path: The file.
        name: Name of the set, stored with the run; the file's name by default.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._path = path
        self.name = name or path.name

    def load(self, limit: int | None = None) -> list[Question]:
        """The first ``limit`` questions, or all; lines after the limit are not read.

        Raises:
            QuestionFileError: The file or a line cannot be read; the message names both.
        """
        questions: dict[str, Question] = {}
        lines: dict[str, int] = {}
        try:
            with self._path.open("rb") as opened:
                number = 0
                while line := opened.readline(_MAX_LINE_BYTES + 1):
                    number += 1
                    if limit is not None and len(questions) >= limit:
                        break
                    if len(line) > _MAX_LINE_BYTES:
                        raise self._error(number, f"the line is longer than {_MAX_LINE_BYTES} bytes")
                    if number == 1:
                        line = line.removeprefix(b"\xef\xbb\xbf")
                    if not line.strip():
                        continue
                    question = self._parse(line, number)
                    if question.id in questions:
                        raise self._error(number, f"id {question.id!r} stands on line {lines[question.id]} already")
                    questions[question.id], lines[question.id] = question, number
        except OSError as error:
            raise QuestionFileError(f"cannot read the question file {self._path}: {error.strerror}") from None
        if not questions:
            raise QuestionFileError(f"{self._path}: no question in it; one JSON object a line was wanted")
        return list(questions.values())

    def _parse(self, line: bytes, number: int) -> Question:
        try:
            row = read_record(_Row, line.decode("utf-8"))
            return make_question(row.question, row.answers, row.id, row.topic, row.difficulty)
        except UnicodeDecodeError as error:
            raise self._error(number, f"not UTF-8 at byte {error.start}") from None
        except (ValueError, SettingsError) as error:
            raise self._error(number, str(error)) from None

    def _error(self, number: int, problem: str) -> QuestionFileError:
        return QuestionFileError(f"{self._path}, line {number}: {problem[:_MAX_PROBLEM]}")


def read_idea(text: str) -> str | tuple[str, ...]:
    """An accepted idea as a person types it: names are separated by ``|``, as in ``United States | USA``."""
    names = tuple(name.strip() for name in text.split("|") if name.strip())
    return names if len(names) > 1 else next(iter(names), text.strip())


def write_idea(names: Sequence[str]) -> str:
    """The text that ``read_idea`` reads back to ``names``, on one line."""
    return " | ".join(" ".join(name.split()) for name in names)


def make_question(
    text: str,
    answers: Iterable[str | tuple[str, ...]],
    question_id: str | None = None,
    topic: str | None = None,
    difficulty: str | None = None,
) -> Question:
    """A question; without an id, it gets one made from its text, so that the same question has the same id.

    Args:
        text: The question.
        answers: The accepted ideas, see ``Question.answers``; what is repeated counts once.
        question_id: Unique within its set.
        topic: Optional group.
        difficulty: Optional grade.

    Raises:
        SettingsError: A text is empty, or a name stands in two ideas.
    """
    one_line = " ".join(text.split()).encode("utf-8", "backslashreplace")
    derived = "q-" + hashlib.blake2b(one_line, digest_size=8).hexdigest()
    ideas = (idea if isinstance(idea, str) else tuple(dict.fromkeys(idea)) for idea in answers)
    return Question(question_id or derived, text, tuple(dict.fromkeys(ideas)), topic, difficulty)


def starter_questions() -> JsonlQuestions:
    """The set that ships with the program, written for it."""
    return JsonlQuestions(STARTER_FILE, "starter")
