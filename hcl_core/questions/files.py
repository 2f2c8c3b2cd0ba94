"""A file of questions: jsonl, json, csv, tsv, parquet, or a folder saved by ``datasets``.

Bytes become text (``text_files``), text becomes rows (``json_rows``, ``csv_rows``; ``tables``), the columns of a row
say its layout (``layouts``), and rows become questions (``gathering``).
"""

from pathlib import Path

import pyarrow as pa

from hcl_core.errors import QuestionFileError, SettingsError, cause_of
from hcl_core.questions.csv_rows import csv_rows
from hcl_core.questions.gathering import Gatherer
from hcl_core.questions.json_rows import json_rows
from hcl_core.questions.layouts import has_layout, headerless
from hcl_core.questions.report import OnReport
from hcl_core.questions.rows import LineError, RowFile
from hcl_core.questions.tables import parquet_rows, saved_rows
from hcl_core.questions.text_files import MAX_TEXT_BYTES, decode
from hcl_core.records import Question
from hcl_core.text import one_line

STARTER_FILE = Path(__file__).with_name("starter.jsonl")
# Endings of the files that are read; of any other ending, the content decides.
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet")
_JSON_SUFFIXES, _SEPARATED_SUFFIXES = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv")


class LocalQuestions:
    """Questions of a file or a folder.

    Args:
        path: The file, or a folder made by ``save_to_disk``.
        split: Name of a split, for a folder with several.
        name: Name of the set, stored with the run; the file's name by default.
        is_strict: Whether a row that cannot be read is an error; else it is left out and counted.
        on_report: Told what loading did.
    """

    def __init__(
        self,
        path: Path,
        split: str | None = None,
        name: str | None = None,
        is_strict: bool = False,
        on_report: OnReport | None = None,
    ) -> None:
        self._path, self._split, self._is_strict, self._on_report = path, split, is_strict, on_report
        self.name = name or path.name

    def load(self, limit: int | None = None) -> list[Question]:
        """The first ``limit`` questions, or all. Every row is read, for a later one may add answers to a question.

        Raises:
            QuestionFileError: The file is missing or cannot be read; the message names the line or row.
            SettingsError: There is no such split.
        """
        if self._path.is_file() and self._split is not None:
            raise SettingsError(f"{self._path} is a file and has no splits: leave --split out")
        try:
            file = _read_rows(self._path, self._split)
            gatherer = Gatherer(str(self._path), file.unit, self._is_strict, limit)
            gatherer.add_all(file.rows)
        except OSError as error:
            raise QuestionFileError(f"cannot read the question file {self._path}: {cause_of(error)}") from None
        except LineError as error:
            raise QuestionFileError(f"{self._path}, line {error.line}: {error}") from None
        except (ValueError, OverflowError, RecursionError, pa.ArrowException) as error:
            problem = one_line(str(error))[:300]
            raise QuestionFileError(f"cannot read the question file {self._path}: {problem}") from None
        questions = gatherer.questions()
        if self._on_report is not None:
            self._on_report(gatherer.report(self.name, file.encoding))
        return questions


def starter_questions() -> LocalQuestions:
    """The set that ships with the program, written for it."""
    return LocalQuestions(STARTER_FILE, name="starter", is_strict=True)


def _read_rows(path: Path, split: str | None) -> RowFile:
    if path.is_dir():
        return RowFile(saved_rows(path, split), "row")
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")
    suffix = path.suffix.lower()
    with path.open("rb") as opened:
        if suffix == ".parquet" or opened.read(4) == b"PAR1":
            return RowFile(parquet_rows(path), "row")
        opened.seek(0)
        content = opened.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise ValueError(f"it has more than {MAX_TEXT_BYTES // 2**20} MiB: cut it, or save it as parquet")
    decoded = decode(content)
    looks_like_json = decoded.text.lstrip()[:1] in ("{", "[")
    if suffix in _JSON_SUFFIXES or (looks_like_json and suffix not in _SEPARATED_SUFFIXES):
        rows, unit = json_rows(decoded.text, has_layout)
        return RowFile(rows, unit, decoded.encoding)
    return RowFile(csv_rows(decoded.text, has_layout, headerless), "line", decoded.encoding)
