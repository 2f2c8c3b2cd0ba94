"""Plausibility of a run's answers: computed by the run's model, stored in its folder, read again without a model."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hcl_core.pipeline.storing import rows_of_cells, sample_cells, store_if_writable
from hcl_core.ports import AnswerLikelihood
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.sample_stream import SampleStream
from hcl_core.runs.tables import PLAUSIBILITY_SCHEMA
from hcl_core.scores.metrics import FloatArray, OutcomeTable

# To be raised by 1 when the definition changes.
PLAUSIBILITY_VERSION = 1
_KEY = ["question_id", "exit_layer", "sample_idx"]
# Rounding can bring the logarithm of a probability of 1 a little above 0.
_MAX_LOGPROB = 1e-3


def plausibility_stamp(manifest: Manifest) -> str:
    """What the plausibility of a run's answers is made by: the definition, the weights, and the run."""
    settings = manifest.settings
    weights = f"{settings.model} {settings.model_revision} {settings.dtype}"
    return f"plausibility {PLAUSIBILITY_VERSION}; {weights}; run {manifest.run_id}"


def read_plausibility(folder: RunFolder, question_id: str | None = None) -> FloatArray | None:
    """Mean log-probability a token of each stored sample, in nats: ``[num_questions, E, N]``, NaN without a sample.

    Args:
        folder: The run.
        question_id: One question of the run alone; ``None``: all.

    Returns:
        ``None`` if the file is missing or damaged, was made by other weights, or is not of exactly these samples.
    """
    manifest = folder.manifest()
    table = folder.plausibility_table(plausibility_stamp(manifest), question_id)
    if table is None:
        return None
    settings = manifest.settings
    ids = [stored.question.id for stored in folder.questions()] if question_id is None else [question_id]
    cells = sample_cells(table, ids, settings)
    expected = sample_cells(folder.sample_table(_KEY, question_id), ids, settings)
    column = table.column("mean_logprob").to_numpy()
    if cells is None or expected is None or not np.isfinite(column).all() or (column > _MAX_LOGPROB).any():
        return None
    values: FloatArray = np.full((len(ids), len(settings.exit_layers), settings.num_samples), np.nan)
    values[cells] = column
    return values if len(column) == len(expected[0]) and not np.isnan(values[expected]).any() else None


def add_stored_plausibility(table: OutcomeTable, folder: RunFolder) -> bool:
    """Fill in ``table.plausibilities`` of open questions; whether the folder had them."""
    if not table.is_open or (known := read_plausibility(folder)) is None:
        return False
    table.plausibilities[:] = known
    return True


def measure_plausibility(
    folder: RunFolder, model: AnswerLikelihood, on_progress: Callable[[int], None] = lambda _: None
) -> FloatArray:
    """Compute the plausibility of all stored samples, store it, and return it as ``read_plausibility`` does.

    Args:
        folder: The run.
        model: The run's model.
        on_progress: Called with the number of questions measured.

    Raises:
        HclError: The model cannot read a prompt or an answer of the run.
    """
    manifest = folder.manifest()
    layers, num_samples = manifest.settings.exit_layers, manifest.settings.num_samples
    by_id = {stored.question.id: (index, stored) for index, stored in enumerate(folder.questions())}
    values: FloatArray = np.full((len(by_id), len(layers), num_samples), np.nan)
    for num_done, samples in enumerate(SampleStream(folder), 1):
        index, stored = by_id[samples[0].question_id]
        measured = model.mean_logprobs(stored, [sample.completion_token_ids for sample in samples])
        columns = np.searchsorted(layers, [sample.exit_layer for sample in samples])
        values[index, columns, [sample.sample_idx for sample in samples]] = measured
        on_progress(num_done)
    store_if_writable(folder, "plausibility", lambda: write_plausibility(folder, values))
    return values


def write_plausibility(folder: RunFolder, values: FloatArray | NDArray[np.float32]) -> None:
    """Store ``values [num_questions, E, num_samples]``, as ``read_plausibility`` returns them."""
    manifest, ids = folder.manifest(), [stored.question.id for stored in folder.questions()]
    rows = rows_of_cells(
        ~np.isnan(values),
        ids,
        manifest.settings.exit_layers,
        PLAUSIBILITY_SCHEMA,
        lambda cells: [pa.array(values[cells])],
    )
    folder.write_by_sample("plausibility", rows, plausibility_stamp(manifest))
