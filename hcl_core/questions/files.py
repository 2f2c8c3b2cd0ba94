"""A local copy of a published question set: jsonl, json, parquet, csv, tsv, or a folder saved by ``datasets``."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hcl_core.errors import QuestionFileError, SettingsError
from hcl_core.questions.jsonl import JsonlQuestions
from hcl_core.questions.schemas import COLUMNS, questions_of
from hcl_core.records import Question

SUFFIXES = (".jsonl", ".json", ".parquet", ".csv", ".tsv")
# A parquet file can unpack to a million times its size, so bytes are counted while rows are read.
_BATCH_ROWS, _MAX_BYTES, _MAX_VALUES = 256, 2 * 2**30, 50_000_000
# Splits with answers; the first one that a set has is the default.
_SPLITS = ("validation", "test", "train")


class LocalQuestions:
    """Questions of a file or a folder.

    Args:
        path: The file, or a folder made by ``save_to_disk``.
        split: Name of a split, for a folder with several.
    """

    def __init__(self, path: Path, split: str | None = None) -> None:
        self._path, self._split = path, split
        self.name = path.name

    def load(self, limit: int | None = None) -> list[Question]:
        """The first ``limit`` questions, or all.

        Raises:
            QuestionFileError: The file is missing or cannot be read; the message names the row.
            SettingsError: There is no such split.
        """
        path = self._path
        if path.is_file() and self._split is not None:
            raise SettingsError(f"{path} is a file and has no splits: leave --split out")
        if path.suffix == ".jsonl" and _is_own(path):
            return JsonlQuestions(path).load(limit)  # its errors name the line
        try:
            questions = list(itertools.islice(questions_of(self._rows(), str(path)), limit))
        except (OSError, ValueError, OverflowError, RecursionError, pa.ArrowException, csv.Error) as error:
            raise QuestionFileError(f"cannot read the question file {path}: {error}") from None
        if not questions:
            raise QuestionFileError(f"{path}: no question in it")
        return questions

    def _rows(self) -> Iterator[dict[str, Any]]:
        path = self._path
        if path.is_dir():
            yield from _saved_rows(path, self._split)
        elif path.suffix == ".parquet":
            file = pq.ParquetFile(path)
            columns = [name for name in file.schema_arrow.names if name in COLUMNS]
            _check_parquet_size(file)
            num_bytes = 0
            for batch in file.iter_batches(columns=columns, batch_size=_BATCH_ROWS):
                num_bytes += sum(_decoded(column).nbytes for column in batch.columns)
                if num_bytes > _MAX_BYTES:
                    raise ValueError(f"it unpacks to more than {_MAX_BYTES // 2**20:,} MiB: cut it")
                yield from batch.to_pylist()
        elif path.suffix in (".csv", ".tsv"):
            csv.field_size_limit(2**31 - 1)
            with path.open(encoding="utf-8-sig", newline="") as opened:
                reader = csv.DictReader(opened, delimiter="\t" if path.suffix == ".tsv" else ",")
                for number, row in enumerate(reader, 1):
                    if None in row:
                        raise ValueError(f"row {number} has more cells than the header; quote a cell that has a comma")
                    yield row
        elif path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            # Some programs write the rows under the key "data".
            rows = content.get("data") if isinstance(content, dict) else content
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ValueError("an array of objects was wanted")
            yield from rows
        else:
            with path.open(encoding="utf-8-sig") as opened:
                for number, line in enumerate(opened, 1):
                    if line.strip():
                        row = json.loads(line)
                        if not isinstance(row, dict):
                            raise ValueError(f"line {number}: an object was wanted; got {type(row).__name__}")
                        yield row


def _decoded(column: pa.Array) -> pa.Array:
    """``column`` without dictionary encoding, which stores a repeated value once."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _check_parquet_size(file: pq.ParquetFile) -> None:
    """Raise ``ValueError`` for a file with more values than a question set has, however few bytes they take."""
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    num_values = sum(group.column(index).num_values for group in groups for index in range(group.num_columns))
    if num_values > _MAX_VALUES:
        raise ValueError(f"it claims {num_values:,} values; at most {_MAX_VALUES:,} are read")


def _saved_rows(path: Path, split: str | None) -> Iterator[dict[str, Any]]:
    """Rows of a folder that ``datasets`` saved."""
    if not any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        raise QuestionFileError(
            f"{path} is no question set: a file ({', '.join(SUFFIXES)}) or a folder saved by datasets was wanted"
        )
    import datasets

    try:
        saved = datasets.load_from_disk(str(path))
        if isinstance(saved, datasets.DatasetDict):
            name = split or next((default for default in _SPLITS if default in saved), next(iter(saved)))
            if name not in saved:
                raise SettingsError(f"{path} has no split {name!r}; it has {', '.join(saved)}")
            saved = saved[name]
        elif split is not None:
            raise SettingsError(f"{path} has no splits: leave --split out")
        rows = saved.select_columns([name for name in saved.column_names if name in COLUMNS]) if len(saved) else []
    except SettingsError:
        raise
    except Exception as error:  # datasets raises errors of many types for a damaged folder
        raise QuestionFileError(f"{path} cannot be read as saved by datasets: {type(error).__name__}") from None
    yield from rows


def _is_own(path: Path) -> bool:
    """Whether the first line that is not blank has our own schema, or cannot be read at all."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as opened:
            first = json.loads(next((line for line in opened if line.strip()), "{}"))
    except (OSError, ValueError, RecursionError):
        return True
    return not isinstance(first, dict) or not {"answer", "possible_answers", "golden_answer"} & first.keys()
