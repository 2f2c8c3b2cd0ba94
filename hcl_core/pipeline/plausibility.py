"""Plausibility of a run's answers: computed by the run's model, stored in its folder, read again without a model."""

from collections.abc import Callable

import numpy as np
import pyarrow.compute as pc

from hcl_core.pipeline.storing import sample_cells, store_if_writable
from hcl_core.ports import AnswerLikelihood
from hcl_core.records import SampleKey
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
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
    manifest, questions = folder.manifest(), folder.questions()
    settings = manifest.settings
    samples = folder.sample_table([*_KEY, "completion_token_ids"])
    values: FloatArray = np.full((len(questions), len(settings.exit_layers), settings.num_samples), np.nan)
    keys: list[SampleKey] = []
    logprobs: list[float] = []
    for index, stored in enumerate(questions):
        question_id = stored.question.id
        rows = samples.filter(pc.equal(samples["question_id"], question_id))
        rows = rows.sort_by([("exit_layer", "ascending"), ("sample_idx", "ascending")])
        layers, sample_idxs = rows["exit_layer"].to_pylist(), rows["sample_idx"].to_pylist()
        measured = model.mean_logprobs(stored, [tuple(ids) for ids in rows["completion_token_ids"].to_pylist()])
        keys += [SampleKey(question_id, *key) for key in zip(layers, sample_idxs, strict=True)]
        logprobs += measured.tolist()
        values[index, np.searchsorted(settings.exit_layers, layers), sample_idxs] = measured
        on_progress(index + 1)
    stamp = plausibility_stamp(manifest)
    store_if_writable(folder, "plausibility", lambda: folder.write_plausibility(keys, logprobs, stamp))
    return values
