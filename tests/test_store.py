"""The runs of visitors on disk stay below a size: the oldest go, and none that ships or that somebody needs."""

import os
import shutil

import pytest
from fake_runs import finished_run

from app import library
from app.store import RunStore
from hcl_core.errors import RunFolderError
from hcl_core.folders import cache_folder, precomputed_folder, runs_folder, space_storage
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.trash import trash_folder

IDS = [f"{number:016x}" for number in range(1, 6)]


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Five equal runs, each written a second after the one before; the size of one."""
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(library, "_looks", {})
    folder = finished_run(tmp_path / "first")
    run_id = folder.manifest().run_id
    size = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
    for number, name in enumerate(IDS):
        path = runs_folder() / name
        shutil.copytree(folder.path, path)
        manifest = path / "manifest.json"
        manifest.write_text(manifest.read_text().replace(run_id, name))
        os.utime(manifest, (number, number))
    return size


def stored():
    return {path.name for path in runs_folder().iterdir() if not path.name.startswith(".")}


def room_for(number, size, in_use=(), now=1e6):
    """Make room for so many runs, as if the last one had just been written."""
    RunStore(number * size, lambda run_id: run_id in in_use, lambda: now).add(IDS[-1])
    return stored()


def test_while_there_is_room_all_stay(runs):
    assert room_for(5, runs) == set(IDS)


def test_the_oldest_go_and_leave_nothing_behind(runs):
    assert room_for(3, runs) == set(IDS[2:])
    assert not any(trash_folder(runs_folder()).iterdir())
    with pytest.raises(RunFolderError, match="no longer on this machine"):
        library.find_run(IDS[0])


def test_a_run_in_use_stays_and_the_next_goes(runs):
    assert room_for(3, runs, in_use=IDS[:1]) == {IDS[0], *IDS[3:]}


def test_a_run_that_was_looked_at_stays_and_later_is_the_last_to_go(runs, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1e6)
    library.find_run(IDS[0])
    assert room_for(1, runs, now=1e6 + 899) == {IDS[0]}
    library.find_run(IDS[0])


def test_a_look_of_long_ago_keeps_no_run(runs, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1e6)
    library.find_run(IDS[1])
    assert room_for(1, runs, now=1e6 + 901) == {IDS[1]}
    assert room_for(0, runs, now=1e6 + 901) == set()


def test_a_run_that_another_process_writes_stays(runs):
    with RunFolder(runs_folder() / IDS[0]).writing():
        assert room_for(1, runs) == {IDS[0]}


def test_shipped_runs_are_not_counted_and_stay(runs):
    shipped = sorted(path.name for path in precomputed_folder().iterdir())
    assert room_for(0, runs) == set()
    assert sorted(path.name for path in precomputed_folder().iterdir()) == shipped


def test_a_store_knows_what_came_since_it_was_read(runs):
    store = RunStore(5 * runs, lambda _: False, lambda: 1e6)
    store.add(IDS[-1])
    newest = runs_folder() / "00000000000000ff"
    shutil.copytree(runs_folder() / IDS[-1], newest)
    os.utime(newest / "manifest.json", (99, 99))
    store.add(newest.name)
    assert stored() == {*IDS[1:], newest.name}


def test_a_space_with_persistent_storage_keeps_its_files_there(monkeypatch, tmp_path):
    for variable in ("HCL_RUNS", "HCL_CACHE", "SPACE_ID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("hcl_core.folders._SPACE_STORAGE", tmp_path)
    assert space_storage() is None
    monkeypatch.setenv("SPACE_ID", "somebody/something")
    assert (runs_folder(), cache_folder()) == (tmp_path / "runs", tmp_path / "cache")
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "own"))
    assert runs_folder() == tmp_path / "own"
    monkeypatch.delenv("HCL_RUNS")
    monkeypatch.setattr("hcl_core.folders._SPACE_STORAGE", tmp_path / "none")
    assert space_storage() is None and runs_folder().name == "runs"
