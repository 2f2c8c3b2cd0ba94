"""Validate a run folder from an untrusted source.

Checked are: samples, settings and questions belong together, and no file is larger in memory than a run's can be.
Whether samples and plausibility really are of the named model cannot be checked without that model.
"""

import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hcl_core.answer_rules import FIRST_LINE, find_answer_rule
from hcl_core.errors import RunFolderError, SettingsError, cause_of
from hcl_core.ideas.names import num_accepted_ideas
from hcl_core.judges.names import judge_stamp
from hcl_core.judges.person import read_person_verdicts
from hcl_core.pipeline.plausibility import read_plausibility
from hcl_core.pipeline.scorer import stamps_of
from hcl_core.pipeline.stored import read_outcomes, stored_measures
from hcl_core.pipeline.storing import sample_cells, store_layer_scores
from hcl_core.records import OUTCOMES_WITH_IDEA, StoredQuestion, are_open
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.metrics import OutcomeTable
from hcl_core.settings.prompts import PromptTemplate

# Unpacked bytes of all files together, and the most of a zip entry without the 64-bit extension. The shipped runs have
# 2 to 11 MB: 25 bytes a sample and more.
MAX_BYTES = 2**31 - 1
# Samples of a run, whose outcome table is held in memory. The whole validation set of TriviaQA, with 32 layers and 50
# samples each, has 18 million.
MAX_SAMPLES = 20_000_000
# Deeper than any model; and pairs of a question and a layer, each of which the intervals resample a thousand times.
MAX_LAYERS, MAX_CELLS = 1_000, 1_000_000
# More than any vocabulary has.
MAX_TOKEN_TEXTS = 2_000_000

_OF_VERDICTS = ("verdicts.parquet", "clusters.parquet", "layer_scores.parquet", "measures.parquet")
DERIVED = (*_OF_VERDICTS, "plausibility.parquet")
# A person's verdicts, which an export can have with it; a run folder of one's own never has them.
PERSONS = "person_verdicts.json"

# What the readers of zips and tables raise for forged or damaged bytes.
DAMAGED: tuple[type[Exception], ...] = (
    *(ValueError, KeyError, TypeError, AttributeError, EOFError, NotImplementedError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error, pa.ArrowException, RunFolderError, SettingsError),
)
_UNREADABLE: tuple[type[Exception], ...] = (OSError, *DAMAGED)


def check_run(folder: RunFolder, run_id: str) -> None:
    """Raise ``RunFolderError`` or one of ``DAMAGED`` unless the folder holds the run, as this program writes it."""
    try:
        manifest, stored = folder.manifest(), folder.questions()
        _check_manifest(manifest)
        _check_questions(manifest, stored)
        if not manifest.run_id == run_id == manifest.settings.run_id(stored):
            raise ValueError(f"its id is {manifest.run_id}, but its settings and questions do not make that id")
        _check_prompts(manifest.settings.template, stored)
        _check_samples(folder, manifest, stored)
    except RunFolderError as error:  # its message starts with the temporary folder
        raise RunFolderError(str(error).removeprefix(f"{folder.path}: ")) from None
    except OSError as error:  # Arrow raises it for bytes that are no table
        raise RunFolderError(f"a table cannot be read: {cause_of(error)}") from None


def _check_manifest(manifest: Manifest) -> None:
    """Raise ``ValueError`` for layers that the model lacks, or an impossible time."""
    if not manifest.settings.exit_layers[-1] <= manifest.num_hidden_layers <= MAX_LAYERS:
        raise ValueError(f"its exit layers go beyond the {manifest.num_hidden_layers} layers of its model")
    if not (math.isfinite(manifest.decode_seconds) and manifest.decode_seconds >= 0):
        raise ValueError(f"its decode_seconds are {manifest.decode_seconds}")


def _check_questions(manifest: Manifest, stored: Sequence[StoredQuestion]) -> None:
    if len({question.question.id for question in stored}) != len(stored):
        raise ValueError("two of its questions have one id")
    are_open(question.question for question in stored)
    if (cells := manifest.num_questions * len(manifest.settings.exit_layers)) > MAX_CELLS:
        raise ValueError(f"it has {cells:,} pairs of a question and a layer; {MAX_CELLS:,} can be held")
    if not 1 <= manifest.num_total_samples <= MAX_SAMPLES:
        raise ValueError(
            f"it asks for {manifest.num_total_samples:,} answers; between 1 and {MAX_SAMPLES:,} can be held"
        )


def _check_prompts(template: PromptTemplate, stored: Sequence[StoredQuestion]) -> None:
    """Raise ``ValueError`` unless each prompt is what the template makes of the question; a chat format goes around it.

    The run id proves the prompts, and not the questions' texts, which are what people read and judges are given.
    """
    for each in stored:
        message = template.render(each.question.text, wrap_chat=str.strip)
        is_same = message in each.prompt if template.is_chat else message == each.prompt
        if not is_same:
            raise ValueError(
                f"the prompt of question {each.question.id[:40]!r} does not ask {each.question.text[:80]!r}"
            )


def _check_samples(folder: RunFolder, manifest: Manifest, stored: Sequence[StoredQuestion]) -> None:
    settings, num_expected = manifest.settings, manifest.num_total_samples
    parts = sorted((folder.path / "samples").iterdir())
    # Twice as many as the run has: a run with a part that stands twice is told so below.
    _check_sizes(parts, 2 * num_expected, 2 * num_expected * settings.sampling.max_new_tokens)
    _check_texts(parts, ["answer", "completion_text"])
    if bad := folder.bad_parts():
        raise ValueError(f"samples/{bad[0].file.name}: {bad[0].problem}")
    table = folder.sample_table()
    table.validate(full=True)
    if sample_cells(table, [question.question.id for question in stored], settings) is None:
        raise ValueError("a sample belongs to no question, layer or number of the run")
    if manifest.finished_at is not None and len(table) != num_expected:
        raise ValueError(f"it says that it is finished, and has {len(table)} of {num_expected} samples")
    _check_answers(table, settings.answer_rule)


def _check_answers(table: pa.Table, rule_name: str) -> None:
    """Raise ``ValueError`` unless each answer, which is judged, is where the run's rule finds it in the completion."""
    rule = find_answer_rule(rule_name)
    for answer, text in zip(*(table[name].to_pylist() for name in ("answer", "completion_text")), strict=True):
        if answer != rule.answer_in(text):
            where = "the first line" if rule is FIRST_LINE else f"the answer by the rule {rule.name!r}"
            raise ValueError(f"the answer {answer[:40]!r} is not {where} of what the model wrote")


def _check_sizes(files: Sequence[Path], max_rows: int, max_values: int) -> None:
    """Raise ``ValueError`` for tables that are together too large; reads only their metadata.

    A value repeated many times takes little space on disk, and much in memory.
    """
    num_rows = num_bytes = num_values = 0
    for footer in map(pq.read_metadata, files):
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            num_rows, num_bytes = num_rows + group.num_rows, num_bytes + group.total_byte_size
            num_values += max((group.column(index).num_values for index in range(group.num_columns)), default=0)
        if num_rows > max_rows or num_values > max_values or num_bytes > MAX_BYTES:
            raise ValueError("a table is larger than a run's can be")


def _check_texts(files: Sequence[Path], names: list[str]) -> None:
    """Raise ``ValueError`` if texts that are stored once and referred to many times would fill the memory."""
    num_bytes = 0
    for file in files:
        for column in pq.read_table(file, columns=names, read_dictionary=names).columns:
            for chunk in column.chunks:
                lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
                num_bytes += pc.sum(lengths.cast(pa.int64())).as_py() or 0
        if num_bytes > MAX_BYTES:
            raise ValueError("a table is larger than a run's can be")


# Derived files, which can be made again.


def delete_invalid_derived_files(folder: RunFolder) -> None:
    """Delete derived files that are damaged, or not of this run and its judge; write the layer scores anew."""
    table = _valid_outcomes(folder)
    if table is None:
        invalid: Sequence[str] = _OF_VERDICTS
    else:
        # They have no stamp that could be checked, and are quickly made.
        store_layer_scores(folder, table)
        invalid = () if _has_valid_measures(folder, table) else ("measures.parquet",)
    if not _has_valid_plausibility(folder):
        invalid = (*invalid, "plausibility.parquet")
    if not _has_readable_tokens(folder):
        invalid = (*invalid, "tokens.parquet")
    if not _has_valid_persons(folder):
        invalid = (*invalid, PERSONS)
    for name in invalid:
        (folder.path / name).unlink(missing_ok=True)


def _valid_outcomes(folder: RunFolder) -> OutcomeTable | None:
    """The stored outcomes; ``None`` if they are not of exactly these samples and this judge."""
    try:
        manifest = folder.manifest()
        stamps, num_expected = folder.stamps(), manifest.num_total_samples
        made_by = judge_stamp(manifest.judge) or str(stamps[0]).partition("; run ")[0]
        if stamps != stamps_of(made_by, manifest):
            return None
        _check_sizes([folder.path / "verdicts.parquet"], num_expected, num_expected)
        _check_sizes([folder.path / "clusters.parquet"], num_expected, num_expected)
        return read_outcomes(folder) if _are_complete(folder, manifest) else None
    except _UNREADABLE:
        return None


def _are_complete(folder: RunFolder, manifest: Manifest) -> bool:
    """Whether each sample has one verdict with a known outcome, and each sample with an idea a possible number."""
    verdicts, clusters = folder.verdict_table(), folder.cluster_table()
    if verdicts is None or clusters is None:
        return False
    required = verdicts.drop_columns("matched")  # a judge may name no accepted answer
    if any(column.null_count for column in (*required.columns, *clusters.columns)):
        return False
    verdicts.validate(full=True)
    clusters.validate(full=True)
    outcomes, numbers = verdicts["outcome"].cast(pa.string()), clusters["cluster_id"].to_numpy()
    questions = [stored.question for stored in folder.questions()]
    allowed = {"unjudged", "not_attempted"} if are_open(questions) else {"correct", "incorrect", "not_attempted"}
    if not set(pc.unique(outcomes).to_pylist()) <= allowed:
        return False
    most_listed = num_accepted_ideas(manifest.ideas, questions).max(initial=0)
    if ((numbers < 0) | (numbers >= most_listed + manifest.settings.num_samples)).any():
        return False
    samples = folder.sample_table(["question_id", "exit_layer", "sample_idx"])
    ids = [question.id for question in questions]
    with_idea = verdicts.filter(pc.is_in(outcomes, pa.array(OUTCOMES_WITH_IDEA)))
    pairs = ((samples, verdicts), (with_idea, clusters))
    return all(_sorted_cells(first, ids, manifest) == _sorted_cells(second, ids, manifest) for first, second in pairs)


def _sorted_cells(table: pa.Table, question_ids: list[str], manifest: Manifest) -> bytes | None:
    """Bytes that are equal for two tables whose rows are of the same samples; ``None`` if a row is of no sample."""
    cells = sample_cells(table, question_ids, manifest.settings)
    shape = (len(question_ids), len(manifest.settings.exit_layers), manifest.settings.num_samples)
    return None if cells is None else np.sort(np.ravel_multi_index(cells, shape)).tobytes()


def _has_valid_measures(folder: RunFolder, table: OutcomeTable) -> bool:
    try:
        _check_sizes([folder.path / "measures.parquet"], len(table.exit_layers), len(table.exit_layers))
        return stored_measures(folder, table) is not None
    except _UNREADABLE:
        return False


def _has_valid_plausibility(folder: RunFolder) -> bool:
    num_expected = folder.manifest().num_total_samples
    try:
        _check_sizes([folder.path / "plausibility.parquet"], num_expected, num_expected)
        return read_plausibility(folder) is not None
    except _UNREADABLE:
        return False


def _has_valid_persons(folder: RunFolder) -> bool:
    try:
        read_person_verdicts(folder.path / PERSONS, folder.manifest().id)
    except _UNREADABLE:
        return False
    return True


def _has_readable_tokens(folder: RunFolder) -> bool:
    file = folder.path / "tokens.parquet"
    try:
        _check_sizes([file], MAX_TOKEN_TEXTS, MAX_TOKEN_TEXTS)
        _check_texts([file], ["text"])
        return bool(folder.token_texts())
    except _UNREADABLE:
        return False
