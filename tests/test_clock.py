"""The machine's clock is set while the program works: nothing depends on it but what is shown of it."""

import time

from fake_runs import finished_run

from app.jobs import Jobs
from app.places import Caller, Places, SecondsBook
from app.settings import PageSettings
from app.store import RunStore
from hcl_core.pipeline import prepared, runner
from hcl_core.runs import trash
from hcl_core.runs.verify import verify_run

DAY = 86_400


def set_clock(monkeypatch, seconds):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + seconds)


def test_a_run_that_ends_before_it_began_is_whole(tmp_path, monkeypatch):
    times = iter(("2026-11-26T12:00:00+00:00", "2026-11-25T12:00:00+00:00"))
    for module in (prepared, runner):
        monkeypatch.setattr(module, "now", lambda: next(times))
    folder = finished_run(tmp_path / "run")
    manifest = folder.manifest()
    assert manifest.finished_at is not None and manifest.finished_at < manifest.created_at
    assert verify_run(folder) == [] and float(manifest.decode_seconds) >= 0


def test_limits_of_time_are_no_matter_of_the_clock(monkeypatch):
    settings, caller = PageSettings(public=True), Caller("visitor", "address")
    book, places, jobs = SecondsBook(settings), Places(settings), Jobs()
    with places.take(caller), jobs.work("visitor", "explore") as job, book.account(caller, 1.0) as account:
        for jump in (DAY, -DAY):
            set_clock(monkeypatch, jump)
            job.check()
            account.taken = 2.0
    with places.take(caller), book.account(caller, 1.0):
        pass


def test_a_store_with_a_clock_set_back_keeps_what_is_new(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path))
    for name in ("a" * 16, "b" * 16):
        finished_run(tmp_path / name)
    set_clock(monkeypatch, -DAY)
    store = RunStore(1, lambda run_id: run_id == "b" * 16, clock=time.time)
    store.add("b" * 16)
    assert not (tmp_path / ("a" * 16)).exists() and verify_run(finished_run(tmp_path / ("c" * 16))) == []
    assert trash.empty_trash(tmp_path) == 0
