"""Rows of a run folder's tables as cells of an outcome table, and storing what may be made again."""

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hcl_core.errors import DiskError, RunBusyError, RunReadOnlyError
from hcl_core.records import Weights
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import RunSettings
from hcl_core.scores.metrics import OutcomeTable, score_layers

# Indices of samples in an outcome table: question, exit layer and sample, ``[n]`` each.
Cells = tuple[NDArray[np.intp], ...]

# Rows of a table that is written in one piece.
_MOST_ROWS = 2**20

_log = logging.getLogger(__name__)


def store_if_writable(folder: RunFolder, what: str, store: Callable[[], None]) -> None:
    """Call ``store`` with the run locked; where nothing can be written to it, log a warning instead."""
    try:
        with folder.writing():
            store()
    except RunBusyError:
        _log.warning("another process is writing to %s: its %s are not stored", folder.path, what)
    except (DiskError, RunReadOnlyError) as error:
        _log.warning("%s: its %s are not stored: %s", folder.path, what, error)


def store_layer_scores(folder: RunFolder, table: OutcomeTable) -> None:
    """Write the scores of ``table`` at equal weights to the run folder."""
    folder.write_layer_scores(score_layers(table, Weights()), table.is_open)


def sample_cells(table: pa.Table, question_ids: list[str], settings: RunSettings) -> Cells | None:
    """The cell of each row's sample in an outcome table.

    ``None`` if a row belongs to no question, layer or sample index of the run, or two rows to the same sample.
    """
    ids = table.column("question_id").combine_chunks().dictionary_decode()
    questions = pc.fill_null(pc.index_in(ids, pa.array(question_ids)), -1).to_numpy(zero_copy_only=False)
    run_layers, row_layers = np.array(settings.exit_layers), table.column("exit_layer").to_numpy()
    layers = np.minimum(np.searchsorted(run_layers, row_layers), len(run_layers) - 1)
    samples = table.column("sample_idx").to_numpy()
    is_of_run = (
        (questions >= 0) & (run_layers[layers] == row_layers) & (samples >= 0) & (samples < settings.num_samples)
    )
    if not is_of_run.all():
        return None
    cells = (questions, layers, samples)
    flat = np.ravel_multi_index(cells, (len(question_ids), len(run_layers), settings.num_samples))
    return cells if len(np.unique(flat)) == len(flat) else None


def rows_of_samples(rows: pa.Table, samples: pa.Table, question_ids: list[str], settings: RunSettings) -> pa.Table:
    """The rows of a derived table that are of one of ``samples``; all, where a row is of no sample of the run."""
    cells, others = (sample_cells(each, question_ids, settings) for each in (rows, samples))
    if cells is None or others is None:
        return rows
    shape = (len(question_ids), len(settings.exit_layers), settings.num_samples)
    return rows.filter(pa.array(np.isin(np.ravel_multi_index(cells, shape), np.ravel_multi_index(others, shape))))


def rows_of_cells(
    is_row: NDArray[np.bool_],
    question_ids: Sequence[str],
    exit_layers: Sequence[int],
    schema: pa.Schema,
    columns: Callable[[Cells], list[pa.Array]],
) -> Iterator[pa.Table]:
    """Tables with a row for each chosen sample, in the order of questions, layers and samples.

    Args:
        is_row: ``[num_questions, E, num_samples]`` which samples are chosen.
        question_ids: ``num_questions`` ids.
        exit_layers: ``E`` layers.
        schema: Of the tables; the key's columns come first.
        columns: The other columns of the samples at given cells.
    """
    layers = np.array(exit_layers)
    size = max(1, _MOST_ROWS // is_row[0].size)
    for start in range(0, len(is_row), size):
        questions, *others = np.nonzero(is_row[start : start + size])
        ids = pa.DictionaryArray.from_arrays(pa.array(questions), pa.array(question_ids[start : start + size]))
        keys = [ids, pa.array(layers[others[0]]), pa.array(others[1])]
        arrays = [*keys, *columns((questions + start, *others))]
        yield pa.Table.from_arrays(arrays, names=schema.names).cast(schema)
