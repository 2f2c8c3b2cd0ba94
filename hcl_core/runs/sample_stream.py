"""The samples of a run folder, all of one question at a time."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from hcl_core.records import Sample
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.tables import samples_of


class SampleStream:
    """Reads the samples of a run question by question, in one pass over its parts.

    The parts of a question mostly stand together. So memory holds about one question, however many samples there are.

    Args:
        folder: The run.

    Raises:
        RunFolderError: Two parts have the same sample.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._num_samples: Counter[str] = Counter()
        for table in folder.sample_batches(["question_id"]):
            for question_id, rows in _by_question(table):
                self._num_samples[question_id] += len(rows)

    def __len__(self) -> int:
        """Stored samples."""
        return self._num_samples.total()

    def __iter__(self) -> Iterator[list[Sample]]:
        """The samples of each question that has some; a question comes with its last part."""
        num_left = self._num_samples.copy()
        pieces: dict[str, list[pa.Table]] = {}
        for table in self._folder.sample_batches():
            for question_id, rows in _by_question(table):
                pieces.setdefault(question_id, []).append(rows)
                num_left[question_id] -= len(rows)
                if not num_left[question_id]:
                    whole = pa.concat_tables(pieces.pop(question_id))
                    self._folder.check_keys(whole)
                    yield samples_of(whole)


def _by_question(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each question in ``table``, in their order."""
    column = table.column("question_id").combine_chunks()
    codes = column.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    ordered = table.take(order)
    values, starts = np.unique(codes[order], return_index=True)
    for value, start, stop in zip(values, starts, [*starts[1:], len(table)], strict=True):
        yield column.dictionary[int(value)].as_py(), ordered.slice(start, stop - start)
