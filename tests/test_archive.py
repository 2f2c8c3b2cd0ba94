"""A run as a zip file: packed and taken in again it is the same run."""

import shutil
import zipfile
from dataclasses import replace

import pytest
from conftest import contents
from fake_runs import Sitting
from zipped_runs import assert_refused, edit_json, entries_of, unpacked, write_zip

from hcl_core.errors import RunFolderError
from hcl_core.folders import precomputed_folder
from hcl_core.runs.folder import RunFolder
from hcl_core.transfer import packing
from hcl_core.transfer.packing import pack_run
from hcl_core.transfer.unpacking import unpack_run

DERIVED = {"verdicts.parquet", "clusters.parquet", "layer_scores.parquet"}
SHIPPED = RunFolder(precomputed_folder() / "0be6b1cadd189061")


@pytest.fixture
def folder(finished_copy):
    return finished_copy


# There and back.


def test_packed_and_unpacked_run_has_the_same_files(finished, zipped, into):
    assert contents(unpacked(zipped, into).path) == contents(finished.path)


def test_shipped_run_comes_back_the_same(tmp_path, into):
    pack_run(SHIPPED, tmp_path / "run.zip")
    assert contents(unpacked(tmp_path / "run.zip", into).path) == contents(SHIPPED.path)


def test_unpacked_run_is_named_by_its_id(finished, zipped, into):
    unpacked(zipped, into)
    assert [path.name for path in into.iterdir()] == [finished.manifest().run_id]


def test_packing_twice_gives_the_same_bytes(folder, finished, zipped, tmp_path):
    for file in sorted(folder.path.rglob("*"), reverse=True):
        file.touch()
    pack_run(folder, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == zipped.read_bytes()


def test_zip_holds_the_runs_files_alone(folder, tmp_path):
    for name in ("notes.txt", ".lock", "samples/notes.txt", "samples/.part-00009.parquet.1.tmp"):
        (folder.path / name).write_text("mine")
    pack_run(folder, tmp_path / "run.zip")
    run_id = folder.manifest().run_id
    names = {name.removeprefix(f"{run_id}/") for name, _ in entries_of(tmp_path / "run.zip")}
    parts = {f"samples/part-0000{number}.parquet" for number in range(4)}
    optional = {name for name in ("tokens.parquet",) if (folder.path / name).exists()}
    assert names == {"manifest.json", "questions.jsonl"} | parts | DERIVED | optional


def test_packing_leaves_the_run_as_it_is(folder, finished, tmp_path):
    pack_run(folder, tmp_path / "run.zip")
    assert {path.name for path in folder.path.iterdir()} == {path.name for path in finished.path.iterdir()}


def test_run_that_goes_on_comes_back_unfinished(tmp_path, into):
    sitting = Sitting(tmp_path / "run")
    sitting.stop_after(5)
    pack_run(sitting.folder, tmp_path / "run.zip")
    assert unpacked(tmp_path / "run.zip", into).samples() == sitting.folder.samples()


def test_run_that_ends_while_it_is_packed_is_packed_as_unfinished(folder, tmp_path, into, monkeypatch):
    folder.write_manifest(replace(folder.manifest(), finished_at=None))
    pack_file = packing._pack_file

    def pack_and_finish(opened, file, name):
        pack_file(opened, file, name)
        folder.finish("2026-01-01T00:00:00+00:00")

    monkeypatch.setattr(packing, "_pack_file", pack_and_finish)
    pack_run(folder, tmp_path / "run.zip")
    assert unpacked(tmp_path / "run.zip", into).manifest().finished_at is None


def test_packing_no_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="holds no run"):
        pack_run(RunFolder(tmp_path), tmp_path / "run.zip")


def test_packing_to_nowhere_is_one_named_error(finished, tmp_path):
    with pytest.raises(RunFolderError, match="cannot write .*run.zip: No such file or directory"):
        pack_run(finished, tmp_path / "none" / "run.zip")


def test_packing_too_many_files_is_refused(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    with pytest.raises(RunFolderError, match="too large for one zip file"):
        pack_run(finished, tmp_path / "run.zip")
    assert list(tmp_path.iterdir()) == []


def test_manifest_with_a_path_for_an_id_is_not_packed(folder, tmp_path):
    edit_json(folder.path / "manifest.json", run_id="../../evil")
    with pytest.raises(RunFolderError, match="16 hexadecimal digits was wanted; got '../../evil'"):
        pack_run(folder, tmp_path / "run.zip")


# Where the files stand.


def test_files_at_the_root_of_a_zip_are_taken(finished, zipped, tmp_path, into):
    bare = [(name.partition("/")[2], content) for name, content in entries_of(zipped)]
    taken = unpacked(write_zip(tmp_path / "bare.zip", bare), into)
    assert contents(taken.path) == contents(finished.path)


def test_zip_with_entries_for_folders_is_taken(finished, zipped, tmp_path, into):
    run_id = finished.manifest().run_id
    entries = [(f"{run_id}/", b""), (f"{run_id}/samples/", b""), *entries_of(zipped)]
    assert unpacked(write_zip(tmp_path / "folders.zip", entries), into).samples() == finished.samples()


@pytest.mark.parametrize("above", ["", "within"])
def test_a_folder_is_taken_like_a_zip(finished, tmp_path, into, above):
    shutil.copytree(finished.path, tmp_path / "source" / above)
    assert contents(unpacked(tmp_path / "source", into).path) == contents(finished.path)


def test_lock_and_leftovers_of_a_run_folder_stay_behind(folder, finished, into):
    for name in (".lock", "samples/.part-00009.parquet.1.tmp"):
        (folder.path / name).write_bytes(b"")
    assert set(contents(unpacked(folder.path, into).path)) == set(contents(finished.path))


def test_source_is_left_as_it_is(folder, finished, into):
    (folder.path / "measures.parquet").write_bytes(b"junk")
    unpacked(folder.path, into)
    assert set(contents(folder.path)) == {*contents(finished.path), "measures.parquet"}


def test_run_that_is_there_already_is_left_as_it_is(zipped, into):
    taken = unpacked(zipped, into)
    (taken.path / "verdicts.parquet").unlink()
    assert unpacked(zipped, into).path == taken.path
    assert not (taken.path / "verdicts.parquet").exists()


@pytest.mark.parametrize("kind", ["file", "folder", "other run"])
def test_what_is_no_such_run_is_in_the_way(finished, folder, zipped, into, kind):
    target = into / finished.manifest().run_id
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
    else:
        edit_json(folder.path / "manifest.json", run_id="0" * 16)
        shutil.copytree(folder.path, target)
    with pytest.raises(RunFolderError, match="is in the way, and is not run"):
        unpacked(zipped, into)
    assert list(into.iterdir()) == [target]


def test_missing_source_is_refused(tmp_path, into):
    assert_refused(tmp_path / "none.zip", into, "none.zip is no run that can be taken in: there is no such file")


def test_place_that_cannot_be_written_to_is_one_named_error(zipped, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFolderError, match="cannot unpack .*run.zip into .*file: File exists"):
        unpacked(zipped, tmp_path / "file")


def test_import_says_whether_it_stored_the_run(zipped, into):
    assert [unpack_run(zipped, into).is_new for _ in range(2)] == [True, False]


def test_part_of_six_digits_goes_there_and_back(folder, finished, tmp_path, into):
    (folder.path / "samples" / "part-00003.parquet").rename(folder.path / "samples" / "part-100000.parquet")
    pack_run(folder, tmp_path / "run.zip")
    assert unpacked(tmp_path / "run.zip", into).samples() == finished.samples()


def test_files_set_aside_are_neither_packed_nor_taken(folder, finished, tmp_path, into):
    (folder.path / "set_aside").mkdir()
    (folder.path / "set_aside" / "part-00009.parquet").write_text("junk")
    pack_run(folder, tmp_path / "run.zip")
    assert not any("set_aside" in name for name, _ in entries_of(tmp_path / "run.zip"))
    assert set(contents(unpacked(folder.path, into).path)) == set(contents(finished.path))


def test_part_that_stands_twice_is_refused(folder, into):
    shutil.copy(folder.path / "samples" / "part-00001.parquet", folder.path / "samples" / "part-00004.parquet")
    problem = "part-00004.parquet has samples of part-00001.parquet a second time: `repair` sets the later part aside"
    folder.write_manifest(replace(folder.manifest(), finished_at=None))
    assert_refused(folder.path, into, problem)


def test_damaged_run_is_not_packed(folder, tmp_path):
    (folder.path / "samples" / "part-00002.parquet").write_bytes(b"junk")
    with pytest.raises(RunFolderError, match=r"part-00002\.parquet is damaged .*give the same `run` command again"):
        pack_run(folder, tmp_path / "run.zip")


@pytest.mark.parametrize("name", ["MAX_BYTES", "MAX_TEXT_BYTES"])
def test_run_that_import_would_refuse_for_its_size_is_not_packed(folder, tmp_path, monkeypatch, name):
    monkeypatch.setattr(packing, name, {"questions.jsonl": 99} if name == "MAX_TEXT_BYTES" else 99)
    with pytest.raises(RunFolderError, match="[0-9,]+ bytes; import takes 99 of them: copy the folder instead"):
        pack_run(folder, tmp_path / "run.zip")
