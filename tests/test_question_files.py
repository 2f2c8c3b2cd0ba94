"""Question files as programs save them: encodings, separators, forms of JSON, and what loading says it did."""

import json
from pathlib import Path

import pytest

from hcl_core import registry
from hcl_core.errors import QuestionFileError
from hcl_core.questions.files import LocalQuestions
from hcl_core.questions.report import LoadReport, Note, Reason

CASES = Path(__file__).parents[2] / "shared" / "cases" / "questions"
ROW = {"question": "Capital?", "answers": ["Paris"]}
OTHER = {"question": "Other?", "answers": ["Rome"]}
CAPITAL, BOTH = [("Capital?", ("Paris",))], [("Capital?", ("Paris",)), ("Other?", ("Rome",))]


def load(path, content, is_strict=False):
    """Text and ideas of each question, and the report."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    reports: list[LoadReport] = []
    questions = LocalQuestions(path, is_strict=is_strict, on_report=reports.append).load()
    return [(each.text, each.answers) for each in questions], reports[0]


# Text.

GERMAN = "Frage;Antwort\r\nWie heißt die größte Stadt?;„Köln“\r\n"


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("cp1252", "Windows-1252"),
    ],
)
def test_text_is_read_in_the_encodings_of_spreadsheets(tmp_path, encoding, name):
    questions, report = load(tmp_path / "set.csv", GERMAN.encode(encoding))
    assert (questions, report.encoding) == ([("Wie heißt die größte Stadt?", ("„Köln“",))], name)


@pytest.mark.parametrize(
    "text", ["Où est né Müller ?", "¿Qué señor?", "L’Œuvre d’Émile", "£5 – “no”", "Åse Sæther", "ÉCOLE"]
)
def test_western_texts_are_windows_1252(tmp_path, text):
    assert load(tmp_path / "set.csv", f"question;answer\n{text};x\n".encode("cp1252"))[0] == [(text, ("x",))]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Müller", "mac_roman"),
        ("Müller", "cp850"),
        ("Łódź", "cp1250"),
        ("Столица", "cp1251"),
        ("Αθήνα πόλη", "cp1253"),
        ("東京は日本", "shift_jis"),
        ("北京是首都", "gb18030"),
    ],
)
def test_text_in_another_encoding_is_refused_and_not_guessed(tmp_path, text, encoding):
    with pytest.raises(QuestionFileError, match=r"set.csv, line 2: not UTF-8 at byte \d+.*: save the file as UTF-8"):
        load(tmp_path / "set.csv", f"question;answer\n{text};x\n".encode(encoding))


def test_a_damaged_letter_in_utf_8_is_refused_by_its_line(tmp_path):
    with pytest.raises(QuestionFileError, match="line 3: not UTF-8 at byte 2: save"):
        load(tmp_path / "set.csv", "question;answer\nMüller?;x\nab".encode() + b"\xff;y\n")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("question,answers\nCapital of Fr\0ance?,Paris\n", "line 2: a NUL character"),
        (b"PK\x03\x04" + b"x" * 90, "a workbook of a spreadsheet: save its sheet as CSV UTF-8"),
        (b"\x1f\x8b" + b"x" * 90, "unpack it first"),
        (b"\xff\xfeq", "its mark says utf-16-le"),
    ],
)
def test_what_is_no_text_is_refused_by_what_it_is(tmp_path, content, problem):
    with pytest.raises(QuestionFileError, match=problem):
        load(tmp_path / "set.csv", content)


def test_an_escaped_nul_character_is_skipped(tmp_path):
    questions, report = load(tmp_path / "set.jsonl", f"{json.dumps(ROW)}\n{json.dumps(OTHER | {'id': 'a' + chr(0)})}\n")
    assert (questions, report.skipped[0][1].numbers) == (CAPITAL, (2,))


def test_a_file_larger_than_the_limit_is_refused(tmp_path, monkeypatch):
    from hcl_core.questions import files

    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 2**20)
    with pytest.raises(QuestionFileError, match="more than 1 MiB"):
        load(tmp_path / "set.jsonl", b" " * (2**20 + 1))


def test_an_endless_file_is_refused():
    with pytest.raises(QuestionFileError, match="no regular file"):
        LocalQuestions(Path("/dev/zero")).load()


# Separated cells.


@pytest.mark.parametrize(
    "text",
    [
        "question,answers\nCapital?,Paris\n",
        "question;answers\r\nCapital?;Paris\r\n",
        "question\tanswers\nCapital?\tParis\n",
        "question|answers\nCapital?|Paris\n",
        "sep=;\r\nquestion;answers\r\nCapital?;Paris\r\n",
        "sep=,\nquestion,answers\nCapital?,Paris\n",
        "SEP=\t\nquestion\tanswers\nCapital?\tParis",
        "question,answers\rCapital?,Paris\r",
        "question,answers,,\nCapital?,Paris,,\n,,,\n,,,\n",
        "Question,Answer(s)\nCapital?,Paris",
        ' QUESTION , "Accepted Answers"\nCapital?, "Paris"',
        "Frage;Antwort\nCapital?;Paris",
        "Question;Réponse\nCapital?;Paris",
        "Question;Re\u0301ponse\nCapital?;Paris",
        ",question,answers\n0,Capital?,Paris\n",
        "Unnamed: 0,question,answers\n0,Capital?,Paris\n",
        "Capital quiz,,\n,,\nQuestion,Answer,\nCapital?,Paris,\n",
        "Timestamp,Question,Answer 1,Answer 2\n2020,Capital?,Paris,\n",
        "question,answer,answer\nCapital?,Paris,\n",
        "answer.value,question,answer.aliases\nParis,Capital?,['Paris']\n",
        "Capital?\t['Paris']\n",
        "Capital?,Rome,Paris,Oslo,Bern,B\n",
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".tsv", ".txt", ""])
def test_cells_are_read_whatever_separates_them(tmp_path, text, suffix):
    assert load(tmp_path / f"set{suffix}", text, is_strict=True)[0] == CAPITAL


def test_a_quote_in_a_file_with_tabs_is_a_letter(tmp_path):
    text = 'question\tanswer\n"Help" is by whom?\tBeatles\n5" disk?\tfloppy\n'
    assert load(tmp_path / "set.tsv", text)[0] == [('"Help" is by whom?', ("Beatles",)), ('5" disk?', ("floppy",))]


def test_a_quote_that_is_never_closed_is_refused_for_it_hides_rows(tmp_path):
    with pytest.raises(QuestionFileError, match="line 3: a quote is opened here and never closed"):
        load(tmp_path / "set.csv", 'question,answers\nA?,x\nB?,"y\nC?,z\n')


def test_rows_have_the_numbers_of_their_first_lines(tmp_path):
    text = 'sep=,\n\nquestion,answers\n"Capital?",Paris\n"Two\nlines?",\nThree?,x,y\n"Four"?,x\nnan,x\n'
    questions, report = load(tmp_path / "set.csv", text)
    assert questions == CAPITAL
    assert {reason: places.numbers for reason, places in report.skipped} == {
        Reason.ANSWER: (5,),
        Reason.CELLS: (7, 8),
        Reason.QUESTION: (9,),
    }


# JSON.

COLUMNS: dict[str, list[object]] = {"question": ["Capital?", "Other?"], "answers": [["Paris"], ["Rome"]]}


@pytest.mark.parametrize(
    "text",
    [
        f"{json.dumps(ROW)}\n{json.dumps(OTHER)}",
        f"{json.dumps(ROW, indent=1)}\n{json.dumps(OTHER, indent=1)}\n",
        json.dumps([ROW, OTHER]),
        json.dumps([ROW, OTHER], indent=2),
        json.dumps({"version": "1", "data": [ROW, OTHER]}),
        json.dumps({"Data": [ROW, OTHER], "Domain": "Web"}),
        json.dumps({"name": "x", "examples": [ROW, OTHER]}, indent=1),
        json.dumps(COLUMNS),
        json.dumps({name: dict(enumerate(each)) for name, each in COLUMNS.items()}),  # pandas, by default
        json.dumps({"0": ROW, "1": OTHER}),  # pandas, orient="index"
        json.dumps({"columns": list(ROW), "index": [0, 1], "data": [list(ROW.values()), list(OTHER.values())]}),
        json.dumps({"schema": {"fields": [{"name": "index"}]}, "data": [{"index": 0} | ROW, {"index": 1} | OTHER]}),
        json.dumps(
            {"features": [{"name": "question"}], "rows": [{"row_idx": 0, "row": ROW}, {"row_idx": 1, "row": OTHER}]}
        ),
        json.dumps(
            {"data": [{"title": "T", "paragraphs": [{"context": "c", "qas": [ROW]}, {"context": "d", "qas": [OTHER]}]}]}
        ),
        f"{json.dumps({'context': 'c', 'qas': [ROW]})}\n{json.dumps({'context': 'd', 'qas': [OTHER]})}\n",
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".ndjson", ".JSON", ".txt"])
def test_json_is_read_in_every_form(tmp_path, text, suffix):
    assert load(tmp_path / f"set{suffix}", text, is_strict=True)[0] == BOTH


def test_keys_of_an_object_of_rows_are_their_ids(tmp_path):
    (tmp_path / "set.json").write_text(json.dumps({"first": ROW, "second": OTHER}), encoding="utf-8")
    assert [each.id for each in LocalQuestions(tmp_path / "set.json").load()] == ["first", "second"]


@pytest.mark.parametrize("form", ["lines", "objects", "array", "data"])
def test_rows_of_json_have_the_numbers_of_their_lines(tmp_path, form):
    rows = [ROW, OTHER | {"answers": None}, OTHER]
    text = {
        "lines": "\n\n".join(map(json.dumps, rows)),
        "objects": "\n".join(json.dumps(row, indent=1) for row in rows),
        "array": json.dumps(rows, indent=1),
        "data": json.dumps({"data": rows}, indent=1),
    }[form]
    line = text[: text.index('"Other?"')].count("\n") + (1 if form == "lines" else 0)
    questions, report = load(tmp_path / "set.json", text)
    assert (questions, report.unit, report.skipped[0][1].numbers) == (BOTH, "line", (line,))


def test_rows_of_json_on_one_line_are_numbered(tmp_path):
    _, report = load(tmp_path / "set.json", json.dumps([ROW, OTHER | {"answers": None}]))
    assert (report.unit, report.skipped[0][1].numbers) == ("row", (2,))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (json.dumps({"train": [ROW], "validation": [OTHER]}), "several lists of rows: train, validation"),
        (json.dumps({"Capital of France?": "Paris"}), "an array of objects was wanted"),
        (json.dumps({"question": ["a", "b"], "answers": ["x"]}), "columns have different lengths"),
        ('[{"question": "a", "answers": "x"},\n {"question": ]', "line 2: not JSON"),
        ('[{"question": "a", "answers": "x"}\n {"question": "b"}]', "line 2: not JSON: a comma or ] was wanted"),
    ],
)
def test_json_without_rows_is_refused_by_what_is_wrong(tmp_path, content, problem):
    with pytest.raises(QuestionFileError, match=problem):
        load(tmp_path / "set.json", content)


def test_a_broken_object_over_several_lines_does_not_hide_those_after_it(tmp_path):
    text = f'{json.dumps(ROW, indent=1)}\n{{\n "question": \n}}\n{json.dumps(OTHER, indent=1)}\n'
    questions, report = load(tmp_path / "set.jsonl", text)
    assert (questions, [reason for reason, _ in report.skipped]) == (BOTH, [Reason.NOT_JSON])


# Rows of one question.


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("question,answers\nName a star,Sun\nName a star,Vega\n", ("Sun", "Vega")),
        ("id,question,answers\n1,Name a star,Sun\n2,Name  a star,Vega\n", ("Sun", "Vega")),
        ("question,answers\nName a star,Sun\nName a star,sun\n", (("Sun", "sun"),)),
        ("question,answers\nName a star,Sun\nName a star,Sun\n", ("Sun",)),
        ("question,answers\nName a star,\"[['Sun', 'Sol']]\"\nName a star,Sol|Vega\n", (("Sun", "Sol"), "Vega")),
        ("question,answers\nName a star,[]\nName a star,Vega\n", ("Vega",)),
    ],
)
def test_rows_of_one_question_are_joined(tmp_path, text, answers):
    questions, report = load(tmp_path / "set.csv", text)
    assert ([ideas for _, ideas in questions], report.num_merged) == ([answers], 1)


def test_a_row_after_the_limit_still_adds_its_answer(tmp_path):
    (tmp_path / "set.csv").write_text("question,answers\nA?,x\nB?,y\nA?,z\n", encoding="utf-8")
    (question,) = LocalQuestions(tmp_path / "set.csv").load(1)
    assert question.answers == ("x", "z")


def test_an_id_of_another_question_is_skipped(tmp_path):
    questions, report = load(tmp_path / "set.csv", "id,question,answers\n1,Capital?,Paris\n1,Other?,Rome\n")
    assert (questions, report.skipped[0][0], report.skipped[0][1].numbers) == (CAPITAL, Reason.ID, (3,))


# What loading says.


def test_the_report_is_one_line(tmp_path):
    rows = [*(f"Q{number}?,\n" for number in range(7)), "Capital?,Paris\n", "Capital?,Rome|Oslo\n", '"x?","a, b"\n']
    _, report = load(tmp_path / "mine.csv", "question,answers,source\n" + "".join(rows))
    assert report.describe() == (
        "mine.csv: layout question, answers; 2 questions; 1 row joined with the same question; "
        "7 skipped: no answer, and no [] as for an open question (lines 2, 3, 4, 5, 6 and 2 more); "
        "several answers in a cell, divided at | or ; or a line's end (line 10); "
        "one answer has commas or slashes; write | between answers to divide it (line 11); columns not read: source"
    )


def test_answers_with_commas_are_told(tmp_path):
    _, report = load(tmp_path / "set.csv", 'question,answers\na?,"Sun, Vega"\nb?,"1,000"\nc?,Sun / Vega\n')
    assert [(note, places.numbers) for note, places in report.notes] == [(Note.COMMA, (2, 4))]


def test_a_row_that_cannot_be_read_is_refused_if_asked(tmp_path):
    text = "question,answers\nCapital?,Paris\nOther?,nan\n"
    assert load(tmp_path / "set.csv", text)[0] == CAPITAL
    with pytest.raises(QuestionFileError, match="set.csv, line 3: its answers are empty"):
        load(tmp_path / "set.csv", text, is_strict=True)


@pytest.mark.parametrize("header", ["question;answers", "Frage;Antwort", "question;answer"])
@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_an_empty_list_in_a_cell_makes_an_open_question(tmp_path, header, suffix):
    text = f"{header}\nWhy?;[]\nWhat else?;\n"
    questions, report = load(tmp_path / f"set{suffix}", text)
    assert questions == [("Why?", ())]
    assert report.describe().endswith("1 skipped: no answer, and no [] as for an open question (line 3)")


@pytest.mark.parametrize("line", ["Why is the sky blue?", "Who, if anyone, wrote it?", "Name a planet.", "为什么？"])
def test_a_file_with_a_question_a_line_is_told_what_its_first_line_must_be(tmp_path, line):
    with pytest.raises(
        QuestionFileError, match=r"the first line must name the columns, such as question;answers, .*\[\]"
    ):
        load(tmp_path / "set.txt", f"{line}\nWhat else?\n")


def test_a_passage_without_an_answer_makes_no_open_question(tmp_path):
    with pytest.raises(QuestionFileError, match="it has no accepted answer"):
        load(tmp_path / "set.csv", "question;answer;passage\nWhy?;[];Text\n")


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", ""])
def test_an_object_that_is_not_closed_is_at_fault_at_its_end(tmp_path, end):
    opened = '{"question": "Other?", "answers": ["x"]'
    text = '{"question": "Capital?", "answers": ["Paris"]}\n' + opened + end
    with pytest.raises(QuestionFileError, match=f"line 2: not JSON: .* delimiter at column {len(opened) + 1}$"):
        load(tmp_path / "set.jsonl", text, is_strict=True)


def test_a_file_of_rows_that_cannot_be_read_names_the_first(tmp_path):
    with pytest.raises(QuestionFileError, match="set.csv, line 2: its answers are empty"):
        load(tmp_path / "set.csv", "question,answers\na?,nan\n,x\n")


# The inputs that were handed over, with their right values.

HANDED_OVER = {
    "mmlu.csv": [("Which is a planet?", ("Mars",))],
    "gsm8k.jsonl": [("How many clips?", ("72",))],
    "squad_context_only.jsonl": [("What is the capital?", ("Paris",))],
    "dup_rows.csv": [("Name a star", ("Sun", "Vega"))],
    "pipe_multi.csv": [("Name a star", ("Sun", "Vega", "Sirius"))],
    "comma_multi.csv": [("Name a star", ("Sun, Vega, Sirius",))],
    "multi_cols.csv": [("Name a star", ("Sun", "Vega"))],
    "year_list.csv": [("when?", ("1998",)), ("when b?", ("1998",))],
    "excel_semicolon_utf8bom.csv": [
        ("Quelle est la capitale du Brésil ?", ("Brasília",)),
        ("Who said “no”?", ("Müller",)),
    ],
    "excel_semicolon_cp1252.csv": [
        ("Quelle est la capitale du Brésil ?", ("Brasília",)),
        ("Who said “no”?", ("Müller",)),
    ],
    "excel_cp1252_comma.csv": [("Capital of Brazil?", ("Brasília",))],
    "utf16.csv": [("Capital of Brazil?", ("Brasília",))],
    "utf16.jsonl": [("Capital of Brazil?", ("Brasília",))],
    "excel_sep_line.csv": [("Capital of France?", ("Paris",))],
    "trailing_empty_rows_excel.csv": [("Capital of France?", ("Paris",))],
    "header_case.csv": [("Capital of France?", ("Paris",))],
    "upper.CSV": [("Capital of France?", ("Paris",))],
    "simpleqa.csv": [("Who was given the Example Medal in 1901?", ("Ann Example",))],
    "triviaqa_rc_official.json": [
        ("Which English city has the example museum?", (("York", "Example Park (1895)", "York, England"),))
    ],
    "squad_v1.json": [("What is the capital?", ("Paris",))],
    "squad_hf.jsonl": [("What is the capital?", ("Paris",))],
    "nq_open_dpr.csv": [
        ("who found the example rays", (("Ann Example", "A. Example"),)),
        ("when is the example fair", ("May 18 , 2018",)),
    ],
    "mmlu.jsonl": [("Which is a planet?", ("Mars",))],
    "webq.jsonl": [("what country is it?", ("France", "Republic of France"))],
    "own_extra_key.jsonl": [("Capital of France?", ("Paris",))],
    "own_answers_str.jsonl": [("Capital of France?", ("Paris",))],
    "own_intid.jsonl": [("Capital of France?", ("Paris",))],
    "own_num_answer.jsonl": [("2+2?", ("4",))],
    "own_one_null_nq.jsonl": [("A?", ("x",))],
    "pretty.jsonl": [("Capital of France?", ("Paris",))],
    "array.jsonl": [("Capital of France?", ("Paris",))],
    "lines.json": [("Capital of France?", ("Paris",)), ("Capital of Spain?", ("Madrid",))],
    "columns.json": [("Capital of France?", ("Paris",))],
}
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="needs the inputs that were handed over")


@needs_cases
@pytest.mark.parametrize("name", HANDED_OVER)
def test_a_file_that_was_handed_over_is_read_rightly(name):
    questions = registry.load_questions(str(CASES / name)).load()
    assert [(each.text, each.answers) for each in questions] == HANDED_OVER[name]


@needs_cases
@pytest.mark.parametrize("name", ["nan.csv", "nul.csv"])
def test_a_file_that_was_handed_over_is_refused(name):
    with pytest.raises(QuestionFileError, match="line 2"):
        registry.load_questions(str(CASES / name)).load()


@needs_cases
def test_odd_ids_that_were_handed_over_stay_and_the_one_with_nul_is_skipped():
    reports: list[LoadReport] = []
    questions = registry.load_questions(str(CASES / "odd_ids.jsonl"), on_report=reports.append).load()
    assert [each.id for each in questions][:2] == ["=1+1", "../../etc/x"] and len(questions) == 7
    assert [places.numbers for _, places in reports[0].skipped] == [(5,)]
