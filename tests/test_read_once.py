"""A stored run is read once for all of its questions, and again when its files have changed."""

import shutil

import pytest

from app import library
from hcl_core.errors import RunFolderError
from hcl_core.runs.folder import RunFolder

SHIPPED = "bd4b906be84cd651"


@pytest.fixture
def run(tmp_path):
    shipped = library.find_run(SHIPPED)
    shutil.copytree(shipped.folder.path, tmp_path / SHIPPED)
    return library.StoredRun(RunFolder(tmp_path / SHIPPED), shipped.manifest, is_shipped=False)


def test_the_samples_of_a_question_are_those_of_the_folder(run):
    for stored in library.questions_of(run)[:20:7]:
        samples = library.samples_of(run, stored.question.id)
        assert samples == run.folder.samples(stored.question.id) and len(samples) == 300
    assert library.samples_of(run, "another question") == []


def test_a_run_is_read_once_until_its_parts_change(run, monkeypatch):
    reads = []
    read = type(run.folder.parts).read
    monkeypatch.setattr(type(run.folder.parts), "read", lambda *given: reads.append(given) or read(*given))
    first, second = (stored.question.id for stored in library.questions_of(run)[:2])
    samples = library.samples_of(run, first)
    library.samples_of(run, second)
    assert len(reads) == 1
    run.folder.parts.files()[0].unlink()
    assert library.samples_of(run, first) != samples and len(reads) == 2


def test_a_large_run_is_read_a_question_at_a_time(run, monkeypatch):
    monkeypatch.setattr(library, "_MOST_SAMPLES", 1_000)
    monkeypatch.setattr(library, "_sample_table", lambda _: pytest.fail("read as a whole"))
    assert len(library.samples_of(run, library.questions_of(run)[0].question.id)) == 300


def test_a_sample_that_stands_twice_is_named(run):
    part = run.folder.parts.files()[0]
    shutil.copyfile(part, part.with_name("part-09999.parquet"))
    with pytest.raises(RunFolderError, match="a second time"):
        library.samples_of(run, library.questions_of(run)[0].question.id)
