"""The starter set keeps its promises, and every malformed question file is one named error."""

import json
from collections import Counter

import pytest

from hcl_core.errors import QuestionFileError, SettingsError
from hcl_core.judges.alias import AliasJudge
from hcl_core.questions.files import LocalQuestions, starter_questions
from hcl_core.questions.own import make_question
from hcl_core.questions.report import LoadReport
from hcl_core.words import split_words

STARTER = starter_questions().load()
GOOD = {"question": "Name a planet.", "answers": ["Mars", "Venus"]}


def normalised(text):
    return split_words(text).words


def strict(path):
    """With ``--strict``, a row that cannot be read is an error."""
    return LocalQuestions(path, is_strict=True)


def write(path, *entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return strict(path)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mine.jsonl"


# The starter set.


def test_starter_has_at_least_120_questions():
    assert len(STARTER) >= 120


def test_starter_ids_are_unique():
    # Read raw: the loader would refuse a repeated id, not show it.
    ids = [json.loads(line)["id"] for line in starter_questions()._path.read_text(encoding="utf-8").splitlines()]
    assert [repeated for repeated, count in Counter(ids).items() if count > 1] == []


def test_starter_texts_are_unique():
    texts = Counter(normalised(question.text) for question in STARTER)
    assert [text for text, count in texts.items() if count > 1] == []


def test_starter_answers_all_have_words():
    assert [(q.id, answer) for q in STARTER for answer in q.accepted_answers if not normalised(answer)] == []


def test_starter_answers_are_not_repeated():
    # Plurals and other spellings are listed on purpose: readers of the file see what counts.
    answers = Counter(
        (q.id, " ".join(answer.casefold().replace("-", " ").split())) for q in STARTER for answer in q.accepted_answers
    )
    assert [repeated for repeated, count in answers.items() if count > 1] == []


def test_starter_is_half_open_questions():
    num_open = sum(len(question.accepted_answers) >= 5 for question in STARTER)
    assert num_open >= len(STARTER) / 2


def test_starter_has_at_least_8_topics():
    assert len({question.topic for question in STARTER} - {None}) >= 8


def test_starter_questions_all_have_a_topic():
    assert [question.id for question in STARTER if not question.topic] == []


def test_starter_uses_the_three_difficulties_and_no_other():
    assert {question.difficulty for question in STARTER} == {"easy", "medium", "hard"}


def test_starter_questions_do_not_contain_their_answers():
    told = [q.id for q in STARTER if AliasJudge().judge_one(q, q.text).outcome == "correct"]
    assert told == []


def test_starter_answers_are_all_judged_correct():
    judged = [(q.id, answer, AliasJudge().judge_one(q, answer)) for q in STARTER for answer in q.accepted_answers]
    assert [each for each in judged if each[2].outcome != "correct"] == []


def test_starter_is_called_starter():
    assert starter_questions().name == "starter"


# Files that are right.


def test_file_is_read_in_order_with_every_field(file):
    entry = GOOD | {"id": "p", "topic": "astronomy", "difficulty": "easy"}
    first, second = write(file, entry, GOOD | {"question": "Name a moon."}).load()
    assert (first.id, first.text, first.accepted_answers) == ("p", "Name a planet.", ("Mars", "Venus"))
    assert (first.topic, first.difficulty) == ("astronomy", "easy")
    assert (second.topic, second.difficulty) == (None, None)


def test_file_is_named_after_itself(file):
    assert strict(file).name == "mine.jsonl"


def test_question_without_id_is_named_by_its_text(file):
    (question,) = write(file, GOOD).load()
    assert question.id == make_question("Name  a\nplanet.", ["anything"]).id


def test_questions_with_other_texts_have_other_ids():
    assert make_question("Name a planet.", ["x"]).id != make_question("Name a moon.", ["x"]).id


def test_repeated_answers_are_kept_once(file):
    (question,) = write(file, GOOD | {"answers": ["Mars", "Venus", "Mars"]}).load()
    assert question.accepted_answers == ("Mars", "Venus")


def test_byte_order_mark_is_accepted(file):
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert strict(file).load()[0].text == "Name a planet."


def test_byte_order_mark_before_a_blank_line_is_accepted(file):
    file.write_bytes(b"\xef\xbb\xbf\n" + json.dumps(GOOD).encode())
    assert strict(file).load()[0].text == "Name a planet."


def test_blank_lines_are_skipped_and_counted(file):
    file.write_text(f"\n  \n{json.dumps(GOOD)}\r\n\n{{}}\n", encoding="utf-8")
    with pytest.raises(QuestionFileError, match="line 5"):
        strict(file).load()


def test_windows_line_ends_are_accepted(file):
    file.write_bytes((json.dumps(GOOD) + "\r\n").encode())
    assert strict(file).load()[0].accepted_answers == ("Mars", "Venus")


def test_last_line_needs_no_line_end(file):
    file.write_text(json.dumps(GOOD), encoding="utf-8")
    assert len(strict(file).load()) == 1


def test_letters_of_any_script_are_accepted(file):
    file.write_text('{"question": "首都？", "answers": ["東京", "Łódź"]}', encoding="utf-8")
    assert strict(file).load()[0].accepted_answers == ("東京", "Łódź")


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (2, 2), (3, 3), (9, 3), (None, 3)])
def test_limit_takes_the_first_questions(file, limit, expected):
    entries = [{"id": str(number), "question": f"Name planet {number}.", "answers": ["Mars"]} for number in range(3)]
    source = write(file, *entries)
    assert [question.id for question in source.load(limit)] == [str(number) for number in range(expected)]


def test_limit_spares_the_lines_after_it(file):
    file.write_text(json.dumps(GOOD) + "\nnot JSON\n", encoding="utf-8")
    assert len(LocalQuestions(file).load(1)) == 1


# Files that are not: each error names the file and, where there is one, the line.

BAD_LINES = {
    "bad JSON": '{"question": "Name a planet.", ',
    "single quotes": "{'question': 'x', 'answers': ['y']}",
    "no object": '["Name a planet.", "Mars"]',
    "a number": "7",
    "null": "null",
    "missing answers": '{"question": "Name a planet."}',
    "missing question": '{"answers": ["Mars"]}',
    "an idea without a name": '{"question": "Name a planet.", "answers": [[]]}',
    "answers null": '{"question": "Name a planet.", "answers": null}',
    "empty question": '{"question": "  ", "answers": ["Mars"]}',
    "question null": '{"question": null, "answers": ["Mars"]}',
    "question not a text": '{"question": 5, "answers": ["Mars"]}',
    "blank id": '{"id": " ", "question": "Name a planet.", "answers": ["Mars"]}',
    "topic not a text": '{"topic": ["x"], "question": "Name a planet.", "answers": ["Mars"]}',
    "nested too deeply": "[" * 100_000,
    "a number too long": '{"question": ' + "1" * 5000 + "}",
    "half a surrogate in the question": '{"question": "Name \\ud800", "answers": ["Mars"]}',
    "half a surrogate in an answer": '{"question": "Name a planet.", "answers": ["\\ud800"]}',
    "a control byte": '{"question": "Name a \x00 planet.", "answers": ["Mars"]}',
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_bad_line_is_an_error_with_file_and_line(file, line):
    file.write_text(f'{{"question": "Another one?", "answers": ["Yes"]}}\n{line}\n', encoding="utf-8")
    with pytest.raises(QuestionFileError, match=r"mine\.jsonl, line 2: "):
        strict(file).load()


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_bad_line_is_an_error_of_one_short_line(file, line):
    file.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(QuestionFileError) as caught:
        strict(file).load()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("row", "answers"),
    [
        (GOOD | {"answers": ["Mars", " ", None]}, ("Mars",)),
        (GOOD | {"answers": "Mars"}, ("Mars",)),
        (GOOD | {"answers": ["Mars", 4, 1998.0]}, ("Mars", "4", "1998")),
        (GOOD | {"answers": [["USA", "US"], ["Canada"]]}, (("USA", "US"), "Canada")),
        (GOOD | {"answers": []}, ()),
    ],
)
def test_answers_are_read_as_people_write_them(file, row, answers):
    assert write(file, row).load()[0].answers == answers


def test_a_number_may_be_an_id(file):
    assert write(file, GOOD | {"id": 5}).load()[0].id == "5"


def test_unknown_key_is_named(file):
    reports: list[LoadReport] = []
    write(file, GOOD | {"anwser": "x"})
    LocalQuestions(file, on_report=reports.append).load()
    assert reports[0].unread == ("anwser",)


def test_repeated_id_names_both_lines(file):
    other = GOOD | {"question": "Name a moon."}
    with pytest.raises(QuestionFileError, match="line 3: id 'p' is another question's already, on line 1"):
        write(file, GOOD | {"id": "p"}, GOOD | {"id": "r"}, other | {"id": "p"}).load()


def test_repeated_text_without_ids_is_one_question(file):
    (question,) = write(file, GOOD, GOOD | {"answers": ["venus", "Earth"]}).load()
    assert question.answers == ("Mars", ("Venus", "venus"), "Earth")


def test_line_of_10_megabytes_is_an_error(file):
    file.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD | {"question": "x" * 10_000_000}), encoding="utf-8")
    with pytest.raises(QuestionFileError, match="line 2: the line is longer than"):
        strict(file).load()


def test_latin_1_is_an_error_with_the_place(file):
    file.write_bytes(
        json.dumps(GOOD).encode() + b'\n{"question": "O\x81 est',
    )
    with pytest.raises(QuestionFileError, match=r"mine\.jsonl, line 2: not UTF-8 at byte 15"):
        strict(file).load()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_read(file, encoding):
    file.write_bytes(json.dumps(GOOD).encode(encoding))
    assert strict(file).load()[0].text == "Name a planet."


@pytest.mark.parametrize("content", ["", "\n", " \n\n"], ids=["empty", "one blank line", "blank lines"])
def test_file_without_questions_is_an_error(file, content):
    file.write_text(content, encoding="utf-8")
    with pytest.raises(QuestionFileError, match=r"mine\.jsonl: no question"):
        strict(file).load()


def test_missing_file_is_an_error(file):
    with pytest.raises(QuestionFileError, match=r"mine\.jsonl: No such file"):
        strict(file).load()


def test_directory_is_an_error(tmp_path):
    with pytest.raises(QuestionFileError, match="a folder saved by datasets was wanted"):
        strict(tmp_path).load()


@pytest.mark.parametrize("text", ["", "  "])
def test_own_question_without_text_is_an_error(text):
    with pytest.raises(SettingsError, match="needs a text"):
        make_question(text, ["Mars"])


def test_own_question_that_is_no_unicode_is_a_settings_error():
    # What a terminal hands over for a byte that is no UTF-8.
    with pytest.raises(SettingsError):
        make_question("Name a \udcff planet", ["Mars"])
