"""Rows of a parquet file, and of a folder that ``datasets`` saved."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hcl_core.errors import QuestionFileError, SettingsError
from hcl_core.questions.layouts import is_read
from hcl_core.questions.rows import Row

# A parquet file can unpack to a million times its size, so bytes are counted while rows are read.
_BATCH_ROWS, _MAX_BYTES, _MAX_VALUES = 256, 2 * 2**30, 50_000_000
# Splits with answers; the first one that a set has is the default.
_SPLITS = ("validation", "test", "train")


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a parquet file.

    Raises:
        ValueError: It is damaged, or unpacks to too much.
        OSError: It cannot be read.
    """
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    columns = [name for name in names if is_read(name)] or names
    _check_size(file)
    num_bytes, number = 0, 0
    for batch in file.iter_batches(columns=columns, batch_size=_BATCH_ROWS):
        num_bytes += sum(_decoded(column).nbytes for column in batch.columns)
        if num_bytes > _MAX_BYTES:
            raise ValueError(f"it unpacks to more than {_MAX_BYTES // 2**20:,} MiB: cut it")
        for values in batch.to_pylist():
            number += 1
            yield Row(number, values)


def _decoded(column: pa.Array) -> pa.Array:
    """``column`` without dictionary encoding, which stores a repeated value once."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _check_size(file: pq.ParquetFile) -> None:
    """Raise ``ValueError`` for a file with more values than a question set has, however few bytes they take."""
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    num_values = sum(group.column(index).num_values for group in groups for index in range(group.num_columns))
    if num_values > _MAX_VALUES:
        raise ValueError(f"it claims {num_values:,} values; at most {_MAX_VALUES:,} are read")


def saved_rows(path: Path, split: str | None) -> Iterator[Row]:
    """The rows of a folder that ``datasets`` saved.

    Raises:
        QuestionFileError: It is none, or damaged.
        SettingsError: There is no such split.
    """
    if not any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        raise QuestionFileError(f"{path} is no question set: a file, or a folder saved by datasets was wanted")
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
        columns = [name for name in saved.column_names if is_read(name)] or saved.column_names
        rows: Any = saved.select_columns(columns) if len(saved) else []
    except SettingsError:
        raise
    except Exception as error:  # datasets raises errors of many types for a damaged folder
        raise QuestionFileError(f"{path} cannot be read as saved by datasets: {type(error).__name__}") from None
    yield from (Row(number, values) for number, values in enumerate(rows, 1))
