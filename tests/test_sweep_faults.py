"""Faults of a sweep: each is one sentence with exit code 2, leaves nothing half-written, and is made good later."""

import errno
import os
import shutil
import subprocess
import sys

import pytest
from conftest import run_command
from test_full_disk import fill, make_read_only, small_disk  # noqa: F401  # fixture
from test_sweep import parts, samples, spec  # noqa: F401  # fixture

from hcl_core import atomic


@pytest.fixture
def whole(spec, tmp_path, capsys):  # noqa: F811
    """The folder of the sweep that nothing disturbs."""
    assert run_command(capsys, "sweep", spec, "--out", tmp_path / "whole")[0] == 0
    return tmp_path / "whole"


def assert_refused(result, expected):
    code, _, told = result
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(errors) == 1 and expected in errors[0] and "Traceback" not in told


def assert_goes_on(spec, out, whole, capsys):  # noqa: F811
    assert not list(out.rglob("*.tmp"))
    assert run_command(capsys, "sweep", spec, "--out", out)[0] == 0
    assert run_command(capsys, "verify", out)[0] == 0
    assert samples(out) == samples(whole) and len(samples(whole)) == 2


def fail_at_write(monkeypatch, out, number):
    """The file of that number, from 0, cannot be written into the folder ``out``."""
    written, write = [], atomic._write_to_disk

    def fail(file):
        written.extend([file] if out in file.parents else [])
        if out in file.parents and len(written) == number + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file)

    monkeypatch.setattr(atomic, "_write_to_disk", fail)
    return written


def test_a_sweep_goes_on_after_writes_that_failed(spec, whole, tmp_path, capsys, monkeypatch):  # noqa: F811
    with monkeypatch.context() as patch:
        written = fail_at_write(patch, tmp_path / "counted", 10_000)
        assert run_command(capsys, "sweep", spec, "--out", tmp_path / "counted")[0] == 0
    assert len(written) > 30
    # The list of cells, a run's first files, parts of both cells, and the last file of the results.
    for number in (0, 3, 9, len(written) // 2, len(written) - 1):
        out = tmp_path / str(number)
        with monkeypatch.context() as patch:
            fail_at_write(patch, out, number)
            result = run_command(capsys, "sweep", spec, "--out", out)
        assert_refused(result, "No space left on device: free some space, and the same command goes on")
        assert_goes_on(spec, out, whole, capsys)


def test_a_sweep_on_a_full_disk_goes_on_when_there_is_space(spec, whole, small_disk, capsys):  # noqa: F811
    out = small_disk / "o"
    fill(small_disk)
    assert_refused(run_command(capsys, "sweep", spec, "--out", out), "No space left on device")
    os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - 14 * 4096)
    assert_refused(run_command(capsys, "sweep", spec, "--out", out), "No space left on device: free some space")
    assert 0 < len(parts(out)) < len(parts(whole))
    (small_disk / "filler").unlink()
    assert_goes_on(spec, out, whole, capsys)


def test_a_sweep_on_a_read_only_disk_goes_on_where_it_can_be_written(spec, whole, small_disk, capsys):  # noqa: F811
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    out = small_disk / "o"
    assert run_command(capsys, "sweep", spec, "--out", out, "--budget", "0s")[0] == 3
    make_read_only(small_disk)
    assert_refused(run_command(capsys, "sweep", spec, "--out", out), "Read-only file system")
    assert_refused(run_command(capsys, "sweep", spec, "--out", small_disk / "other"), "Read-only file system")
    assert run_command(capsys, "status", out)[0] == 0  # it is only read
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    assert_goes_on(spec, out, whole, capsys)


def test_a_process_that_dies_with_a_sweep_open_leaves_it_to_the_next(spec, whole, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "o"
    code = (
        "import sys; from pathlib import Path; from hcl_core.sweeps.folder import SweepFolder\n"
        "with SweepFolder(Path(sys.argv[1])).writing(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().strip() == "held"
            assert_refused(run_command(capsys, "sweep", spec, "--out", out), "another process runs a sweep in")
            assert not (out / "sweep.json").exists()
        finally:
            process.kill()
    assert_goes_on(spec, out, whole, capsys)


def test_damaged_and_lost_parts_of_a_sweep_are_sampled_again(spec, whole, tmp_path, capsys):  # noqa: F811
    out = shutil.copytree(whole, tmp_path / "o")
    cut, junk, lost = sorted(out.glob("*/samples/*.parquet"))[::4]
    cut.write_bytes(cut.read_bytes()[:-40])
    junk.write_bytes(b"junk")
    lost.unlink()
    code, said, told = run_command(capsys, "verify", out)
    assert code != 0 and all(file.name in said + told for file in (cut, junk))
    assert_goes_on(spec, out, whole, capsys)


def test_a_damaged_list_of_cells_is_named_and_made_anew(spec, whole, tmp_path, capsys):  # noqa: F811
    out = shutil.copytree(whole, tmp_path / "o")
    (out / "sweep.json").write_text('{"schema_version": 1, "cells": [', encoding="utf-8")
    assert_refused(run_command(capsys, "sweep", spec, "--out", out), "sweep.json cannot be read")
    before = parts(out)
    (out / "sweep.json").unlink()
    assert_goes_on(spec, out, whole, capsys)
    assert parts(out) == before  # as the refusal says, the runs stay
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    (out / "sweep.json").unlink()
    assert_refused(run_command(capsys, "sweep", spec, "--out", out), "is not empty and holds no sweep")
