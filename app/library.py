"""Stored runs as the page shows them: opened once, cut to a question, resampled. Needs no model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hcl_core.errors import RunFolderError
from hcl_core.folders import precomputed_folder, runs_folder
from hcl_core.pipeline.scorer import Scorer
from hcl_core.pipeline.stored import is_judged_now, read_outcomes
from hcl_core.records import LayerScore, Sample, SampleKey, Scaling, StoredQuestion, Verdict, Weights
from hcl_core.runs.answers import LayerAnswers, count_answers, read_verdicts
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.comparison import RunComparison, compare_runs
from hcl_core.scores.draws import NUM_DRAWS, ScoreDraws, draw_questions, draw_scores
from hcl_core.scores.intervals import Uncertainty, summarise_draws
from hcl_core.scores.metrics import INCORRECT, NOT_ATTEMPTED, OutcomeTable, answered, score_layers
from hcl_core.settings.layers import format_layers

# The run that a first visit shows is of the head that lets early layers speak, at the lowest temperature.
FIRST_HEAD = "linear"
_RUN_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one or more questions, ready to be scored with any weights.

    Attributes:
        table: Outcomes of those questions.
        draws: Of the scores that it leaves possible.
    """

    table: OutcomeTable
    draws: ScoreDraws

    @classmethod
    def of(cls, table: OutcomeTable, num_draws: int = NUM_DRAWS) -> "Outcome":
        """With the draws that belong to ``table``; questions without answers are left out."""
        table = answered(table)
        return cls(table, draw_scores(table, draw_questions(len(table.outcomes), num_draws)))

    def scored(self, weights: Weights, scaling: Scaling) -> "Scored":
        """Scores, intervals and verdict; arithmetic on what is there already."""
        scores = score_layers(self.table, weights, scaling)
        sure = summarise_draws(self.draws, weights, scaling)
        return Scored(tuple(scores), sure, sure.best.optimal_layer)


@dataclass(frozen=True, slots=True)
class Scored:
    """What the page says of an outcome.

    Attributes:
        scores: By layer.
        sure: Intervals and verdict.
        best: The optimal layer; ``None`` where nothing is right.
    """

    scores: tuple[LayerScore, ...]
    sure: Uncertainty
    best: int | None


@dataclass(frozen=True, slots=True)
class Look:
    """One question of a run, stored or under way: everything that the Explore tab shows.

    Attributes:
        manifest: Of the run.
        stored: The question and the prompt sent.
        outcome: Of this question.
        layers: Answers by layer, counted.
        samples: Of all layers.
        verdicts: By sample.
        token_texts: What each token says; empty where that is not known.
        is_complete: Whether all answers are in.
    """

    manifest: Manifest
    stored: StoredQuestion
    outcome: Outcome
    layers: tuple[LayerAnswers, ...]
    samples: tuple[Sample, ...]
    verdicts: dict[SampleKey, Verdict]
    token_texts: dict[int, str]
    is_complete: bool

    @classmethod
    def at_live(cls, manifest: Manifest, stored: StoredQuestion, scorer: Scorer, token_texts: dict[int, str]) -> "Look":
        """At the answers that have come so far."""
        samples = scorer.samples[stored.question.id]
        place = list(scorer.samples).index(stored.question.id)
        wanted = len(manifest.settings.exit_layers) * manifest.settings.num_samples
        return cls(
            manifest,
            stored,
            Outcome.of(_question_rows(scorer.table, place)),
            tuple(count_answers(samples, scorer.verdicts, scorer.clusters)),
            tuple(samples),
            {sample.key: scorer.verdicts[sample.key] for sample in samples},
            token_texts,
            len(samples) == wanted,
        )


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run on disk.

    Attributes:
        folder: Where it is.
        manifest: Of it.
        is_shipped: Whether it came with the program.
    """

    folder: RunFolder
    manifest: Manifest
    is_shipped: bool

    def describe(self) -> str:
        """One line for a list."""
        settings = self.manifest.settings
        return (
            f"{settings.exit_head} · T {settings.sampling.temperature:g} · {settings.num_samples} × "
            f"{format_layers(settings.exit_layers)} · {settings.model}"
        )


def stored_runs(with_own: bool) -> list[StoredRun]:
    """Every run that can be opened: the shipped ones, then the user's own.

    Args:
        with_own: Whether those are wanted; on a public page they are other visitors'.
    """
    runs = []
    roots = [(precomputed_folder(), True), *([(runs_folder(), False)] if with_own else [])]
    for root, is_shipped in roots:
        for path in sorted(root.iterdir()) if root.is_dir() else []:
            folder = RunFolder(path)
            if not path.name.startswith(".") and folder.exists:
                try:
                    runs.append(StoredRun(folder, folder.manifest(), is_shipped))
                except RunFolderError:
                    continue  # of another version, or damaged: `score` says what is wrong with it
    return sorted(runs, key=lambda run: (not run.is_shipped, _order(run), run.manifest.created_at))


def _order(run: StoredRun) -> tuple[bool, float]:
    settings = run.manifest.settings
    return (settings.exit_head != FIRST_HEAD, settings.sampling.temperature)


def find_run(run_id: str) -> StoredRun:
    """The run of that id.

    Raises:
        RunFolderError: There is none, or it cannot be read.
    """
    # An id and nothing else: what a browser sends is no path.
    roots = ((precomputed_folder(), True), (runs_folder(), False)) if _RUN_ID.fullmatch(run_id) else ()
    for root, is_shipped in roots:
        folder = RunFolder(root / run_id)
        if folder.exists:
            return StoredRun(folder, folder.manifest(), is_shipped)
    raise RunFolderError("that run is no longer on this machine: choose another")


@lru_cache(maxsize=8)
def _table(path: Path, changed_at: int) -> OutcomeTable:
    table = read_outcomes(RunFolder(path))
    if table is None:
        raise _not_judged(path)
    return table


def _not_judged(path: Path) -> RunFolderError:
    return RunFolderError(f"run {path.name} has not been judged yet: `score` in the terminal does it")


@lru_cache(maxsize=16)
def _outcome(path: Path, changed_at: int) -> Outcome:
    return Outcome.of(_table(path, changed_at))


def _question_rows(table: OutcomeTable, place: int) -> OutcomeTable:
    return table.part(slice(place, place + 1))


def questions_of(run: StoredRun) -> Sequence[StoredQuestion]:
    """The run's questions with their prompts, in order."""
    return _questions(run.folder.path, _changed_at(run))


@lru_cache(maxsize=8)
def _questions(path: Path, changed_at: int) -> tuple[StoredQuestion, ...]:
    return tuple(RunFolder(path).questions())


def question_id_of(run: StoredRun, text: str) -> str | None:
    """The id under which ``run`` has asked the question of that text."""
    try:
        return _ids_by_text(run.folder.path, _changed_at(run)).get(text)
    except RunFolderError:  # damaged: `score` says what is wrong with it
        return None


@lru_cache(maxsize=512)
def _ids_by_text(path: Path, changed_at: int) -> dict[str, str]:
    return {stored.question.text: stored.question.id for stored in RunFolder(path).questions()}


def table_of(run: StoredRun) -> OutcomeTable:
    """The outcomes of all questions of a run; raises ``RunFolderError`` if it has not been judged."""
    return _table(run.folder.path, _changed_at(run))


def outcome_of(run: StoredRun) -> Outcome:
    """The outcome of all questions of a run; raises ``RunFolderError`` if it has not been judged."""
    return _outcome(run.folder.path, _changed_at(run))


def look_at(run: StoredRun, question_id: str) -> Look:
    """One question of a stored run.

    Raises:
        RunFolderError: The run lacks the question, or has not been judged.
    """
    return _look(run.folder.path, _changed_at(run), question_id, _place(run, question_id))


@lru_cache(maxsize=32)
def _look(path: Path, changed_at: int, question_id: str, place: int) -> Look:
    folder = RunFolder(path)
    manifest = folder.manifest()
    if not is_judged_now(folder, manifest):
        raise _not_judged(path)
    samples = folder.samples(question_id)
    verdicts, clusters = read_verdicts(folder, question_id, samples)
    try:
        table = _table_of_question(manifest, samples, verdicts, clusters)
    except (KeyError, IndexError):
        raise RunFolderError(f"{path.name} has a sample of no layer of the run, or a right one of no cluster") from None
    return Look(
        manifest,
        _questions(path, changed_at)[place],
        Outcome.of(table),
        tuple(count_answers(samples, verdicts, clusters)),
        tuple(samples),
        verdicts,
        folder.token_texts(),
        manifest.finished_at is not None,
    )


def _table_of_question(
    manifest: Manifest, samples: list[Sample], verdicts: dict[SampleKey, Verdict], clusters: dict[SampleKey, int]
) -> OutcomeTable:
    """What ``read_outcomes`` has in one of its rows, without reading the others."""
    places = {layer: place for place, layer in enumerate(manifest.settings.exit_layers)}
    settings = manifest.settings
    is_greedy = settings.sampling.temperature == 0
    table = OutcomeTable.empty(1, settings.exit_layers, settings.num_samples, is_greedy=is_greedy)
    for sample in samples:
        cell = (0, places[sample.exit_layer], sample.sample_idx)
        outcome = verdicts[sample.key].outcome
        wrong = NOT_ATTEMPTED if outcome == "not_attempted" else INCORRECT
        table.outcomes[cell] = clusters[sample.key] if outcome == "correct" else wrong
        table.confidences[cell] = sample.confidence
    return table


def _place(run: StoredRun, question_id: str) -> int:
    ids = [stored.question.id for stored in questions_of(run)]
    if question_id not in ids:
        raise RunFolderError("that run does not have this question: choose another")
    return ids.index(question_id)


def compare(first: StoredRun, second: StoredRun, weights: Weights, scaling: Scaling) -> RunComparison:
    """The first run against the second, on the questions and layers that both have.

    Raises:
        SettingsError: They have none in common.
        RunFolderError: One has not been judged.
    """
    runs = ((first.folder.path, _changed_at(first)), (second.folder.path, _changed_at(second)))
    return _compared(*runs, weights, scaling)


@lru_cache(maxsize=32)
def _compared(first: tuple[Path, int], second: tuple[Path, int], weights: Weights, scaling: Scaling) -> RunComparison:
    asked = [[(each.question.id, each.question.text) for each in _questions(*run)] for run in (first, second)]
    return compare_runs((_table(*first), _table(*second)), (asked[0], asked[1]), weights, scaling)


def _changed_at(run: StoredRun) -> int:
    """What is cached is of these verdicts; a run that is judged anew is read anew."""
    file = run.folder.path / "verdicts.parquet"
    return file.stat().st_mtime_ns if file.is_file() else 0
