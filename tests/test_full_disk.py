"""A full or read-only disk: one line that says what to do, nothing half-written, and the same command goes on."""

import errno
import logging
import os
import shutil
import subprocess

import numpy as np
import pytest
from conftest import FakeEmbedder, contents
from fake_runs import Sitting
from test_cli import assert_one_line_error, command  # noqa: F401  # fixture

from hcl_core.atomic import atomic_file, atomic_folder, exported_file, lock_for, new_file
from hcl_core.errors import DiskError, HclError, RunReadOnlyError
from hcl_core.judges.alias import AliasJudge
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.stored import rescore
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.repair import repair_run
from hcl_core.runs.trash import delete_run
from hcl_core.transfer.export import export_csv, export_notebook, export_scores_csv
from hcl_core.transfer.packing import pack_run
from hcl_core.transfer.unpacking import unpack_run

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail_at_write(monkeypatch, number, error=FULL):
    """The file of that number, from 0, cannot be written; what was written before stays."""
    written = []
    sync = os.fsync

    def fail(descriptor):
        written.append(descriptor)
        if len(written) == number + 1:
            raise error
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    return written


def num_writes_of_a_run(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        written = fail_at_write(patch, 10_000)
        Sitting(tmp_path / "counted").finish()
    return len(written)


def test_run_goes_on_after_any_write_that_failed(tmp_path, monkeypatch):
    num_writes = num_writes_of_a_run(tmp_path, monkeypatch)
    whole = RunFolder(tmp_path / "counted").samples()
    assert num_writes > 12
    for number in range(num_writes):
        path = tmp_path / str(number)
        with (
            monkeypatch.context() as patch,
            pytest.raises(DiskError, match="free some space, and the same command goes"),
        ):
            fail_at_write(patch, number)
            Sitting(path).finish()
        Sitting(path).finish()
        assert sorted(RunFolder(path).samples(), key=str) == sorted(whole, key=str)
        assert not list(path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EROFS, "where it can be written"),
        (errno.EACCES, "where it can be written"),
        (errno.EIO, "where it can be written"),
    ],
)
@pytest.mark.parametrize("write", [atomic_file, new_file, exported_file, atomic_folder])
def test_every_way_to_write_names_the_file_and_what_to_do(tmp_path, monkeypatch, write, number, advice):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    # Before anything is written: making a folder, or opening a file.
    monkeypatch.setattr(os, "mkdir", fail)
    monkeypatch.setattr(os, "fsync", fail)
    target = tmp_path / "target"
    with (
        pytest.raises(DiskError, match=f"cannot write .*target: {os.strerror(number)}: {advice}"),
        write(target) as made,
    ):
        made.write_text("content")


def test_error_of_another_library_that_quotes_the_system_is_a_full_disk(tmp_path):
    # As safetensors does, whose error is no OSError.
    with pytest.raises(DiskError, match="free some space"), atomic_file(tmp_path / "target"):
        raise RuntimeError(f"Error while serializing: I/O error: {os.strerror(errno.ENOSPC)} (os error 28)")


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "No such file"), ZeroDivisionError()], ids=repr)
def test_other_errors_pass_unchanged(tmp_path, error):
    with pytest.raises(type(error)) as caught, atomic_file(tmp_path / "target"):
        raise error
    assert caught.value is error


def test_scores_of_a_full_disk_are_shown_and_not_stored(finished_copy, monkeypatch, caplog):
    (finished_copy.path / "verdicts.parquet").unlink()
    before = contents(finished_copy.path)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        fail_at_write(patch, 0)
        table = rescore(finished_copy, AliasJudge(), Embeddings(FakeEmbedder)).table
    assert (table.outcomes >= -2).all()
    assert "its verdicts are not stored" in caplog.text
    assert contents(finished_copy.path) == before


@pytest.mark.parametrize("write", [pack_run, export_csv, export_scores_csv, export_notebook])
def test_export_to_a_full_disk_leaves_no_file(finished, tmp_path, monkeypatch, write):
    with monkeypatch.context() as patch, pytest.raises(DiskError, match="cannot write .*run.out"):
        fail_at_write(patch, 0)
        write(finished, tmp_path / "run.out")
    assert list(tmp_path.iterdir()) == []


def test_export_of_a_page_to_a_full_disk_leaves_no_file(finished, tmp_path, monkeypatch):
    from app.export import export_page
    from app.language import Translator
    from app.library import StoredRun

    with monkeypatch.context() as patch, pytest.raises(DiskError, match="cannot write .*page.html"):
        fail_at_write(patch, 0)
        export_page(StoredRun(finished, finished.manifest(), False), tmp_path / "page.html", Translator())
    assert list(tmp_path.iterdir()) == []


# Real file systems, which only root can mount.


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path]
    if shutil.which("mount") is None or subprocess.run(options, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(path):
    with (path / "filler").open("wb", buffering=0) as opened:
        try:
            while True:
                opened.write(bytes(4096))
        except OSError:
            return


def make_read_only(path):
    subprocess.run(["mount", "-o", "remount,ro", path], check=True)


@pytest.mark.parametrize("spoil", [fill, make_read_only])
def test_show_reads_a_run_on_a_spoilt_disk(small_disk, finished, command, spoil):  # noqa: F811
    shutil.copytree(finished.path, small_disk / "run")
    (small_disk / "run" / "verdicts.parquet").unlink()
    spoil(small_disk)
    code, out, err = command("show", small_disk / "run")
    assert code == 0
    assert "Name a planet." in out
    assert "are not stored" in " ".join(err.split())


@pytest.mark.parametrize("spoil", [fill, make_read_only])
@pytest.mark.parametrize(
    "work",
    [
        lambda disk, finished: Sitting(disk / "run").finish(),
        lambda disk, finished: pack_run(finished, disk / "run.zip"),
        lambda disk, finished: unpack_run(finished.path, disk / "runs"),
        lambda disk, finished: repair_run(RunFolder(disk / "damaged")),
    ],
    ids=["run", "export", "import", "repair"],
)
def test_work_on_a_spoilt_disk_is_a_named_error_that_leaves_nothing(small_disk, finished, monkeypatch, spoil, work):
    monkeypatch.setenv("HCL_RUNS", str(small_disk / "runs"))
    shutil.copytree(finished.path, small_disk / "damaged")
    (small_disk / "damaged" / "samples" / "part-00001.parquet").write_bytes(b"junk")
    spoil(small_disk)
    samples = RunFolder(small_disk / "damaged").samples()
    with pytest.raises(HclError):
        work(small_disk, finished)
    assert not list(small_disk.rglob("*.tmp"))
    assert RunFolder(small_disk / "damaged").samples() == samples


def test_run_that_fills_a_disk_goes_on_when_there_is_space(small_disk, tmp_path):
    fill(small_disk)
    os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - 10 * 4096)
    with pytest.raises(DiskError, match="No space left on device: free some space, and the same command goes on"):
        Sitting(small_disk / "run").finish()
    num_stored = len(RunFolder(small_disk / "run").samples())
    (small_disk / "filler").unlink()
    events = Sitting(small_disk / "run").finish()
    assert events[0].num_present == num_stored
    Sitting(tmp_path / "whole").finish()
    assert sorted(RunFolder(small_disk / "run").samples(), key=str) == sorted(
        RunFolder(tmp_path / "whole").samples(), key=str
    )


def test_full_disk_in_the_terminal_is_one_line(small_disk, finished, command):  # noqa: F811
    fill(small_disk)
    result = command("export", finished.path, "--out", small_disk / "run.zip")
    assert_one_line_error(result, "No space left on device: free some space, and the same command goes on")


@pytest.mark.parametrize("spoil", [fill, make_read_only])
def test_what_a_spoilt_cache_has_can_be_read(small_disk, spoil):
    (small_disk / "model").mkdir()
    spoil(small_disk)
    with lock_for(small_disk / "model"):
        assert (small_disk / "model").is_dir()


@pytest.mark.parametrize("spoil", [fill, make_read_only])
def test_what_a_spoilt_cache_lacks_is_a_named_error(small_disk, spoil):
    spoil(small_disk)
    with pytest.raises(DiskError), lock_for(small_disk / "model"), atomic_folder(small_disk / "model") as made:
        (made / "weights").write_bytes(bytes(8192))


def test_weights_that_fill_a_disk_are_a_named_error(small_disk):
    from safetensors.numpy import save_file

    with (
        pytest.raises(DiskError, match="head.safetensors: No space left"),
        atomic_file(small_disk / "head.safetensors") as temporary,
    ):
        save_file({"map": np.zeros(200_000, np.float32)}, temporary)


def test_grade_that_cannot_be_kept_is_a_named_error(small_disk, monkeypatch):
    from hcl_core.judges.llm import _GradeFile

    monkeypatch.setenv("HCL_CACHE", str(small_disk))
    make_read_only(small_disk)
    with pytest.raises(DiskError, match="Read-only file system"):
        _GradeFile("judge").put("question", "correct")


def test_delete_on_a_read_only_disk_is_a_named_error(small_disk, finished, monkeypatch):
    monkeypatch.setenv("HCL_RUNS", str(small_disk / "runs"))
    shutil.copytree(finished.path, small_disk / "runs" / "run")
    make_read_only(small_disk)
    with pytest.raises(
        RunReadOnlyError, match="Read-only file system: where it can be written, the same command goes on"
    ):
        delete_run(RunFolder(small_disk / "runs" / "run"))
