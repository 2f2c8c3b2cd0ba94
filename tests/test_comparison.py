"""Differences of layers and of runs, by hand where there is no chance, and against scipy."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from conftest import run_command
from scipy.stats import spearmanr
from test_intervals import table_of

from app.language import Translator
from app.views.comparison import comparison
from hcl_core.errors import SettingsError
from hcl_core.folders import precomputed_folder
from hcl_core.records import Weights
from hcl_core.scores.comparison import COMPARED, CORRELATED, _spearman, compare_layers, compare_runs
from hcl_core.scores.metrics import INCORRECT, MISSING

EQUAL = Weights()
SURE = table_of([[[-1, -1], [0, 0], [0, 1]]] * 3)  # three layers


def test_layers_without_chance_differ_by_their_scores_alone():
    differences = compare_layers(replace(SURE, is_greedy=True), 3, 2, EQUAL, "min_max")
    assert tuple(differences) == COMPARED
    assert (differences["hallucination_rate"].estimate, differences["hallucination_rate"].interval) == (0, (0, 0))
    # Ideas 2 and 1 of at most 2: scaled 1 and 1/2.
    assert differences["creativity"].estimate == pytest.approx(0.5)
    assert differences["hcb_score"].estimate == pytest.approx(0.25)


def test_a_difference_and_its_reverse_are_mirror_images():
    table = table_of(np.random.default_rng(0).integers(-1, 3, (8, 3, 6)))
    there, back = (compare_layers(table, *pair, EQUAL)["hcb_score"] for pair in ((1, 3), (3, 1)))
    assert there.estimate == pytest.approx(-back.estimate)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))


def test_pairing_cancels_what_the_questions_have_in_common():
    # Two layers alike on every question, questions very unlike: the difference is nothing, each rate uncertain.
    cells = np.repeat(np.array([[[-1] * 4, [-1] * 4], [[0] * 4, [0] * 4]]), 5, axis=0)
    assert compare_layers(table_of(cells), 1, 2, EQUAL)["hallucination_rate"].interval == (0, 0)


def test_no_difference_is_larger_than_scores_can_differ():
    # Two questions say so little of the next one that the reach of a t interval goes far beyond.
    rng = np.random.default_rng(0)
    first, second = (table_of(rng.integers(-1, 3, (2, 3, 4))) for _ in range(2))
    differences = [*compare_runs((first, second), ("ab", "ab"), EQUAL).differences.items()]
    differences += [(name, (each,)) for name, each in compare_layers(first, 1, 3, EQUAL).items()]
    reached = 0
    for name, by_layer in differences:
        most = 4 if name == "creativity_raw" else 1
        for low, high in (each.interval for each in by_layer):
            assert -most <= low <= high <= most
            reached += low == -most or high == most
    assert reached


def test_a_layer_that_the_run_lacks_is_refused():
    with pytest.raises(SettingsError, match="no exit layer 9; it has 1, 2, 3"):
        compare_layers(SURE, 1, 9, EQUAL)


def test_two_runs_are_compared_on_what_both_have():
    rng = np.random.default_rng(1)
    cells = rng.integers(-1, 3, (5, 4, 6))
    first = table_of(cells)
    # The second has the questions backwards, one of them no more, and no layer 4.
    second = table_of(cells[[3, 2, 1, 0], :3])
    comparison = compare_runs((first, second), ("abcde", "dcba"), EQUAL)
    assert (comparison.num_questions, comparison.exit_layers) == (4, (1, 2, 3))
    for name in COMPARED:
        assert [each.estimate for each in comparison.differences[name]] == pytest.approx([0, 0, 0])
    for name in CORRELATED:
        assert comparison.rank_correlation[name].estimate == pytest.approx(1)
    first_best, second_best = comparison.optimal_layers
    assert first_best == second_best
    # The answers of two equal runs are drawn apart: they differ from draw to draw.
    low, high = comparison.differences["hallucination_rate"][0].interval
    assert low < 0 < high and comparison.p_same_optimal < 1


def test_runs_without_anything_in_common_are_refused():
    with pytest.raises(SettingsError, match="in common: 0 of the questions, 3 of the layers"):
        compare_runs((SURE, SURE), ("abc", "xyz"), EQUAL)


def test_questions_that_one_run_has_not_answered_are_left_out():
    rng = np.random.default_rng(4)
    cells = rng.integers(-1, 3, (6, 3, 5))
    unfinished = cells.copy()
    unfinished[2:] = MISSING
    ids = list("abcdef")
    whole = compare_runs((table_of(cells[:2]), table_of(cells[:2])), (ids[:2], ids[:2]), EQUAL)
    partial = compare_runs((table_of(cells), table_of(unfinished)), (ids, ids), EQUAL)
    assert partial.num_questions == 2 and partial.differences == whole.differences
    with pytest.raises(SettingsError, match="let them finish first"):
        compare_runs((table_of(cells), table_of(np.full_like(cells, MISSING))), (ids, ids), EQUAL)


def test_runs_without_a_right_answer_have_no_best_layer_to_repeat():
    wrong = table_of([[[-1, -1], [-1, -1]]] * 3)
    comparison = compare_runs((wrong, wrong), ("abc", "abc"), EQUAL)
    assert (comparison.optimal_layers, comparison.p_same_optimal) == ((None, None), None)


def test_a_better_run_is_told_apart():
    rng = np.random.default_rng(2)
    good, bad = (np.where(rng.random((30, 3, 10)) < share, 0, INCORRECT) for share in (0.8, 0.3))
    ids = [str(number) for number in range(30)]
    comparison = compare_runs((table_of(good), table_of(bad)), (ids, ids), EQUAL)
    for difference in comparison.differences["hallucination_rate"]:
        assert difference.interval[1] < 0


def test_rank_correlation_is_scipys_ties_included():
    rng = np.random.default_rng(3)
    first, second = rng.integers(0, 4, (20, 6)).astype(float), rng.integers(0, 4, (20, 6)).astype(float)
    expected = [spearmanr(mine, theirs).statistic for mine, theirs in zip(first, second, strict=True)]
    np.testing.assert_allclose(_spearman(first, second), expected)


def test_flat_or_short_curves_have_no_rank_correlation():
    assert np.isnan(_spearman(np.zeros((1, 4)), np.arange(4.0)[None])).all()
    assert np.isnan(_spearman(np.array([[1.0, 2.0]]), np.array([[1.0, 2.0]]))).all()


# The command, on shipped runs.

RUNS = [str(precomputed_folder() / name) for name in ("0be6b1cadd189061", "a9a4b3a8654fe9da")]


def test_compare_prints_json_of_two_runs(capsys):
    code, printed, _ = run_command(capsys, "compare", *RUNS, "--json")
    said = json.loads(printed)
    assert code == 0 and said["num_questions"] == 174 and len(said["layers"]) == 30
    assert said["settings_that_differ"] == {"temperature": [0.6, 1.0]}
    last = said["layers"][-1]["hallucination_rate"]
    assert last["ci"][0] <= last["difference"] <= last["ci"][1] < 0  # the cooler run is less often wrong
    assert set(said["rank_correlation"]) == set(CORRELATED)


def test_compare_prints_two_layers(capsys):
    code, printed, _ = run_command(capsys, "compare", RUNS[0], "--layers", "29,30")
    assert code == 0 and "layer 29 - layer 30" in printed and "HCB" in printed


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((RUNS[0],), "give two run folders"),
        ((*RUNS, "--layers", "1,2"), "give two run folders"),
        ((RUNS[0], "--layers", "1"), "two layers, such as 24,30"),
        ((RUNS[0], "--layers", "1,99"), "no exit layer 99"),
        ((*RUNS, "--scaling", "log"), "scaling must be one of possible, min_max, absolute; got 'log'"),
    ],
)
def test_bad_options_are_one_line_and_code_2(capsys, arguments, problem):
    code, printed, complaint = run_command(capsys, "compare", *arguments)
    assert (code, printed) == (2, "") and problem in complaint and complaint.count("\n") == 1


def test_compare_leaves_shipped_runs_as_they_are(capsys, tmp_path):
    copy = shutil.copytree(RUNS[0], tmp_path / "run")
    before = {file.name: file.stat().st_mtime_ns for file in copy.rglob("*")}
    run_command(capsys, "compare", str(copy), "--layers", "29,30")
    assert {file.name: file.stat().st_mtime_ns for file in copy.rglob("*")} == before


def test_the_page_says_how_many_layers_chance_alone_would_tell_apart():
    compared = compare_runs((SURE, SURE), ("abc", "abc"), EQUAL)
    html = comparison([(1, compared)], "hcb_score", ["a", "b"], {}, [], Translator("en"))
    assert "differs in 0 of 3 layers; chance alone would make about 0.2 differ." in html
