"""Judges against people: the numbers by hand, the schema's traps, and the real set where it is at hand."""

import json
from pathlib import Path

import pytest
from conftest import run_command
from sklearn.metrics import cohen_kappa_score

from hcl_core import registry
from hcl_core.errors import QuestionFileError, SettingsError
from hcl_core.pipeline.judge_eval import evaluate, is_tuning_half, read_labelled

EVOUNA = Path(__file__).parents[2] / "shared" / "data" / "evouna.TQ.json"


def entry(number=0, **changes):
    return {
        "question": f"What is the capital of France, number {number}?",
        "golden_answer": "Paris/Lutetia",
        "answer_small": "Paris",
        "judge_small": True,
        "answer_large": "It is Rome.",
        "judge_large": False,
        "improper": False,
    } | changes


@pytest.fixture
def file(tmp_path):
    def write(*entries):
        path = tmp_path / "labelled.json"
        path.write_text(json.dumps(list(entries)), encoding="utf-8")
        return path

    return write


def test_agreement_by_hand(file):
    # Small: right and called right, wrong and called right (by the judge alone), right and called wrong.
    labelled, _ = read_labelled(
        file(entry(0), entry(1, judge_small=False), entry(2, answer_small="the French capital"), entry(3))
    )
    report = evaluate(registry.load_judge("alias"), labelled)
    small, large = report.models["small"], report.models["large"]
    assert (small.n, small.agreement, small.false_positives, small.false_negatives) == (4, 0.5, 1, 1)
    # Both say "right" three times of four: chance agrees 9/16 + 1/16; (1/2 - 5/8) / (3/8) = -1/3.
    assert small.kappa == pytest.approx(-1 / 3)
    assert (large.agreement, large.false_positives, large.false_negatives) == (1.0, 0, 0)
    assert report.mean_agreement == 0.75 and report.num_judgements == 8


def test_kappa_is_scikit_learns(file):
    answers = ["Paris", "Rome", "Paris", "Rome", "Paris", "Oslo", "Paris"]
    labels = [True, False, False, True, True, False, True]
    entries = [
        entry(n, answer_small=a, judge_small=said) for n, (a, said) in enumerate(zip(answers, labels, strict=True))
    ]
    report = evaluate(registry.load_judge("alias"), read_labelled(file(*entries))[0])
    expected = cohen_kappa_score(labels, [answer == "Paris" for answer in answers])
    assert report.models["small"].kappa == pytest.approx(expected)


def test_improper_and_unlabelled_questions_are_left_out_and_counted(file):
    labelled, num_left_out = read_labelled(file(entry(0), entry(1, improper=True), entry(2, judge_large="nan")))
    assert (len(labelled), num_left_out) == (1, 2)


@pytest.mark.parametrize("missing", ["answer_small", "judge_small", "golden_answer", "question"])
def test_an_incomplete_entry_is_left_out_and_counted(file, missing):
    labelled, num_left_out = read_labelled(file(entry(0), entry(1, **{missing: None})))
    assert (len(labelled), num_left_out) == (1, 1)


def test_an_entry_without_a_label_is_left_out_and_counted(file):
    unlabelled = {key: value for key, value in entry(1).items() if key != "judge_small"}
    labelled, num_left_out = read_labelled(file(entry(0), unlabelled))
    assert (len(labelled), num_left_out) == (1, 1)


def test_halves_are_two_and_have_everything_once(file):
    path = file(*(entry(number) for number in range(40)))
    halves = [{each.question.text for each in read_labelled(path, half)[0]} for half in ("tuned", "held-out")]
    everything = {each.question.text for each in read_labelled(path)[0]}
    assert halves[0] | halves[1] == everything and not halves[0] & halves[1] and min(map(len, halves)) > 10
    # A fixed coin: these would change if the halves did, and with them what is held out.
    assert [is_tuning_half(text) for text in ("a", "b", "c", "d")] == [True, False, False, True]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("not json", "as JSON"),
        ("{}", "array of labelled questions was wanted; got dict"),
        ("[]", "array of labelled questions"),
        ("[1]", "entry 1: .*are wanted"),
        (json.dumps([{"question": "Why?"}]), "entry 1: .*no answer_<model>"),
        (json.dumps([entry(golden_answer="/")]), "entry 1: .*accepted answer"),
        (json.dumps([entry(golden_answer=7)]), "entry 1: .*are wanted"),
        (json.dumps([entry(answer_small=7)]), "entry 1: .*no text"),
    ],
)
def test_another_schema_is_one_named_error(tmp_path, content, problem):
    path = tmp_path / "other.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(QuestionFileError, match=problem):
        read_labelled(path)


def test_a_missing_file_is_one_named_error(tmp_path):
    with pytest.raises(QuestionFileError, match="cannot read"):
        read_labelled(tmp_path / "none.json")


def test_an_unknown_half_is_refused(file):
    with pytest.raises(SettingsError, match="half must be one of all, tuned, held-out; got 'left'"):
        read_labelled(file(entry()), "left")


def test_the_command_prints_json_of_this_shape(file, capsys):
    code, printed, _ = run_command(capsys, "judge-eval", file(entry(0), entry(1)), "--json")
    said = json.loads(printed)
    assert code == 0 and set(said) >= {"judge", "models", "mean_agreement"} and said["judge"] == "alias"
    assert set(said["models"]) == {"small", "large"}
    assert set(said["models"]["small"]) == {"n", "agreement", "false_positives", "false_negatives", "kappa"}
    assert said["models"]["small"]["kappa"] is None  # both call everything right: chance explains all


def test_the_command_prints_a_row_a_model(file, capsys):
    code, printed, _ = run_command(capsys, "judge-eval", file(entry(0), entry(1)), "--judge", "paper")
    assert code == 0 and "small" in printed and "large" in printed and "paper: mean agreement 1.0000" in printed


@pytest.mark.parametrize("arguments", [("--judge", "best"), ("--half", "left"), ("--judge", "llm:")])
def test_bad_options_are_one_line_and_code_2(file, capsys, arguments):
    code, printed, complaint = run_command(capsys, "judge-eval", file(entry()), *arguments)
    assert (code, printed) == (2, "") and complaint.startswith("error: ") and complaint.count("\n") == 1


@pytest.fixture(scope="module")
def held_out():
    return read_labelled(EVOUNA, "held-out")[0]


@pytest.mark.slow
@pytest.mark.skipif(not EVOUNA.is_file(), reason="needs the labelled set")
def test_on_the_half_that_was_not_tuned_on_alias_keeps_its_promise(held_out):
    alias, paper = (evaluate(registry.load_judge(name), held_out) for name in ("alias", "paper"))
    assert alias.mean_agreement >= 0.951 > paper.mean_agreement


@pytest.mark.slow
@pytest.mark.skipif(not EVOUNA.is_file(), reason="needs the labelled set")
def test_on_the_half_that_was_not_tuned_on_semantic_is_no_worse_than_alias(held_out):
    some = held_out[:300]  # the embedder takes its time
    semantic, alias = (evaluate(registry.load_judge(name), some).models for name in ("semantic", "alias"))
    assert all(semantic[model].agreement >= alias[model].agreement for model in alias)
    assert sum(each.agreement for each in semantic.values()) > sum(each.agreement for each in alias.values())
