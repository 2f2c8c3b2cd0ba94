"""The lines of ``questions.jsonl``: a question of a run and the exact prompt sent for it."""

import io
import json
from dataclasses import asdict, dataclass

from hcl_core.records import Question, StoredQuestion
from hcl_core.strict_json import read_record


@dataclass(frozen=True, slots=True)
class _Row:
    """The keys of a line; the values are those of ``Question`` and ``StoredQuestion``."""

    id: str
    question: str
    answers: tuple[str | tuple[str, ...], ...]
    topic: str | None
    difficulty: str | None
    prompt: str


def format_row(stored: StoredQuestion) -> str:
    """The line that ``parse_rows`` reads back to ``stored``, without its line end."""
    question = stored.question
    row = _Row(question.id, question.text, question.answers, question.topic, question.difficulty, stored.prompt)
    return json.dumps(asdict(row), ensure_ascii=False)


def parse_rows(content: bytes) -> list[StoredQuestion]:
    """Read a whole file, in UTF-8 with or without a byte order mark.

    Raises:
        ValueError: It is not UTF-8, a line is not JSON, or a key is missing, unknown or of another type.
        SettingsError: A question lacks a text or an answer.
    """
    return [_parse_row(line) for line in io.StringIO(content.decode("utf-8-sig"))]


def _parse_row(line: str) -> StoredQuestion:
    row = read_record(_Row, line)
    return StoredQuestion(Question(row.id, row.question, row.answers, row.topic, row.difficulty), row.prompt)
