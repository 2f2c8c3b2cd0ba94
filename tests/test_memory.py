"""What a run keeps in memory: cells of arrays for each sample, and the texts of one question."""

import gc
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import FakeEmbedder
from fake_runs import COLOUR, LAYERS, PLANET, Sitting
from test_pipeline import CrashingDecoder, assert_same_table, samples_by_key

from hcl_core import allocator
from hcl_core.judges.alias import AliasJudge
from hcl_core.pipeline import Finished, runner
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.stored import rescore
from hcl_core.records import Sample, SampleKey, Verdict
from hcl_core.runs import tables
from hcl_core.runs.answers import read_verdicts
from hcl_core.runs.compact import write_compact_copy
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.sample_stream import SampleStream

REPO = Path(__file__).parent.parent
# An idea's number, a confidence, a plausibility and a judgement's number.
BYTES_PER_SAMPLE = 2 + 4 + 4 + 4


def questions(count):
    """Planets and colours in turn."""
    return [replace((PLANET, COLOUR)[number % 2], id=f"q{number}") for number in range(count)]


def reachable(start):
    """Every object that ``start`` keeps alive, without classes and modules."""
    seen, waiting = {}, [start]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen and not isinstance(each, type | type(gc)) and not callable(each):
            seen[id(each)] = each
            waiting += gc.get_referents(each)
    return list(seen.values())


def scorer_of(tmp_path, num_questions, num_samples):
    sitting = Sitting(
        tmp_path / f"{num_questions}x{num_samples}", questions(num_questions), num_samples, first_wave=None
    )
    sitting.finish()
    return sitting.scorer


def test_of_each_sample_its_cells_are_kept(tmp_path):
    scorer = scorer_of(tmp_path, 6, 50)
    arrays = [each for each in reachable(scorer) if isinstance(each, np.ndarray) and each.ndim == 3]
    assert sum(array.nbytes for array in arrays) == BYTES_PER_SAMPLE * 6 * len(LAYERS) * 50


def test_samples_of_one_question_are_kept_and_no_verdicts(tmp_path):
    kept = reachable(scorer_of(tmp_path, 6, 50))
    assert sum(isinstance(each, Sample) for each in kept) == len(LAYERS) * 50
    assert not any(isinstance(each, Verdict | SampleKey) for each in kept)


class CountingJudge(AliasJudge):
    """Counts the samples that are alive whenever it judges."""

    def __init__(self):
        super().__init__()
        self.before, self.alive = self.count(), []

    def count(self):
        return sum(type(each) is Sample for each in gc.get_objects())

    def judge(self, question, answers):
        self.alive.append(self.count() - self.before)
        return super().judge(question, answers)


def test_a_stored_run_is_scored_with_one_question_in_memory(tmp_path):
    Sitting(tmp_path / "run", questions(6), 50).finish()
    gc.collect()
    judge = CountingJudge()
    rescore(RunFolder(tmp_path / "run"), judge, Embeddings(FakeEmbedder))
    assert judge.alive == [len(LAYERS) * 50] * 6


# Questions that are in memory no longer.


def test_an_earlier_question_is_read_from_the_folder(tmp_path):
    sitting = Sitting(tmp_path / "run")
    sitting.finish()
    for row, question_id in enumerate(("planet", "colour")):
        scored = sitting.scorer.question(question_id, sitting.folder)
        samples = sitting.folder.samples(question_id)
        assert list(scored.samples) == samples
        assert (scored.verdicts, scored.clusters) == read_verdicts(sitting.folder, question_id, samples)
        assert_same_table(scored.table, sitting.scorer.table.part([row]))


def test_a_question_without_answers_has_no_samples(tmp_path):
    sitting = Sitting(tmp_path / "run")
    sitting.stop_after(3)  # the first wave of the first question
    assert sitting.scorer.question("colour", sitting.folder).samples == ()


def test_a_wave_missing_in_the_middle_is_decoded_and_its_question_scored_whole(tmp_path):
    whole = Sitting(tmp_path / "whole")
    whole.finish()
    Sitting(tmp_path / "run").stop_after(8)  # both waves of the first question, one of the second
    (tmp_path / "run" / "samples" / "part-00001.parquet").unlink()
    finished = Sitting(tmp_path / "run").finish()[-1]
    assert isinstance(finished, Finished)
    assert_same_table(finished.table, whole.scorer.table)
    assert samples_by_key(RunFolder(tmp_path / "run")) == samples_by_key(whole.folder)


def test_verdicts_are_in_the_same_order_however_often_a_run_was_stopped(tmp_path):
    whole = Sitting(tmp_path / "whole")
    whole.finish()
    for _ in range(4):
        Sitting(tmp_path / "run").stop_after(4)
    Sitting(tmp_path / "run", first_wave=None).finish()
    stopped = RunFolder(tmp_path / "run")
    assert stopped.verdict_table().to_pylist() == whole.folder.verdict_table().to_pylist()
    assert stopped.cluster_table().to_pylist() == whole.folder.cluster_table().to_pylist()


# Samples, one question at a time.


@pytest.mark.parametrize("batch_rows", [1, 7, 1000])
def test_a_stream_has_every_sample_once_by_question(tmp_path, monkeypatch, batch_rows):
    sitting = Sitting(tmp_path / "run", questions(3))
    sitting.finish()
    monkeypatch.setattr(tables, "_BATCH_ROWS", batch_rows)
    for folder in (sitting.folder, write_compact_copy(sitting.folder, tmp_path / "compact")):
        stream = SampleStream(folder)
        assert len(stream) == 3 * len(LAYERS) * 6
        assert list(stream) == [folder.samples(f"q{number}") for number in range(3)]


def test_a_question_whose_parts_stand_apart_comes_whole(tmp_path):
    sitting = Sitting(tmp_path / "run")
    sitting.finish()
    parts = sorted((sitting.folder.path / "samples").iterdir())
    parts[0].rename(parts[0].with_name("part-00009.parquet"))
    by_question = {samples[0].question_id: samples for samples in SampleStream(sitting.folder)}
    assert by_question == {name: sitting.folder.samples(name) for name in ("planet", "colour")}


# The allocator.

COUNT_ARENAS = """
import ctypes, os, threading
from hcl_core.allocator import limit_arenas
{limit}
barrier = threading.Barrier(20)
def allocate():
    held = bytearray(100_000)
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""


def num_arenas(limit):
    """Arenas of a process of 20 threads that allocate at the same time."""
    command = [sys.executable, "-c", COUNT_ARENAS.format(limit=limit)]
    return subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout.count("<heap nr=")


@pytest.mark.skipif(allocator._glibc() is None, reason="another C library")
def test_threads_share_two_arenas():
    assert num_arenas("") > 2 and num_arenas("limit_arenas()") == 2


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.setattr("ctypes.CDLL", lambda *_: pytest.fail("called"))
    allocator.limit_arenas()
    allocator.release_freed_memory()


@pytest.mark.parametrize("num_events", [4, 10])
def test_a_run_gives_memory_back_when_it_ends_or_is_stopped(tmp_path, monkeypatch, num_events):
    calls = []
    monkeypatch.setattr(runner, "release_freed_memory", lambda: calls.append(1))
    Sitting(tmp_path / "run").stop_after(num_events)
    assert calls == [1]


def test_a_run_that_fails_gives_memory_back(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(runner, "release_freed_memory", lambda: calls.append(1))
    with pytest.raises(MemoryError):
        Sitting(tmp_path / "run", decoder=CrashingDecoder()).finish()
    assert calls == [1]
