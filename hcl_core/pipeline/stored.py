"""Scores of a stored run: read from its folder, or made from its samples; no language model is loaded."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.ideas.names import make_idea_finder, num_accepted_ideas
from hcl_core.judges.names import judge_of, judge_stamp
from hcl_core.pipeline.plausibility import add_stored_plausibility
from hcl_core.pipeline.scorer import Embeddings, Scorer, stamps_of
from hcl_core.pipeline.storing import rows_of_samples, sample_cells, store_if_writable
from hcl_core.ports import Judge
from hcl_core.records import OUTCOMES_WITH_IDEA, are_open
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.sample_stream import SampleStream
from hcl_core.runs.tables import mean_logprobs
from hcl_core.scores.measures import MEASURES_VERSION, TextMeasures, measure_texts
from hcl_core.scores.metrics import INCORRECT, NOT_ATTEMPTED, OutcomeTable


def rescore(
    folder: RunFolder, judge: Judge, embeddings: Embeddings, ideas: str | None = None, is_stored: bool = True
) -> Scorer:
    """Judge all samples of a run folder again, find their ideas, and store the verdicts, clusters and scores.

    Those of another judge replace what the folder says: ``views.view_by`` has the folder for them.

    The manifest names the judge and the idea finder from then on. Where the folder can't be written to, or another
    process is writing to it, nothing is stored, and a warning is logged.

    Args:
        folder: The run.
        judge: Of all samples.
        embeddings: For correct answers that the judge took for no accepted answer, and for meaning clusters.
        ideas: Name of the idea finder; ``None``: the manifest's.
        is_stored: Whether anything is stored.

    Raises:
        RunFolderError: A file is damaged, or a sample belongs to no question or layer of the run.
        SettingsError: The judge is of open questions and these are not, or the other way round.
    """
    stored, manifest = folder.questions(), folder.manifest()
    if (fitting := judge_of(judge.name, [each.question for each in stored])) != judge.name:
        raise SettingsError(f"{folder.path} asks questions without accepted answers: its judge can only be {fitting}")
    settings, ideas = manifest.settings, ideas or manifest.ideas
    scorer = Scorer(
        [each.question for each in stored],
        settings.exit_layers,
        settings.num_samples,
        judge,
        make_idea_finder(ideas, embeddings.of),
        settings.sampling.is_greedy,
    )
    samples = SampleStream(folder)
    _check_whole(folder, manifest, len(samples))
    add_stored(scorer, samples, folder)
    add_stored_plausibility(scorer.table, folder)

    def store() -> None:
        # Read again: another process may have resumed the run meanwhile. Written before the verdicts: if the process
        # ends in between, the old verdicts lack the stamp of the manifest's judge, and are made again.
        latest = folder.manifest()
        if (latest.judge, latest.ideas) != (judge.name, ideas):
            folder.write_manifest(replace(latest, judge=judge.name, ideas=ideas))
        scorer.store(folder)

    if is_stored:
        store_if_writable(folder, "verdicts", store)
    return scorer


def add_stored(scorer: Scorer, samples: SampleStream, folder: RunFolder) -> None:
    """Add samples of ``folder`` to ``scorer``; raises ``RunFolderError`` for one of no question or layer of the run."""
    try:
        for of_question in samples:
            scorer.add(of_question)
    except (KeyError, IndexError) as error:
        raise RunFolderError(f"{folder.path}: a sample belongs to no question or layer of the run: {error}") from None


def _check_whole(folder: RunFolder, manifest: Manifest, num_samples: int) -> None:
    """Raise ``RunFolderError`` where a finished run lacks samples: scores of the rest would be taken for the run's.

    A run with a damaged part is not refused: whoever shows its scores says that a part is left out.
    """
    expected = manifest.num_total_samples
    if manifest.finished_at is not None and num_samples < expected and not folder.bad_parts():
        raise RunFolderError(
            f"{folder.path} is a finished run and has {num_samples} of {expected} samples: give its `run` command again"
        )


def is_judged_now(folder: RunFolder, manifest: Manifest) -> bool:
    """Whether the stored verdicts and clusters are of the current version of the run's judge.

    Those of a judge that this program does not have are taken as current.
    """
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
    if verdicts is None or clusters is None:
        return None
    settings = manifest.settings
    questions = [stored.question for stored in folder.questions()]
    question_ids, num_accepted = [each.id for each in questions], num_accepted_ideas(manifest.ideas, questions)
    if folder.bad_parts():
        verdicts, clusters = (rows_of_samples(rows, samples, question_ids, settings) for rows in (verdicts, clusters))
    if len(verdicts) != len(samples):
        return None
    table = OutcomeTable.empty(
        len(question_ids),
        settings.exit_layers,
        settings.num_samples,
        num_accepted,
        settings.sampling.is_greedy,
        are_open(questions),
    )
    outcomes = verdicts.column("outcome").combine_chunks().dictionary_decode()
    codes = np.where(pc.equal(outcomes, "not_attempted"), NOT_ATTEMPTED, INCORRECT)
    have_ideas = np.asarray(pc.is_in(outcomes, pa.array(OUTCOMES_WITH_IDEA)))
    if have_ideas.sum() != len(clusters):
        return None
    verdict_cells, cluster_cells, cells = (
        sample_cells(rows, question_ids, settings) for rows in (verdicts, clusters, samples)
    )
    if cells is None:
        raise RunFolderError(f"{folder.path}: a sample belongs to no question or layer of the run, or stands twice")
    if verdict_cells is None or cluster_cells is None:  # they are of other samples
        return None
    table.outcomes[verdict_cells] = codes
    table.outcomes[cluster_cells] = clusters.column("cluster_id").to_numpy()
    table.confidences[cells] = np.exp(mean_logprobs(samples))
    add_stored_plausibility(table, folder)
    return table


def measure(
    folder: RunFolder, table: OutcomeTable, embeddings: Embeddings, on_progress: Callable[[int], None] = lambda _: None
) -> list[TextMeasures]:
    """The measures of the answers' texts: the stored ones if they are of these outcomes, else new ones, then stored.

    Args:
        folder: The run.
        table: Its outcomes.
        embeddings: Of the embedder that the manifest names.
        on_progress: Called with the number of questions measured.
    """
    if (stored := stored_measures(folder, table)) is not None:
        return stored
    stamp = _measures_stamp(folder.manifest(), table)
    answers: dict[str, dict[int, dict[int, str]]] = {stored.question.id: {} for stored in folder.questions()}
    columns = ["question_id", "exit_layer", "sample_idx", "answer"]
    for row in folder.sample_table(columns).to_pylist():
        answers[row["question_id"]].setdefault(row["exit_layer"], {})[row["sample_idx"]] = row["answer"]
    measured = measure_texts(table, answers.values(), embeddings.of, on_progress)
    rows = [asdict(layer) for layer in measured]
    store_if_writable(folder, "measures", lambda: folder.write_measures(rows, stamp))
    return measured


def _measures_stamp(manifest: Manifest, table: OutcomeTable) -> str:
    outcomes = hashlib.blake2b(table.outcomes.tobytes(), digest_size=8).hexdigest()
    return f"measures {MEASURES_VERSION}; {manifest.embedder}; run {manifest.run_id}; outcomes {outcomes}"


def stored_measures(folder: RunFolder, table: OutcomeTable) -> list[TextMeasures] | None:
    """The measures in the folder; ``None`` if they are of other outcomes, or are not one row of numbers a layer."""
    rows = folder.measures(_measures_stamp(folder.manifest(), table))
    try:
        measured = [TextMeasures(**row) for row in rows or ()]
        are_numbers = all(isinstance(value, float) for layer in measured for value in list(asdict(layer).values())[1:])
    except TypeError:
        return None
    exit_layers = tuple(layer.exit_layer for layer in measured)
    return measured if are_numbers and exit_layers == table.exit_layers else None
