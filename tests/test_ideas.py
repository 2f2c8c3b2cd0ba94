"""Which idea a right answer is: by the accepted answer that it was taken for, and by meaning."""

import json
from pathlib import Path

import numpy as np
import pytest

from hcl_core.errors import SettingsError
from hcl_core.ideas.accepted import AcceptedIdeas
from hcl_core.ideas.embedding import EmbeddingIdeas
from hcl_core.ideas.keys import are_told_apart, word_key
from hcl_core.ideas.meaning import MeaningIdeas
from hcl_core.ideas.names import (
    IDEA_FINDER_NAMES,
    ideas_stamp,
    listed_ideas,
    make_idea_finder,
    num_accepted_ideas,
)
from hcl_core.judges.alias import AliasJudge
from hcl_core.ports import RightAnswer
from hcl_core.questions.own import make_question, read_idea, write_idea
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
    with pytest.raises(SettingsError, match="accepted, meaning, embedding; got 'vibes'"):
        make_idea_finder("vibes", embed)


def test_one_name_in_a_tuple_is_the_plain_name():
    assert Question("q", "Which?", (("a",), "b")) == Question("q", "Which?", ("a", "b"))
    assert COUNTRIES.accepted_answers == ("United States", "USA", "US", "Canada", "Germany", "Deutschland")


@pytest.mark.parametrize("answers", [("a", "a"), (("a", "b"), "a"), (("a", "a"),)])
def test_a_name_of_two_ideas_is_an_error(answers):
    with pytest.raises(SettingsError, match="more than once"):
        Question("q", "Which?", answers)


@pytest.mark.parametrize(
    ("answers", "ideas"),
    [
        (("iron", ("Iron", "IRON")), (("iron", "Iron", "IRON"),)),
        (("Iron", "iron"), (("Iron", "iron"),)),
        ((("iron", "Fe"), ("FE", "Iron")), (("iron", "Fe", "FE", "Iron"),)),
        (("STRASSE", "Straße", "Weg"), (("STRASSE", "Straße"), ("Weg",))),
    ],
)
def test_ideas_that_differ_in_case_alone_are_one(answers, ideas):
    assert make_question("Which?", answers).ideas == ideas


@pytest.mark.parametrize("answers", [("iron", ("iron", "Fe")), ("Iron", ("iron", "Fe")), (("a", "b"), ("b", "c"))])
def test_a_name_of_two_ideas_is_refused_without_an_id_that_nobody_gave(answers):
    with pytest.raises(SettingsError, match="is named more than once: .*United States.USA") as raised:
        make_question("Which?", answers)
    assert "q-" not in str(raised.value)


def test_a_question_is_called_by_its_text_where_nobody_gave_it_an_id():
    assert make_question("Which  metal?", ["iron"]).label == "Which metal?"
    assert make_question("Which metal?", ["iron"], "m1").label == "m1"
    assert len(make_question("Why? " * 100, ["iron"]).label) == 60


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


# Answers that words tell apart or join: open questions, and the idea finder ``meaning``.

OPEN = Question("open", "Write something.", ())
CASES = Path(__file__).parents[2] / "shared" / "cases" / "questions" / "clusters.jsonl"
# Cluster numbers that a reader gives, whatever an embedder says.
SAME_WORDS = {
    "spelling of numbers": (["1,000", "1000", "one thousand", "1 000"], [0, 0, 0, 0]),
    "numbers": (["3", "4", "5", "three"], [0, 1, 2, 0]),
    "years": (["1914", "1915", "1914."], [0, 1, 0]),
    "decades": (["the 60s", "the 1960s", "the sixties", "1970s"], [0, 0, 0, 1]),
    "ordinals": (["first", "1st", "second", "2nd"], [0, 0, 1, 1]),
    "Roman numerals": (["Henry VIII", "Henry VII", "Henry 8", "Henry the Eighth"], [0, 1, 0, 0]),
    "a Roman numeral alone": (["XLII", "42", "XLI"], [0, 0, 1]),
    "world wars": (["World War II", "WW2", "World War I"], [0, 0, 1]),
    "a minus sign": (["-39", "39", "−39"], [0, 1, 0]),
    "fractions": (["1/2", "one half", "1/3"], [0, 0, 1]),
    "money": (["$29", "29 dollars", "$30"], [0, 0, 1]),
    "units": (["5 km", "5 miles", "5 kilometres"], [0, 1, 0]),
    "dates": (["May 4", "4 May", "May 5"], [0, 0, 1]),
    "British and American": (["colour", "color", "The colours"], [0, 0, 0]),
    "case and accents": (["Beyoncé", "BEYONCE", "beyonce."], [0, 0, 0]),
    "German": (["Straße", "Strasse"], [0, 0]),
    "introductions": (["Paris", "It is Paris.", "The answer is Paris"], [0, 0, 0]),
    "directions": (["North Korea", "South Korea"], [0, 1]),
    "weekdays": (["Monday", "Tuesday"], [0, 1]),
    "negation": (["it is cold", "it is not cold"], [0, 1]),
    "numbers in names": (["Apollo 11", "Apollo 13", "B12", "B6"], [0, 1, 2, 3]),
    "Chinese": (["北京", "东京", "北京。"], [0, 1, 0]),
    "Japanese": (["カメ", "かめ", "東京"], [0, 0, 1]),
    "Korean": (["서울", "부산", "서울입니다"], [0, 1, 0]),
    "Cyrillic": (["Москва", "Киев", "москва"], [0, 1, 0]),
    "Arabic": (["القاهرة", "القاهره"], [0, 0]),
    "vowel signs": (["की", "का"], [0, 1]),
    "digits of other scripts": (["１２", "12", "١٢", "१२", "13"], [0, 0, 0, 0, 1]),
    "emoji": (["😀", "🎉", "🐢"], [0, 1, 2]),
    "an emoji in two forms": (["❤️", "❤"], [0, 0]),
}


def all_alike(texts):
    """An embedder to which all texts are the same."""
    return np.array([[1.0, 0.0] for _ in texts], np.float32)


def all_different(texts):
    """An embedder to which no two texts are alike."""
    return np.eye(len(texts), dtype=np.float32)


def ideas_of(texts, embed=all_alike):
    return MeaningIdeas(embed).find(OPEN, [[RightAnswer(text, None) for text in texts]])[0]


def clusters_cases():
    lines = CASES.read_text(encoding="utf-8").splitlines() if CASES.is_file() else []
    return [json.loads(line) for line in lines]


@pytest.mark.skipif(not CASES.is_file(), reason="needs the failing cases")
@pytest.mark.parametrize("embed", [all_alike, all_different])
@pytest.mark.parametrize("case", clusters_cases(), ids=lambda case: case["answers"][0])
def test_clusters_as_handed_over(case, embed):
    assert ideas_of(case["answers"], embed) == case["want"]


@pytest.mark.parametrize("embed", [all_alike, all_different])
@pytest.mark.parametrize(("texts", "numbers"), SAME_WORDS.values(), ids=SAME_WORDS)
def test_words_decide_before_meaning(texts, numbers, embed):
    assert ideas_of(texts, embed) == numbers


def test_meaning_decides_where_words_do_not():
    assert ideas_of(["a car", "an automobile"]) == [0, 0]
    assert ideas_of(["a car", "an automobile"], all_different) == [0, 1]


def test_a_number_in_one_answer_alone_leaves_it_to_meaning():
    assert ideas_of(["H2O", "water"]) == [0, 0]


def test_the_embedder_is_not_asked_for_scripts_that_it_does_not_know():
    assert ideas_of(["北京", "东京", "😀"], never_embed) == [0, 1, 2]


def test_equal_texts_are_embedded_once_for_all_layers():
    asked = []

    def counting(texts):
        asked.append(list(texts))
        return all_different(texts)

    layers = [[RightAnswer(text, None) for text in texts] for texts in (["a car", "A car."], ["a car", "a dog"], [])]
    assert MeaningIdeas(counting).find(OPEN, layers) == [[0, 0], [0, 1], []]
    assert asked == [["a car", "a dog"]]


def test_open_questions_of_accepted_ideas_go_by_words_first():
    answers = [RightAnswer(text, None) for text in ("3", "4", "three")]
    assert AcceptedIdeas(all_alike).find(OPEN, [answers])[0] == [0, 1, 0]


def test_the_papers_clusters_go_by_meaning_alone():
    answers = [RightAnswer(text, None) for text in ("3", "4", "three")]
    assert EmbeddingIdeas(all_alike).find(OPEN, [answers])[0] == [0, 0, 0]
    assert EmbeddingIdeas(all_different).find(OPEN, [answers])[0] == [0, 1, 2]


def test_the_papers_clusters_have_the_stamp_that_they_had():
    assert ideas_stamp("embedding") == "embedding at 0.8"


def test_a_key_of_signs_is_the_signs():
    assert word_key(" ❤️ ") == ("❤",)


@pytest.mark.parametrize(
    ("first", "second", "differ"),
    [
        ("3 apples", "three apples", False),
        ("3 apples", "4 apples", True),
        ("Vitamin C", "Vitamin D", False),
        ("5 km", "5 kilometers", False),
        ("the left hand", "the right hand", True),
        ("a hand", "one hand", False),
    ],
)
def test_numbers_units_and_words_of_order_tell_answers_apart(first, second, differ):
    assert are_told_apart(first, second) == are_told_apart(second, first) == differ
