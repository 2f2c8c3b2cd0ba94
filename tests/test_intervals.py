"""The bootstrap: worked by hand where it can be, and its coverage measured where it can't."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.coverage import coverage
from hcl_core.records import Weights
from hcl_core.scores.intervals import describe_verdict, draw_questions, percentile_intervals, resample, uncertainty
from hcl_core.scores.metrics import INCORRECT, MISSING, OutcomeTable, balanced_layer, score_layers

EQUAL = Weights()


def table_of(outcomes):
    """Nested lists ``[question][layer][sample]`` as a table of layers 1, 2, ..."""
    cells = np.array(outcomes, np.int16)
    return OutcomeTable(tuple(range(1, cells.shape[1] + 1)), cells, np.full(cells.shape, 0.5, np.float32))


# By hand.


def test_a_run_without_chance_has_intervals_of_no_width():
    sure = uncertainty(table_of([[[-1, -1], [0, 0], [0, 1]]] * 3), EQUAL)
    assert [layer.hallucination_ci for layer in sure.layers[:2]] == [(1, 1), (0, 0)]
    assert sure.layers[0].creativity_raw_ci == (0, 0) and sure.layers[1].creativity_raw_ci == (1, 1)


def test_questions_alone_vary_when_their_answers_do_not():
    # Two questions, one all right and one all wrong: a replicate's rate is 0, 1/2 or 1 with odds 1 : 2 : 1.
    drawn = draw_questions(2, 20_000)
    rates = resample(table_of([[[0, 0, 0]], [[-1, -1, -1]]]), drawn).hallucination_rate[:, 0]
    values, counts = np.unique(rates, return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    np.testing.assert_allclose(counts / len(drawn), [0.25, 0.5, 0.25], atol=0.015)


def test_one_question_varies_by_its_answers_alone():
    # Four right of ten: wrong answers in a resample are binomial.
    outcomes = table_of([[[0] * 4 + [INCORRECT] * 6]])
    rates = resample(outcomes, draw_questions(1, 20_000)).hallucination_rate[:, 0]
    assert rates.mean() == pytest.approx(0.6, abs=0.005)
    assert rates.std() == pytest.approx((0.6 * 0.4 / 10) ** 0.5, rel=0.03)


def test_rare_clusters_lost_by_resampling_are_put_back():
    # Ten answers of ten meanings: a plain resample would find 10 * (1 - 0.9**10) = 6.5 of them.
    found = resample(table_of([[list(range(10))]]), draw_questions(1, 20_000)).creativity_raw[:, 0]
    assert found.mean() == pytest.approx(10, abs=0.03)
    assert found.std() > 0.5


def test_missing_answers_and_questions_are_left_out():
    outcomes = table_of([[[0, MISSING], [MISSING, MISSING]], [[-1, -1], [0, 0]]])
    replicates = resample(outcomes, draw_questions(2, 2_000))
    assert set(np.unique(replicates.hallucination_rate[:, 0])) <= {0, 0.5, 1}
    second = replicates.hallucination_rate[:, 1]
    assert set(np.unique(second[~np.isnan(second)])) == {0}
    assert np.isnan(second).mean() == pytest.approx(0.25, abs=0.04), "a replicate without the second question"


def test_questions_without_answers_yet_do_not_narrow_the_intervals():
    rng = np.random.default_rng(0)
    cells = rng.integers(-1, 2, (3, 2, 10))
    unfinished = np.full((174, 2, 10), MISSING)
    unfinished[[5, 50, 100]] = cells
    assert uncertainty(table_of(unfinished), EQUAL) == uncertainty(table_of(cells), EQUAL)


def test_intervals_stay_within_what_a_score_can_be():
    sure = uncertainty(table_of([[list(range(10)), [0] * 10]]), EQUAL, "absolute")
    assert sure.layers[0].creativity_raw_ci[1] <= 10
    assert sure.layers[0].creativity_ci[1] <= 1 and sure.layers[0].hcb_ci[1] <= 1


def test_the_chain_is_recomputed_in_each_replicate():
    rng = np.random.default_rng(0)
    outcomes = table_of(rng.integers(-1, 3, (6, 4, 5)))
    replicates = resample(outcomes, draw_questions(6, 50))
    raw = replicates.creativity_raw
    scaled = (raw - raw.min(1, keepdims=True)) / np.ptp(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(replicates.creativity(), scaled)
    wanted = 0.3 * scaled + 0.7 * (1 - replicates.hallucination_rate)
    np.testing.assert_allclose(replicates.hcb_score(Weights(0.3, 0.7)), wanted)


def test_intervals_are_expanded_to_a_t_intervals_reach():
    # Normal replicates of standard deviation s * sqrt((n - 1) / n), as drawing n questions gives them.
    values = np.random.default_rng(0).normal(size=(200_000, 1)) * (4 / 5) ** 0.5
    low, high = percentile_intervals(values, 5)[0]
    reach = stats.t.ppf(0.975, 4)
    assert (low, high) == pytest.approx((-reach, reach), rel=0.03)
    assert percentile_intervals(values, 1)[0][1] == pytest.approx(1.96 * (4 / 5) ** 0.5, rel=0.02)


# Verdicts.


def test_a_clear_winner():
    outcomes = table_of([[[-1] * 8, [-1] * 8, [0] * 4 + [1] * 4]] * 10)
    sure = uncertainty(outcomes, EQUAL)
    assert (sure.verdict, sure.tied_layers) == ("clear", (3,))
    assert [layer.p_optimal for layer in sure.layers] == [0, 0, 1]
    best = balanced_layer(score_layers(outcomes, EQUAL))
    assert describe_verdict(best, sure) == "Layer 3 balances best: it has the highest HCB in 100% of resampled runs."


def test_two_layers_that_cannot_be_told_apart():
    rng = np.random.default_rng(1)
    outcomes = np.full((30, 5, 10), INCORRECT, np.int16)
    outcomes[:, 3:] = np.where(rng.random((30, 2, 10)) < 0.5, rng.integers(0, 3, (30, 2, 10)), INCORRECT)
    table = table_of(outcomes)
    sure = uncertainty(table, EQUAL)
    assert (sure.verdict, sure.tied_layers) == ("tied", (4, 5))
    assert "layers 4,5 can't be told apart" in describe_verdict(balanced_layer(score_layers(table, EQUAL)), sure)


def test_noise_has_no_best_layer():
    rng = np.random.default_rng(2)
    table = table_of(np.where(rng.random((20, 8, 6)) < 0.5, 0, INCORRECT))
    sure = uncertainty(table, EQUAL)
    assert sure.verdict == "none" and len(sure.tied_layers) > 4
    sentence = describe_verdict(balanced_layer(score_layers(table, EQUAL)), sure)
    assert sentence.startswith("No layer is clearly best")


def test_nothing_right_has_no_best_layer():
    table = table_of([[[-1, -1], [-1, -2]]])
    sure = uncertainty(table, EQUAL)
    assert (sure.verdict, sure.tied_layers) == ("none", ())
    assert [layer.p_optimal for layer in sure.layers] == [0, 0]
    assert describe_verdict(balanced_layer(score_layers(table, EQUAL)), sure).startswith("No layer gave a right answer")


def test_equal_layers_are_won_by_the_earlier():
    sure = uncertainty(table_of([[[0, 0], [0, 0]]] * 3), EQUAL)
    assert [layer.p_optimal for layer in sure.layers] == [1, 0]


def test_absolute_scaling_does_not_move_when_a_layer_is_added():
    cells = np.random.default_rng(0).integers(-1, 3, (6, 4, 5))
    few, many = (score_layers(table_of(cells[:, :number]), EQUAL, "absolute") for number in (3, 4))
    assert few == many[:3]


# Properties.


@given(st.integers(0, 2**16))
def test_any_table_gives_ordered_intervals_and_shares(seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 5, 3)
    table = table_of(rng.integers(-3, 4, shape))
    sure = uncertainty(table, EQUAL, num_replicates=50)
    for layer in sure.layers:
        for low, high in (layer.hallucination_ci, layer.creativity_raw_ci, layer.creativity_ci, layer.hcb_ci):
            assert np.isnan(low) == np.isnan(high) and (np.isnan(low) or low <= high)
        assert 0 <= layer.p_optimal <= 1
    assert sum(layer.p_optimal for layer in sure.layers) == pytest.approx(1 if (table.outcomes >= 0).any() else 0)
    assert repr(uncertainty(table, EQUAL, num_replicates=50)) == repr(sure)  # NaN is not equal to itself


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others():
    table = table_of(np.random.default_rng(0).integers(-1, 3, (6, 3, 5)))
    assert uncertainty(table, EQUAL) == uncertainty(table, EQUAL)
    assert uncertainty(table, EQUAL) != uncertainty(table, EQUAL, seed=1)


# Coverage, on a population that no rule was chosen on.


@pytest.mark.slow
@pytest.mark.parametrize(("num_questions", "num_samples"), [(20, 50), (40, 20), (100, 10)])
def test_intervals_hold_the_truth_as_often_as_they_say(num_questions, num_samples):
    shares = coverage(num_questions, num_samples, num_runs=500)
    assert len(shares) == 6 and all(0.93 <= share <= 0.97 for share in shares.values()), shares


def test_an_interval_of_one_question_is_about_that_question():
    # 500 runs of one question whose truth is 0.3 wrong: its answers alone vary.
    rng, hits = np.random.default_rng(5), 0
    for number in range(500):
        cell = np.where(rng.random(40) < 0.3, INCORRECT, 0)
        rates = resample(table_of([[cell]]), draw_questions(1, 400, number), number).hallucination_rate
        ((low, high),) = percentile_intervals(rates, 1)
        hits += low <= 0.3 <= high
    assert 0.93 <= hits / 500 <= 0.97
