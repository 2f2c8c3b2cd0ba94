"""Whether a run that came from anywhere is one: its own settings, questions and samples, and nothing else.

What it says of its model cannot be checked without that model. That its samples belong to its settings and questions
can, and is, and so is that no file of it is larger in memory than a run can be.
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

from hcl_core.errors import RunFolderError
from hcl_core.judges.names import judge_stamp
from hcl_core.pipeline.scorer import stamps_of
from hcl_core.pipeline.stored import read_outcomes, sample_cells, stored_measures
from hcl_core.records import StoredQuestion, Weights, first_line
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.metrics import OutcomeTable, score_layers

# Of all files together, unpacked; also the most that one entry of a zip can have without its 64-bit extension. The
# shipped runs have 2 to 11 MB, 25 bytes and more a sample.
MAX_BYTES = 2**31 - 1
# Answers that a run asks for: a table of them is held in memory. The whole of TriviaQA's validation set, 32 layers
# and 50 answers each, is 18 million.
MAX_SAMPLES = 20_000_000
# Deeper than any model, and the cells of a page's intervals: each costs a thousand resampled runs.
MAX_LAYERS, MAX_CELLS = 1_000, 1_000_000
# Far above any vocabulary.
MAX_TOKEN_TEXTS = 2_000_000

DERIVED = ("verdicts.parquet", "clusters.parquet", "layer_scores.parquet", "measures.parquet")

# What the readers of zips and tables raise over bytes that nobody honest wrote.
DAMAGED: tuple[type[Exception], ...] = (
    *(ValueError, KeyError, TypeError, AttributeError, EOFError, NotImplementedError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error, pa.ArrowException, RunFolderError),
)
_UNREADABLE: tuple[type[Exception], ...] = (OSError, *DAMAGED)


def check_run(folder: RunFolder, run_id: str) -> None:
    """Raise ``RunFolderError`` or one of ``DAMAGED`` unless the folder holds a run as this program writes it."""
    try:
        manifest, stored = folder.manifest(), folder.questions()
        _check_manifest(manifest)
        _check_questions(manifest, stored)
        if not manifest.run_id == run_id == manifest.settings.run_id(stored):
            raise ValueError(f"its id is {manifest.run_id}, but its settings and questions do not make that id")
        _check_samples(folder, manifest, stored)
    except RunFolderError as error:  # which names the temporary folder
        raise RunFolderError(str(error).removeprefix(f"{folder.path}: ")) from None
    except OSError as error:  # as Arrow calls it where the bytes are no table
        raise RunFolderError(f"a table cannot be read: {error}") from None


def _check_manifest(manifest: Manifest) -> None:
    """Raise ``ValueError`` where values that are each possible do not fit together, or are no time."""
    if not manifest.settings.exit_layers[-1] <= manifest.num_hidden_layers <= MAX_LAYERS:
        raise ValueError(f"its exit layers go beyond the {manifest.num_hidden_layers} layers of its model")
    if not (math.isfinite(manifest.decode_seconds) and manifest.decode_seconds >= 0):
        raise ValueError(f"its decode_seconds are {manifest.decode_seconds}")


def _check_questions(manifest: Manifest, stored: Sequence[StoredQuestion]) -> None:
    if len({each.question.id for each in stored}) != len(stored):
        raise ValueError("two of its questions have one id")
    if (cells := manifest.num_questions * len(manifest.settings.exit_layers)) > MAX_CELLS:
        raise ValueError(f"it has {cells:,} pairs of a question and a layer; {MAX_CELLS:,} can be held")
    if not 1 <= manifest.num_total_samples <= MAX_SAMPLES:
        raise ValueError(
            f"it asks for {manifest.num_total_samples:,} answers; between 1 and {MAX_SAMPLES:,} can be held"
        )


def _check_samples(folder: RunFolder, manifest: Manifest, stored: Sequence[StoredQuestion]) -> None:
    settings, num_wanted = manifest.settings, manifest.num_total_samples
    parts = sorted((folder.path / "samples").iterdir())
    _check_claims(parts, num_wanted, num_wanted * settings.sampling.max_new_tokens)
    _check_texts(parts, ["answer", "completion_text"])
    table = folder.sample_table()
    table.validate(full=True)
    if sample_cells(table, [each.question.id for each in stored], settings) is None:
        raise ValueError("a sample belongs to no question, layer or number of the run, or stands twice")
    if manifest.finished_at is not None and len(table) != num_wanted:
        raise ValueError(f"it says that it is finished, and has {len(table)} of {num_wanted} samples")
    num_ids, num_logprobs = (pc.list_value_length(table[n]) for n in ("completion_token_ids", "token_logprobs"))
    if not pc.all(pc.equal(num_ids, num_logprobs), min_count=0).as_py():
        raise ValueError("a sample has more or fewer tokens than probabilities")
    if table["completion_token_ids"].combine_chunks().flatten().null_count:
        raise ValueError("a sample has a token without an id")
    if not set(pc.unique(table["finish_reason"].cast(pa.string())).to_pylist()) <= {"stop", "length"}:
        raise ValueError("a sample has an unknown finish_reason")
    _check_answers(table)


def _check_answers(table: pa.Table) -> None:
    """What is judged must be what the model wrote: the first line of its text that is not empty."""
    for answer, text in zip(*(table[name].to_pylist() for name in ("answer", "completion_text")), strict=True):
        if answer != first_line(text):
            raise ValueError(f"the answer {answer[:40]!r} is not the first line of what the model wrote")


def _check_claims(files: Sequence[Path], most_rows: int, most_values: int) -> None:
    """Raise ``ValueError`` where tables say that they are larger than they may be; reads only what they say.

    Repeated values cost a table next to nothing on disk, and everything in memory.
    """
    num_rows = num_bytes = num_values = 0
    for footer in map(pq.read_metadata, files):
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            num_rows, num_bytes = num_rows + group.num_rows, num_bytes + group.total_byte_size
            num_values += max((group.column(place).num_values for place in range(group.num_columns)), default=0)
        if num_rows > most_rows or num_values > most_values or num_bytes > MAX_BYTES:
            raise ValueError("a table is larger than a run's can be")


def _check_texts(files: Sequence[Path], names: list[str]) -> None:
    """Raise ``ValueError`` where texts that are stored once and meant many times would fill the memory."""
    num_bytes = 0
    for file in files:
        for column in pq.read_table(file, columns=names, read_dictionary=names).columns:
            for chunk in column.chunks:
                lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
                num_bytes += pc.sum(lengths.cast(pa.int64())).as_py() or 0
        if num_bytes > MAX_BYTES:
            raise ValueError("a table is larger than a run's can be")


# What can be made again.


def drop_what_does_not_fit(folder: RunFolder) -> None:
    """Delete derived files that are not of this run and its judge, or can't be read."""
    table = _fitting_outcomes(folder)
    if table is None:
        drop: Sequence[str] = DERIVED
    else:
        # They bear no stamp, and are quickly made.
        folder.write_layer_scores(score_layers(table, Weights()))
        drop = () if _has_fitting_measures(folder, table) else ("measures.parquet",)
    if not _has_readable_tokens(folder):
        drop = (*drop, "tokens.parquet")
    for name in drop:
        (folder.path / name).unlink(missing_ok=True)


def _fitting_outcomes(folder: RunFolder) -> OutcomeTable | None:
    """What stored verdicts and clusters say; ``None`` where they are not of exactly these samples and this judge."""
    try:
        manifest = folder.manifest()
        stamps, num_wanted = folder.stamps(), manifest.num_total_samples
        made_by = judge_stamp(manifest.judge) or str(stamps[0]).partition("; run ")[0]
        if stamps != stamps_of(made_by, manifest):
            return None
        _check_claims([folder.path / "verdicts.parquet"], num_wanted, num_wanted)
        _check_claims([folder.path / "clusters.parquet"], num_wanted, num_wanted)
        return read_outcomes(folder) if _are_clean(folder, manifest) else None
    except _UNREADABLE:
        return None


def _are_clean(folder: RunFolder, manifest: Manifest) -> bool:
    """Whether each sample has one verdict of a known kind, and each correct one a cluster of a possible number."""
    verdicts, clusters = folder.verdict_table(), folder.cluster_table()
    if verdicts is None or clusters is None or any(c.null_count for c in (*verdicts.columns, *clusters.columns)):
        return False
    verdicts.validate(full=True)
    clusters.validate(full=True)
    outcomes, numbers = verdicts["outcome"].cast(pa.string()), clusters["cluster_id"].to_numpy()
    if not set(pc.unique(outcomes).to_pylist()) <= {"correct", "incorrect", "not_attempted"}:
        return False
    if ((numbers < 0) | (numbers >= manifest.settings.num_samples)).any():
        return False
    samples = folder.sample_table(["question_id", "exit_layer", "sample_idx"])
    ids = [each.question.id for each in folder.questions()]
    correct = verdicts.filter(pc.equal(outcomes, "correct"))
    pairs = ((samples, verdicts), (correct, clusters))
    return all(_cell_set(one, ids, manifest) == _cell_set(other, ids, manifest) for one, other in pairs)


def _cell_set(table: pa.Table, question_ids: list[str], manifest: Manifest) -> bytes | None:
    """Something that is equal for two tables with rows of the same samples."""
    cells = sample_cells(table, question_ids, manifest.settings)
    shape = (len(question_ids), len(manifest.settings.exit_layers), manifest.settings.num_samples)
    return None if cells is None else np.sort(np.ravel_multi_index(cells, shape)).tobytes()


def _has_fitting_measures(folder: RunFolder, table: OutcomeTable) -> bool:
    try:
        _check_claims([folder.path / "measures.parquet"], len(table.exit_layers), len(table.exit_layers))
        return stored_measures(folder, table) is not None
    except _UNREADABLE:
        return False


def _has_readable_tokens(folder: RunFolder) -> bool:
    file = folder.path / "tokens.parquet"
    try:
        _check_claims([file], MAX_TOKEN_TEXTS, MAX_TOKEN_TEXTS)
        _check_texts([file], ["text"])
        return bool(folder.token_texts())
    except _UNREADABLE:
        return False
