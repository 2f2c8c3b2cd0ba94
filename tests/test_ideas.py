"""Which idea a right answer is: by the accepted answer that it was taken for, and by meaning."""

import numpy as np
import pytest

from hcl_core.errors import SettingsError
from hcl_core.ideas.accepted import AcceptedIdeas
from hcl_core.ideas.embedding import EmbeddingIdeas
from hcl_core.ideas.names import (
    IDEA_FINDER_NAMES,
    ideas_stamp,
    listed_ideas,
    make_idea_finder,
    num_accepted_ideas,
)
from hcl_core.judges.alias import AliasJudge
from hcl_core.ports import RightAnswer
from hcl_core.questions.own import read_idea, write_idea
from hcl_core.records import Question

COUNTRIES = Question(
    "country", "Name a country.", (("United States", "USA", "US"), "Canada", ("Germany", "Deutschland"))
)
# Directions of meaning: a text stands at the angle of the first word that it holds.
ANGLES = {"usa": 0.0, "states": 0.0, "us": 0.1, "canad": 1.2, "ottawa": 1.3, "german": 2.4, "deutsch": 2.5, "mars": 4.0}


def embed(texts):
    angles = [next((angle for word, angle in ANGLES.items() if word in text.lower()), 5.0) for text in texts]
    return np.array([[np.cos(angle), np.sin(angle)] for angle in angles], np.float32)


def never_embed(texts):
    raise AssertionError(f"no meaning was needed; asked for {texts}")


def judged(question, *texts):
    judgements = AliasJudge().judge(question, texts)
    assert {judgement.outcome for judgement in judgements} == {"correct"}
    return [RightAnswer(text, judgement.matched) for text, judgement in zip(texts, judgements, strict=True)]


def test_names_of_one_idea_are_one_idea_however_they_are_worded():
    answers = judged(COUNTRIES, "USA", "the United States of course", "Canada", "It is the US.", "Germany")
    assert AcceptedIdeas(never_embed).find(COUNTRIES, [answers])[0] == [0, 0, 1, 0, 2]


def test_rambling_about_one_idea_adds_none():
    question = Question("planet", "Name a planet.", ("Earth", "Mars"))
    answers = judged(question, "Earth", "Earth, the third one from the Sun", "The Earth is where we all live today")
    assert AcceptedIdeas(never_embed).find(question, [answers])[0] == [0, 0, 0]


def test_weekdays_are_seven_ideas():
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    question = Question("day", "Name a day of the week.", days)
    assert AcceptedIdeas(never_embed).find(question, [judged(question, *reversed(days))])[0] == [6, 5, 4, 3, 2, 1, 0]


def test_an_idea_has_the_same_number_at_every_layer():
    finder = AcceptedIdeas(never_embed)
    early, late = judged(COUNTRIES, "Canada"), judged(COUNTRIES, "USA", "Canada")
    assert finder.find(COUNTRIES, [early])[0] == finder.find(COUNTRIES, [late])[0][1:] == [1]


def test_an_answer_without_a_matched_name_is_the_nearest_idea():
    answers = [RightAnswer("Deutschland Republic", None), RightAnswer("Ottawa's own", None)]
    assert AcceptedIdeas(embed).find(COUNTRIES, [answers])[0] == [2, 1]


def test_a_short_answer_far_from_every_idea_is_one_of_its_own():
    answers = [RightAnswer(text, None) for text in ("Mars", "mars!", "Atlantis", "USA")]
    assert AcceptedIdeas(embed).find(COUNTRIES, [answers])[0] == [3, 3, 4, 0]


def test_a_long_answer_far_from_every_idea_opens_none():
    answer = RightAnswer("Well, Atlantis is said to be under the sea", None)
    assert AcceptedIdeas(embed).find(COUNTRIES, [[answer]])[0][0] < 3


def test_a_matched_name_that_the_question_lacks_is_decided_by_meaning():
    assert AcceptedIdeas(embed).find(COUNTRIES, [[RightAnswer("Germany", "Almania")]])[0] == [2]


def test_ideas_of_no_answers_are_none():
    assert AcceptedIdeas(never_embed).find(COUNTRIES, [[]]) == EmbeddingIdeas(never_embed).find(COUNTRIES, [[]]) == [[]]


def test_embedding_counts_what_the_paper_counts():
    answers = [RightAnswer(text, None) for text in ("USA", "US", "Canada", "Ottawa", "Mars")]
    assert EmbeddingIdeas(embed).find(COUNTRIES, [answers])[0] == [0, 0, 1, 1, 2]


def test_only_accepted_ideas_have_names():
    assert listed_ideas("accepted", COUNTRIES) == ("United States", "Canada", "Germany")
    assert listed_ideas("embedding", COUNTRIES) == ()
    assert num_accepted_ideas("accepted", [COUNTRIES, Question("q", "Which?", ("a",))]).tolist() == [3, 1]


@pytest.mark.parametrize("name", IDEA_FINDER_NAMES)
def test_a_finder_is_made_by_its_name(name):
    finder = make_idea_finder(name, embed)
    assert (finder.name, finder.stamp) == (name, ideas_stamp(name))


def test_an_unknown_finder_is_an_error():
    with pytest.raises(SettingsError, match="accepted or embedding; got 'vibes'"):
        make_idea_finder("vibes", embed)


def test_one_name_in_a_tuple_is_the_plain_name():
    assert Question("q", "Which?", (("a",), "b")) == Question("q", "Which?", ("a", "b"))
    assert COUNTRIES.accepted_answers == ("United States", "USA", "US", "Canada", "Germany", "Deutschland")


@pytest.mark.parametrize("answers", [("a", "a"), (("a", "b"), "a"), (("a", "a"),)])
def test_a_name_of_two_ideas_is_an_error(answers):
    with pytest.raises(SettingsError, match="more than once"):
        Question("q", "Which?", answers)


@pytest.mark.parametrize("answers", [((),), (("a", " "),), (3,), (["a", "b"],), (("a", 4),)])
def test_ideas_that_are_no_names_are_an_error(answers):
    with pytest.raises(SettingsError):
        Question("q", "Which?", answers)


@pytest.mark.parametrize(
    ("text", "idea"),
    [
        ("Canada", "Canada"),
        ("United States | USA|US", ("United States", "USA", "US")),
        (" Canada | ", "Canada"),
        ("|", "|"),
        ("", ""),
    ],
)
def test_an_idea_is_read_as_people_type_it(text, idea):
    assert read_idea(text) == idea


def test_ideas_are_written_as_they_are_read():
    assert [read_idea(write_idea(names)) for names in COUNTRIES.ideas] == list(COUNTRIES.answers)
