"""Stored runs as the page shows them: opened once, cut to a question, resampled. Needs no model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hcl_core.answers import LayerAnswers, group_answers
from hcl_core.comparison import RunComparison, compare_runs
from hcl_core.errors import RunFolderError
from hcl_core.folders import precomputed_folder, runs_folder
from hcl_core.intervals import Replicates, Uncertainty, draw_questions, judge_replicates, resample
from hcl_core.manifest import Manifest
from hcl_core.metrics import OutcomeTable, answered, balanced_layer, score_layers
from hcl_core.records import LayerScore, Question, Scaling, Weights
from hcl_core.runs import RunFolder
from hcl_core.scoring import read_outcomes

# The run that a first visit shows: the head that lets early layers speak, at the paper's temperature.
FIRST_RUN = ("linear", 0.6)
_RUN_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one or more questions, ready to be scored with any weights.

    Attributes:
        table: Outcomes of those questions.
        replicates: Of the same, resampled.
    """

    table: OutcomeTable
    replicates: Replicates

    @classmethod
    def of(cls, table: OutcomeTable) -> "Outcome":
        """With the replicates that belong to ``table``; questions without answers are left out."""
        table = answered(table)
        return cls(table, resample(table, draw_questions(len(table.outcomes))))

    def scored(self, weights: Weights, scaling: Scaling) -> "Scored":
        """Scores, intervals and verdict; arithmetic on what is there already."""
        scores = score_layers(self.table, weights, scaling)
        sure = judge_replicates(self.replicates, weights, bool((self.table.outcomes >= 0).any()), scaling)
        return Scored(tuple(scores), sure, balanced_layer(scores))


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
        what = f"{settings.exit_head} head · T {settings.sampling.temperature:g} · {settings.num_samples} answers"
        return what if self.is_shipped else f"{what} · {settings.model}"


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
    return (settings.exit_head != FIRST_RUN[0], settings.sampling.temperature)


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
        raise RunFolderError(f"{path.name} has not been judged yet: python -m hcl_core score {path}")
    return table


@lru_cache(maxsize=64)
def _outcome(path: Path, changed_at: int, question: int | None) -> Outcome:
    table = _table(path, changed_at)
    if question is None:
        return Outcome.of(table)
    cells = slice(question, question + 1)
    return Outcome.of(OutcomeTable(table.exit_layers, table.outcomes[cells], table.confidences[cells]))


def questions_of(run: StoredRun) -> Sequence[Question]:
    """The run's questions, in order."""
    return _questions(run.folder.path, _changed_at(run))


@lru_cache(maxsize=8)
def _questions(path: Path, changed_at: int) -> tuple[Question, ...]:
    return tuple(stored.question for stored in RunFolder(path).questions())


def outcome_of(run: StoredRun, question_id: str | None = None) -> Outcome:
    """The outcome of one question of a run, or of all.

    Raises:
        RunFolderError: The run lacks the question, or has not been judged.
    """
    place = None
    if question_id is not None:
        ids = [question.id for question in questions_of(run)]
        if question_id not in ids:
            raise RunFolderError("that run does not have this question: choose another")
        place = ids.index(question_id)
    return _outcome(run.folder.path, _changed_at(run), place)


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
    asked = [[(each.id, each.text) for each in _questions(*run)] for run in (first, second)]
    return compare_runs((_table(*first), _table(*second)), (asked[0], asked[1]), weights, scaling)


def answers_of(run: StoredRun, question_id: str) -> list[LayerAnswers]:
    """The answers of every layer to one question."""
    return group_answers(run.folder, question_id)


def _changed_at(run: StoredRun) -> int:
    """What is cached is of these verdicts; a run that is judged anew is read anew."""
    file = run.folder.path / "verdicts.parquet"
    return file.stat().st_mtime_ns if file.is_file() else 0
