"""Stored runs: found, listed, and read once however often they are shown. Needs no model."""

import hashlib
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import pyarrow as pa
import pyarrow.compute as pc
from cachetools import LRUCache, cached

from app.judged_late import judged_run
from app.outcomes import ScoredOutcomes
from hcl_core.errors import HclError, RunFolderError
from hcl_core.folders import precomputed_folder, runs_folder
from hcl_core.pipeline.plausibility import read_plausibility
from hcl_core.pipeline.stored import read_outcomes
from hcl_core.records import Sample, SampleKey, Scaling, StoredQuestion, Verdict, Weights
from hcl_core.runs.answers import verdicts_in
from hcl_core.runs.file_version import file_version
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest, is_run_id
from hcl_core.runs.question_rows import parse_rows
from hcl_core.runs.tables import KEY, SAMPLE_SCHEMA
from hcl_core.runs.tables import samples_of as records_of
from hcl_core.runs.titles import NO_TITLE, RunTitle, read_title, title_file
from hcl_core.scores.comparison import RunComparison, compare_runs
from hcl_core.scores.measures import plausibility
from hcl_core.scores.metrics import OutcomeTable

# A first visit shows the run whose head was fitted for early layers, at the lowest temperature.
FIRST_HEAD = "linear"
# Runs whose manifests are in memory: about 3 kB each.
_MOST_RUNS = 10_000
# Questions, over all different sets of them, whose ids can be looked up by their texts: about 200 MB.
_MOST_TEXTS = 500_000
# Samples of a run that is read as a whole for any of its questions: 30 MB.
_MOST_SAMPLES = 300_000
# When a run was last asked for by its id.
_looks: LRUCache[str, float] = LRUCache(_MOST_RUNS)
_looks_lock = Lock()


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run on disk.

    Attributes:
        folder: Where it is.
        manifest: Of it.
        is_shipped: Whether it came with the program.
        title: What its user calls it.
    """

    folder: RunFolder
    manifest: Manifest
    is_shipped: bool
    title: RunTitle = NO_TITLE


def stored_runs(with_own: bool) -> list[StoredRun]:
    """Every run that can be opened: the shipped ones, then the user's own.

    Args:
        with_own: Whether the user's own are listed; on a public page they are other visitors'.
    """
    runs = []
    roots = [(precomputed_folder(), True), *([(runs_folder(), False)] if with_own else [])]
    for root, is_shipped in roots:
        for path in sorted(root.iterdir()) if root.is_dir() else []:
            folder = RunFolder(path)
            if not path.name.startswith(".") and folder.exists:
                try:
                    runs.append(_stored(folder, is_shipped))
                except RunFolderError:
                    continue  # of another version, or damaged: `score` says what is wrong with it
    return sorted(runs, key=lambda run: (not run.is_shipped, _order(run), run.manifest.created_at))


def _manifest_version(folder: RunFolder) -> Hashable:
    return file_version(folder.path / "manifest.json")


@cached(LRUCache(maxsize=_MOST_RUNS), key=_manifest_version, lock=Lock())
def _manifest_of(folder: RunFolder) -> Manifest:
    """The manifest as it is on disk, read again only after it has changed."""
    return folder.manifest()


def _stored(folder: RunFolder, is_shipped: bool) -> StoredRun:
    manifest = _manifest_of(folder)
    return StoredRun(folder, manifest, is_shipped, title_of(manifest.id, runs_folder()))


def _title_version(run_id: str, runs: Path) -> Hashable:
    return file_version(title_file(run_id, runs))


@cached(LRUCache(maxsize=_MOST_RUNS), key=_title_version, lock=Lock())
def title_of(run_id: str, runs: Path) -> RunTitle:
    """What the user of the folder ``runs`` calls a run, read again only after it has changed."""
    return read_title(run_id, runs)


def _order(run: StoredRun) -> tuple[bool, float]:
    settings = run.manifest.settings
    return (settings.exit_head != FIRST_HEAD, settings.sampling.temperature)


def find_run(run_id: str) -> StoredRun:
    """The run of that id.

    Raises:
        RunFolderError: There is none, or it cannot be read.
    """
    # An id and nothing else: what a browser sends is no path.
    if not is_run_id(run_id):
        raise _no_run()
    roots = ((precomputed_folder(), True), (runs_folder(), False))
    for root, is_shipped in roots:
        folder = RunFolder(root / run_id)
        if folder.exists:
            with _looks_lock:
                _looks[run_id] = time.time()
            return _stored(folder, is_shipped)
    raise _no_run()


def _no_run() -> RunFolderError:
    return RunFolderError("that run is no longer on this machine: choose another")


def last_look(run_id: str) -> float:
    """When ``find_run`` was last asked for the run, in seconds as of ``time.time``; 0 where that is not known."""
    with _looks_lock:
        return _looks.get(run_id, 0.0)


def version_of(*files: str) -> Callable[..., Hashable]:
    """Key of a cache of what is read of a run: until one of ``files`` changes, nothing of it is read again."""

    def key(run: StoredRun, *others: Hashable) -> Hashable:
        return (*(file_version(run.folder.path / file) for file in files), *others)

    return key


_by_questions = version_of("questions.jsonl")
# Open questions are scored from both.
_by_verdicts = version_of("verdicts.parquet", "plausibility.parquet")


def by_answers(run: StoredRun, *others: Hashable) -> Hashable:
    """Key of a cache of what the answers of a run come to; more of them may come to one that is not finished."""
    parts = _by_parts(run) if run.manifest.finished_at is None else ()
    return (_by_verdicts(run), parts, *others)


@cached(LRUCache(maxsize=8), key=_by_questions, lock=Lock())
def questions_of(run: StoredRun) -> tuple[StoredQuestion, ...]:
    """The run's questions with their prompts, in order."""
    return tuple(run.folder.questions())


def question_id_of(run: StoredRun, text: str) -> str | None:
    """The id under which ``run`` has asked the question of that text; ``None`` if it has not."""
    return _readable_ids(run).get(text)


def only_question_of(run: StoredRun) -> str | None:
    """The text of the question, of a run of one."""
    return next(iter(_readable_ids(run)), None) if run.manifest.num_questions == 1 else None


def _readable_ids(run: StoredRun) -> dict[str, str]:
    try:
        return _ids_by_text(run)
    except (OSError, ValueError, HclError):  # damaged: `score` says what is wrong with it
        return {}


def right_answers_of(run: StoredRun) -> tuple[str, ...]:
    """What the ideas of the question are called, of a run of one; empty for an open question."""
    if only_question_of(run) is None:
        return ()
    return tuple(names[0] for names in questions_of(run)[0].question.ideas)


@cached(LRUCache(maxsize=_MOST_RUNS), key=_by_questions, lock=Lock())
def _ids_by_text(run: StoredRun) -> dict[str, str]:
    return _read_ids(run.folder.questions_content(), run.manifest.num_questions)


def _by_content(content: bytes, num_questions: int) -> Hashable:
    return hashlib.blake2b(content, digest_size=16).digest(), num_questions


# Runs of the same questions have equal files: these are parsed once, and the runs share what was read.
@cached(LRUCache(_MOST_TEXTS, getsizeof=len), key=_by_content, lock=Lock())
def _read_ids(content: bytes, num_questions: int) -> dict[str, str]:
    """The id of each question by its text; raises ``ValueError`` or ``SettingsError`` if the file is damaged."""
    rows = parse_rows(content)
    if len(rows) != num_questions:
        raise ValueError(f"the file has {len(rows)} of {num_questions} questions")
    return {row.question.text: row.question.id for row in rows}


@cached(LRUCache(maxsize=8), key=by_answers, lock=Lock())
def table_of(run: StoredRun) -> OutcomeTable:
    """The outcomes of all questions of a run; raises ``RunFolderError`` if it has not been judged."""
    table = read_outcomes(run.folder)
    return judged_run(run.folder) if table is None else table


def samples_of(run: StoredRun, question_id: str) -> list[Sample]:
    """The samples of one question; a small run is read once for all of them.

    Raises:
        RunFolderError: Two parts have the same sample, or the system refuses to read one.
    """
    if run.manifest.num_total_samples > _MOST_SAMPLES:
        return run.folder.samples(question_id)
    table = _of_question(_sample_table(run), question_id)
    run.folder.check_keys(table)
    return records_of(table)


def verdicts_of(run: StoredRun, question_id: str) -> tuple[dict[SampleKey, Verdict], dict[SampleKey, int]]:
    """Verdicts and ideas of the samples of one question; the files of a small run are read once for all of them."""
    if run.manifest.num_total_samples > _MOST_SAMPLES:
        return verdicts_in(run.folder.verdict_table(question_id), run.folder.cluster_table(question_id))
    return verdicts_in(*(_of_question(table, question_id) for table in _judged_tables(run)))


def _of_question(table: pa.Table | None, question_id: str) -> pa.Table | None:
    return None if table is None else table.filter(pc.equal(table["question_id"], question_id))


@cached(LRUCache(maxsize=8), key=version_of("verdicts.parquet", "clusters.parquet"), lock=Lock())
def _judged_tables(run: StoredRun) -> tuple[pa.Table | None, pa.Table | None]:
    return run.folder.verdict_table(), run.folder.cluster_table()


@cached(LRUCache(maxsize=8), key=version_of("tokens.parquet"), lock=Lock())
def token_texts_of(run: StoredRun) -> dict[int, str]:
    """Text by token id, for all questions; nobody changes it."""
    return run.folder.token_texts()


def _by_parts(run: StoredRun) -> tuple[Hashable, ...]:
    return tuple(map(file_version, run.folder.parts.files()))


@cached(LRUCache(maxsize=8), key=_by_parts, lock=Lock())
def _sample_table(run: StoredRun) -> pa.Table:
    return run.folder.parts.read(SAMPLE_SCHEMA.names)


def num_present(run: StoredRun) -> int:
    """Samples that can be read, of a run that may be unfinished."""
    try:
        return _num_present(run)
    except (OSError, HclError):  # damaged: `score` says what is wrong with it
        return 0


@cached(LRUCache(maxsize=_MOST_RUNS), key=_by_parts, lock=Lock())
def _num_present(run: StoredRun) -> int:
    return len(run.folder.parts.read(KEY))


@cached(LRUCache(maxsize=16), key=by_answers, lock=Lock())
def outcomes_of(run: StoredRun) -> ScoredOutcomes:
    """The outcomes of all questions, ready to be scored; raises ``RunFolderError`` if the run has not been judged."""
    return ScoredOutcomes.of(table_of(run), run.manifest.strategy)


@cached(LRUCache(maxsize=32), key=version_of("plausibility.parquet"), lock=Lock())
def plausibility_of(run: StoredRun, question_id: str) -> tuple[float, ...] | None:
    """Plausibility of the answers to one question, by layer; ``None`` if the run has none stored."""
    values = read_plausibility(run.folder, question_id)
    return None if values is None else tuple(plausibility(values))


def _versions(first: StoredRun, second: StoredRun, *others: Hashable) -> Hashable:
    return (by_answers(first), by_answers(second), *others)


@cached(LRUCache(maxsize=32), key=_versions, lock=Lock())
def compare(first: StoredRun, second: StoredRun, weights: Weights, scaling: Scaling) -> RunComparison:
    """The first run against the second, on the questions and layers that both have.

    Raises:
        SettingsError: They have none in common.
        RunFolderError: One has not been judged.
    """
    asked = [[(each.question.id, each.question.text) for each in questions_of(run)] for run in (first, second)]
    return compare_runs((table_of(first), table_of(second)), (asked[0], asked[1]), weights, scaling)
