"""The Arrow tables of a run folder: their schemas, their checks, writing and reading."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hcl_core.atomic import atomic_file
from hcl_core.records import FinishReason, Sample

_STAMP = b"made_by"
# Rounding can bring the logarithm of a probability of 1 a little above 0.
MAX_LOGPROB = 1e-3
_FINISH_REASONS = set(get_args(FinishReason))
# Rows of a part read at a time: about 20 MB of short answers.
_BATCH_ROWS = 2**16


KEY_FIELDS = [
    ("question_id", pa.dictionary(pa.int32(), pa.string())),
    ("exit_layer", pa.int16()),
    ("sample_idx", pa.int32()),
]


# Columns of the key.
KEY = [name for name, _ in KEY_FIELDS]


SAMPLE_SCHEMA = pa.schema(
    [
        *KEY_FIELDS,
        ("answer", pa.string()),
        ("completion_text", pa.string()),
        ("completion_token_ids", pa.list_(pa.int32())),
        ("token_logprobs", pa.list_(pa.float32())),
        ("finish_reason", pa.dictionary(pa.int8(), pa.string())),
    ]
)


VERDICT_SCHEMA = pa.schema(
    [
        *KEY_FIELDS,
        ("outcome", pa.dictionary(pa.int8(), pa.string())),
        ("reason", pa.dictionary(pa.int32(), pa.string())),
        ("matched", pa.dictionary(pa.int32(), pa.string())),
    ]
)


TOKEN_SCHEMA = pa.schema([("token_id", pa.int32()), ("text", pa.string())])


CLUSTER_SCHEMA = pa.schema([*KEY_FIELDS, ("cluster_id", pa.int32())])


PLAUSIBILITY_SCHEMA = pa.schema([*KEY_FIELDS, ("mean_logprob", pa.float32())])


def check_samples(table: pa.Table) -> None:
    """Check rows with ``SAMPLE_SCHEMA``, before they are written and when they are read.

    Raises:
        ValueError: A value is missing or no log-probability, a sample has no tokens or not one probability for each,
            or ends for an unknown reason.
    """
    for name in table.column_names:
        if table.column(name).null_count:
            raise ValueError(f"column {name} has a missing value")
    token_ids, logprobs = (table.column(name).combine_chunks() for name in ("completion_token_ids", "token_logprobs"))
    num_tokens = np.diff(logprobs.offsets.to_numpy())
    values = logprobs.flatten()
    numbers = values.to_numpy(zero_copy_only=False)
    if values.null_count or not np.isfinite(numbers).all() or (numbers > MAX_LOGPROB).any():
        raise ValueError("token_logprobs has a value that is no log-probability")
    if not num_tokens.all():
        raise ValueError("token_logprobs has a sample without tokens")
    if (np.diff(token_ids.offsets.to_numpy()) != num_tokens).any():
        raise ValueError("a sample has more or fewer tokens than probabilities")
    if token_ids.flatten().null_count:
        raise ValueError("a sample has a token without an id")
    if unknown := set(pc.unique(table.column("finish_reason").cast(pa.string())).to_pylist()) - _FINISH_REASONS:
        raise ValueError(f"a sample has an unknown finish_reason {str(unknown.pop())[:40]!r}")


def has_repeats(table: pa.Table) -> bool:
    """Whether two rows of ``table`` have the same key."""
    keys = table.select(KEY).unify_dictionaries().combine_chunks()
    codes = keys.set_column(
        0, "question_id", pa.chunked_array([c.indices for c in keys["question_id"].chunks], pa.int32())
    )
    return len(codes.group_by(KEY).aggregate([])) != len(table)


def table_of(samples: Sequence[Sample]) -> pa.Table:
    """``samples`` as rows with ``SAMPLE_SCHEMA``."""
    columns = [[getattr(sample, field.name) for sample in samples] for field in SAMPLE_SCHEMA]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SAMPLE_SCHEMA, strict=True)]
    return pa.table(arrays, schema=SAMPLE_SCHEMA)


def samples_of(table: pa.Table) -> list[Sample]:
    """The rows of a table with ``SAMPLE_SCHEMA`` as records."""
    columns = {name: table.column(name).to_pylist() for name in SAMPLE_SCHEMA.names}
    for name in ("completion_token_ids", "token_logprobs"):
        columns[name] = list(map(tuple, columns[name]))
    # By column and by position, three times as fast as a dictionary a row; a test holds that the fields are in order.
    return list(map(Sample, *columns.values()))


def mean_logprobs(table: pa.Table) -> NDArray[np.float64]:
    """Mean of each row's ``token_logprobs``, ``[n]`` float64."""
    chunks = table.column("token_logprobs").combine_chunks()
    offsets = chunks.offsets.to_numpy()
    values = chunks.values.to_numpy(zero_copy_only=False).astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: NDArray[np.float64] = (sums[offsets[1:]] - sums[offsets[:-1]]) / np.maximum(np.diff(offsets), 1)
    return means


def write_tables(path: Path, tables: Iterable[pa.Table], schema: pa.Schema, stamp: str) -> None:
    """Write ``tables`` of one schema into one file atomically; one of them is in memory at a time.

    Args:
        path: The file; replaced if it exists.
        tables: The rows, in order.
        schema: Schema of each table.
        stamp: Stored in the file's metadata.
    """
    with (
        atomic_file(path) as temporary,
        pq.ParquetWriter(temporary, schema.with_metadata({_STAMP: stamp.encode()}), compression="zstd") as writer,
    ):
        for table in tables:
            writer.write_table(table)


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
    return pq.read_table(path, schema=schema, filters=filters, page_checksum_verification=True)


def read_batches(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """``read_table`` in pieces of bounded size, in the order of the rows."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        if missing := set(schema.names) - set(file.schema_arrow.names):
            raise KeyError(f"{path.name} lacks {sorted(missing)[0]}")
        for batch in file.iter_batches(_BATCH_ROWS, columns=schema.names):
            yield pa.Table.from_batches([batch]).select(schema.names).cast(schema)
