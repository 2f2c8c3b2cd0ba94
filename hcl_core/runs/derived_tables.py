"""The files of a run folder that are made from its samples, and can be deleted and made again."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from hcl_core.atomic import atomic_file
from hcl_core.records import LayerScore, of_kind
from hcl_core.runs.tables import (
    CLUSTER_SCHEMA,
    PLAUSIBILITY_SCHEMA,
    VERDICT_SCHEMA,
    read_derived,
    read_stamp,
    stamped,
    write_tables,
)

# Derived tables with a row a sample.
_BY_SAMPLE = {"verdicts": VERDICT_SCHEMA, "clusters": CLUSTER_SCHEMA, "plausibility": PLAUSIBILITY_SCHEMA}


class DerivedTables:
    """Verdicts, clusters, scores, measures and plausibility of a run.

    Attributes:
        path: The run folder.
    """

    path: Path

    def write_by_sample(
        self, name: Literal["verdicts", "clusters", "plausibility"], tables: Iterable[pa.Table], stamp: str
    ) -> None:
        """Replace ``NAME.parquet`` by the rows of ``tables``; ``stamp`` says what made them."""
        write_tables(self.path / f"{name}.parquet", tables, _BY_SAMPLE[name], stamp)

    def write_layer_scores(self, scores: Sequence[LayerScore], is_open: bool) -> None:
        """Replace ``layer_scores.parquet``; ``is_open`` says which kind of questions the scores are of."""
        rows = [of_kind(asdict(score), is_open) for score in scores]
        with atomic_file(self.path / "layer_scores.parquet") as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary)

    def write_measures(self, rows: Sequence[dict[str, Any]], stamp: str) -> None:
        """Replace ``measures.parquet``; ``stamp`` names what made them, and the outcomes that they are of."""
        with atomic_file(self.path / "measures.parquet") as temporary:
            pq.write_table(stamped(pa.Table.from_pylist(list(rows)), stamp), temporary)

    def measures(self, stamp: str) -> list[dict[str, Any]] | None:
        """Rows of ``measures.parquet``; ``None`` if the file is missing or damaged, or has another stamp."""
        path = self.path / "measures.parquet"
        if read_stamp(path) != stamp:
            return None
        try:
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        except (pa.ArrowException, OSError):
            return None
        return rows

    def plausibility_table(self, stamp: str, question_id: str | None = None) -> pa.Table | None:
        """``plausibility.parquet``, or one question's rows; ``None`` if missing, damaged, or of another stamp."""
        path = self.path / "plausibility.parquet"
        return read_derived(path, PLAUSIBILITY_SCHEMA, question_id) if read_stamp(path) == stamp else None

    def verdict_table(self, question_id: str | None = None) -> pa.Table | None:
        """``verdicts.parquet``, or one question's rows of it; ``None`` if the file is missing or damaged."""
        return read_derived(self.path / "verdicts.parquet", VERDICT_SCHEMA, question_id)

    def cluster_table(self, question_id: str | None = None) -> pa.Table | None:
        """``clusters.parquet``, likewise."""
        return read_derived(self.path / "clusters.parquet", CLUSTER_SCHEMA, question_id)

    def stamps(self) -> tuple[str | None, str | None]:
        """Stamps of the verdicts and of the clusters; ``None`` if a file has none, is missing or damaged."""
        return read_stamp(self.path / "verdicts.parquet"), read_stamp(self.path / "clusters.parquet")
