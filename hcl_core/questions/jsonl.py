"""Questions from a JSON-lines file: one object a line, ``question`` and ``answers``, optional id, topic, difficulty."""

import hashlib
import json
from pathlib import Path
from typing import Any

from hcl_core.errors import QuestionFileError, SettingsError
from hcl_core.records import Question

STARTER_FILE = Path(__file__).with_name("starter.jsonl")

_MAX_LINE_BYTES = 2**20
_MAX_PROBLEM = 300  # characters; what is wrong may be quoted, not all of it
_REQUIRED, _OPTIONAL = {"question", "answers"}, {"id", "topic", "difficulty"}


class JsonlQuestions:
    """A question file of the user's, or the starter set.

    Args:
        path: The file.
        name: Stored with the run; the file's name by default.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._path = path
        self.name = name or path.name

    def load(self, limit: int | None = None) -> list[Question]:
        """The first ``limit`` questions, or all. The whole file is checked either way up to the limit.

        Raises:
            QuestionFileError: Naming file and line.
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
            entry: Any = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise self._error(number, f"not UTF-8 at byte {error.start}") from None
        except (ValueError, RecursionError) as error:
            raise self._error(number, f"not JSON: {error}") from None
        if not isinstance(entry, dict):
            raise self._error(number, f"an object was wanted; got {type(entry).__name__}")
        if missing := _REQUIRED - entry.keys():
            raise self._error(number, f"{' and '.join(sorted(missing))} missing")
        if unknown := entry.keys() - _REQUIRED - _OPTIONAL:
            raise self._error(number, f"unknown key {sorted(unknown)[0]!r}; known are {sorted(_REQUIRED | _OPTIONAL)}")
        for key in ("question", *_OPTIONAL):
            if not isinstance(entry.get(key), str | None) or (key == "question" and entry[key] is None):
                raise self._error(number, f"{key} must be a text; got {type(entry[key]).__name__}")
        answers = entry["answers"]
        if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
            raise self._error(number, f"answers must be a list of texts; got {str(answers)[:80]}")
        try:
            return make_question(
                entry["question"], answers, entry.get("id"), entry.get("topic"), entry.get("difficulty")
            )
        except SettingsError as error:
            raise self._error(number, str(error)) from None

    def _error(self, number: int, problem: str) -> QuestionFileError:
        return QuestionFileError(f"{self._path}, line {number}: {problem[:_MAX_PROBLEM]}")


def make_question(
    text: str,
    answers: list[str] | tuple[str, ...],
    question_id: str | None = None,
    topic: str | None = None,
    difficulty: str | None = None,
) -> Question:
    """A question; without an id, its text names it, so that the same question is found again.

    Raises:
        SettingsError: A text is empty.
    """
    one_line = " ".join(text.split()).encode("utf-8", "backslashreplace")
    derived = "q-" + hashlib.blake2b(one_line, digest_size=8).hexdigest()
    return Question(question_id or derived, text, tuple(dict.fromkeys(answers)), topic, difficulty)


def starter_questions() -> JsonlQuestions:
    """The set that ships with the program, written for it."""
    return JsonlQuestions(STARTER_FILE, "starter")
