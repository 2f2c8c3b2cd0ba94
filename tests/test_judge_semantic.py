"""The semantic judge: features worked by hand, and the real embedder where meaning counts."""

import math

import numpy as np
import pytest

from hcl_core import registry
from hcl_core.judges.alias import NOTHING_FOUND, AliasJudge
from hcl_core.judges.semantic import FEATURES, FittedWeights, SemanticJudge, features, fitted_weights
from hcl_core.records import Question

QUESTION = Question("q", "What do bees make?", ("honey",))


def embed(texts):
    """Axes for bees, honey and wax, by which of the words a text has."""
    vectors = np.array([[word in text.lower() for word in ("bees", "honey", "wax")] for text in texts], np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def test_features_by_hand():
    # "Sweet bees wax" is (1, 0, 1); honey (0, 1, 0); question and honey (1, 1, 0); the question (1, 0, 0).
    (row,) = features(QUESTION, ["Sweet bees wax. Much of it."], embed)
    root = 2**-0.5
    assert dict(zip(FEATURES, row, strict=True)) == pytest.approx(
        {
            "answer_like_accepted": 0,
            "nearer_with_accepted": 0.5 - root,
            "share_of_words": 0,
            "log_num_words": math.log(7),
        },
        abs=1e-6,
    )


def test_share_of_words_leaves_out_the_question_and_knows_forms_of_a_word():
    question = Question("q", "What property has a lodestone?", ("It is naturally magnetised",))
    (row,) = features(question, ["The property of magnetism"], embed)
    assert row[FEATURES.index("share_of_words")] == 0.5  # "natur" and "magne": one of the two


def test_probability_is_the_logistic_of_the_weighted_sum():
    weights = FittedWeights(1.0, (2.0, 0.0, -1.0, 0.5), 0.5)
    assert weights.probability((0.5, 9.0, 1.0, 2.0)) == pytest.approx(1 / (1 + math.exp(-2)))


def test_what_the_alias_judge_decides_stays():
    answers = ["It is honey", "not honey", "", "I don't know"]
    assert SemanticJudge(None).judge(QUESTION, answers) == AliasJudge().judge(QUESTION, answers)


@pytest.mark.parametrize(("bias", "expected"), [(100.0, "correct"), (-100.0, "incorrect")])
def test_what_it_finds_nothing_in_is_weighed(monkeypatch, bias, expected):
    monkeypatch.setattr("hcl_core.judges.semantic.fitted_weights", lambda: FittedWeights(bias, (0.0,) * 4, 0.5))
    judgements = SemanticJudge(embed).judge(QUESTION, ["wax", "honey"])
    assert [each.outcome for each in judgements] == [expected, "correct"]


def test_shipped_weights_are_of_this_alias_judge():
    import json

    from hcl_core.judges.semantic import _FILE

    entry = json.loads(_FILE.read_text())
    assert entry["alias_judge"] == AliasJudge.stamp and set(entry["weights"]) == set(FEATURES)
    assert 0 < fitted_weights().threshold < 1


@pytest.mark.slow
def test_meaning_counts_with_the_real_embedder():
    judge = registry.load_judge("semantic")
    accepted = ("Trying to steal the Crown Jewels from the Tower of London",)
    question = Question("q", "What is Thomas Blood known for?", accepted)
    right, wrong = judge.judge(question, ["He attempted to steal the Crown Jewels in 1671.", "He was a painter."])
    assert (right.outcome, wrong.outcome) == ("correct", "incorrect")
    assert wrong.reason.startswith(NOTHING_FOUND)
