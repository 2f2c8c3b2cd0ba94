"""Questions without accepted answers: worked out by hand, and asked from the terminal with a tiny model."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import FakeEmbedder, run_command
from fake_runs import LAYERS, PLANET, Sitting

from hcl_core import registry
from hcl_core.errors import SettingsError
from hcl_core.ideas.accepted import AcceptedIdeas
from hcl_core.judges.alias import AliasJudge
from hcl_core.judges.names import judge_of
from hcl_core.judges.open import OpenJudge
from hcl_core.pipeline import WaveDone
from hcl_core.pipeline.plausibility import read_plausibility
from hcl_core.pipeline.scorer import Embeddings, Scorer
from hcl_core.pipeline.stored import read_outcomes, rescore
from hcl_core.ports import RightAnswer
from hcl_core.records import SCALINGS, Question, Weights, are_open
from hcl_core.runs.folder import RunFolder
from hcl_core.scores.comparison import compare_layers, compare_runs
from hcl_core.scores.draws import draw_questions, draw_scores
from hcl_core.scores.intervals import uncertainty
from hcl_core.scores.measures import measure_outcomes
from hcl_core.scores.metrics import INCORRECT, MISSING, NOT_ATTEMPTED, OutcomeTable, score_layers

SEA = Question("sea", "Write a metaphor for the sea.", ())
EQUAL = Weights()


def open_table(outcomes, probabilities, is_greedy=False):
    """Nested lists ``[question][layer][sample]`` as a table of layers 1, 2, ..."""
    cells = np.array(outcomes, np.int16)
    layers = tuple(range(1, cells.shape[1] + 1))
    confidences, ideas = np.full(cells.shape, 0.5, np.float32), np.zeros(len(cells), np.int32)
    return OutcomeTable(layers, cells, confidences, ideas, is_greedy, True, np.log(np.array(probabilities, np.float32)))


# Four answers a layer. Layer 1: three ideas, one refusal. Layer 2: one idea, said twice, and two answers missing.
BY_HAND = open_table(
    [[[0, 1, 2, NOT_ATTEMPTED], [0, 0, MISSING, MISSING]]], [[[0.5, 0.25, 0.125, 0.9], [0.5, 0.3, math.nan, math.nan]]]
)


# Questions and judges.


def test_a_question_without_accepted_answers_is_open():
    assert SEA.is_open and not PLANET.is_open


def test_open_and_other_questions_are_not_mixed():
    with pytest.raises(SettingsError, match="ask them in two runs"):
        are_open([SEA, PLANET])


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("A quilt of salt.", "unjudged"),
        ("", "not_attempted"),
        (" ", "not_attempted"),
        ("I don't know.", "not_attempted"),
        ("I cannot say", "not_attempted"),
    ],
)
def test_attempts_are_left_unjudged(answer, outcome):
    assert [each.outcome for each in OpenJudge().judge(SEA, [answer])] == [outcome]


def test_open_questions_have_their_own_judge():
    assert judge_of("semantic", [SEA]) == "none"
    assert judge_of("semantic", [PLANET]) == "semantic"
    with pytest.raises(SettingsError, match="these have some"):
        judge_of("none", [PLANET])


def test_ideas_of_open_questions_are_clusters_of_meaning():
    texts = [[RightAnswer(text, None) for text in ("a quilt", "An apron", "a blanket", "blue")]]
    assert AcceptedIdeas(FakeEmbedder().embed).find(SEA, texts) == [[0, 0, 0, 1]]


# Scores.


def test_scores_by_hand():
    first, second = score_layers(BY_HAND, Weights(0.25, 0.75))
    # (0.5 + 0.25 + 0.125 + 0 for the refusal) / 4 and (0.5 + 0.3) / 2.
    assert [first.token_plausibility, second.token_plausibility] == pytest.approx([0.21875, 0.4])
    # Three ideas, each said once: 0.5 + 0.25 + 0.125. One idea, said twice: 1 - (1 - 0.5) * (1 - 0.3).
    assert [first.creativity_raw, second.creativity_raw] == pytest.approx([0.875, 0.65])
    assert [first.creativity, second.creativity] == pytest.approx([0.875 / 4, 0.65 / 2])
    assert [first.hcb_score, second.hcb_score] == pytest.approx([0.21875, 0.25 * 0.325 + 0.75 * 0.4])
    assert math.isnan(first.hallucination_rate) and first.num_correct == 0


def test_the_measure_of_creativity_counts_plausible_ideas():
    first, second = measure_outcomes(BY_HAND, None)
    assert [first.creativity_absolute, second.creativity_absolute] == pytest.approx([0.875 / 4, 0.65 / 2])


def test_a_set_is_the_mean_of_its_questions():
    table = open_table([[[0, 0]], [[0, MISSING]]], [[[0.2, 0.4]], [[0.9, math.nan]]])
    assert score_layers(table, EQUAL)[0].token_plausibility == pytest.approx((0.3 + 0.9) / 2)


def test_scores_of_judged_questions_have_no_plausibility():
    judged = replace(BY_HAND, is_open=False)
    assert all(math.isnan(score.token_plausibility) for score in score_layers(judged, EQUAL))


def test_improbable_ideas_are_no_creativity():
    varied, plausible = [[0, 1, 2, 3]], [[0, 0, 0, 1]]
    table = open_table([[*varied, *plausible]], [[[0.01] * 4, [0.5] * 4]])
    first, second = score_layers(table, EQUAL)
    assert first.creativity < second.creativity


def test_certain_answers_are_scored_as_judged_ones():
    # Probabilities of 0 and 1 are verdicts: as if those with 1 were right.
    rng = np.random.default_rng(0)
    ideas, verdicts = rng.integers(0, 4, (3, 5, 8)), rng.integers(0, 2, (3, 5, 8))
    judged = replace(open_table(np.where(verdicts, ideas, INCORRECT), np.ones(ideas.shape)), is_open=False)
    with np.errstate(divide="ignore"):
        unjudged = open_table(ideas, verdicts)
    for scaling in SCALINGS:
        for mine, theirs in zip(
            score_layers(unjudged, EQUAL, scaling), score_layers(judged, EQUAL, scaling), strict=True
        ):
            assert mine.token_plausibility == pytest.approx(1 - theirs.hallucination_rate)
            assert (mine.creativity, mine.hcb_score) == pytest.approx((theirs.creativity, theirs.hcb_score))


def test_unknown_plausibility_leaves_all_scores_unknown():
    unknown = replace(BY_HAND, plausibilities=np.full_like(BY_HAND.plausibilities, np.nan))
    scores, sure = score_layers(unknown, EQUAL), uncertainty(unknown, EQUAL)
    assert all(math.isnan(score.creativity) and math.isnan(score.hcb_score) for score in scores)
    assert sure.best.optimal_layer is None


def widths(outcomes, probabilities):
    layers = uncertainty(open_table(outcomes, probabilities), EQUAL).layers
    return [layer.plausibility_ci[1] - layer.plausibility_ci[0] for layer in layers]


def test_equal_answers_are_not_certain_and_more_of_them_are_surer():
    # Layer 2 says what another answer may be like.
    few, many = (widths([[[0] * n, [0, 1] * (n // 2)]], [[[0.4] * n, [0.1, 0.7] * (n // 2)]]) for n in (6, 60))
    assert 0 < many[0] < few[0] < 1


def test_a_single_answer_is_not_certain():
    assert widths([[[0]]], [[[0.4]]])[0] > 0.1


def test_draws_lie_about_the_scores():
    rng = np.random.default_rng(0)
    table = open_table(rng.integers(0, 9, (1, 3, 200)), rng.beta(2, 6, (1, 3, 200)))
    drawn = draw_scores(table, draw_questions(1, 4_000))
    scores = score_layers(table, EQUAL)
    assert drawn.token_plausibility.mean(axis=0) == pytest.approx(
        [each.token_plausibility for each in scores], abs=0.01
    )
    assert drawn.creativity_raw.mean(axis=0) == pytest.approx([each.creativity_raw for each in scores], rel=0.06)


def test_layers_with_equal_answers_are_tied():
    layer, other = [0.2, 0.6, 0.4], [0.01, 0.02, 0.01]
    table = open_table([[[0, 1, 1], [0, 0, 1], [0, 0, 0]]], [[layer, layer[::-1], other]])
    best = uncertainty(table, EQUAL).best
    assert best.equal_layers == (1, 2) and best.optimal_layer == 1


def test_intervals_hold_their_scores():
    rng = np.random.default_rng(0)
    table = open_table(rng.integers(-3, 4, (5, 4, 6)), rng.random((5, 4, 6)))
    for score, layer in zip(score_layers(table, EQUAL), uncertainty(table, EQUAL).layers, strict=True):
        assert layer.plausibility_ci[0] <= score.token_plausibility <= layer.plausibility_ci[1]
        assert layer.hcb_ci[0] <= score.hcb_score <= layer.hcb_ci[1]


def test_greedy_answers_are_certain():
    table = open_table([[[0, 0], [0, 0]]], [[[0.3, 0.3], [0.6, 0.6]]], is_greedy=True)
    sure = uncertainty(table, EQUAL)
    assert [layer.plausibility_ci for layer in sure.layers] == [pytest.approx((p, p)) for p in (0.3, 0.6)]
    assert sure.best.optimal_layer == 2


def test_layers_are_compared_by_plausibility():
    differences = compare_layers(BY_HAND, 1, 2, EQUAL)
    assert "hallucination_rate" not in differences
    assert differences["token_plausibility"].estimate == pytest.approx(0.21875 - 0.4)


def test_an_open_run_is_not_compared_with_another():
    with pytest.raises(SettingsError, match="not on one scale"):
        compare_runs((BY_HAND, replace(BY_HAND, is_open=False)), ([SEA.id], [SEA.id]), EQUAL)


# The whole way.

ASK = ("--question", SEA.text, "--samples", "4", "--max-new-tokens", "6", "--temperature", "1", "--exit-head", "shared")


@pytest.fixture
def asked(tiny_folder, tmp_path, monkeypatch, capsys):
    """The folder of an open run of a tiny model, and what the terminal said."""
    monkeypatch.setattr(registry, "load_embedder", lambda *_: FakeEmbedder())
    code, out, err = run_command(capsys, "run", "--model", tiny_folder, *ASK, "--out", tmp_path / "run")
    assert code == 0, err
    return RunFolder(tmp_path / "run"), out, err


def test_an_open_question_is_asked_and_scored(asked, capsys):
    folder, out, err = asked
    assert "their answers are not judged" in " ".join(err.split())
    assert "No answer is right or wrong here" in " ".join(out.split())
    assert folder.manifest().judge == "none"
    table, plausibility = read_outcomes(folder), read_plausibility(folder)
    assert table.is_open and set(folder.verdict_table()["outcome"].to_pylist()) <= {"unjudged", "not_attempted"}
    np.testing.assert_array_equal(table.plausibilities, plausibility.astype(np.float32))
    _, printed, _ = run_command(capsys, "score", folder.path, "--json")
    said = json.loads(printed)
    assert said["open"] and said["optimal_layer"] in table.exit_layers
    of_attempts = np.where(table.outcomes[0] == NOT_ATTEMPTED, 0, np.exp(plausibility[0]))
    assert [layer["token_plausibility"] for layer in said["layers"]] == pytest.approx(of_attempts.mean(axis=1))


def test_a_lost_plausibility_is_computed_anew(asked, capsys, monkeypatch, tiny_folder):
    folder, _, _ = asked
    known = read_plausibility(folder)
    (folder.path / "plausibility.parquet").unlink()
    _, out, _ = run_command(capsys, "score", folder.path)
    assert "Plausibility is not known" in out
    code, out, err = run_command(capsys, "score", folder.path, "--measures", "plausibility", "--model", tiny_folder)
    assert code == 0, err
    assert "No answer is right or wrong here" in " ".join(out.split())
    np.testing.assert_allclose(read_plausibility(folder), known, rtol=1e-5)


def test_an_open_run_is_judged_by_no_other_judge(asked):
    with pytest.raises(SettingsError, match="can only be none"):
        rescore(asked[0], AliasJudge(), Embeddings(FakeEmbedder))


def test_answers_of_an_open_run_are_shown_without_right_or_wrong(asked, capsys):
    _, out, _ = run_command(capsys, "show", asked[0].path)
    assert "attempted" in out and "right " not in out.split(SEA.text)[1]


def test_the_papers_protocol_needs_accepted_answers(capsys, tiny_folder):
    code, _, err = run_command(capsys, "run", "--model", tiny_folder, "--question", SEA.text, "--preset", "paper")
    assert code == 2 and "needs questions with accepted answers" in " ".join(err.split())


def test_an_open_run_comes_back_from_its_archive(asked, tmp_path):
    from hcl_core.transfer.packing import pack_run
    from hcl_core.transfer.unpacking import unpack_run

    folder, _, _ = asked
    pack_run(folder, tmp_path / "run.zip")
    back = unpack_run(tmp_path / "run.zip", tmp_path / "runs").folder
    assert score_layers(read_outcomes(back), EQUAL) == score_layers(read_outcomes(folder), EQUAL)


# Stopped and resumed.


class OpenSitting(Sitting):
    """A sitting of two open questions; an answer's second token is minus ten times its plausibility."""

    def __init__(self, path):
        super().__init__(path, questions=[SEA, Question("fog", "Write a metaphor for fog.", ())])
        self.scorer = Scorer(self.questions, LAYERS, 6, OpenJudge(), AcceptedIdeas(FakeEmbedder().embed))
        self.read: list[int] = []

    def mean_logprobs(self, stored, completions):
        self.read.append(len(completions))
        return np.array([-0.1 * (1 + completion[1]) for completion in completions])

    def prepared(self):
        prepared = super().prepared()
        return replace(prepared, manifest=replace(prepared.manifest, judge="none", ideas="accepted"), whole_model=self)


@pytest.fixture
def uninterrupted(tmp_path):
    sitting = OpenSitting(tmp_path / "whole")
    sitting.finish()
    return sitting


def test_each_wave_is_read_by_the_whole_model_once(uninterrupted):
    # Waves of 2 and 4 samples, four layers, two questions.
    assert uninterrupted.read == [8, 16, 8, 16]


def test_plausibility_is_known_from_the_first_wave_on(tmp_path):
    first = next(event for event in OpenSitting(tmp_path / "run").events() if isinstance(event, WaveDone))
    assert not np.isnan(first.table.plausibilities[0, :, :2]).any()
    assert uncertainty(first.table, EQUAL).best.optimal_layer is not None


@pytest.mark.parametrize("num_events", range(1, 11))
def test_a_resumed_open_run_ends_all_the_same(tmp_path, uninterrupted, num_events):
    OpenSitting(tmp_path / "run").stop_after(num_events)
    OpenSitting(tmp_path / "run").finish()
    resumed, whole = (read_outcomes(RunFolder(tmp_path / name)) for name in ("run", "whole"))
    assert resumed is not None and whole is not None
    np.testing.assert_array_equal(resumed.outcomes, whole.outcomes)
    np.testing.assert_array_equal(resumed.plausibilities, whole.plausibilities)
    assert score_layers(resumed, EQUAL) == score_layers(whole, EQUAL)


def test_an_open_run_killed_before_its_plausibility_was_stored_measures_it_when_resumed(tmp_path, uninterrupted):
    OpenSitting(tmp_path / "run").finish()
    (tmp_path / "run" / "plausibility.parquet").unlink()
    again = OpenSitting(tmp_path / "run")
    again.finish()
    assert sum(again.read) == 48 and not again.decoder.waves
    np.testing.assert_array_equal(read_plausibility(again.folder), read_plausibility(uninterrupted.folder))
