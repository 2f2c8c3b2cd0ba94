"""A judge on the noise of early layers: counts by hand, the schema, and the labelled answers of the repository."""

import json
from pathlib import Path

import pytest
from conftest import run_command

from hcl_core.errors import QuestionFileError, SettingsError
from hcl_core.judges.alias import AliasJudge
from hcl_core.pipeline.judge_eval import is_tuning_half
from hcl_core.pipeline.judge_precision import Precision, measure_precision, read_labelled_answers
from hcl_core.questions.files import starter_questions

LABELLED = Path(__file__).parent / "data" / "early_layer_answers.jsonl"


def line(answer="Mars", label="right", temperature=0.6, layers=(3,), **changes):
    entry = {"question_id": "name-a-planet", "answer": answer, "temperature": temperature, "layers": list(layers)}
    return entry | {"label": label} | changes


@pytest.fixture
def file(tmp_path):
    def write(*lines):
        path = tmp_path / "answers.jsonl"
        path.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
        return path

    return write


def test_samples_are_counted_by_temperature(file):
    lines = [
        line(layers=(3, 4, 4)),  # right, called right: three samples
        line("Venus", "wrong"),  # called right by the judge alone
        line("the red one", layers=(5, 5)),  # right to the reader alone
        line("Bees", "wrong"),
        line("Saturn", temperature=1.0),
    ]
    assert measure_precision(AliasJudge(), read_labelled_answers(file(*lines))) == [
        Precision(0.6, num_right=5, num_called_right=4, num_chance_hits=1, num_missed=2),
        Precision(1.0, num_right=1, num_called_right=1, num_chance_hits=0, num_missed=0),
    ]


def test_chance_hits_are_a_share_of_what_is_called_right():
    assert Precision(0.6, 5, 4, 1, 2).chance_hits == 0.25
    assert Precision(0.6, 5, 0, 0, 5).chance_hits == 0.0


def test_halves_are_of_questions():
    halves = [read_labelled_answers(LABELLED, half) for half in ("tuned", "held-out")]
    asked = [{each.question.text for each in half} for half in halves]
    assert sum(map(len, halves)) == len(read_labelled_answers(LABELLED)) and not asked[0] & asked[1]
    assert all(map(is_tuning_half, asked[0]))


@pytest.mark.parametrize(
    "changes",
    [{"question_id": "none"}, {"answer": None}, {"layers": []}, {"label": "maybe"}, {"temperature": "warm"}],
)
def test_another_schema_is_one_named_error(file, changes):
    with pytest.raises(QuestionFileError, match="line 2: question_id, answer"):
        read_labelled_answers(file(line(), line(**changes)))


def test_a_missing_file_is_one_named_error(tmp_path):
    with pytest.raises(QuestionFileError, match="cannot read"):
        read_labelled_answers(tmp_path / "none.jsonl")


def test_an_empty_half_is_refused(file):
    half = "held-out" if is_tuning_half("Name a planet in our solar system.") else "tuned"
    with pytest.raises(SettingsError, match="no labelled answer in this half"):
        read_labelled_answers(file(line()), half)


def test_the_command_prints_a_row_a_temperature(file, capsys):
    path = file(line(), line("Venus", "wrong"), line(temperature=1.0))
    code, printed, _ = run_command(capsys, "judge-eval", "--precision", path)
    rows = [each.split() for each in printed.splitlines()]
    assert code == 0 and ["0.6", "1", "2", "1", "0.500", "0"] in rows and ["1.0", "1", "1", "0", "0.000", "0"] in rows


def test_the_command_prints_json_of_this_shape(file, capsys):
    code, printed, _ = run_command(capsys, "judge-eval", "--precision", file(line()), "--json")
    assert code == 0 and json.loads(printed)["precision"] == [
        {
            "temperature": 0.6,
            "num_right": 1,
            "num_called_right": 1,
            "num_chance_hits": 0,
            "num_missed": 0,
            "chance_hits": 0.0,
        }
    ]


def test_a_command_without_a_file_is_one_line_and_code_2(capsys):
    code, printed, complaint = run_command(capsys, "judge-eval")
    assert (code, printed) == (2, "") and "--precision FILE" in complaint and complaint.count("\n") == 1


def test_the_labelled_answers_are_of_early_layers_and_of_both_temperatures():
    entries = [json.loads(each) for each in LABELLED.read_text(encoding="utf-8").splitlines()]
    assert {each["temperature"] for each in entries} == {0.6, 1.0} and len(entries) >= 400
    assert all(1 <= layer <= 20 for each in entries for layer in each["layers"])
    assert len({(each["question_id"], each["answer"], each["temperature"]) for each in entries}) == len(entries)
    assert {each["question_id"] for each in entries} <= {question.id for question in starter_questions().load()}


def test_on_the_half_that_was_not_tuned_on_few_answers_are_chance_hits():
    cool, warm = measure_precision(AliasJudge(), read_labelled_answers(LABELLED, "held-out"))
    assert cool.chance_hits <= 0.05 and warm.chance_hits <= 0.2
    # Strictness must not be bought with right answers.
    assert cool.num_missed <= 0.05 * cool.num_right and warm.num_missed <= 0.1 * warm.num_right
