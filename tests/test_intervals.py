"""Draws, intervals and best layers: by hand where there is no chance, by properties, and against known truths."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.coverage import question_row, set_row
from hcl_core.records import Weights
from hcl_core.scores.best_layers import describe_best, find_best, share_of_best
from hcl_core.scores.draws import draw_questions, draw_scores
from hcl_core.scores.intervals import interval_of, summarise_draws, uncertainty
from hcl_core.scores.metrics import INCORRECT, MISSING, OutcomeTable, score_layers
from hcl_core.scores.posterior import Counts, draw_estimands

EQUAL = Weights()
SCORES = {
    "hallucination_rate": "hallucination_ci",
    "creativity_raw": "creativity_raw_ci",
    "creativity": "creativity_ci",
    "hcb_score": "hcb_ci",
}


def table_of(outcomes, num_accepted_ideas=0, is_greedy=False):
    """Nested lists ``[question][layer][sample]`` as a table of layers 1, 2, ..."""
    cells = np.array(outcomes, np.int16)
    layers = tuple(range(1, cells.shape[1] + 1))
    accepted = np.full(len(cells), num_accepted_ideas, np.int32)
    return OutcomeTable(layers, cells, np.full(cells.shape, 0.5, np.float32), accepted, is_greedy)


def drawn(table, num_draws=1000, seed=0):
    return draw_scores(table, draw_questions(len(table.outcomes), num_draws, seed), seed)


def any_table(seed, num_accepted_ideas=0):
    rng = np.random.default_rng(seed)
    return table_of(rng.integers(-3, 4, rng.integers(1, 5, 3)), num_accepted_ideas)


# One question.


def test_answers_are_counted_by_idea():
    counts = Counts.of(np.array([[0, 5, 5, -1, -3], [-1, -2, -3, -3, -3]], np.int16))
    assert counts.sizes.tolist() == [[2, 1], [0, 0]]
    assert (counts.right.tolist(), counts.wrong.tolist()) == ([3, 0], [1, 2])


def test_a_lone_layers_wrong_share_has_jeffreys_posterior():
    # 6 wrong and 4 right of 10: Beta(6.5, 4.5).
    wrong = drawn(table_of([[[0] * 4 + [INCORRECT] * 6]]), 20_000).hallucination_rate[:, 0]
    expected = stats.beta(6.5, 4.5)
    assert (wrong.mean(), wrong.std()) == pytest.approx((expected.mean(), expected.std()), rel=0.02)


@pytest.mark.parametrize("num_accepted_ideas", [0, 12])
def test_expected_ideas_are_centred_near_those_found(num_accepted_ideas):
    # Twelve ideas of equal odds in twelve answers: 12 * (1 - (11/12)**12) = 7.8 are expected.
    rng, means = np.random.default_rng(0), []
    for _ in range(40):
        cell = rng.integers(0, 12, (1, 12)).astype(np.int16)
        means.append(draw_estimands(cell, num_accepted_ideas, 200, rng)[1].mean())
    assert np.mean(means) == pytest.approx(7.8, rel=0.2)


def test_neighbours_that_are_alike_narrow_each_other():
    rng = np.random.default_rng(0)
    alike = np.where(rng.random((20, 24)) < 0.5, 0, INCORRECT).astype(np.int16)
    alone, among = (draw_estimands(cells, 0, 2000, rng)[0].std(axis=0) for cells in (alike[9:10], alike))
    assert among[9] < 0.6 * alone[0]


def test_neighbours_that_are_unlike_leave_each_other_alone():
    unlike = np.full((8, 50), INCORRECT, np.int16)
    unlike[::2] = 0
    wrong = draw_estimands(unlike, 0, 1000, np.random.default_rng(0))[0].mean(axis=0)
    assert (wrong[::2] < 0.05).all() and (wrong[1::2] > 0.95).all()


def test_equal_answers_are_not_certain():
    for cell, name in (([0] * 50, "right"), ([INCORRECT] * 50, "wrong")):
        layers = uncertainty(table_of([[cell, [0] * 25 + [INCORRECT] * 25]]), EQUAL).layers
        low, high = layers[0].hallucination_ci
        assert 0.005 < high - low < 0.15, name
        assert layers[0].creativity_raw_ci[1] > layers[0].creativity_raw_ci[0]


def test_greedy_answers_of_one_question_are_certain():
    sure = uncertainty(table_of([[[0] * 5, [INCORRECT] * 5]], is_greedy=True), EQUAL)
    assert [layer.hallucination_ci for layer in sure.layers] == [(0, 0), (1, 1)]
    assert (sure.best.kind, sure.best.optimal_layer) == ("clear", 1)


def test_more_accepted_ideas_leave_more_to_be_found():
    cell = [[[0] * 4 + [1, 2] + [INCORRECT] * 4]]
    few, many = (drawn(table_of(cell, accepted)).creativity_raw.mean() for accepted in (3, 100))
    assert few <= 3 and few < many


def test_draws_of_layers_that_are_never_right_are_numbers():
    wrong, ideas = draw_estimands(np.full((3, 10), INCORRECT, np.int16), 195, 5000, np.random.default_rng(0))
    assert np.isfinite(wrong).all() and np.isfinite(ideas).all() and ideas.min() >= 0


# Sets.


def test_questions_vary_when_their_answers_hardly_do():
    # Two questions, one right and one wrong: a draw holds the first 0, 1 or 2 times.
    rates = drawn(table_of([[[0] * 400], [[INCORRECT] * 400]]), 4000).hallucination_rate[:, 0]
    assert rates.mean() == pytest.approx(0.5, abs=0.03) and rates.std() > 0.3


def test_missing_answers_and_questions_are_left_out():
    cells = table_of([[[0, MISSING], [MISSING, MISSING]], [[-1, -1], [0, 0]]])
    second = uncertainty(cells, EQUAL).layers[1]
    assert second.hallucination_ci[0] == 0 and second.hallucination_ci[1] > 0
    empty = uncertainty(table_of([[[0, 0], [MISSING, MISSING]]]), EQUAL)
    assert np.isnan(empty.layers[1].hcb_ci).all() and empty.layers[1].p_optimal == 0 and empty.best.num_layers == 1


def test_questions_without_answers_yet_do_not_narrow_the_intervals():
    cells = np.random.default_rng(0).integers(-1, 2, (3, 2, 10))
    unfinished = np.full((174, 2, 10), MISSING)
    unfinished[[5, 50, 100]] = cells
    assert uncertainty(table_of(unfinished), EQUAL) == uncertainty(table_of(cells), EQUAL)


def test_the_chain_is_recomputed_in_each_draw():
    draws = drawn(table_of(np.random.default_rng(0).integers(-1, 3, (6, 4, 5))), 50)
    raw = draws.creativity_raw
    scaled = (raw - raw.min(1, keepdims=True)) / np.ptp(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(draws.creativity("min_max"), scaled)
    wanted = 0.3 * scaled + 0.7 * (1 - draws.hallucination_rate)
    np.testing.assert_allclose(draws.hcb_score(Weights(0.3, 0.7), "min_max"), wanted)


def test_intervals_are_stretched_to_a_t_intervals_reach():
    values = np.random.default_rng(0).normal(size=(100_000, 1))
    ((low, high),) = interval_of(values, np.zeros(1), 5, (-9, 9))
    reach = stats.t.ppf(0.975, 4)
    assert (low, high) == pytest.approx((-reach, reach), rel=0.03)
    assert interval_of(values, np.zeros(1), 1, (-9, 9))[0][1] == pytest.approx(1.96, rel=0.02)


def test_intervals_hold_the_score_and_stay_within_what_it_can_be():
    ((low, high),) = interval_of(np.full((10, 1), 0.4), np.array([0.7]), 1, (0, 0.5))
    assert (low, high) == (0.4, 0.7)
    assert interval_of(np.linspace(-1, 2, 100)[:, None], np.array([0.5]), 1, (0, 1)) == [(0, 1)]


# Questions with one accepted idea.


def test_a_question_with_one_accepted_idea_does_not_count_for_creativity():
    cells = np.random.default_rng(0).integers(-1, 3, (4, 3, 8))
    mixed = table_of(cells)
    mixed.num_accepted_ideas[:] = [1, 3, 1, 3]
    alone = table_of(cells[[1, 3]], 3)
    assert [each.creativity for each in score_layers(mixed, EQUAL)] == [
        each.creativity for each in score_layers(alone, EQUAL)
    ]


def test_without_creativity_accuracy_alone_decides():
    sure = uncertainty(table_of([[[0] * 2 + [INCORRECT] * 38, [0] * 30 + [INCORRECT] * 10]], 1), EQUAL)
    assert (sure.best.optimal_layer, sure.best.kind, sure.best.has_creativity) == (2, "clear", False)
    assert all(np.isnan([*layer.creativity_ci, *layer.hcb_ci, *layer.creativity_raw_ci]).all() for layer in sure.layers)
    assert "Layer 2 is most often right" in describe_best(sure.best)
    assert "accuracy alone decides" in describe_best(sure.best)


def test_right_answers_of_questions_without_creativity_are_not_stretched():
    mixed = table_of([[[0, 0, 0, INCORRECT], [INCORRECT] * 4], [[INCORRECT] * 4, [INCORRECT] * 4]])
    mixed.num_accepted_ideas[:] = [1, 3]
    best = uncertainty(mixed, EQUAL, "min_max").best
    assert (best.optimal_layer, best.has_creativity) == (1, False)


# Best layers.


def test_shares_of_the_best_are_divided_by_ties():
    ranking = np.array([[0.5, 0.5, 0.1], [0.2, 0.5, np.nan], [0.4, 0.4 + 1e-12, 0.4]])
    shares = np.array([[1 / 2, 1 / 2, 0], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(share_of_best(ranking), shares)


def test_the_best_set_is_the_smallest_that_holds_the_best():
    # Layer 7 is the best in 60 of 100 draws, 5 in 37, 3 in 3, and 9 never.
    ranking = np.zeros((100, 4))
    ranking[np.arange(100), np.repeat([2, 1, 0], [60, 37, 3])] = 1
    best = find_best(ranking, (3, 5, 7, 9), True)
    assert (best.kind, best.optimal_layer, best.best_set) == ("tied", 7, (5, 7))
    assert (best.probability, best.p_optimal) == pytest.approx((0.97, 0.6))
    assert (
        describe_best(best)
        == "Layer 7 balances best with a probability of 60%, but others may too: layers 5,7 hold the best one with "
        "a probability of 97%."
    )


def test_a_clear_winner():
    sure = uncertainty(table_of([[[-1] * 30, [-1] * 30, [0] * 15 + [1] * 15]] * 10), EQUAL)
    assert (sure.best.kind, sure.best.best_set) == ("clear", (3,))
    assert describe_best(sure.best) == "Layer 3 balances best, with a probability of 100%."


def test_equal_layers_share_and_the_cheapest_is_named():
    cells = [[[INCORRECT] * 20, [0] * 20, [0] * 20, [0] * 20]] * 2
    sure = uncertainty(table_of(cells), EQUAL)
    assert [layer.p_optimal for layer in sure.layers[1:]] == pytest.approx([1 / 3] * 3, abs=0.01)
    assert (sure.best.optimal_layer, sure.best.equal_layers, sure.best.best_set) == (2, (2, 3, 4), (2, 3, 4))
    assert "Layers 2:4 are equal" in describe_best(sure.best) and "layer 2 is the cheapest" in describe_best(sure.best)


@pytest.mark.parametrize(
    ("right", "num_samples", "equal"),
    [
        ((10, 10, 10, 9, 10, 10, 10, 10), 10, (1, 2, 3, 5, 6, 7, 8)),
        ((50,) * 7 + (49,), 50, (1, 2, 3, 4, 5, 6, 7)),
        ((7, 9, 6, 9), 56, (2, 4)),
    ],
)
def test_a_layer_that_is_worse_than_equal_ones_is_not_named(right, num_samples, equal):
    """Equal layers share what they are the best in, so that a worse one can have more than each of them."""
    cells = [[[0] * count + [INCORRECT] * (num_samples - count) for count in right]]
    sure = uncertainty(table_of(cells, num_accepted_ideas=1), EQUAL)
    p_optimal = np.array([layer.p_optimal for layer in sure.layers])
    assert sure.best.equal_layers == equal and sure.best.optimal_layer == equal[0]
    assert set(equal) <= set(sure.best.best_set)
    assert sure.best.p_best == pytest.approx(sum(p_optimal[layer - 1] for layer in equal))
    assert sure.best.p_best > max(share for layer, share in enumerate(p_optimal, 1) if layer not in equal)
    assert f"which are equal, are most often right with a probability of {sure.best.p_best:.0%} together" in str(
        sure.best
    )


def test_noise_has_no_best_layer():
    rng = np.random.default_rng(2)
    sure = uncertainty(table_of(np.where(rng.random((20, 8, 6)) < 0.5, 0, INCORRECT)), EQUAL)
    assert sure.best.kind == "none" and len(sure.best.best_set) > 4
    assert describe_best(sure.best).startswith("No layer is clearly best")


def test_nothing_right_has_no_best_layer():
    sure = uncertainty(table_of([[[-1, -1], [-1, -2]]]), EQUAL)
    assert (sure.best.kind, sure.best.optimal_layer, sure.best.best_set) == ("none", None, ())
    assert [layer.p_optimal for layer in sure.layers] == [0, 0]
    assert describe_best(sure.best).startswith("No layer gave a right answer")


def test_the_best_layers_expected_score_is_below_the_one_it_was_chosen_for():
    rng = np.random.default_rng(3)
    table = table_of(np.where(rng.random((1, 20, 10)) < 0.5, 0, INCORRECT))
    highest = max(score.hcb_score for score in score_layers(table, EQUAL))
    assert uncertainty(table, EQUAL).best.expected_hcb < highest


def test_absolute_scaling_does_not_move_when_a_layer_is_added():
    cells = np.random.default_rng(0).integers(-1, 3, (6, 4, 5))
    few, many = (score_layers(table_of(cells[:, :number]), EQUAL, "absolute") for number in (3, 4))
    assert few == many[:3]


# Properties.


@given(st.integers(0, 2**16), st.sampled_from([0, 1, 2, 9]), st.sampled_from(["possible", "min_max", "absolute"]))
@settings(max_examples=60)
def test_any_table_gives_intervals_that_hold_its_scores(seed, num_accepted_ideas, scaling):
    table = any_table(seed, num_accepted_ideas)
    scores = score_layers(table, EQUAL, scaling)
    for score, layer in zip(scores, uncertainty(table, EQUAL, scaling, num_draws=50).layers, strict=True):
        for name, interval in SCORES.items():
            (low, high), value = getattr(layer, interval), getattr(score, name)
            assert np.isnan([low, high]).all() if np.isnan(value) else low <= value <= high


@given(st.integers(0, 2**16), st.sampled_from([0, 1, 2, 9]))
@example(1750, 1)  # two layers are equal in some draws, and neither leads
@settings(max_examples=60)
def test_any_table_gives_shares_and_a_set_that_agree(seed, num_accepted_ideas):
    table = any_table(seed, num_accepted_ideas)
    sure = uncertainty(table, EQUAL, num_draws=50)
    p_optimal = {layer.exit_layer: layer.p_optimal for layer in sure.layers}
    has_right = bool((table.outcomes >= 0).any())
    assert sum(p_optimal.values()) == pytest.approx(1 if has_right else 0)
    if has_right:
        best = sure.best
        assert best.p_optimal == p_optimal[best.optimal_layer]
        assert best.p_best == pytest.approx(
            sum(p_optimal[layer] for layer in best.equal_layers or (best.optimal_layer,))
        )
        assert best.p_best >= max(p_optimal.values()) - 1e-9
        assert best.probability >= 0.95 - 1e-9
        assert best.probability == pytest.approx(sum(p_optimal[layer] for layer in best.best_set))
        assert min(p_optimal[layer] for layer in best.best_set) > 0
        assert (best.kind == "clear") == (len(best.best_set) == 1)
        assert len({round(p_optimal[layer], 9) for layer in best.equal_layers}) <= 1


@given(st.integers(0, 2**16))
@settings(max_examples=30)
def test_layers_with_equal_answers_share_alike(seed):
    rng = np.random.default_rng(seed)
    cells = rng.integers(-1, 3, (2, 4, 6))
    cells[:, 3] = rng.permuted(cells[:, 1], axis=1)  # the same counts in another order
    layers = uncertainty(table_of(cells, 3), EQUAL, num_draws=50).layers
    assert layers[1].p_optimal == pytest.approx(layers[3].p_optimal)


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others():
    table = table_of(np.random.default_rng(0).integers(-1, 3, (6, 3, 5)))
    assert uncertainty(table, EQUAL) == uncertainty(table, EQUAL)
    assert uncertainty(table, EQUAL) != uncertainty(table, EQUAL, seed=1)


def test_other_weights_need_no_new_draws():
    table, weights = table_of(np.random.default_rng(0).integers(-1, 3, (6, 3, 5))), Weights(0.2, 0.8)
    assert summarise_draws(drawn(table), weights) == uncertainty(table, weights)


# Coverage, on populations that the method was not chosen on; ``bench.coverage`` measures them all.


def test_intervals_of_one_question_hold_the_truth():
    row = question_row("held_out", "few_large", True, 24, False, "possible", runs=60)
    assert all(0.9 <= row.mean(name) <= 0.99 for name in ("hallucination", "ideas", "creativity", "HCB")), row.values
    assert row.mean("holds") >= 0.9


def test_intervals_of_a_set_hold_the_truth():
    row = set_row("held_out", True, 10, 24, "possible", runs=60)
    assert all(0.88 <= row.mean(name) <= 1 for name in ("hallucination", "creativity", "HCB")), row.values
    assert row.mean("holds") >= 0.9


def test_draws_are_numbers_where_no_idea_beside_the_first_was_seen():
    # The weights of ideas that nobody gave are tiny, and some draws of them are too small for single precision.
    outcomes = np.full((30, 50), INCORRECT, np.int16)
    for layer in range(30):
        outcomes[layer, : layer + 1] = 0
    with np.errstate(all="raise", under="ignore"):
        wrong, ideas = draw_estimands(outcomes, 2, 20_000, np.random.default_rng(0))
    assert np.isfinite(wrong).all() and np.isfinite(ideas).all()
