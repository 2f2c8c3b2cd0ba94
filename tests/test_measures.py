"""Each measure against arithmetic done by hand."""

import json
import math
import shutil

import numpy as np
import pytest
from conftest import FakeEmbedder, make_decoder, make_lm, run_command
from hypothesis import given
from hypothesis import strategies as st
from test_intervals import table_of

from hcl_core import registry
from hcl_core.folders import precomputed_folder
from hcl_core.models.cost import ModelCost
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.stored import measure, read_outcomes
from hcl_core.runs.folder import RunFolder
from hcl_core.scores.measures import (
    MEASURE_NAMES,
    ReliabilityBin,
    calibration_error,
    distinct_n,
    measure_outcomes,
    measure_texts,
    plausibility,
    reliability,
    vendi_score,
)
from hcl_core.scores.metrics import INCORRECT, MISSING, NOT_ATTEMPTED

X, N, M = INCORRECT, NOT_ATTEMPTED, MISSING
AXES = np.eye(4, dtype=np.float32)


def embed(texts):
    """One axis a first letter, of a, b, c and d."""
    return AXES[[ord(text[0]) - ord("a") for text in texts]]


# Vendi score.


def test_vendi_score_of_alike_items_is_1_and_of_unlike_ones_their_number():
    assert vendi_score(AXES[[0, 0, 0]]) == pytest.approx(1)
    assert vendi_score(AXES) == pytest.approx(4)
    assert vendi_score(np.empty((0, 4), np.float32)) == 0


def test_vendi_score_of_shares_is_the_exponential_of_their_entropy():
    # Three a, one b: eigenvalues 3/4 and 1/4.
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert vendi_score(AXES[[0, 0, 0, 1]]) == pytest.approx(expected)


def test_vendi_score_of_two_items_at_an_angle():
    # Cosine c: eigenvalues of [[1, c], [c, 1]] / 2 are (1 + c) / 2 and (1 - c) / 2.
    vectors = np.array([[1, 0], [0.6, 0.8]], np.float32)
    expected = math.exp(-(0.8 * math.log(0.8) + 0.2 * math.log(0.2)))
    assert vendi_score(vectors) == pytest.approx(expected, rel=1e-6)


@given(st.integers(0, 2**16), st.integers(1, 12))
def test_vendi_score_is_from_1_to_the_number_of_items(seed, number):
    vectors = np.random.default_rng(seed).normal(size=(number, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert 1 - 1e-6 <= vendi_score(vectors) <= min(number, 5) + 1e-6


# distinct-n.


def test_distinct_1_and_2_by_hand():
    texts = ["red red blue", "red blue"]
    assert distinct_n(texts, 1) == 2 / 5
    # Pairs: red red, red blue; red blue.
    assert distinct_n(texts, 2) == 2 / 3


def test_distinct_n_of_nothing_is_nan():
    assert math.isnan(distinct_n(["", "one"], 2)) and math.isnan(distinct_n([], 1))


# Calibration.


def test_calibration_error_by_hand():
    # Four answers of confidence 0.85, two right; one of 0.25, wrong: 4/5 * 0.35 + 1/5 * 0.25.
    table = table_of([[[0, 0, X, X, X]]])
    table.confidences[:] = [0.85, 0.85, 0.85, 0.85, 0.25]
    bins = reliability(table, 0)
    assert [each.count for each in bins] == [0, 0, 1, 0, 0, 0, 0, 0, 4, 0]
    assert (bins[8].accuracy, bins[8].confidence) == (0.5, pytest.approx(0.85))
    assert calibration_error(bins) == pytest.approx(0.8 * 0.35 + 0.2 * 0.25, rel=1e-6)


def test_calibration_counts_silence_as_wrong_and_leaves_out_what_has_not_come():
    table = table_of([[[0, N, M]]])
    table.confidences[:] = [0.5, 0.5, np.nan]
    (full,) = [each for each in reliability(table, 0) if each.count]
    assert full == ReliabilityBin(2, 0.5, 0.5)


def test_confidence_1_is_in_the_last_bin():
    table = table_of([[[0]]])
    table.confidences[:] = 1
    assert reliability(table, 0)[-1] == ReliabilityBin(1, 1.0, 1.0)


def test_calibration_of_nothing_is_nan():
    assert math.isnan(calibration_error(reliability(table_of([[[M]]]), 0)))


# Outcomes and cost.


def test_outcome_measures_by_hand():
    # One question silent once of four, the other never: (1/4 + 0) / 2.
    table = table_of([[[0, 1, X, N]], [[0, 0, 0, X]]])
    (layer,) = measure_outcomes(table, ModelCost(num_hidden_layers=4, block=10, readout=20, exit_head=5))
    assert layer.not_attempted_rate == 0.125
    assert layer.creativity_absolute == (2 / 4 + 1 / 4) / 2
    assert layer.blocks_per_token == 1 and layer.relative_flops == 35 / 60
    (unknown,) = measure_outcomes(table, None)  # another strategy: the exit layer does not decide the cost
    assert math.isnan(unknown.blocks_per_token) and math.isnan(unknown.relative_flops)


def test_relative_flops_by_hand():
    cost = ModelCost(num_hidden_layers=4, block=10, readout=20, exit_head=5)
    # (1 * 10 + 5 + 20) / (4 * 10 + 20), and nothing is mapped after the last layer.
    assert cost.relative_flops(1) == 35 / 60 and cost.relative_flops(4) == 1


def test_cost_is_two_operations_a_weight():
    lm = make_lm()
    cost = make_decoder(lm).cost()
    # Queries and outputs 64 x 64, keys and values 64 x 32, three products of 64 x 128.
    assert cost == ModelCost(4, 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128), 2 * 64 * 260, 0)


# Texts.


def test_text_measures_by_hand():
    # Layer 1: right a a b, wrong c, silent twice. Layer 2: all alike.
    table = table_of([[[0, 0, 1, X, N, N], [0] * 6]])
    answers = [{1: dict(enumerate(["a", "a", "b", "c", "d?", ""])), 2: dict.fromkeys(range(6), "a")}]
    answers[0][1][5] = "d"
    one, two = measure_texts(table, answers, embed)
    shares = [2 / 6, 1 / 6, 1 / 6, 2 / 6]  # silence is one meaning
    assert one.semantic_entropy == pytest.approx(-sum(share * math.log(share) for share in shares))
    # Attempted: a, a, b and c.
    assert one.vendi_all == pytest.approx(math.exp(-(2 / 4 * math.log(2 / 4) + 2 * (1 / 4 * math.log(1 / 4)))))
    assert one.vendi_score == pytest.approx(math.exp(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))))
    assert (two.semantic_entropy, two.vendi_score, two.distinct_1) == (0, pytest.approx(1), pytest.approx(1 / 6))


def test_text_measures_are_means_over_the_questions_with_answers():
    table = table_of([[[0, 1]], [[X, X]], [[M, M]]])
    answers = [{1: {0: "b x", 1: "c x"}}, {1: {0: "b", 1: "b"}}, {}]
    (layer,) = measure_texts(table, answers, embed)
    assert layer.vendi_score == pytest.approx((2 + 0) / 2)  # nothing right has no diversity
    assert layer.vendi_all == pytest.approx((2 + 1) / 2)
    assert layer.distinct_1 == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert layer.distinct_2 == 1  # the second question has no pair


# Plausibility.


def test_plausibility_is_the_mean_over_questions_of_the_mean_over_answers():
    nan = math.nan
    # Layer 1: (-1 - 3) / 2 = -2, and -5 alone: -3.5. Layer 2: -4 alone. Layer 3: nothing.
    values = np.array([[[-1, -3], [-4, nan], [nan, nan]], [[-5, nan], [nan, nan], [nan, nan]]])
    one, two, three = plausibility(values)
    assert (one, two) == (-3.5, -4) and math.isnan(three)


# The command.


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "load_embedder", FakeEmbedder)  # the real one takes minutes for early layers' noise
    return shutil.copytree(precomputed_folder() / "5c31d8ed7c3076c6", tmp_path / "run")


def test_score_adds_the_columns_that_are_asked_for(capsys, shipped):
    code, printed, _ = run_command(capsys, "score", shipped, "--json", "--measures", "calibration_error,relative_flops")
    last = json.loads(printed)["layers"][-1]
    assert code == 0 and last["relative_flops"] == 1 and 0 <= last["calibration_error"] <= 1
    assert sum(each["count"] for each in last["reliability"]) == last["num_samples"]
    assert "vendi_score" not in last


def test_score_adds_all_measures(capsys, shipped):
    _, printed, _ = run_command(capsys, "score", shipped, "--json", "--measures", "all")
    for layer in json.loads(printed)["layers"]:
        assert {*MEASURE_NAMES} - {"plausibility"} <= set(layer)  # the model is not asked
        assert "plausibility" not in layer
        assert 0 <= layer["vendi_score"] <= 10 and 0 <= layer["semantic_entropy"] <= math.log(10) + 1e-9
    _, printed, _ = run_command(capsys, "score", shipped, "--measures", "all")
    assert "semantic entropy" in printed


def test_text_measures_are_kept_until_the_outcomes_change(shipped):
    folder = RunFolder(shipped)
    table = read_outcomes(folder)
    embedder = FakeEmbedder()
    embeddings = Embeddings(lambda: embedder)
    first = measure(folder, table, embeddings)
    num_embedded = len(embedder.embedded)
    assert measure(folder, table, embeddings) == first and len(embedder.embedded) == num_embedded
    right = np.argwhere(table.outcomes >= 0)[0]
    table.outcomes[tuple(right)] = INCORRECT
    assert measure(folder, table, embeddings) != first


def test_an_unknown_measure_is_one_line_and_code_2(capsys, shipped):
    code, printed, complaint = run_command(capsys, "score", shipped, "--measures", "vendi_score,best")
    assert (code, printed) == (2, "") and "got 'best'" in complaint
