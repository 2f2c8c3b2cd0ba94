"""The Arrow tables of a run folder: their schemas, their checks, writing and reading."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hcl_core.atomic import atomic_file
from hcl_core.records import SampleKey

_STAMP = b"made_by"


_KEY_FIELDS = [
    ("question_id", pa.dictionary(pa.int32(), pa.string())),
    ("exit_layer", pa.int16()),
    ("sample_idx", pa.int32()),
]


SAMPLE_SCHEMA = pa.schema(
    [
        *_KEY_FIELDS,
        ("answer", pa.string()),
        ("completion_text", pa.string()),
        ("completion_token_ids", pa.list_(pa.int32())),
        ("token_logprobs", pa.list_(pa.float32())),
        ("finish_reason", pa.dictionary(pa.int8(), pa.string())),
    ]
)


VERDICT_SCHEMA = pa.schema(
    [
        *_KEY_FIELDS,
        ("outcome", pa.dictionary(pa.int8(), pa.string())),
        ("reason", pa.dictionary(pa.int32(), pa.string())),
        ("matched", pa.dictionary(pa.int32(), pa.string())),
    ]
)


TOKEN_SCHEMA = pa.schema([("token_id", pa.int32()), ("text", pa.string())])


CLUSTER_SCHEMA = pa.schema([*_KEY_FIELDS, ("cluster_id", pa.int32())])


PLAUSIBILITY_SCHEMA = pa.schema([*_KEY_FIELDS, ("mean_logprob", pa.float32())])


def check_samples(table: pa.Table) -> None:
    """Raise ``ValueError`` for a missing value, a number that is no log-probability, or a sample without tokens."""
    for name in table.column_names:
        if table.column(name).null_count:
            raise ValueError(f"column {name} has a missing value")
    if "token_logprobs" in table.column_names:
        column = table.column("token_logprobs").combine_chunks()
        values = column.flatten()
        numbers = values.to_numpy(zero_copy_only=False)
        if values.null_count or not np.isfinite(numbers).all() or (numbers > 1e-3).any():
            raise ValueError("token_logprobs has a value that is no log-probability")
        if len(column) and (np.diff(column.offsets.to_numpy()) == 0).any():
            raise ValueError("token_logprobs has a sample without tokens")


def mean_logprobs(table: pa.Table) -> NDArray[np.float64]:
    """Mean of each row's ``token_logprobs``, ``[n]`` float64."""
    chunks = table.column("token_logprobs").combine_chunks()
    offsets = chunks.offsets.to_numpy()
    values = chunks.values.to_numpy(zero_copy_only=False).astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: NDArray[np.float64] = (sums[offsets[1:]] - sums[offsets[:-1]]) / np.maximum(np.diff(offsets), 1)
    return means


def write_table(
    path: Path,
    keys: Iterable[SampleKey],
    columns: dict[str, list[Any]],
    schema: pa.Schema,
    stamp: str | None = None,
) -> None:
    """Write a table atomically.

    Args:
        path: The file; replaced if it exists.
        keys: One a row.
        columns: Values of the other columns, by name.
        schema: Schema of the table.
        stamp: Stored in the file's metadata, if any.
    """
    keys = list(keys)
    key_columns = {name: [key[index] for key in keys] for index, (name, _) in enumerate(_KEY_FIELDS)}
    values = key_columns | columns
    table = pa.table([pa.array(values[field.name], field.type) for field in schema], schema=schema)
    with atomic_file(path) as temporary:
        pq.write_table(stamped(table, stamp), temporary, compression="zstd")


def stamped(table: pa.Table, stamp: str | None) -> pa.Table:
    """``table`` with ``stamp`` in its metadata; unchanged if ``stamp`` is ``None``."""
    return table if stamp is None else table.replace_schema_metadata({_STAMP: stamp.encode()})


def write_compact(path: Path, table: pa.Table, question_order: dict[str, int]) -> None:
    """Write ``table`` as a small file.

    Rows stand in the order of their keys, and floats are split into byte streams: both compress better.

    Args:
        path: The file.
        table: Rows with a key.
        question_order: Index of each question by its id.
    """
    questions = [question_order[question_id] for question_id in table.column("question_id").to_pylist()]
    order = np.lexsort((table.column("sample_idx"), table.column("exit_layer"), questions))
    has_floats = "token_logprobs" in table.column_names
    pq.write_table(
        table.take(order).unify_dictionaries(),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in table.column_names if name not in ("token_logprobs", "sample_idx")],
        column_encoding={"token_logprobs.list.element": "BYTE_STREAM_SPLIT"} if has_floats else None,
    )


def read_derived(path: Path, schema: pa.Schema, question_id: str | None = None) -> pa.Table | None:
    """A derived table, or one question's rows of it; ``None`` if the file is missing or damaged."""
    try:
        return read_table(path, schema, question_id)
    except (pa.ArrowException, OSError, KeyError):
        return None


def read_stamp(path: Path) -> str | None:
    """The stamp in a file's metadata; ``None`` if it has none, is missing or damaged."""
    try:
        stamp = (pq.read_schema(path).metadata or {}).get(_STAMP)
    except (pa.ArrowException, OSError):
        return None
    return stamp.decode("utf-8", "replace") if stamp is not None else None


def read_table(path: Path, schema: pa.Schema, question_id: str | None = None) -> pa.Table:
    """The columns of ``schema``, for one question or all; raises ``KeyError`` for a missing column.

    Arrow itself would fill a missing column with nulls.
    """
    if missing := set(schema.names) - set(pq.read_schema(path).names):
        raise KeyError(f"{path.name} lacks {sorted(missing)[0]}")
    filters = None if question_id is None else [("question_id", "==", question_id)]
    return pq.read_table(path, schema=schema, filters=filters)
