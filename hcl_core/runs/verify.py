"""Every file of a run folder read and checked: what is wrong, and what to do about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hcl_core.errors import RunFolderError
from hcl_core.records import StoredQuestion
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.runs.parts import describe_repeat
from hcl_core.runs.tables import CLUSTER_SCHEMA, KEY, PLAUSIBILITY_SCHEMA, TOKEN_SCHEMA, VERDICT_SCHEMA, read_derived
from hcl_core.runs.view import view_id

_TO_SET_ASIDE = "`repair` sets it aside, and the same `run` command samples its answers again"
_DERIVED: dict[str, tuple[pa.Schema | None, str]] = {
    "verdicts.parquet": (VERDICT_SCHEMA, "`score` makes it again"),
    "clusters.parquet": (CLUSTER_SCHEMA, "`score` makes it again"),
    "layer_scores.parquet": (None, "`score` makes it again"),
    "measures.parquet": (None, "`score --measures` makes it again"),
    "plausibility.parquet": (PLAUSIBILITY_SCHEMA, "`score --measures plausibility` makes it again"),
    "tokens.parquet": (TOKEN_SCHEMA, "the answers can be read without it"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a file of a run.

    Attributes:
        file: Its path in the run folder.
        what: What is wrong.
        advice: What to do.
        can_be_set_aside: Whether ``repair`` moves the file away.
    """

    file: str
    what: str
    advice: str
    can_be_set_aside: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {self.what}: {self.advice}"


def verify_run(folder: RunFolder) -> list[Problem]:
    """What is wrong with a run: unreadable files, changed settings or prompts, samples twice or of no question.

    The run id is the hash of the settings and prompts, the id of a view that of accepted answers and judge. Newer
    parts have a checksum of each page too.

    Raises:
        RunFolderError: There is no manifest, or the system refuses to read a file.
    """
    problems = _check_texts(folder)
    if not problems:
        manifest, stored = folder.manifest(), folder.questions()
        problems = list(_check_parts(folder, manifest, stored)) or _check_number(folder, manifest)
    return problems + [
        Problem(name, "it cannot be read", advice, can_be_set_aside=True)
        for name, (schema, advice) in _DERIVED.items()
        if (folder.path / name).exists() and not _can_be_read(folder.path / name, schema)
    ]


def _can_be_read(file: Path, schema: pa.Schema | None) -> bool:
    """Whether a derived table can be read; ``schema`` is ``None`` for one whose columns may differ."""
    try:
        return read_derived(file, schema or pq.read_schema(file)) is not None
    except (pa.ArrowException, OSError):
        return False


def _check_texts(folder: RunFolder) -> list[Problem]:
    """Problems of the manifest and the questions, without which no part can be checked."""
    if not folder.exists:
        folder.manifest()  # raises
    try:
        manifest = folder.manifest()
    except RunFolderError as error:
        advice = "the same `run` command writes it anew; `repair` tries to" if _is_half(folder) else "export it anew"
        return [Problem("manifest.json", _short(error, folder), advice)]
    try:
        stored = folder.questions()
    except RunFolderError as error:
        return [Problem("questions.jsonl", _short(error, folder), "the same `run` command writes it anew")]
    if manifest.settings.run_id(stored) != manifest.run_id:
        what = f"its settings and the questions' prompts do not make its run id, {manifest.run_id}"
        return [Problem("manifest.json", what, "one of them was changed: run it anew in another folder")]
    made_by, questions = folder.stamps()[1], [each.question for each in stored]
    if (
        None not in (manifest.view_id, made_by)
        and view_id(questions, str(made_by), manifest.preset) != manifest.view_id
    ):
        what = f"its right answers and the judge of its verdicts do not make its id, {manifest.view_id}"
        return [Problem("questions.jsonl", what, "one of them was changed: the same `run` command writes it anew")]
    return []


def _is_half(folder: RunFolder) -> bool:
    return folder.half_manifest() is not None


def _short(error: RunFolderError, folder: RunFolder) -> str:
    return str(error).removeprefix(f"{folder.path}: ").partition(": the same `run`")[0]


def _check_parts(folder: RunFolder, manifest: Manifest, stored: Sequence[StoredQuestion]) -> Iterator[Problem]:
    bad = {part.file: part.problem for part in folder.bad_parts()}
    ids = pa.array([each.question.id for each in stored])
    repeating = folder.parts.repeating()
    for file in folder.parts.files():
        name = f"samples/{file.name}"
        if file in bad:
            yield Problem(name, bad[file], _TO_SET_ASIDE, can_be_set_aside=True)
        elif file in repeating:
            what = describe_repeat(file, repeating[file]).partition(" ")[2]
            yield Problem(name, f"it {what}", _TO_SET_ASIDE, can_be_set_aside=True)
        elif not _are_of_run(folder.parts.read_part(file, KEY), ids, manifest):
            what = "it has a sample of no question, layer or number of the run"
            yield Problem(name, what, _TO_SET_ASIDE, can_be_set_aside=True)


def _are_of_run(keys: pa.Table, question_ids: pa.Array, manifest: Manifest) -> bool:
    settings = manifest.settings
    checks = (
        pc.is_in(keys["question_id"].cast(pa.string()), question_ids),
        pc.is_in(keys["exit_layer"], pa.array(settings.exit_layers, pa.int16())),
        pc.greater_equal(keys["sample_idx"], 0),
        pc.less(keys["sample_idx"], settings.num_samples),
    )
    return all(pc.all(check, min_count=0).as_py() for check in checks)


def _check_number(folder: RunFolder, manifest: Manifest) -> list[Problem]:
    """The problem of a run that is marked as finished and lacks samples."""
    num_samples = len(folder.sample_table(KEY))
    if manifest.finished_at is None or num_samples == manifest.num_total_samples:
        return []
    what = f"the run is marked as finished and has {num_samples} of {manifest.num_total_samples} samples"
    return [Problem("manifest.json", what, "the same `run` command samples the missing answers")]
