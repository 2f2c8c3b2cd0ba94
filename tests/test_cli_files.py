"""export, import, delete and restore as a user meets them."""

import json
import shutil
import sys
import zipfile

import pytest
import typer
from test_cli import assert_one_line_error, command  # noqa: F401  # fixture

from hcl_core.runs.folder import RunFolder


@pytest.fixture
def run_id(finished):
    return finished.manifest().run_id


@pytest.fixture
def work(tmp_path, command):  # noqa: F811
    """The working folder that commands run in."""
    return tmp_path / "work"


@pytest.fixture
def own(finished, work, run_id):
    """A run among the user's own."""
    return RunFolder(shutil.copytree(finished.path, work / "runs" / run_id))


# Export.


@pytest.mark.parametrize(
    ("arguments", "ending", "begins"),
    [
        ([], "zip", b"PK"),
        (["--format", "zip"], "zip", b"PK"),
        (["--format", "csv"], "csv", b'\xef\xbb\xbf"question_id"'),
        (["--format", "scores"], "scores.csv", b'\xef\xbb\xbf"exit_layer"'),
        (["--format", "csv", "--no-bom"], "csv", b'"question_id"'),
        (["--format", "scores", "--no-bom"], "scores.csv", b'"exit_layer"'),
        (["--format", "notebook"], "ipynb", b"{"),
    ],
)
def test_export_writes_a_file_named_by_the_run(command, finished, work, run_id, arguments, ending, begins):  # noqa: F811
    code, out, _ = command("export", finished.path, *arguments)
    assert (code, out.strip()) == (0, f"Saved as {run_id}.{ending}")
    assert (work / f"{run_id}.{ending}").read_bytes().startswith(begins)


def test_export_refuses_no_bom_for_other_formats(command, finished, work):  # noqa: F811
    assert_one_line_error(command("export", finished.path, "--no-bom"), "--no-bom goes with --format csv or scores")


def test_export_writes_where_it_is_told(command, finished, work):  # noqa: F811
    command("export", finished.path, "--out", "mine.zip")
    assert [path.name for path in work.iterdir()] == ["mine.zip"]


def test_export_replaces_no_file(command, finished, work):  # noqa: F811
    (work / "mine.zip").write_text("mine")
    result = command("export", finished.path, "--out", "mine.zip")
    assert_one_line_error(result, "mine.zip exists already: choose another --out, or replace it with --force")
    assert (work / "mine.zip").read_text() == "mine"


def test_export_replaces_a_file_when_told(command, finished, work):  # noqa: F811
    (work / "mine.zip").write_text("mine")
    assert command("export", finished.path, "--out", "mine.zip", "--force")[0] == 0
    assert zipfile.is_zipfile(work / "mine.zip")


def test_export_replaces_no_folder_even_when_told(command, finished, work):  # noqa: F811
    (work / "mine").mkdir()
    assert_one_line_error(command("export", finished.path, "--out", "mine", "--force"), "cannot write mine")


def test_export_of_no_run_is_one_line(command, tmp_path):  # noqa: F811
    assert_one_line_error(command("export", tmp_path / "none"), "holds no run")


def test_export_of_a_run_that_was_not_judged_is_one_line(command, own):  # noqa: F811
    (own.path / "verdicts.parquet").unlink()
    assert_one_line_error(command("export", own.path, "--format", "csv"), "judge it first")


def test_export_knows_its_formats(command, finished):  # noqa: F811
    assert_one_line_error(command("export", finished.path, "--format", "xlsx"), "xlsx")


# Import.


def test_import_takes_what_export_wrote(command, finished, work, run_id):  # noqa: F811
    command("export", finished.path)
    code, out, _ = command("import", f"{run_id}.zip")
    assert (code, out.strip()) == (0, f"Saved in runs/{run_id}")
    assert RunFolder(work / "runs" / run_id).samples() == finished.samples()


def test_import_of_a_run_that_is_there_says_that_it_is_kept(command, finished, own, run_id):  # noqa: F811
    code, out, _ = command("import", finished.path)
    assert (code, out.partition(";")[0]) == (0, f"It was here already, in runs/{run_id}")


def test_imported_run_can_be_scored(command, finished, run_id):  # noqa: F811
    command("import", finished.path)
    assert json.loads(command("score", f"runs/{run_id}", "--json")[1])["run_id"] == run_id


def test_import_of_no_run_is_one_line(command, work):  # noqa: F811
    (work / "notes.txt").write_text("mine")
    assert_one_line_error(command("import", "notes.txt"), "notes.txt is no run that can be taken in")


# Delete and restore.


def test_delete_says_how_to_undo_it(command, own, run_id):  # noqa: F811
    code, out, _ = command("delete", own.path, "--yes")
    assert (code, out.strip()) == (0, f"Deleted. To undo: python -m hcl_core restore {run_id}")
    assert not own.exists


def test_restore_undoes_it(command, own, run_id):  # noqa: F811
    command("delete", own.path, "--yes")
    assert command("restore", run_id)[:2] == (0, f"Restored in runs/{run_id}\n")
    assert own.exists


def test_delete_without_a_terminal_needs_yes(command, own):  # noqa: F811
    assert_one_line_error(command("delete", own.path), "give --yes to delete the run")
    assert own.exists


@pytest.mark.parametrize("is_sure", [True, False])
def test_delete_asks_on_a_terminal(command, own, monkeypatch, is_sure):  # noqa: F811
    asked = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", lambda text, **_: asked.append(text) or is_sure)
    assert command("delete", own.path)[0] == 0
    assert len(asked) == 1
    assert own.exists != is_sure


def test_delete_of_a_shipped_run_is_one_line(command):  # noqa: F811
    from hcl_core.folders import precomputed_folder

    shipped = precomputed_folder() / "0be6b1cadd189061"
    assert_one_line_error(command("delete", shipped, "--yes"), "comes with the program")


def test_delete_of_a_run_under_way_is_one_line(command, own):  # noqa: F811
    with own.writing():
        assert_one_line_error(command("delete", own.path, "--yes"), "another process is writing")


@pytest.mark.parametrize(
    ("run_id", "problem"), [("../evil", "16 hexadecimal digits"), ("0" * 16, "there is no deleted run")]
)
def test_restore_of_what_was_not_deleted_is_one_line(command, run_id, problem):  # noqa: F811
    assert_one_line_error(command("restore", run_id), problem)
