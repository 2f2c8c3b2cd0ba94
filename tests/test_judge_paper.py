"""The published rule with its faults: they are what it is here for."""

import pytest

from hcl_core.judges.paper import PaperJudge
from hcl_core.records import Question


def outcome(answer, *accepted):
    return PaperJudge().judge(Question("q", "Which?", accepted), [answer])[0].outcome


@pytest.mark.parametrize(
    ("answer", "accepted", "expected"),
    [
        ("It is PARIS.", ["Paris"], "correct"),
        ("Rome", ["Paris"], "incorrect"),
        ("Russia", ["US"], "correct"),  # inside a word
        ("not Paris", ["Paris"], "correct"),  # negated
        ("Beyonce", ["Beyoncé"], "incorrect"),  # accents
        ("ten", ["10"], "incorrect"),  # number words
        ("", ["Paris"], "incorrect"),  # silence
        ("I don't know", ["Paris"], "incorrect"),  # a refusal
    ],
)
def test_a_substring_decides(answer, accepted, expected):
    assert outcome(answer, *accepted) == expected


def test_one_judgement_an_answer_in_order():
    question = Question("q", "Which?", ("Paris",))
    outcomes = [each.outcome for each in PaperJudge().judge(question, ["Rome", "Paris", "Rome"])]
    assert outcomes == ["incorrect", "correct", "incorrect"]


def test_the_longest_accepted_answer_that_was_found_is_handed_on():
    question = Question("q", "Which?", ("York", "New York", "Rome"))
    assert [each.matched for each in PaperJudge().judge(question, ["In New York", "Oslo"])] == ["New York", None]
