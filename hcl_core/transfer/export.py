"""Export a run for other programs: its answers and its scores as CSV, and a notebook that reads the run."""

import codecs
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from hcl_core.atomic import exported_file
from hcl_core.errors import RunFolderError
from hcl_core.pipeline.overrule import JudgedQuestion, overruled_outcomes
from hcl_core.pipeline.stored import read_outcomes
from hcl_core.pipeline.storing import sample_cells
from hcl_core.records import LayerScore, Weights, of_kind
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.tables import mean_logprobs
from hcl_core.scores.intervals import LayerIntervals, uncertainty
from hcl_core.scores.metrics import OutcomeTable, answer_probabilities, score_layers
from hcl_core.transfer import notebook
from hcl_core.transfer.packing import packed_run

# What a spreadsheet reads as a formula: a sign at the start, in full width or small form too, whatever invisible letter
# stand before it; and a tab or carriage return at the start, which some programs drop. After OWASP, "CSV injection".
_INVISIBLE = r"[\s\x00-\x1f\x{a0}\x{ad}\x{180e}\x{2000}-\x{200f}\x{2028}-\x{202f}\x{205f}-\x{2064}\x{3000}\x{feff}]"
_MINUS_OR_PLUS = r"[+\-\x{ff0b}\x{ff0d}\x{fe62}\x{fe63}]"
_FORMULA = rf"\A(?:[\t\r]|{_INVISIBLE}*(?:[=@\x{{ff1d}}\x{{ff20}}\x{{fe66}}\x{{fe6b}}]|{_MINUS_OR_PLUS}))"
# A number with a sign is none: -39, +49 30, -1,5 %, -40 °C, -1e-5.
_SIGNED_NUMBER = (
    rf"\A[ \x{{a0}}]*{_MINUS_OR_PLUS} ?\d[\d \x{{a0}}\x{{202f}}]*(?:[.,]\d+)*(?:[eE][+\-]?\d+)? ?(?:%|°[CF]?)?\z"
)
# Bytes of a run's files that a notebook carries, a third more as text. One question of 15 layers and 50
# samples has 36 kB.
MAX_CARRIED_BYTES = 2**20
# No person's verdicts on any question.
NOBODYS: Mapping[int, JudgedQuestion] = {}
_JUDGED_ANEW = "{} is being judged anew: export it when that is done"


def export_csv(
    folder: RunFolder,
    target: Path,
    has_mark: bool = True,
    overruled: Mapping[int, JudgedQuestion] = NOBODYS,
    question_id: str | None = None,
) -> None:
    """Write a row a sample, in the order of questions, layers and samples; UTF-8.

    The columns are question_id, question, exit_layer, sample_idx, answer, outcome, reason, cluster_id (empty unless
    correct), confidence (in (0, 1]), finish_reason, num_tokens and completion_text; of open questions also plausibility
    (in [0, 1]; empty where it is not known), and cluster_id is the idea of each attempt. A text that begins with one of
    ``= + - @`` gets an apostrophe before it, unless it is a number: a spreadsheet would run it as a formula, and the
    text comes from a model or from another person.

    With a person's verdicts, outcome and cluster_id are what these leave, and three columns follow: judge_outcome (what
    the judge had said, by the rule in reason), judged_by (``judge`` or ``person``), and overruled (``true`` where they
    disagree).

    Args:
        folder: A judged run.
        target: The file; replaced if it exists.
        has_mark: Whether the file begins with a byte order mark, without which Excel takes it for Windows-1252.
        overruled: Questions on which a person has given verdicts, see ``pipeline.overrule.overruled_questions``.
        question_id: The one question whose answers are written; ``None`` for all.

    Raises:
        RunFolderError: The run has not been judged, is damaged, or ``target`` can't be written.
    """
    answers = answer_table(folder, overruled)
    if question_id is not None:
        answers = answers.filter(pc.equal(answers["question_id"], question_id))
    _write_csv(answers, target, has_mark)


def export_scores_csv(
    folder: RunFolder, target: Path, has_mark: bool = True, overruled: Mapping[int, JudgedQuestion] = NOBODYS
) -> None:
    """Write a row an exit layer: the fields of ``LayerScore``, then those of ``LayerIntervals``; weights are equal.

    Each bound of an interval has a column, such as ``hcb_ci_low`` and ``hcb_ci_high``. A missing score is empty. With a
    person's verdicts, the scores are those that they leave, and num_overruled counts a layer's overruled answers.

    Args:
        folder: A judged run.
        target: The file; replaced if it exists.
        has_mark: As in ``export_csv``.
        overruled: As in ``export_csv``.

    Raises:
        RunFolderError: The run has not been judged, is damaged, or ``target`` can't be written.
    """
    outcomes, weights = judged_outcomes(folder), Weights()
    if overruled:
        outcomes = overruled_outcomes(outcomes, overruled, folder.manifest())
    scores, layers = score_layers(outcomes, weights), uncertainty(outcomes, weights).layers
    table = score_table(scores, layers, outcomes.is_open)
    if overruled:
        of_layers = [
            key.exit_layer
            for judged in overruled.values()
            for key, each in judged.verdicts.items()
            if each.is_overruled
        ]
        counts = pa.array([of_layers.count(layer) for layer in table["exit_layer"].to_pylist()])
        table = table.append_column("num_overruled", counts)
    _write_csv(table, target, has_mark)


def write_scores(
    scores: Sequence[LayerScore],
    layers: Sequence[LayerIntervals],
    is_open: bool,
    target: Path,
    has_mark: bool = True,
) -> None:
    """Write scores as ``export_scores_csv`` does.

    Args:
        scores: One an exit layer.
        layers: Their intervals.
        is_open: Whether the questions are open.
        target: The file; replaced if it exists.
        has_mark: As in ``export_csv``.

    Raises:
        RunFolderError: ``target`` can't be written.
    """
    _write_csv(score_table(scores, layers, is_open), target, has_mark)


def export_notebook(folder: RunFolder, target: Path) -> None:
    """Write a Jupyter notebook that shows the run's scores, intervals and answers.

    To run, on any machine, the notebook needs Jupyter and this program. A run of at most
    ``MAX_CARRIED_BYTES`` is in the notebook; a larger one has to be beside it, or among the program's own runs.

    Args:
        folder: A judged run.
        target: The file; replaced if it exists.

    Raises:
        RunFolderError: The run has not been judged, is damaged, or ``target`` can't be written.
    """
    judged_outcomes(folder)
    manifest, stored = folder.manifest(), folder.questions()
    text = notebook.notebook_text(manifest, stored[0].question.id, packed_run(folder, MAX_CARRIED_BYTES))
    with exported_file(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def judged_outcomes(folder: RunFolder) -> OutcomeTable:
    """The stored outcomes; raises ``RunFolderError`` if the run's judge, in its present version, has not judged it."""
    table = read_outcomes(folder)
    if table is None:
        raise RunFolderError(
            f"{folder.path} has no verdicts, or old ones: judge it first, with python -m hcl_core score {folder.path}"
        )
    return table


def answer_table(folder: RunFolder, overruled: Mapping[int, JudgedQuestion] = NOBODYS) -> pa.Table:
    """The rows of ``export_csv``, with unchanged texts.

    Raises:
        RunFolderError: The run has not been judged, or is damaged.
    """
    outcomes = judged_outcomes(folder)
    num_layers, num_samples = outcomes.outcomes.shape[1:]
    samples, verdicts, clusters = folder.sample_table(), folder.verdict_table(), folder.cluster_table()
    if verdicts is None or clusters is None:
        raise RunFolderError(_JUDGED_ANEW.format(folder.path))
    questions = [stored.question for stored in folder.questions()]
    cells = _cells(folder, samples)
    order = np.argsort(cells)
    samples, cells = samples.take(order), cells[order]
    verdict_rows = pc.index_in(pa.array(cells), value_set=pa.array(_cells(folder, verdicts)))
    cluster_rows = pc.index_in(pa.array(cells), value_set=pa.array(_cells(folder, clusters)))
    if verdict_rows.null_count:
        raise RunFolderError(f"{folder.path} has samples without a verdict: python -m hcl_core score {folder.path}")
    question_indices = cells // (num_layers * num_samples)
    made = pa.table(
        {
            "question_id": samples["question_id"],
            "question": pa.array([question.text for question in questions]).take(pa.array(question_indices)),
            "exit_layer": samples["exit_layer"],
            "sample_idx": samples["sample_idx"],
            "answer": samples["answer"],
            "outcome": verdicts["outcome"].take(verdict_rows),
            "reason": verdicts["reason"].take(verdict_rows),
            "cluster_id": clusters["cluster_id"].take(cluster_rows),
            "confidence": pa.array(np.exp(mean_logprobs(samples))),
            "finish_reason": samples["finish_reason"],
            "num_tokens": pc.list_value_length(samples["completion_token_ids"]),
            "completion_text": samples["completion_text"],
        }
    )
    if not outcomes.is_open:
        return _with_person(made, cells, outcomes, overruled) if overruled else made
    plausible = pa.array(answer_probabilities(outcomes).ravel()[cells], from_pandas=True)  # NaN becomes empty
    return made.append_column("plausibility", plausible)


def _with_person(
    made: pa.Table, cells: NDArray[np.int64], table: OutcomeTable, overruled: Mapping[int, JudgedQuestion]
) -> pa.Table:
    """``made``, whose rows are of the ascending ``cells``, with a person's verdicts and the columns that say so."""
    judge_outcomes = made["outcome"].cast(pa.string()).to_pylist()
    outcomes, ideas = list(judge_outcomes), made["cluster_id"].to_pylist()
    by_person, is_overruled = [False] * len(made), [False] * len(made)
    columns = {layer: column for column, layer in enumerate(table.exit_layers)}
    for place, judged in overruled.items():
        keys = list(judged.verdicts)
        of_keys = ([place] * len(keys), [columns[key.exit_layer] for key in keys], [key.sample_idx for key in keys])
        rows = np.searchsorted(cells, np.ravel_multi_index(of_keys, table.outcomes.shape))
        for row, key in zip(rows.tolist(), keys, strict=True):
            verdict = judged.verdicts[key]
            outcomes[row], ideas[row] = verdict.outcome, judged.ideas.get(key)
            by_person[row], is_overruled[row] = verdict.judge_outcome is not None, verdict.is_overruled
    for name, values in (("outcome", outcomes), ("cluster_id", ideas)):
        place = made.column_names.index(name)
        made = made.set_column(place, name, pa.array(values, pa.string() if name == "outcome" else pa.int32()))
    judged_by = pc.if_else(pa.array(by_person), "person", "judge")
    added = {"judge_outcome": pa.array(judge_outcomes), "judged_by": judged_by, "overruled": pa.array(is_overruled)}
    for name, column in added.items():
        made = made.append_column(name, column)
    return made


def score_table(scores: Sequence[LayerScore], layers: Sequence[LayerIntervals], is_open: bool) -> pa.Table:
    """The rows of ``write_scores``."""
    rows = []
    for score, layer in zip(scores, layers, strict=True):
        row: dict[str, float] = of_kind(asdict(score), is_open)
        for name, value in of_kind(asdict(layer), is_open).items():
            row |= {f"{name}_low": value[0], f"{name}_high": value[1]} if isinstance(value, tuple) else {name: value}
        rows.append({name: None if math.isnan(value) else value for name, value in row.items()})
    return pa.Table.from_pylist(rows)


def _cells(folder: RunFolder, table: pa.Table) -> NDArray[np.int64]:
    """Index of each row among all samples of the run, in the order of questions, layers and samples: ``[n]``."""
    ids, settings = [stored.question.id for stored in folder.questions()], folder.manifest().settings
    cells = sample_cells(table, ids, settings)
    if cells is None:
        raise RunFolderError(_JUDGED_ANEW.format(folder.path))
    shape = (len(ids), len(settings.exit_layers), settings.num_samples)
    indices: NDArray[np.int64] = np.ravel_multi_index(cells, shape).astype(np.int64)
    return indices


def _write_csv(table: pa.Table, target: Path, has_mark: bool) -> None:
    with exported_file(target) as temporary, temporary.open("wb") as opened:
        if has_mark:
            opened.write(codecs.BOM_UTF8)
        write_table(table, opened)


def write_table(table: pa.Table, opened: BinaryIO) -> None:
    """Write ``table`` as CSV in UTF-8 whose cells no spreadsheet takes for formulas."""
    columns = {name: _cell_texts(table[name]) for name in table.column_names}
    pa_csv.write_csv(pa.table(columns), opened)


def _cell_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as a spreadsheet may read it: no formulas, and no NUL character, at which programs stop reading."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(pa.string())
    if not pa.types.is_string(column.type):
        return column
    column = pc.replace_substring(column, "\0", "\ufffd")
    is_formula = pc.and_not(
        pc.match_substring_regex(column, _FORMULA), pc.match_substring_regex(column, _SIGNED_NUMBER)
    )
    return pc.if_else(is_formula, pc.binary_join_element_wise("'", column, ""), column)
