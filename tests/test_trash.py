"""Deleted runs come back as they were, until the trash is emptied; nothing else is ever moved or deleted."""

import os
import shutil
import time

import pytest
from conftest import contents

from hcl_core.errors import RunBusyError, RunFolderError
from hcl_core.folders import precomputed_folder
from hcl_core.runs import trash
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.trash import delete_run, empty_trash, restore_run

DAY = 86_400


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def run_id(finished):
    return finished.manifest().run_id


@pytest.fixture
def folder(finished, runs, run_id):
    return RunFolder(shutil.copytree(finished.path, runs / run_id))


# Deleting.


def test_deleted_run_is_gone_from_its_place(folder):
    delete_run(folder)
    assert not folder.path.exists()


def test_deleted_run_is_whole_in_the_trash(folder, finished, runs, run_id):
    delete_run(folder)
    assert contents(runs / ".trash" / run_id) == contents(finished.path)


def test_run_from_elsewhere_goes_to_the_same_trash(finished, tmp_path, runs, run_id):
    elsewhere = RunFolder(shutil.copytree(finished.path, tmp_path / "first"))
    delete_run(elsewhere)
    assert [path.name for path in (runs / ".trash").iterdir()] == [run_id]


def test_run_can_be_deleted_by_a_relative_path(folder, runs, run_id, monkeypatch):
    monkeypatch.chdir(runs)
    monkeypatch.setenv("HCL_RUNS", ".")
    delete_run(RunFolder(folder.path.relative_to(runs)))
    assert (runs / ".trash" / run_id / "manifest.json").exists()


def test_run_that_is_being_written_is_not_deleted(folder):
    with folder.writing(), pytest.raises(RunBusyError, match="another process is writing"):
        delete_run(RunFolder(folder.path))
    assert folder.exists


def test_place_of_a_deleted_run_can_be_written_to(folder):
    delete_run(folder)
    with folder.writing():
        assert not folder.exists


def test_shipped_run_is_not_deleted(runs, tmp_path, finished, monkeypatch):
    shipped = shutil.copytree(finished.path, tmp_path / "precomputed" / "run")
    monkeypatch.setattr(trash, "precomputed_folder", lambda: tmp_path / "precomputed")
    with pytest.raises(RunFolderError, match="comes with the program and can't be deleted"):
        delete_run(RunFolder(shipped))
    assert RunFolder(shipped).exists


def test_link_to_a_shipped_run_does_not_delete_it(runs, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(precomputed_folder() / "0be6b1cadd189061")
    with pytest.raises(RunFolderError, match="comes with the program"):
        delete_run(RunFolder(tmp_path / "link"))


def test_link_to_a_run_is_not_deleted(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder.path)
    with pytest.raises(RunFolderError, match="is a link: give the folder that it leads to"):
        delete_run(RunFolder(tmp_path / "link"))


def test_folder_that_holds_no_run_is_not_deleted(runs, tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(RunFolderError, match="holds no run"):
        delete_run(RunFolder(tmp_path / "notes"))
    assert (tmp_path / "notes").is_dir()


def test_manifest_with_a_path_for_an_id_moves_nothing(folder):
    manifest = folder.path / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace(folder.manifest().run_id, "../../../evil"), encoding="utf-8")
    with pytest.raises(RunFolderError, match="16 hexadecimal digits was wanted"):
        delete_run(folder)


def test_newer_run_replaces_the_older_one_in_the_trash(folder, finished, runs, run_id):
    delete_run(folder)
    newer = RunFolder(shutil.copytree(finished.path, runs / run_id))
    (newer.path / "verdicts.parquet").unlink()
    delete_run(newer)
    assert [path.name for path in (runs / ".trash").iterdir()] == [run_id]
    assert not (runs / ".trash" / run_id / "verdicts.parquet").exists()


def test_run_that_cannot_be_moved_leaves_the_trash_as_it_was(folder, finished, runs, run_id, monkeypatch):
    delete_run(folder)
    newer = RunFolder(shutil.copytree(finished.path, runs / run_id))
    move = trash._move

    def fail(path, target):
        if path == newer.path:
            raise RunFolderError("another disk")
        move(path, target)

    monkeypatch.setattr(trash, "_move", fail)
    with pytest.raises(RunFolderError, match="another disk"):
        delete_run(newer)
    assert [path.name for path in (runs / ".trash").iterdir()] == [run_id]


# Taking back.


def test_restored_run_is_the_same(folder, finished, runs, run_id):
    delete_run(folder)
    assert contents(restore_run(run_id, runs).path) == contents(finished.path)


def test_restored_run_is_in_its_place(folder, runs, run_id):
    delete_run(folder)
    assert restore_run(run_id, runs).path == runs / run_id


def test_restored_run_is_no_longer_in_the_trash(folder, runs, run_id):
    delete_run(folder)
    restore_run(run_id, runs)
    assert list((runs / ".trash").iterdir()) == []


def test_restoring_over_a_run_is_refused(folder, finished, runs, run_id):
    delete_run(folder)
    shutil.copytree(finished.path, runs / run_id)
    with pytest.raises(RunFolderError, match="is there already: the deleted one stays in the trash"):
        restore_run(run_id, runs)
    assert (runs / ".trash" / run_id).is_dir()


def test_restoring_what_was_not_deleted_is_refused(runs):
    with pytest.raises(RunFolderError, match="there is no deleted run 0000000000000000"):
        restore_run("0" * 16, runs)


@pytest.mark.parametrize("run_id", ["", ".", "..", "../0be6b1cadd189061", "/etc", "0BE6B1CADD189061", "0" * 16 + "\n"])
def test_restoring_takes_an_id_and_no_path(runs, run_id):
    with pytest.raises(RunFolderError, match="a run's id of 16 hexadecimal digits was wanted"):
        restore_run(run_id, runs)


def test_link_in_the_trash_is_not_restored(folder, runs):
    (runs / ".trash").mkdir()
    (runs / ".trash" / ("0" * 16)).symlink_to(folder.path)
    with pytest.raises(RunFolderError, match="there is no deleted run"):
        restore_run("0" * 16, runs)


# Emptying.


def deleted_days_ago(path, days):
    then = time.time() - days * DAY
    os.utime(path, (then, then))


@pytest.mark.parametrize(("days", "num_gone"), [(29, 0), (31, 1)])
def test_run_goes_for_good_after_its_time(folder, runs, run_id, days, num_gone):
    delete_run(folder)
    deleted_days_ago(runs / ".trash" / run_id, days)
    assert empty_trash(runs) == num_gone
    assert (runs / ".trash" / run_id).exists() == (not num_gone)


def test_age_is_counted_from_when_it_was_deleted(folder, runs):
    deleted_days_ago(folder.path, 100)
    delete_run(folder)
    assert empty_trash(runs) == 0


def test_everything_goes_at_once_when_asked(folder, runs):
    delete_run(folder)
    assert empty_trash(runs, older_than_days=0) == 1


def test_runs_outside_the_trash_stay(folder, runs):
    deleted_days_ago(folder.path, 100)
    empty_trash(runs)
    assert folder.exists


def test_what_no_deleted_run_is_called_stays(runs):
    (runs / ".trash" / "notes").mkdir(parents=True)
    deleted_days_ago(runs / ".trash" / "notes", 100)
    assert empty_trash(runs) == 0
    assert (runs / ".trash" / "notes").is_dir()


def test_what_a_link_in_the_trash_leads_to_stays(folder, runs):
    (runs / ".trash").mkdir()
    (runs / ".trash" / ("0" * 16)).symlink_to(folder.path)
    deleted_days_ago(folder.path, 100)
    assert empty_trash(runs) == 0
    assert folder.exists


def test_no_trash_is_an_empty_one(runs):
    assert empty_trash(runs) == 0
