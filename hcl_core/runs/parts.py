"""The samples of a run on disk: numbered parts, each written once and never changed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from hcl_core.records import Sample
from hcl_core.runs.tables import SAMPLE_SCHEMA, check_samples, read_batches, read_table, write_table

_PARTS = "part-" + "[0-9]" * 5 + ".parquet"


class SampleParts:
    """The parts in the folder ``samples`` of a run.

    Args:
        path: That folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def files(self) -> list[Path]:
        """The parts, in the order in which they were written."""
        return sorted(self.path.glob(_PARTS))

    def append(self, samples: Sequence[Sample]) -> None:
        """Write ``samples`` as a new part; a crash leaves the whole part or none."""
        number = 1 + max((int(part.stem.removeprefix("part-")) for part in self.files()), default=-1)
        columns: dict[str, list[Any]] = {
            "completion_text": [sample.completion_text for sample in samples],
            "answer": [sample.answer for sample in samples],
            "completion_token_ids": [sample.completion_token_ids for sample in samples],
            "token_logprobs": [sample.token_logprobs for sample in samples],
            "finish_reason": [sample.finish_reason for sample in samples],
        }
        write_table(self.path / f"part-{number:05d}.parquet", [s.key for s in samples], columns, SAMPLE_SCHEMA)

    def read(self, columns: list[str] | None = None, question_id: str | None = None) -> pa.Table:
        """All samples, or those of one question, as an Arrow table, in the order of their parts.

        Raises:
            ArrowException, OSError, KeyError, ValueError: A part is damaged.
        """
        names = [name for name in SAMPLE_SCHEMA.names if columns is None or name in columns]
        schema = pa.schema([SAMPLE_SCHEMA.field(name) for name in names])
        tables = (read_table(part, schema, question_id) for part in self.files())
        table = pa.concat_tables([schema.empty_table(), *tables])
        check_samples(table)
        return table

    def read_batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of ``read``, in tables of bounded size; raises the same errors."""
        schema = pa.schema([SAMPLE_SCHEMA.field(name) for name in columns])
        for part in self.files():
            for table in read_batches(part, schema):
                check_samples(table)
                yield table
