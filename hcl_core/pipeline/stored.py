"""Scores of a run folder from what it holds: no model decodes."""

import errno
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcl_core.errors import RunBusyError, RunFolderError, RunReadOnlyError
from hcl_core.judges.names import judge_stamp
from hcl_core.pipeline.scorer import Embeddings, Scorer, stamps_of
from hcl_core.ports import Judge
from hcl_core.records import Sample
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest, RunSettings
from hcl_core.runs.tables import mean_logprobs
from hcl_core.scores.measures import MEASURES_VERSION, TextMeasures, measure_texts
from hcl_core.scores.metrics import INCORRECT, NOT_ATTEMPTED, OutcomeTable

_log = logging.getLogger(__name__)


def rescore(folder: RunFolder, judge: Judge, embeddings: Embeddings) -> Scorer:
    """Judge and cluster all samples of a run folder again and store what comes out; no model decodes.

    The manifest names the new judge from then on. Where the folder can't be written to, or another process is
    writing to it, nothing is kept, and the log says so.

    Raises:
        RunFolderError: A file is damaged, or a sample belongs to no question or layer of the run.
    """
    stored, manifest = folder.questions(), folder.manifest()
    settings = manifest.settings
    scorer = Scorer([s.question for s in stored], settings.exit_layers, settings.num_samples, judge, embeddings)
    samples = folder.samples()
    _check_whole(folder, manifest, len(samples))
    add_stored(scorer, samples, folder)

    def store() -> None:
        # Read again: a run that went on meanwhile has changed it. Written first: verdicts without the stamp of the
        # manifest's judge are made again.
        present = folder.manifest()
        if present.judge != judge.name:
            folder.write_manifest(replace(present, judge=judge.name))
        scorer.store(folder)

    _keep(folder, "verdicts", store)
    return scorer


def add_stored(scorer: Scorer, samples: Sequence[Sample], folder: RunFolder) -> None:
    """Add samples of ``folder`` to ``scorer``; raises ``RunFolderError`` for one of no question or layer of the run."""
    try:
        scorer.add(samples)
    except (KeyError, IndexError) as error:
        raise RunFolderError(f"{folder.path}: a sample belongs to no question or layer of the run: {error}") from None


def _check_whole(folder: RunFolder, manifest: Manifest, num_samples: int) -> None:
    """Raise ``RunFolderError`` where a finished run has lost samples: what is left would pass for the result."""
    settings = manifest.settings
    wanted = manifest.num_questions * len(settings.exit_layers) * settings.num_samples
    if manifest.finished_at is not None and num_samples != wanted:
        raise RunFolderError(
            f"{folder.path} is a finished run and has {num_samples} of {wanted} samples: give its `run` command again"
        )


def _keep(folder: RunFolder, what: str, store: Callable[[], None]) -> None:
    """``store`` derived files with the run held; a folder that can't be written to is left as it is."""
    try:
        with folder.writing():
            store()
    except RunBusyError:
        _log.warning("another process is writing to %s: its %s are not kept", folder.path, what)
    except (OSError, RunReadOnlyError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        _log.warning("%s cannot be written to: its %s are not kept", folder.path, what)


def is_judged_now(folder: RunFolder, manifest: Manifest) -> bool:
    """Whether verdicts and clusters are what the run's judge of today makes; a judge from elsewhere is believed."""
    stamp = judge_stamp(manifest.judge)
    return stamp is None or folder.stamps() == stamps_of(stamp, manifest)


def read_outcomes(folder: RunFolder) -> OutcomeTable | None:
    """The outcome table from the stored verdicts and clusters.

    ``None`` where they do not cover the samples, or were made by another judge or another version of it.
    """
    manifest = folder.manifest()
    if not is_judged_now(folder, manifest):
        return None
    samples = folder.sample_table(["question_id", "exit_layer", "sample_idx", "token_logprobs"])
    _check_whole(folder, manifest, len(samples))
    verdicts, clusters = folder.verdict_table(), folder.cluster_table()
    if verdicts is None or clusters is None or len(verdicts) != len(samples):
        return None
    settings = manifest.settings
    question_ids = [stored.question.id for stored in folder.questions()]
    is_greedy = settings.sampling.temperature == 0
    table = OutcomeTable.empty(len(question_ids), settings.exit_layers, settings.num_samples, is_greedy=is_greedy)
    outcomes = verdicts.column("outcome").combine_chunks().dictionary_decode()
    codes = np.where(pc.equal(outcomes, "not_attempted"), NOT_ATTEMPTED, INCORRECT)
    is_correct = np.asarray(pc.equal(outcomes, "correct"))
    if is_correct.sum() != len(clusters):
        return None
    judged, clustered, sampled = (sample_cells(each, question_ids, settings) for each in (verdicts, clusters, samples))
    if sampled is None:
        raise RunFolderError(f"{folder.path}: a sample belongs to no question or layer of the run, or stands twice")
    if judged is None or clustered is None:  # of other samples: made again from these
        return None
    table.outcomes[judged] = codes
    table.outcomes[clustered] = clusters.column("cluster_id").to_numpy()
    table.confidences[sampled] = np.exp(mean_logprobs(samples))
    return table


def measure(
    folder: RunFolder, table: OutcomeTable, embeddings: Embeddings, on_progress: Callable[[int], None] = lambda _: None
) -> list[TextMeasures]:
    """The measures of the answers' texts: stored ones where they are of these outcomes, else made and stored.

    Args:
        folder: The run.
        table: Its outcomes.
        embeddings: Of the embedder that the manifest names.
        on_progress: Told the number of questions measured.
    """
    if (stored := stored_measures(folder, table)) is not None:
        return stored
    stamp = _measures_stamp(folder.manifest(), table)
    answers: dict[str, dict[int, dict[int, str]]] = {stored.question.id: {} for stored in folder.questions()}
    columns = ["question_id", "exit_layer", "sample_idx", "answer"]
    for row in folder.sample_table(columns).to_pylist():
        answers[row["question_id"]].setdefault(row["exit_layer"], {})[row["sample_idx"]] = row["answer"]
    measured = measure_texts(table, answers.values(), embeddings.of, on_progress)
    _keep(folder, "measures", lambda: folder.write_measures([asdict(each) for each in measured], stamp))
    return measured


def _measures_stamp(manifest: Manifest, table: OutcomeTable) -> str:
    outcomes = hashlib.blake2b(table.outcomes.tobytes(), digest_size=8).hexdigest()
    return f"measures {MEASURES_VERSION}; {manifest.embedder}; run {manifest.run_id}; outcomes {outcomes}"


def stored_measures(folder: RunFolder, table: OutcomeTable) -> list[TextMeasures] | None:
    """The measures in the folder; ``None`` where they are not of these outcomes, or not a row of numbers a layer."""
    rows = folder.measures(_measures_stamp(folder.manifest(), table))
    try:
        measured = [TextMeasures(**row) for row in rows or ()]
        is_numbers = all(isinstance(value, float) for each in measured for value in list(asdict(each).values())[1:])
    except TypeError:
        return None
    return measured if is_numbers and tuple(each.exit_layer for each in measured) == table.exit_layers else None


def sample_cells(table: pa.Table, question_ids: list[str], settings: RunSettings) -> tuple[np.ndarray, ...] | None:
    """Question, layer and sample places of each row; ``None`` if one has no place in the table, or two have one."""
    ids = table.column("question_id").combine_chunks().dictionary_decode()
    questions = pc.fill_null(pc.index_in(ids, pa.array(question_ids)), -1).to_numpy(zero_copy_only=False)
    known, wanted = np.array(settings.exit_layers), table.column("exit_layer").to_numpy()
    layers = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    sample_idx = table.column("sample_idx").to_numpy()
    is_known = (questions >= 0) & (known[layers] == wanted) & (sample_idx >= 0) & (sample_idx < settings.num_samples)
    if not is_known.all():
        return None
    cells = np.ravel_multi_index((questions, layers, sample_idx), (len(question_ids), len(known), settings.num_samples))
    return (questions, layers, sample_idx) if len(np.unique(cells)) == len(cells) else None
