"""The scores and the clusters, against arithmetic done by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcl_core.errors import SettingsError
from hcl_core.ideas.clustering import leader_clusters
from hcl_core.records import Sample, Weights
from hcl_core.scores.metrics import (
    INCORRECT,
    MISSING,
    NOT_ATTEMPTED,
    OutcomeTable,
    answered,
    creativity_raw,
    hallucination_rate,
    hcb_score,
    mean_known,
    min_max_scale,
    scaled_creativity,
    score_layers,
)

X, N, M = INCORRECT, NOT_ATTEMPTED, MISSING

# Two questions, layers 2 and 4, four samples.
OUTCOMES = np.array(
    [
        [[0, 1, X, X], [0, 0, 0, N]],
        [[X, X, N, X], [0, 1, 0, X]],
    ],
    dtype=np.int16,
)


def make_table(outcomes, layers=None, confidence=0.5, num_accepted_ideas=()):
    outcomes = np.array(outcomes, dtype=np.int16)
    confidences = np.where(outcomes == MISSING, np.nan, confidence).astype(np.float32)
    layers = layers or tuple(range(1, outcomes.shape[1] + 1))
    return OutcomeTable(layers, outcomes, confidences, np.array(num_accepted_ideas, np.int32))


def creativity_absolute(outcomes):
    return scaled_creativity(make_table(outcomes), "absolute")


def creativity_possible(outcomes, num_accepted_ideas):
    return scaled_creativity(make_table(outcomes, num_accepted_ideas=num_accepted_ideas), "possible")


def test_hallucination_rate_is_the_mean_over_questions():
    # Layer 2: 2/4 and 4/4, mean 3/4. Layer 4: 1/4 and 1/4.
    assert hallucination_rate(OUTCOMES).tolist() == [0.75, 0.25]


def test_hallucination_rate_counts_what_was_not_attempted():
    # One right, one wrong, two silent: 3/4.
    assert hallucination_rate(np.array([[[0, X, N, N]]])).tolist() == [0.75]


def test_hallucination_rate_divides_by_the_answers_that_came():
    # 1 of 2 and 3 of 3: (1/2 + 3/3) / 2, not 4 of 5.
    assert hallucination_rate(np.array([[[0, X, M]], [[X, X, N]]])).tolist() == [0.75]


def test_hallucination_rate_leaves_out_a_question_without_answers():
    assert hallucination_rate(np.array([[[0, X]], [[M, M]]])).tolist() == [0.5]


def test_hallucination_rate_of_nothing_is_nan():
    assert math.isnan(hallucination_rate(np.array([[[M, M]]]))[0])


def test_creativity_raw_is_the_mean_number_of_clusters():
    # Layer 2: clusters {0, 1} and none, mean 1. Layer 4: {0} and {0, 1}, mean 3/2.
    assert creativity_raw(OUTCOMES).tolist() == [1.0, 1.5]


def test_creativity_raw_counts_a_question_answered_wrong_as_zero():
    # (3 + 0) / 2
    assert creativity_raw(np.array([[[0, 1, 2]], [[X, N, X]]])).tolist() == [1.5]


def test_creativity_raw_leaves_out_a_question_without_answers():
    assert creativity_raw(np.array([[[0, 1, 2]], [[M, M, M]]])).tolist() == [3.0]


def test_creativity_raw_of_nothing_is_nan():
    assert math.isnan(creativity_raw(np.array([[[M, M]]]))[0])


def test_creativity_absolute_is_clusters_over_answers():
    # Layer 2: 2/4 and 0/4, mean 1/4. Layer 4: 1/4 and 2/4, mean 3/8.
    assert creativity_absolute(OUTCOMES).tolist() == [0.25, 0.375]


def test_creativity_absolute_divides_by_the_answers_that_came():
    # 2 of 2 and 1 of 2: (1 + 1/2) / 2
    assert creativity_absolute([[[0, 1, M, M]], [[0, X, M, M]]]).tolist() == [0.75]


def test_absolute_scores_are_worked_by_hand():
    low, high = score_layers(make_table(OUTCOMES, (2, 4)), Weights(), "absolute")
    # (1/4 + 1/4) / 2 and (3/8 + 3/4) / 2
    assert (low.creativity, low.hcb_score, high.hcb_score) == (0.25, 0.25, 0.5625)


def test_min_max_scale_maps_the_ends_to_0_and_1():
    # (3 - 2) / (6 - 2) = 1/4
    assert min_max_scale(np.array([3.0, 2.0, 6.0])).tolist() == [0.25, 0.0, 1.0]


def test_min_max_scale_of_equal_values_is_a_half():
    assert min_max_scale(np.array([1.5, 1.5, 1.5])).tolist() == [0.5, 0.5, 0.5]


def test_min_max_scale_of_one_layer_is_a_half():
    assert min_max_scale(np.array([7.0])).tolist() == [0.5]


def test_min_max_scale_keeps_nan_and_scales_the_others():
    np.testing.assert_array_equal(min_max_scale(np.array([1.0, np.nan, 3.0])), [0.0, np.nan, 1.0])


def test_min_max_scale_of_equal_values_keeps_nan():
    np.testing.assert_array_equal(min_max_scale(np.array([1.0, np.nan])), [0.5, np.nan])


def test_min_max_scale_of_nan_alone_is_nan():
    np.testing.assert_array_equal(min_max_scale(np.array([np.nan, np.nan])), [np.nan, np.nan])


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_min_max_scale_stays_between_0_and_1(values):
    scaled = min_max_scale(np.array(values, dtype=float))
    assert scaled.min() >= 0 and scaled.max() <= 1


def test_hcb_score_weighs_creativity_and_accuracy():
    # 0.25 * 0.8 + 0.75 * (1 - 0.6) = 0.2 + 0.3
    assert hcb_score(np.array([0.8]), np.array([0.6]), Weights(0.25, 0.75))[0] == pytest.approx(0.5)


def test_hcb_score_with_all_weight_on_accuracy_ignores_creativity():
    assert hcb_score(np.array([0.3]), np.array([0.25]), Weights(0, 1)).tolist() == [0.75]


def test_score_layers_joins_the_chain():
    low, high = score_layers(make_table(OUTCOMES, (2, 4)), Weights(), "min_max")
    # Scaled creativity of 1 and 3/2: 0 and 1. HCB: (0 + 1/4) / 2 = 1/8 and (1 + 3/4) / 2 = 7/8.
    assert (low.exit_layer, low.creativity, low.hcb_score) == (2, 0.0, 0.125)
    assert (high.exit_layer, high.creativity, high.hcb_score) == (4, 1.0, 0.875)


def test_score_layers_counts_outcomes_over_all_questions():
    low, high = score_layers(make_table(OUTCOMES, (2, 4)), Weights())
    assert (low.num_correct, low.num_not_attempted, low.num_samples) == (2, 1, 8)
    assert (high.num_correct, high.num_not_attempted, high.num_samples) == (6, 1, 8)
    assert (low.num_attempted, high.num_attempted) == (7, 7)


def test_score_layers_confidence_is_the_mean_over_the_answers_that_came():
    table = make_table([[[0, X, M]], [[0, M, M]]])
    table.confidences[0, 0, :2], table.confidences[1, 0, 0] = (0.5, 0.25), 0.75
    # (0.5 + 0.25 + 0.75) / 3
    assert score_layers(table, Weights())[0].confidence == 0.5


def test_score_layers_of_a_layer_without_samples_are_nan():
    empty = score_layers(make_table([[[0, X], [M, M]]]), Weights())[1]
    assert empty.num_samples == 0
    assert all(
        math.isnan(value)
        for value in (
            empty.hallucination_rate,
            empty.creativity_raw,
            empty.creativity,
            empty.hcb_score,
            empty.confidence,
        )
    )


def test_score_layers_scale_over_the_layers_that_have_samples():
    # Raw 1, none, 2: scaled 0, NaN, 1.
    scores = score_layers(make_table([[[0, X], [M, M], [0, 1]]]), Weights(), "min_max")
    np.testing.assert_array_equal([score.creativity for score in scores], [0.0, np.nan, 1.0])


def test_sample_confidence_is_the_geometric_mean_probability():
    # sqrt(1/2 * 1/8) = 1/4
    sample = Sample("q", 1, 0, "", "", (1, 2), (math.log(1 / 2), math.log(1 / 8)), "stop")
    assert sample.confidence == pytest.approx(0.25)


# Accepted ideas.


def test_creativity_possible_is_ideas_over_those_possible():
    # Layer 2: {0, 1} of min(4 answers, 3 ideas), none of min(4, 20): (2/3 + 0) / 2. Layer 4: (1/3 + 2/4) / 2.
    assert creativity_possible(OUTCOMES, [3, 20]).tolist() == pytest.approx([1 / 3, 5 / 12])


def test_creativity_possible_of_unknown_ideas_is_over_answers():
    assert creativity_possible(OUTCOMES, [0, 0]).tolist() == creativity_absolute(OUTCOMES).tolist()


def test_creativity_possible_is_at_most_1():
    # Two accepted ideas, and two that no accepted answer names.
    assert creativity_possible([[[0, 1, 2, 3]]], [2]).tolist() == [1.0]


def test_possible_is_the_default_scaling():
    table = make_table(OUTCOMES)
    assert score_layers(table, Weights()) == score_layers(table, Weights(), "possible")


def test_nothing_right_has_no_creativity_to_stretch():
    wrong = make_table([[[X, X], [X, N]]])
    assert [score.creativity for score in score_layers(wrong, Weights())] == [0, 0]
    stretched = score_layers(wrong, Weights(), "min_max")
    assert all(math.isnan(score.creativity) and math.isnan(score.hcb_score) for score in stretched)


def test_a_question_with_one_accepted_idea_has_no_creativity():
    table = OutcomeTable((1, 2), OUTCOMES, np.full(OUTCOMES.shape, 0.5, np.float32), np.array([1, 1], np.int32))
    for score in score_layers(table, Weights()):
        assert math.isnan(score.creativity) and math.isnan(score.creativity_raw) and math.isnan(score.hcb_score)
        assert 0 <= score.hallucination_rate <= 1


def test_a_table_wants_one_number_of_ideas_a_question():
    with pytest.raises(ValueError, match="one number a question, 2; got shape"):
        OutcomeTable((1, 2), OUTCOMES, np.zeros(OUTCOMES.shape, np.float32), np.array([1, 1, 1], np.int32))


def test_a_part_of_a_table_has_its_questions_ideas():
    table = OutcomeTable((2, 4), OUTCOMES, np.zeros(OUTCOMES.shape, np.float32), np.array([3, 5], np.int32), True)
    part = table.part([1], [1])
    assert (part.exit_layers, part.num_accepted_ideas.tolist(), part.is_greedy) == ((4,), [5], True)
    assert part.outcomes.tolist() == [[[0, 1, 0, X]]]


def test_questions_without_answers_are_left_out_with_their_ideas():
    cells = np.array([[[0, X]], [[M, M]], [[0, 1]]], np.int16)
    table = OutcomeTable((1,), cells, np.zeros(cells.shape, np.float32), np.array([2, 3, 4], np.int32))
    assert answered(table).num_accepted_ideas.tolist() == [2, 4]


def test_an_empty_table_may_know_its_ideas():
    table = OutcomeTable.empty(2, (1, 2), 3, np.array([0, 4], np.int32))
    assert table.num_accepted_ideas.tolist() == [0, 4]
    assert OutcomeTable.empty(2, (1, 2), 3).num_accepted_ideas.tolist() == [0, 0]


def test_the_mean_of_what_is_known_leaves_out_nan():
    np.testing.assert_array_equal(mean_known(np.array([[1, np.nan], [3, np.nan]])), [2, np.nan])


@pytest.mark.parametrize("pair", [(0.5, 0.5), (0, 1), (1, 0), (0.1, 0.9), (0.7, 0.3)])
def test_weights_that_sum_to_one_are_taken(pair):
    assert (Weights(*pair).creativity, Weights(*pair).accuracy) == pair


@pytest.mark.parametrize("pair", [(0.5, 0.6), (0.4, 0.5), (-0.1, 1.1), (1.1, -0.1), (math.nan, 0.5), (math.inf, 0)])
def test_other_weights_are_refused(pair):
    with pytest.raises(SettingsError, match="sum to 1"):
        Weights(*pair)


# Clusters.


def at_degrees(*angles):
    """Unit vectors; two of them have cosine 0.8 at 36.9 degrees."""
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_clusters_of_nothing_are_none():
    assert leader_clusters(np.empty((0, 2), np.float32)) == []


def test_clusters_are_numbered_in_order_of_opening():
    assert leader_clusters(at_degrees(90, 0, 180, 0, 90)) == [0, 1, 2, 1, 0]


def test_clusters_follow_their_first_member():
    # 60 is within 36.9 of 30, which is a member, and not of 0, which is the first one.
    assert leader_clusters(at_degrees(0, 30, 60)) == [0, 0, 1]


def test_clusters_depend_on_the_order():
    # The same three with 30 first: both others are within 36.9 of it.
    assert leader_clusters(at_degrees(30, 0, 60)) == [0, 0, 0]


def test_clusters_prefer_the_first_that_fits_to_the_nearest():
    # 30 is nearer to 50, but 0 fits (cosine 0.87) and came first.
    assert leader_clusters(at_degrees(0, 50, 30)) == [0, 1, 0]


def test_cluster_threshold_is_inclusive():
    # The cosine is 0.5 exactly.
    pair = np.array([[1, 0], [0.5, 0.75**0.5]], np.float32)
    assert leader_clusters(pair, threshold=0.5) == [0, 0]


def test_cluster_threshold_separates_just_below_it():
    pair = np.array([[1, 0], [0.5, 0.75**0.5]], np.float32)
    assert leader_clusters(pair, threshold=0.5001) == [0, 1]


def test_cluster_threshold_is_the_papers():
    # 0.8 in float32 on both sides.
    pair = np.array([[1, 0], [0.8, 0.6]], np.float32)
    assert leader_clusters(pair) == [0, 0]


def test_clusters_are_counted_by_distinct_numbers():
    # A resample of samples may keep cluster 3 alone, twice: that is one idea, not four.
    assert creativity_raw(np.array([[[3, 3, -1, -2, -3], [0, 2, 2, 5, -3]]], np.int16)).tolist() == [1.0, 3.0]
