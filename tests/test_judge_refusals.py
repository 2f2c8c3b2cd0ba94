"""Refusals: no answer, unless they answer all the same."""

import pytest
from test_judge import outcome

from hcl_core.judges.alias import AliasJudge
from hcl_core.records import Question


@pytest.mark.parametrize(
    "answer",
    [
        "I don't know",
        "I don’t know.",
        "I do not know the answer",
        "I'm not sure",
        "I am unable to say",
        "Sorry, I cannot answer that.",
        "I have no idea",
        "No idea",
        "Not sure",
        "Unknown",
        "Cannot be determined",
        "As an AI, I cannot have opinions",
        "Answer: I don't know",
        "N/A",
    ],
)
def test_refusal_is_not_attempted(answer):
    assert outcome(answer) == "not_attempted"


def test_refusal_that_denies_an_answer_is_incorrect():
    assert outcome("I don't say Paris") == "incorrect"


def test_refusal_that_answers_all_the_same_is_correct():
    assert outcome("I don't know for sure, but Paris") == "correct"


def test_alias_that_is_a_refusal_word_is_correct():
    assert outcome("Unknown", "Unknown") == "correct"


def test_a_refusal_that_goes_on_about_something_else_is_not_attempted():
    assert outcome("I'm sorry, but I couldn't find it. However, Paris is nice.") == "not_attempted"


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI language model, I have no opinions. However, the capital is Paris.",
        "As an artificial intelligence I cannot browse. The capital is Paris.",
        "I'm sorry, I do not have access to current data. As of 2021, it was Paris.",
        "I don't have real-time information, but as of 2021 it was Paris.",
        "I'm sorry, but I couldn't find this. However, according to an atlas, it is Paris.",
        "I apologize, but I cannot say for sure. However, as of my last update, it was Paris.",
    ],
)
def test_a_refusal_that_goes_on_to_answer_is_judged_by_its_answer(answer):
    assert outcome(answer) == "correct"


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI language model, I have no opinions. Could you say more?",
        "I'm sorry, but I couldn't find it. However, there was a town called Paris in Texas.",
        "I do not have access to current data.",
    ],
)
def test_a_refusal_that_does_not_answer_is_not_attempted(answer):
    assert outcome(answer) == "not_attempted"


def test_no_idea_is_not_the_answer_no():
    question = Question("q", "Is it a planet?", ("no",))
    answers = ["I have no idea", "It is no planet", "There is no reason to think so"]
    judged = [AliasJudge().judge_one(question, answer).outcome for answer in answers]
    assert judged == ["not_attempted", "correct", "incorrect"]
