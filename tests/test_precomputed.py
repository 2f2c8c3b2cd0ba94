"""The runs that ship with the program: their scores follow from their samples, their samples from their manifests."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from hcl_core import registry
from hcl_core.folders import precomputed_folder
from hcl_core.models.lens_records import read_lens
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.stored import read_outcomes, rescore
from hcl_core.records import Weights
from hcl_core.runs.folder import RunFolder
from hcl_core.scores.metrics import score_layers
from hcl_core.scores.published import published_curves

FOLDER = precomputed_folder()
RUNS = sorted(path for path in FOLDER.iterdir() if (path / "questions.jsonl").is_file())
LENSES = sorted(FOLDER.glob("lens-*"))
PUBLISHED = Path(__file__).parents[2] / "shared" / "paper" / "published_curves.json"


def test_the_four_runs_are_here_and_whole():
    settings = [RunFolder(path).manifest().settings for path in RUNS]
    assert {(each.exit_head, each.sampling.temperature) for each in settings} == {
        (head, temperature) for head in ("linear", "shared") for temperature in (0.6, 1.0)
    }
    for path in RUNS:
        manifest = RunFolder(path).manifest()
        assert manifest.run_id == path.name == manifest.settings.run_id(RunFolder(path).questions())
        assert manifest.finished_at and manifest.settings.exit_layers == tuple(range(1, 31))
        wanted = manifest.num_questions * 30 * manifest.settings.num_samples
        assert RunFolder(path).sample_table(["sample_idx"]).num_rows == wanted


def test_they_ask_the_whole_starter_set():
    starter = registry.load_questions("starter").load()
    for path in RUNS:
        assert [stored.question for stored in RunFolder(path).questions()] == starter


def test_together_they_are_small():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 60e6


class RememberingJudge:
    """The judge, which judges an answer to a question once, in however many runs it stands."""

    def __init__(self, judge):
        self._judge, self.name, self.stamp = judge, judge.name, judge.stamp
        self._judgements = {}

    def judge(self, question, answers):
        known = self._judgements.setdefault(question, {})
        new = [answer for answer in answers if answer not in known]
        known |= dict(zip(new, self._judge.judge(question, new), strict=True))
        return [known[answer] for answer in answers]


@pytest.fixture(scope="module")
def embeddings():
    return Embeddings(registry.load_embedder)


@pytest.fixture(scope="module")
def judges():
    """The judges by name."""
    return functools.cache(lambda name: RememberingJudge(registry.load_judge(name)))


@pytest.mark.slow
@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_stored_scores_follow_from_the_samples(path, tmp_path, embeddings, judges):
    copy = RunFolder(Path(shutil.copytree(path, tmp_path / "copy")))
    stored = read_outcomes(copy)
    for derived in ("verdicts", "clusters", "layer_scores"):
        (copy.path / f"{derived}.parquet").unlink()
    again = rescore(copy, judges(copy.manifest().judge), embeddings).table
    assert np.array_equal(stored.outcomes, again.outcomes)
    np.testing.assert_allclose(stored.confidences, again.confidences, rtol=1e-5)
    assert score_layers(stored, Weights()) == score_layers(read_outcomes(copy), Weights())


@pytest.mark.model
@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_a_few_rows_are_sampled_again_to_the_same_text(path, smollm2):
    folder = RunFolder(path)
    settings = folder.manifest().settings
    decoder = registry.make_decoder(smollm2, settings.exit_head, settings.template)
    assert decoder.exit_head.fingerprint == settings.exit_head_hash
    stored = folder.questions()[17]
    wave = [(layer, sample_idx) for layer in (20, 27, 30) for sample_idx in (0, 7)]
    drawn = [s for step in decoder.decode(stored, settings.sampling, [wave]) for s in step.finished]
    expected = {sample.key: sample.completion_token_ids for sample in folder.samples(stored.question.id)}
    assert decoder.prompt_for(stored.question) == stored.prompt and len(drawn) == len(wave)
    for sample in drawn:
        assert sample.completion_token_ids == expected[sample.key]


def test_both_heads_give_the_last_layer_the_same_answers():
    by_head = {}
    for path in RUNS:
        settings = RunFolder(path).manifest().settings
        rows = RunFolder(path).sample_table(["question_id", "exit_layer", "sample_idx", "completion_text"])
        by_head[settings.exit_head, settings.sampling.temperature] = {
            (row["question_id"], row["sample_idx"]): row["completion_text"]
            for row in rows.filter((pc.field("exit_layer") == 30) & (pc.field("sample_idx") < 10)).to_pylist()
        }
    for temperature in (0.6, 1.0):
        assert by_head["linear", temperature] == by_head["shared", temperature]


@pytest.mark.parametrize("path", LENSES, ids=lambda path: path.name)
def test_a_shipped_lens_opens(path):
    manifest, tables = read_lens(path)
    assert manifest.exit_head in path.name and len(tables) == len(manifest.prompts)
    for table in tables:
        assert table.num_hidden_layers == 30 and (table.final_rank[-1] == 1).all()


def test_published_curves_have_a_value_a_layer_and_their_caveats():
    published = published_curves()
    assert len(published.curves) == 8 and len(published.caveats) >= 4 and "2503.02851" in published.source
    for curve in published.curves:
        for column in (curve.creativity_raw, curve.creativity, curve.hallucination_rate, curve.final_score):
            assert len(column) == len(curve.exit_layers)
        known = [score for score in curve.final_score if score is not None]
        assert curve.final_score[curve.exit_layers.index(curve.optimal_layer)] == max(known)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="needs the figures' numbers")
def test_published_curves_are_the_numbers_that_were_read():
    source = json.loads(PUBLISHED.read_text())
    for curve, entry in zip(published_curves().curves, source.values(), strict=True):
        assert list(curve.creativity_raw) == entry["creativity_raw"]
        for ours, theirs in ((curve.creativity, "diversity_scaled"), (curve.final_score, "final_score")):
            assert [value for value in ours if value is not None] == entry[theirs]
        assert curve.optimal_layer == entry["argmax"] and curve.temperature in (0.6, 1.0)


def test_the_findings_hold_the_runs_numbers():
    subprocess.run([sys.executable, "-m", "docs.findings", "--check"], cwd=FOLDER.parent, check=True)


def test_the_text_on_performance_holds_what_was_measured():
    subprocess.run([sys.executable, "-m", "docs.performance", "--check"], cwd=FOLDER.parent, check=True)


def test_nothing_shipped_is_private_to_its_maker():
    for file in FOLDER.rglob("*"):
        assert os.access(file, os.R_OK) and not file.name.startswith(".")
