"""Layouts of published question sets: what each row's question and accepted answers are, from every file format."""

import csv
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hcl_core.errors import QuestionFileError
from hcl_core.questions.files import LocalQuestions
from hcl_core.questions.report import LoadReport

CHOICES = {"label": ["A", "B"], "text": ["Sun", "Mars"]}
MARKED = {"choices": ["Sun", "Mars"], "labels": [0, 1]}
CHAT = [{"role": "system", "content": "Answer."}, {"role": "user", "content": "Which?"}]

# A row, and its accepted ideas; the question is always "Which?".
ROWS = {
    "own": ({"question": "Which?", "answers": ["Mars", "Venus"]}, ("Mars", "Venus")),
    "own, groups of names": ({"question": "Which?", "answers": [["USA", "US"], ["Canada"]]}, (("USA", "US"), "Canada")),
    "own, a text": ({"question": "Which?", "answers": "Mars"}, ("Mars",)),
    "own, numbered": ({"question": "Which?", "answer1": "Mars", "answer2": "Venus"}, ("Mars", "Venus")),
    "own, with a prompt": ({"question": "Which?", "answers": ["Mars"], "prompt": "Q: Which?"}, ("Mars",)),
    "NQ-Open": ({"question": "Which?", "answer": ["Mars", "the Mars"]}, (("Mars", "the Mars"),)),
    "WebQuestions": ({"url": "http://x", "question": "Which?", "answers": ["Mars"]}, ("Mars",)),
    "GSM8K": ({"question": "Which?", "answer": "It is 24.\nTogether 72.\n#### 1,072"}, ("1,072",)),
    "SimpleQA": ({"metadata": "{'topic': 'x'}", "problem": "Which?", "answer": "Mars"}, ("Mars",)),
    "SimpleQA with a semicolon": ({"problem": "Which?", "answer": "Mars; 4th"}, ("Mars; 4th",)),
    "short names": ({"Q": "Which?", "A": "Mars"}, ("Mars",)),
    "MATH": ({"problem": "Which?", "solution": "So $\\boxed{4}$.", "answer": "4", "unique_id": "t/1"}, ("4",)),
    "SQuAD": (
        {"context": "c", "question": "Which?", "answers": {"text": ["Mars", "Mars"], "answer_start": [0, 0]}},
        ("Mars",),
    ),
    "a passage": ({"context": "Mars is.", "question": "Which?", "answer": "Mars", "aliases": ["the Mars"]}, None),
    "TriviaQA": ({"question": "Which?", "answer": {"value": "Mars", "aliases": ["the Mars"]}}, None),
    "TruthfulQA": (
        {
            "question": "Which?",
            "best_answer": "Mars",
            "correct_answers": ["Mars", "the Mars"],
            "incorrect_answers": ["x"],
        },
        None,
    ),
    "HotpotQA": (
        {"_id": "5a", "question": "Which?", "answer": "Mars", "type": "bridge", "context": [["t"]]},
        ("Mars",),
    ),
    "MuSiQue": (
        {"id": "2", "question": "Which?", "answer": "Mars", "answer_aliases": ["the Mars"], "paragraphs": [{"idx": 0}]},
        None,
    ),
    "BoolQ": ({"question": "Which?", "passage": "p", "answer": True}, (("yes", "true"),)),
    "DROP": ({"passage": "p", "question": "Which?", "answers_spans": {"spans": ["Mars", "the Mars"]}}, None),
    "NarrativeQA": ({"question": {"text": "Which?"}, "answers": [{"text": "Mars"}, {"text": "the Mars"}]}, None),
    "ComplexWebQuestions": (
        {
            "question": "Which?",
            "answers": [{"answer": "Mars", "aliases": ["the Mars"]}, {"answer": "X", "aliases": []}],
        },
        (("Mars", "the Mars"), "X"),
    ),
    "KILT": ({"input": "Which?", "output": [{"answer": "Mars"}, {"answer": "the Mars"}]}, None),
    "Open Trivia": ({"question": "Which?", "correct_answer": "Mars", "incorrect_answers": ["Sun"]}, ("Mars",)),
    "The Trivia API": ({"question": "Which?", "correctAnswer": "Mars", "incorrectAnswers": ["Sun"]}, ("Mars",)),
    "Inspect": ({"input": "Which?", "target": ["Mars", "the Mars"], "id": 3}, None),
    "FLAN": ({"inputs": "Which?", "targets": "Mars"}, ("Mars",)),
    "OpenAI evals": ({"input": CHAT, "ideal": ["Mars", "the Mars"]}, None),
    "BIG-bench scores": ({"input": "Which?", "target_scores": {"Sun": 0, "Mars": 1}}, ("Mars",)),
    "MMLU": ({"question": "Which?", "subject": "s", "choices": ["Sun", "Mars"], "answer": 1}, ("Mars",)),
    "MMLU-Pro": ({"question": "Which?", "options": ["Sun", "Mars"], "answer": "B", "answer_index": 1}, ("Mars",)),
    "ARC": ({"id": "1", "question": "Which?", "choices": CHOICES, "answerKey": "B"}, ("Mars",)),
    "CommonsenseQA as published": (
        {
            "question": {"stem": "Which?", "choices": [{"label": "A", "text": "Sun"}, {"label": "B", "text": "Mars"}]},
            "answerKey": "B",
        },
        ("Mars",),
    ),
    "OpenBookQA": ({"question_stem": "Which?", "choices": CHOICES, "answerKey": "B"}, ("Mars",)),
    "TruthfulQA choices": ({"question": "Which?", "mc1_targets": MARKED}, ("Mars",)),
    "AQuA": ({"question": "Which?", "options": ["A)Sun", "B)Mars"], "correct": "B"}, ("Mars",)),
    "Inspect choices": ({"input": "Which?", "choices": ["Sun", "Mars"], "target": "B"}, ("Mars",)),
    "MedMCQA": ({"question": "Which?", "opa": "Sun", "opb": "Mars", "cop": 1}, ("Mars",)),
    "CosmosQA": ({"question": "Which?", "answer0": "Sun", "answer1": "Mars", "label": 1}, ("Mars",)),
    "WinoGrande's columns": ({"question": "Which?", "option1": "Sun", "option2": "Mars", "answer": "2"}, ("Mars",)),
    "lettered columns": ({"question": "Which?", "A": "Sun", "B": "Mars", "answer": "b"}, ("Mars",)),
    "the choice's text": ({"question": "Which?", "choices": ["Sun", "Mars"], "answer": "mars"}, ("Mars",)),
    "a choice called None": ({"question": "Which?", "choices": ["None", "Mars"], "answer": "A"}, ("None",)),
}


def save_jsonl(path, row):
    path.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")


def save_json(path, row):
    path.write_text(json.dumps({"version": 1, "data": [row, row]}, indent=1), encoding="utf-8")


def save_csv(path, row):
    """Lists and records in their Python form, as pandas and ``datasets`` write them."""
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(row), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerow(row)


def save_parquet(path, row):
    pq.write_table(pa.Table.from_pylist([row]), path)


def save_folder(path, row):
    datasets.Dataset.from_list([row]).save_to_disk(str(path))


WRITERS = {
    ".jsonl": save_jsonl,
    ".JSON": save_json,
    ".csv": save_csv,
    ".tsv": save_csv,
    ".parquet": save_parquet,
    "": save_folder,
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_every_layout_is_read_from_every_format(tmp_path, name, suffix):
    row, answers = ROWS[name]
    path = tmp_path / f"set{suffix}"
    WRITERS[suffix](path, row)
    (question,) = LocalQuestions(path, is_strict=True).load()
    assert (question.text, question.answers) == ("Which?", answers or (("Mars", "the Mars"),))


def load(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return LocalQuestions(path, is_strict=True).load()


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        ("Sun|Vega|Sirius", ("Sun", "Vega", "Sirius")),
        ('"Sun; Vega;Sirius;"', ("Sun", "Vega", "Sirius")),
        ('"Sun\nVega"', ("Sun", "Vega")),
        ('"[""Sun"", ""Vega""]"', ("Sun", "Vega")),
        ("\"['Sun', 'Vega']\"", ("Sun", "Vega")),
        ("\"['Sun' 'Vega']\"", ("Sun", "Vega")),
        ('"[\'Sun\'\n ""Vega\'s""]"', ("Sun", "Vega's")),
        ("\"('Sun', 'Vega')\"", ("Sun", "Vega")),
        ("\"{'Sun', 'Vega'}\"", ("Sun", "Vega")),
        ("USA|US; Canada", (("USA", "US"), "Canada")),
        ('"[[""USA"", ""US""], [""Canada""]]"', (("USA", "US"), "Canada")),
        ("[1998]", ("1998",)),
        ("[]", ()),
        ('"Sun, Vega, Sirius"', ("Sun, Vega, Sirius",)),
        ("P(A|B)", ("P(A|B)",)),
        ("[REC]", ("[REC]",)),
        ('"(255, 0, 0)"', ("(255, 0, 0)",)),
        ("He said that he had not been there at all; she said nothing", None),
        ("Caf&eacute; au lait", ("Caf&eacute; au lait",)),
        ("True", (("yes", "true"),)),
        ("-39", ("-39",)),
        ("=1+1", ("=1+1",)),
    ],
)
def test_several_answers_in_a_cell_are_divided_where_it_is_sure(tmp_path, cell, answers):
    (question,) = load(tmp_path / "set.csv", f"question,answers\nWhich?,{cell}\n")
    assert question.answers == ((cell.strip('"'),) if answers is None else answers)


@pytest.mark.parametrize(
    "cell", ["", " ", "nan", "NaN", "None", "null", "NULL", "N/A", "#N/A", "#NV", "<NA>", "NA", "#DIV/0!"]
)
@pytest.mark.parametrize("column", ["answer", "answers", "correct_answer"])
def test_a_cell_without_an_answer_is_none(tmp_path, column, cell):
    with pytest.raises(QuestionFileError, match="line 2: "):
        load(tmp_path / "set.csv", f"question,{column},topic\nWhich?,{cell},x\n")


@pytest.mark.parametrize("answers", [None, float("nan"), "nan", [], ["nan", None], {"text": []}])
def test_a_value_without_an_answer_is_none_in_json_too(tmp_path, answers):
    with pytest.raises(QuestionFileError, match="accepted answer|answers are empty"):
        load(tmp_path / "set.jsonl", json.dumps({"question": "Which?", "context": "c", "answers": answers}))


def test_a_working_out_without_a_mark_is_no_answer(tmp_path):
    with pytest.raises(QuestionFileError, match="a text of several lines"):
        load(tmp_path / "set.csv", 'question,answer\nWhich?,"He sold 24 clips in April and half as many in May.\n72"\n')


def test_several_lines_of_json_are_divided_as_in_a_cell(tmp_path):
    (question,) = load(tmp_path / "set.jsonl", json.dumps({"question": "Which?", "answer": "Sun\nVega"}))
    assert question.answers == ("Sun", "Vega")


def test_choices_that_a_passage_has_do_not_make_it_the_question(tmp_path):
    row = {"context": "Mars is.", "question": "Which?", "choices": ["Sun", "Mars"], "answer": 1}
    assert load(tmp_path / "set.jsonl", json.dumps(row))[0].text == "Which?"


# Columns with several meanings: nothing is read.


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            {"question": "Which?", "answer": "x", "answers": ["y"]},
            "answers and answer could all be the answers; answers",
        ),
        (
            {"question": "Which?", "query": "What?", "answer": "x"},
            "question and query could all be the question; question",
        ),
        (
            {"question": "Which?", "answer": "x", "label": 0},
            "label may say which answers are right; answer would be read",
        ),
        ({"Question": "Which?", "question": "What?", "answer": "x"}, "'Question' and 'question' both are 'question'"),
        ({"question": "Which?", "choices": ["Sun", "Mars"], "answer": 2}, "from 1, and would be read from 0"),
        ({"question": "Which?", "answerA": "p", "answerB": "q", "label": "1"}, "could count from 0 or from 1"),
    ],
)
def test_columns_with_several_meanings_are_refused_even_if_rows_may_be_skipped(tmp_path, row, problem):
    (tmp_path / "set.jsonl").write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(QuestionFileError, match=problem) as caught:
        LocalQuestions(tmp_path / "set.jsonl").load()
    assert "\n" not in str(caught.value)


def test_columns_that_say_nothing_are_listed(tmp_path):
    with pytest.raises(QuestionFileError, match="are wanted; got input, instruction, output"):
        load(tmp_path / "set.jsonl", json.dumps({"instruction": "Do", "input": "x", "output": "a text"}))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Nr;Frage;Lösung;Quelle\n1;Which?;x;y\n", "answers missing; .* are wanted; got Frage, Lösung, Nr, Quelle$"),
        ("Frage;Antwort;Antworten\nWhich?;x;y\n", "the columns Antworten and Antwort could all be the answers; Antwor"),
        ("Frage;Antwort;Is Correct\nWhich?;x;y\n", "the column Is Correct may say .*; Antwort would be read"),
    ],
)
def test_columns_are_called_as_the_file_calls_them(tmp_path, text, problem):
    with pytest.raises(QuestionFileError, match=problem):
        load(tmp_path / "set.csv", text)


def test_columns_that_are_not_read_are_called_as_the_file_calls_them(tmp_path):
    reports: list[LoadReport] = []
    (tmp_path / "set.csv").write_text("Frage;Antwort;Die Quelle\nWhich?;x;y\n", encoding="utf-8")
    LocalQuestions(tmp_path / "set.csv", on_report=reports.append).load()
    assert reports[0].unread == ("Die Quelle",)


def test_a_choice_that_is_none_is_named(tmp_path):
    with pytest.raises(QuestionFileError, match="answer 'E' is none of the 2 choices"):
        load(tmp_path / "set.jsonl", json.dumps({"question": "Which?", "choices": ["Sun", "Mars"], "answer": "E"}))


def test_further_choices_in_columns_are_answers_where_nothing_says_which_is_right(tmp_path):
    (question,) = load(tmp_path / "set.csv", "question,answer,answer2,answer3\nWhich?,Sun,Vega,\n")
    assert question.answers == ("Sun", "Vega")


def test_the_report_says_which_layouts_were_found(tmp_path):
    reports: list[LoadReport] = []
    rows = [
        {"question": "A?", "answer": "#### 7"},
        {"question": "B?", "answer": "x #### 8"},
        {"input": "C?", "ideal": "x"},
    ]
    (tmp_path / "set.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    LocalQuestions(tmp_path / "set.jsonl", on_report=reports.append).load()
    assert reports[0].layouts == ("GSM8K", "OpenAI evals")
