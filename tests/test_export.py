"""A run for other programs: rows that agree with the run, cells that are no formulas, a notebook that runs."""

import csv
import io
import json
import math
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pyarrow.parquet as pq
import pytest
from fake_runs import QUESTIONS, Sitting, write_verdicts

from hcl_core.errors import RunFolderError
from hcl_core.folders import PROGRAM, precomputed_folder
from hcl_core.pipeline.stored import read_outcomes
from hcl_core.records import SampleKey, Verdict, Weights, of_kind
from hcl_core.runs.folder import RunFolder
from hcl_core.scores.intervals import uncertainty
from hcl_core.scores.metrics import score_layers
from hcl_core.transfer import export
from hcl_core.transfer.export import export_csv, export_notebook, export_scores_csv

WRITERS = [export_csv, export_scores_csv, export_notebook]
COLUMNS = [
    "question_id",
    "question",
    "exit_layer",
    "sample_idx",
    "answer",
    "outcome",
    "reason",
    "cluster_id",
    "confidence",
    "finish_reason",
    "num_tokens",
    "completion_text",
]


FORMULAS = [
    *("=1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\u200b=1", "\ufeff=1", "\u3000@SUM(A1)", "\t-39"),
    *("\uff1d1+1", "\uff20SUM(A1)", "\uff0b1+1", "\uff0d2+3", "\ufe661+1", "\x01=1"),
    *("+cmd", "-cmd", "- cmd", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "-2+3", "+49-30", "-39 cmd", "-39\n=1"),
    *("-1e5*2", "-39%+1", "--1", "+-1", "-A1", "- Mars", "+1 (555) 1"),
]
NO_FORMULAS = [
    *("a=1", "a\n=1", "'=1", " -1", "-39", "-1", "+1", "+49 30", "+49 30 123456", "-3.5", "-1,000,000.5", "-1,5 %"),
    *("-40 °C", "-1e-5", "- 39", "\u221239", "\uff0d39", "−=1", "", "49 30"),
]


@pytest.fixture
def folder(finished_copy):
    return finished_copy


@pytest.fixture
def rows(finished, tmp_path):
    export_csv(finished, tmp_path / "run.csv")
    return read(tmp_path / "run.csv")


def read(path):
    """As a program reads a CSV that knows nothing of ours."""
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def scores_of(folder, tmp_path):
    export_scores_csv(folder, tmp_path / "scores.csv")
    return read(tmp_path / "scores.csv")


# Answers.


def test_csv_has_the_columns_in_their_order(rows):
    assert list(rows[0]) == COLUMNS


def test_csv_has_a_row_a_sample_in_the_order_of_keys(rows):
    keys = [(row["question_id"], int(row["exit_layer"]), int(row["sample_idx"])) for row in rows]
    assert keys == [(question.id, layer, idx) for question in QUESTIONS for layer in (1, 2, 3, 4) for idx in range(6)]


def test_csv_has_the_words_of_question_and_sample(rows, finished):
    texts = {question.id: question.text for question in QUESTIONS}
    expected = {each.key: (texts[each.question_id], each.answer, each.completion_text) for each in finished.samples()}
    got = {
        (row["question_id"], int(row["exit_layer"]), int(row["sample_idx"])): (
            row["question"],
            row["answer"],
            row["completion_text"],
        )
        for row in rows
    }
    assert got == expected


def test_csv_has_the_verdicts(rows, finished):
    expected = {
        (row["question_id"], row["exit_layer"], row["sample_idx"]): (row["outcome"], row["reason"])
        for row in finished.verdict_table().to_pylist()
    }
    got = {
        (row["question_id"], int(row["exit_layer"]), int(row["sample_idx"])): (row["outcome"], row["reason"])
        for row in rows
    }
    assert got == expected


def test_csv_has_a_cluster_where_the_answer_is_correct_alone(rows):
    assert {(row["outcome"] == "correct", row["cluster_id"] != "") for row in rows} == {(True, True), (False, False)}


def test_csv_has_the_clusters(rows, finished):
    expected = sorted(
        (row["question_id"], row["exit_layer"], row["sample_idx"], row["cluster_id"])
        for row in finished.cluster_table().to_pylist()
    )
    got = sorted(
        (row["question_id"], int(row["exit_layer"]), int(row["sample_idx"]), int(row["cluster_id"]))
        for row in rows
        if row["cluster_id"]
    )
    assert got == expected


def test_csv_has_the_confidence_of_each_answer(rows):
    # Two tokens of -0.5 and -0.25 a layer.
    expected = [math.exp((-0.5 - 0.25 * int(row["exit_layer"])) / 2) for row in rows]
    assert [float(row["confidence"]) for row in rows] == pytest.approx(expected)


def test_csv_counts_the_tokens(rows):
    assert {row["num_tokens"] for row in rows} == {"2"}


@pytest.mark.parametrize("write", [export_csv, export_scores_csv])
def test_csv_has_the_byte_order_mark_that_excel_needs_unless_it_is_switched_off(finished, tmp_path, write):
    write(finished, tmp_path / "run.csv")
    write(finished, tmp_path / "plain.csv", has_mark=False)
    plain = (tmp_path / "plain.csv").read_bytes()
    assert plain.startswith(b'"') and (tmp_path / "run.csv").read_bytes() == b"\xef\xbb\xbf" + plain


def test_csv_is_read_by_pandas(finished, tmp_path):
    export_csv(finished, tmp_path / "run.csv")
    assert pd.read_csv(tmp_path / "run.csv").shape == (48, 12)


@pytest.mark.parametrize("text", ['a "quoted" one', "a,b;c", "two\nlines", "two\r\nlines", "Vénus 東京 🪐", "\u2028"])
def test_csv_keeps_a_text_as_it_is(folder, tmp_path, text):
    rewrite_first(folder, text)
    export_csv(folder, tmp_path / "run.csv")
    assert read(tmp_path / "run.csv")[0]["completion_text"] == text


@pytest.mark.parametrize("text", FORMULAS)
def test_csv_has_no_cell_that_a_spreadsheet_would_run(folder, tmp_path, text):
    rewrite_first(folder, text)
    export_csv(folder, tmp_path / "run.csv")
    assert read(tmp_path / "run.csv")[0]["completion_text"] == f"'{text}"


@pytest.mark.parametrize("text", NO_FORMULAS)
def test_csv_leaves_alone_what_is_no_formula(folder, tmp_path, text):
    rewrite_first(folder, text)
    export_csv(folder, tmp_path / "run.csv")
    assert read(tmp_path / "run.csv")[0]["completion_text"] == text


def test_csv_has_no_nul_character(folder, tmp_path):
    rewrite_first(folder, "a\0b")
    export_csv(folder, tmp_path / "run.csv")
    assert read(tmp_path / "run.csv")[0]["completion_text"] == "a\ufffdb"


def rewrite_first(folder, text):
    first, *others = folder.samples()
    shutil.rmtree(folder.path / "samples")
    (folder.path / "samples").mkdir()
    folder.append_samples([replace(first, completion_text=text), *others])


def test_csv_of_a_shipped_run_has_all_its_rows(tmp_path):
    shipped = RunFolder(precomputed_folder() / "bd4b906be84cd651")
    export_csv(shipped, tmp_path / "run.csv")
    counted = pd.read_csv(tmp_path / "run.csv", keep_default_na=False).outcome.value_counts().to_dict()
    assert counted == shipped.verdict_table()["outcome"].to_pandas().astype(str).value_counts().to_dict()


def test_csv_of_a_run_that_goes_on_has_the_rows_so_far(tmp_path):
    sitting = Sitting(tmp_path / "run")
    sitting.stop_after(6)
    sitting.scorer.store(sitting.folder)
    export_csv(sitting.folder, tmp_path / "run.csv")
    assert len(read(tmp_path / "run.csv")) == len(sitting.folder.samples()) > 0


def test_csv_of_samples_whose_verdicts_are_missing_is_refused(folder, tmp_path):
    # As many verdicts as samples, but of others.
    folder.write_manifest(replace(folder.manifest(), finished_at=None))
    samples = [each for each in folder.samples() if each.question_id == "planet"]
    shutil.rmtree(folder.path / "samples")
    (folder.path / "samples").mkdir()
    folder.append_samples(samples)
    for name in ("verdicts.parquet", "clusters.parquet"):
        table = pq.read_table(folder.path / name)
        kept = [place for place, each in enumerate(table["question_id"].to_pylist()) if each == "colour"]
        pq.write_table(table.take(kept), folder.path / name)
    with pytest.raises(RunFolderError, match="has samples without a verdict"):
        export_csv(folder, tmp_path / "run.csv")


@pytest.mark.parametrize("verdicts", [None, [Verdict(SampleKey("other", 1, 0), "correct", "")]], ids=["gone", "others"])
def test_csv_of_a_run_whose_verdicts_are_replaced_meanwhile_is_refused(folder, tmp_path, monkeypatch, verdicts):
    outcomes = read_outcomes(folder)
    monkeypatch.setattr(export, "read_outcomes", lambda _: outcomes)
    (folder.path / "verdicts.parquet").unlink()
    if verdicts is not None:
        write_verdicts(folder, verdicts, "judge 1")
    with pytest.raises(RunFolderError, match="is being judged anew: export it when that is done"):
        export_csv(folder, tmp_path / "run.csv")


def test_csv_of_one_question_has_its_rows_alone(finished, tmp_path):
    export_csv(finished, tmp_path / "run.csv", question_id="colour")
    assert {row["question_id"] for row in read(tmp_path / "run.csv")} == {"colour"}
    assert len(read(tmp_path / "run.csv")) == 4 * 6


# Scores.


def test_scores_csv_has_the_scores_of_every_layer(finished, tmp_path):
    got = scores_of(finished, tmp_path)
    expected = [of_kind(asdict(score), is_open=False) for score in score_layers(read_outcomes(finished), Weights())]
    assert [{name: float(row[name]) for name in expected[0]} for row in got] == expected


def test_scores_csv_has_the_intervals_of_every_layer(finished, tmp_path):
    got = scores_of(finished, tmp_path)
    layers = uncertainty(read_outcomes(finished), Weights()).layers
    names = ("hallucination_ci", "creativity_raw_ci", "creativity_ci", "hcb_ci")
    for row, layer in zip(got, layers, strict=True):
        assert [(float(row[f"{name}_low"]), float(row[f"{name}_high"])) for name in names] == [
            getattr(layer, name) for name in names
        ]


def test_scores_csv_says_how_often_each_layer_is_best(finished, tmp_path):
    layers = uncertainty(read_outcomes(finished), Weights()).layers
    assert [float(row["p_optimal"]) for row in scores_of(finished, tmp_path)] == [each.p_optimal for each in layers]


# Notebook.


@pytest.fixture
def made(finished, tmp_path):
    export_notebook(finished, tmp_path / "run.ipynb")
    return nbformat.read(tmp_path / "run.ipynb", as_version=4)


def run_cells(made):
    namespace: dict[str, Any] = {}
    for cell in made.cells:
        if cell.cell_type == "code":
            exec(cell.source, namespace)
    return namespace


def test_notebook_is_valid(made):
    nbformat.validate(made)


def test_notebook_is_the_same_for_the_same_run(made, finished, tmp_path):
    export_notebook(finished, tmp_path / "again.ipynb")
    assert (tmp_path / "again.ipynb").read_bytes() == (tmp_path / "run.ipynb").read_bytes()


def test_notebooks_scores_are_the_runs(made, finished):
    expected = [each.hcb_score for each in score_layers(read_outcomes(finished), Weights())]
    assert run_cells(made)["scores"]["hcb_score"].tolist() == expected


def test_notebooks_intervals_are_the_runs(made, finished):
    expected = [each.p_optimal for each in uncertainty(read_outcomes(finished), Weights()).layers]
    assert run_cells(made)["scores"]["p_optimal"].tolist() == expected


def test_notebooks_figure_has_the_three_curves(made):
    figure = run_cells(made)["figure"]
    assert [curve.name for curve in figure.data if curve.name] == ["Hallucination", "Creativity", "HCB"]


def test_notebooks_answers_are_those_of_one_question(made):
    names = run_cells(made)
    assert names["of_kind"]["count"].sum() == len(names["answers"]) == 4 * 6


def test_notebook_names_no_place_of_the_machine_that_made_it(finished, tmp_path):
    export_notebook(finished, tmp_path / "run.ipynb")
    text = (tmp_path / "run.ipynb").read_text(encoding="utf-8")
    assert not [place for place in (PROGRAM, finished.path.parent, Path.home()) if f"{place}/" in text]


def test_notebook_shows_the_runs_description_as_text(folder, tmp_path):
    manifest = folder.manifest()
    hostile = "<script>alert(1)</script> ```\n# $x$ [a](b)"
    folder.write_manifest(replace(manifest, settings=replace(manifest.settings, model=hostile)))
    export_notebook(folder, tmp_path / "run.ipynb")
    header = nbformat.read(tmp_path / "run.ipynb", as_version=4).cells[0].source
    _, inside, _ = header.split("````")
    assert hostile.replace("\n", "·") in inside


# Both.


@pytest.mark.parametrize("write", WRITERS)
def test_run_that_was_not_judged_is_refused(folder, tmp_path, write):
    (folder.path / "verdicts.parquet").unlink()
    with pytest.raises(RunFolderError, match="has no verdicts, or old ones: judge it first"):
        write(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("write", WRITERS)
def test_no_run_is_refused(tmp_path, write):
    with pytest.raises(RunFolderError, match="holds no run"):
        write(RunFolder(tmp_path), tmp_path / "out")


@pytest.mark.parametrize("write", WRITERS)
def test_place_that_cannot_be_written_to_is_one_named_error(finished, tmp_path, write):
    with pytest.raises(RunFolderError, match="cannot write .*out"):
        write(finished, tmp_path / "none" / "out")


@pytest.mark.parametrize("write", WRITERS)
def test_run_is_only_read(folder, tmp_path, write):
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    write(folder, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before


def test_notebook_is_json_of_the_version_with_cell_ids(finished, tmp_path):
    export_notebook(finished, tmp_path / "run.ipynb")
    written = json.loads((tmp_path / "run.ipynb").read_text(encoding="utf-8"))
    assert (written["nbformat"], written["nbformat_minor"] >= 5) == (4, True)
