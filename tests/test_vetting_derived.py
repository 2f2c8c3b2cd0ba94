"""What an imported run has beside its answers is kept if it is this run's, and dropped if not."""

import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import FakeEmbedder, contents
from fake_runs import Sitting, sample_keys, write_derived, write_verdicts
from zipped_runs import replace_samples, unpacked

from hcl_core import registry
from hcl_core.pipeline.plausibility import plausibility_stamp
from hcl_core.pipeline.scorer import Embeddings, stamps_of
from hcl_core.pipeline.stored import measure, read_outcomes, rescore
from hcl_core.records import SampleKey, Verdict
from hcl_core.transfer.packing import pack_run

DERIVED = {"verdicts.parquet", "clusters.parquet", "layer_scores.parquet"}


@pytest.fixture
def folder(finished_copy):
    return finished_copy


def taken_files(folder, into):
    return {path.name for path in unpacked(folder.path, into).path.iterdir()}


def test_verdicts_of_another_run_are_dropped(folder, into):
    write_verdicts(folder, list(judged(folder)), "alias 2; run 0000000000000000")
    assert taken_files(folder, into) & DERIVED == set()


def test_verdicts_of_another_judge_are_dropped(folder, into):
    folder.write_manifest(replace(folder.manifest(), judge="paper"))
    assert taken_files(folder, into) & DERIVED == set()


def test_clusters_of_another_embedder_are_dropped(folder, into):
    folder.write_manifest(replace(folder.manifest(), embedder="other"))
    assert taken_files(folder, into) & DERIVED == set()


def judged(folder):
    """The verdicts that are in the folder, as records."""
    for row in folder.verdict_table().to_pylist():
        key = SampleKey(row["question_id"], row["exit_layer"], row["sample_idx"])
        yield Verdict(key, row["outcome"], row["reason"])


def test_verdicts_of_a_judge_from_elsewhere_are_kept(folder, into):
    folder.write_manifest(replace(folder.manifest(), judge="house"))
    restamp(folder, "house 1")
    assert taken_files(folder, into) & DERIVED == DERIVED


def test_verdicts_of_a_judge_from_elsewhere_on_another_run_are_dropped(folder, into):
    folder.write_manifest(replace(folder.manifest(), judge="house"))
    restamp(folder, "house 1", run_id="0" * 16)
    assert taken_files(folder, into) & DERIVED == set()


def restamp(folder, judge_stamp, run_id=None):
    manifest = folder.manifest()
    stamps = stamps_of(judge_stamp, replace(manifest, run_id=run_id or manifest.run_id))
    for name, stamp in zip(("verdicts", "clusters"), stamps, strict=True):
        path = folder.path / f"{name}.parquet"
        pq.write_table(pq.read_table(path).replace_schema_metadata({"made_by": stamp}), path)


def test_verdicts_of_other_samples_are_dropped(tmp_path, into):
    # As many as there are samples, all of this run's, but not of the samples that are there.
    sitting = Sitting(tmp_path / "run")
    sitting.finish()
    folder = sitting.folder
    folder.write_manifest(replace(folder.manifest(), finished_at=None))
    samples = folder.samples()
    replace_samples(folder, [each for each in samples if each.question_id == "planet"])
    for name in ("verdicts.parquet", "clusters.parquet"):
        table = pq.read_table(folder.path / name)
        kept = [place for place, each in enumerate(table["question_id"].to_pylist()) if each == "colour"]
        pq.write_table(table.take(kept), folder.path / name)
    assert read_outcomes(folder) is not None  # which counts them
    assert taken_files(folder, into) & DERIVED == set()


@pytest.mark.parametrize("cluster_id", [-1, 6, 40_000])
def test_cluster_of_an_impossible_number_is_dropped(folder, into, cluster_id):
    path = folder.path / "clusters.parquet"
    table = pq.read_table(path)
    column = pa.array([cluster_id] * len(table), pa.int32())
    pq.write_table(table.set_column(table.column_names.index("cluster_id"), "cluster_id", column), path)
    assert taken_files(folder, into) & DERIVED == set()


@pytest.mark.parametrize("outcome", ["great", None])
def test_verdict_of_an_unknown_kind_is_dropped(folder, into, outcome):
    path = folder.path / "verdicts.parquet"
    table = pq.read_table(path)
    wrong = [outcome if each == "incorrect" else each for each in table["outcome"].to_pylist()]
    pq.write_table(table.set_column(table.column_names.index("outcome"), "outcome", pa.array(wrong)), path)
    assert taken_files(folder, into) & DERIVED == set()


@pytest.mark.parametrize("name", ["verdicts.parquet", "clusters.parquet"])
@pytest.mark.parametrize("content", [b"", b"junk", b"PAR1" + bytes(40) + b"PAR1"], ids=["empty", "junk", "zeros"])
def test_damaged_derived_file_is_dropped(folder, into, name, content):
    (folder.path / name).write_bytes(content)
    assert taken_files(folder, into) & DERIVED == set()


def test_forged_layer_scores_are_made_anew(folder, finished, into):
    shutil.copy(folder.path / "clusters.parquet", folder.path / "layer_scores.parquet")
    taken = unpacked(folder.path, into)
    assert pq.read_table(taken.path / "layer_scores.parquet").equals(
        pq.read_table(finished.path / "layer_scores.parquet")
    )


@pytest.fixture
def measured(folder):
    measure(folder, read_outcomes(folder), Embeddings(FakeEmbedder))
    return folder


def test_measures_of_the_run_are_kept(measured, into):
    assert "measures.parquet" in taken_files(measured, into)


def test_measures_of_other_outcomes_are_dropped(measured, into):
    path = measured.path / "measures.parquet"
    table = pq.read_table(path)
    stamp = table.schema.metadata[b"made_by"].decode().replace("outcomes ", "outcomes 0")
    pq.write_table(table.replace_schema_metadata({"made_by": stamp}), path)
    assert "measures.parquet" not in taken_files(measured, into)


@pytest.fixture
def with_plausibility(folder):
    write_plausibility(folder, plausibility_stamp(folder.manifest()))
    return folder


def write_plausibility(folder, stamp, value=-1.5):
    keys = sorted(sample_keys(folder))
    write_derived(folder, "plausibility", keys, stamp, mean_logprob=[value] * len(keys))


def test_plausibility_of_the_run_is_kept(with_plausibility, into):
    assert "plausibility.parquet" in taken_files(with_plausibility, into)


def test_plausibility_is_packed(with_plausibility, tmp_path, into):
    pack_run(with_plausibility, tmp_path / "run.zip")
    assert contents(unpacked(tmp_path / "run.zip", into).path) == contents(with_plausibility.path)


def test_plausibility_needs_no_verdicts(with_plausibility, into):
    (with_plausibility.path / "verdicts.parquet").write_bytes(b"junk")
    assert "plausibility.parquet" in taken_files(with_plausibility, into)


def test_plausibility_of_another_run_is_dropped(folder, into):
    write_plausibility(folder, plausibility_stamp(folder.manifest()).replace("run ", "run 0"))
    assert "plausibility.parquet" not in taken_files(folder, into)


def test_plausibility_that_is_no_log_probability_is_dropped(folder, into):
    write_plausibility(folder, plausibility_stamp(folder.manifest()), 0.5)
    assert "plausibility.parquet" not in taken_files(folder, into)


def test_plausibility_with_more_rows_than_samples_is_dropped(folder, into):
    keys = sorted(sample_keys(folder)) * 2
    stamp = plausibility_stamp(folder.manifest())
    write_derived(folder, "plausibility", keys, stamp, mean_logprob=[-1.0] * len(keys))
    assert "plausibility.parquet" not in taken_files(folder, into)


def test_token_texts_are_kept(folder, into):
    pq.write_table(pa.table({"token_id": pa.array([7], pa.int32()), "text": ["Mars"]}), folder.path / "tokens.parquet")
    assert "tokens.parquet" in taken_files(folder, into)


def test_damaged_token_texts_are_dropped(folder, into):
    (folder.path / "tokens.parquet").write_bytes(b"junk")
    assert "tokens.parquet" not in taken_files(folder, into)


def test_run_without_verdicts_is_judged_again_to_the_same(folder, finished, into):
    (folder.path / "verdicts.parquet").unlink()
    taken = unpacked(folder.path, into)
    rescore(taken, registry.load_judge("alias"), Embeddings(FakeEmbedder))
    assert taken.verdict_table().equals(finished.verdict_table())
