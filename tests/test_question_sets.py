"""Published question sets: every schema, every file format, their traps, and the real files where they are at hand."""

import csv
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcl_core import registry
from hcl_core.errors import NoNetworkError, QuestionFileError, SettingsError
from hcl_core.questions.cells import unquoted
from hcl_core.questions.gathering import Gatherer
from hcl_core.questions.hub import HUB_SETS
from hcl_core.questions.own import make_question
from hcl_core.questions.rows import Row
from hcl_core.questions.search import QuestionIndex
from hcl_core.questions.selection import Selection, num_distinct_answers
from hcl_core.records import Question

DATA = Path(__file__).parents[2] / "shared" / "data"

NQ = [
    {"question": "who sang it", "answer": ["Ann", "Ann Lee"]},
    {"question": "how many are there", "answer": ["ten", "10", "10 years"]},
]
TRIVIA = [
    {
        "question": '"Who said ""No""?"',
        "question_id": "tc_1",
        "question_source": "http://example.org",
        "entity_pages": {"title": []},
        "search_results": {"rank": []},
        "answer": {
            "aliases": ["Bob (disambiguation)", "Robert"],
            "normalized_aliases": ["bob"],
            "matched_wiki_entity_name": "",
            "normalized_matched_wiki_entity_name": "",
            "normalized_value": "bob",
            "type": "WikipediaEntity",
            "value": "Bob",
        },
    },
    {"question": "Who was it?", "question_id": "tc_2", "answer": {"aliases": ["Eve"], "value": "Eve"}},
    {"question": "Who was it?", "question_id": "tc_2", "answer": {"aliases": ["Eve"], "value": "Eve"}},
]
POPQA = [
    {
        "id": 7,
        "subj": "X",
        "prop": "capital",
        "obj": "Y",
        "s_pop": 3,
        "question": "What is it?",
        "possible_answers": '["Y", "Ypsilon"]',
    }
]
FOUNDRY = [{"context": "Question: What is it?\nAnswer:", "answer": "Y", "aliases": ["Ypsilon"]}]


def questions_of(rows, source):
    """The questions of rows that must all be readable."""
    gatherer = Gatherer(source, is_strict=True)
    gatherer.add_all(Row(number, row) for number, row in enumerate(rows, 1))
    return gatherer.questions()


def parsed(rows):
    return [(each.text, each.accepted_answers) for each in questions_of(rows, "rows")]


# Schemas.


def test_nq_open_has_a_list_of_answers():
    assert parsed(NQ)[0] == ("who sang it", ("Ann", "Ann Lee"))


def test_trivia_qa_has_a_record_and_each_question_once():
    questions = list(questions_of(TRIVIA, "rows"))
    assert [each.id for each in questions] == ["tc_1", "tc_2"]
    # The value first: the first alias may be a disambiguation page.
    assert questions[0].text == 'Who said "No"?'
    assert questions[0].accepted_answers == ("Bob", "Bob (disambiguation)", "Robert")


def test_an_id_of_two_questions_is_refused():
    rows = [{"question": "One?", "answer": ["a"], "id": "1"}, {"question": "Two?", "answer": ["b"], "id": "1"}]
    with pytest.raises(QuestionFileError, match="row 2: id '1' is another question's already"):
        list(questions_of(rows, "rows"))


def test_a_damaged_saved_folder_is_one_named_error(tmp_path):
    for name in ("dataset_dict.json", "state.json"):
        (tmp_path / name).write_text("{}")
        with pytest.raises(QuestionFileError, match="cannot be read as saved by datasets"):
            registry.load_questions(str(tmp_path)).load()
    save_folder(tmp_path / "empty", [{"question": "a", "answer": ["b"]}])
    datasets.load_from_disk(str(tmp_path / "empty")).select([]).save_to_disk(str(tmp_path / "none"))
    with pytest.raises(QuestionFileError, match="no question in it|cannot be read as saved"):
        registry.load_questions(str(tmp_path / "none")).load()


def test_a_number_may_be_an_id_and_a_bracket_may_begin_an_answer():
    (question,) = questions_of([{"id": 5, "question": "Which film?", "answer": "[REC]"}], "rows")
    assert (question.id, question.accepted_answers) == ("5", ("[REC]",))


def test_popqa_has_answers_written_as_json_and_a_property():
    (question,) = questions_of(POPQA, "rows")
    assert (question.id, question.topic, question.accepted_answers) == ("7", "capital", ("Y", "Ypsilon"))


def test_foundry_has_the_question_in_a_prompt():
    assert parsed(FOUNDRY) == [("What is it?", ("Y", "Ypsilon"))]


def test_trivia_qas_test_split_is_refused_by_what_is_wrong_with_it():
    row = {"question": "Who?", "question_id": "tc_3", "answer": {"aliases": [], "value": "<unk>"}}
    with pytest.raises(QuestionFileError, match="row 1: it has no answers, as in TriviaQA's test split"):
        list(questions_of([row], "rows"))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"title": "?", "body": "?"}, "row 1: question with answers, or the columns .* got body, title"),
        ({"question": 7, "answer": ["a"]}, "row 1: a text was wanted; got int"),
        ({"question": "Who?", "answer": None}, "row 1: .*"),
        ({"question": "Who?", "answer": {"aliases": ["x"]}}, "row 1: column 'value' is missing"),
        ({"question": "Who?", "possible_answers": "[1"}, "row 1: "),
        ({"question": " ", "answer": ["a"]}, "row 1: a question needs a text"),
        ({"question": "Who?", "answers": ["a"], "topic": ["b"]}, "row 1: a question's topic must be Unicode text"),
        ({"question": "Who?", "answer": "['a', 'b'"}, "row 1: a list or record was wanted"),
        ({"question": "Who?", "answers": {"begin": ["a"]}}, "row 1: a list of answers was wanted; got a record"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(row, problem):
    with pytest.raises(QuestionFileError, match=problem):
        list(questions_of([row], "rows"))


@pytest.mark.parametrize("column", ["answer", "answers"])
def test_an_empty_list_of_answers_makes_a_question_open(column):
    (question,) = questions_of([{"question": "Who?", column: []}], "rows")
    assert question.answers == ()


def test_a_later_row_is_named_by_its_number():
    with pytest.raises(QuestionFileError, match="mine.csv, row 3: "):
        list(questions_of([*NQ, {"question": "x"}], "mine.csv"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"Who said ""No""?"', 'Who said "No"?'),
        ('"Who was it?"', "Who was it?"),
        ('Who said "No"?', 'Who said "No"?'),
        ('"No" and "Yes" are what?', '"No" and "Yes" are what?'),
        ('"Help" is by "X"', '"Help" is by "X"'),
        ('"', '"'),
        ('""', '""'),
    ],
)
def test_quotes_of_a_csv_writer_are_taken_off(text, expected):
    assert unquoted(text) == expected


# Files.


def save_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def save_json(path, rows):
    path.write_text(json.dumps(rows), encoding="utf-8")


def save_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)


def save_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        # As pandas and datasets write lists and records: their Python form.
        writer.writerows(rows)


def save_folder(path, rows):
    datasets.Dataset.from_list(rows).save_to_disk(str(path))


WRITERS = {
    ".jsonl": save_jsonl,
    ".json": save_json,
    ".parquet": save_parquet,
    ".csv": save_csv,
    ".tsv": save_csv,
    "": save_folder,
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("rows", [NQ, TRIVIA[1:], POPQA, FOUNDRY], ids=["nq", "trivia", "popqa", "foundry"])
def test_every_schema_is_read_from_every_format(tmp_path, rows, suffix):
    path = tmp_path / f"set{suffix}"
    WRITERS[suffix](path, rows)
    questions = registry.load_questions(str(path)).load()
    assert [(each.text, each.accepted_answers) for each in questions] == parsed(rows)
    assert registry.load_questions(str(path)).load(1) == questions[:1]


def test_a_saved_folder_with_splits_takes_the_one_with_answers_or_the_one_asked_for(tmp_path):
    splits = {"train": NQ[:1], "validation": NQ[1:]}
    saved = datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in splits.items()})
    saved.save_to_disk(str(tmp_path / "set"))
    assert registry.load_questions(str(tmp_path / "set")).load()[0].text == NQ[1]["question"]
    assert registry.load_questions(str(tmp_path / "set"), "train").load()[0].text == NQ[0]["question"]
    with pytest.raises(SettingsError, match="no split 'dev'; it has train, validation"):
        registry.load_questions(str(tmp_path / "set"), "dev").load()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("set.json", "{", "set.json, line 1: not JSON"),
        ("set.json", '{"a": 1}', "an array of objects was wanted"),
        ("set.json", "[]", "no question in it"),
        ("set.parquet", "junk", "cannot read the question file"),
        ("set.csv", "a,b\n1,2\n", "line 1: question with answers"),
        ("set.csv", "", "no question in it"),
        ("set.csv", "question,answers\nCapital?,Paris, France\n", "line 2: more cells than the header"),
        ("set.jsonl", '{"question": "x", "answer": ["y"]}\n[1]\n', "line 2: an object was wanted; got list"),
        ("set.jsonl", "[" * 100_000, "set.jsonl"),
        ("set.json", "[" * 100_000, "cannot read the question file"),
    ],
)
def test_a_broken_file_is_one_named_error(tmp_path, name, content, problem):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(QuestionFileError, match=problem) as caught:
        registry.load_questions(str(path), is_strict=True).load()
    assert name in str(caught.value)


def test_a_folder_that_is_no_set_says_what_was_wanted(tmp_path):
    with pytest.raises(QuestionFileError, match="a folder saved by datasets was wanted"):
        registry.load_questions(str(tmp_path)).load()


def test_a_name_that_is_nothing_says_what_there_is():
    with pytest.raises(QuestionFileError, match="known are starter, triviaqa, nq_open, popqa"):
        registry.load_questions("trivia")


@pytest.mark.parametrize("name", ["starter", "file"])
def test_what_has_no_splits_refuses_one(tmp_path, name):
    save_jsonl(tmp_path / "file.jsonl", NQ)
    with pytest.raises(SettingsError, match="no splits: leave --split out"):
        registry.load_questions(name if name == "starter" else str(tmp_path / "file.jsonl"), "test").load()


def test_our_own_files_keep_their_errors_by_line(tmp_path):
    save_jsonl(tmp_path / "own.jsonl", [{"question": "x", "answers": ["y"]}, {"question": "z"}])
    with pytest.raises(QuestionFileError, match="own.jsonl, line 2: answers missing"):
        registry.load_questions(str(tmp_path / "own.jsonl"), is_strict=True).load()


# The Hub, which no test may ask: what is asked of datasets, and what comes of its errors.


def test_a_hub_set_is_streamed_up_to_a_limit_and_kept_whole_otherwise(monkeypatch):
    asked = []

    def load_dataset(repo_id, config, split, streaming):
        asked.append((repo_id, config, split, streaming))
        rows = datasets.Dataset.from_list(NQ)
        return rows.to_iterable_dataset() if streaming else rows

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = registry.load_questions("nq_open")
    assert source.name == "nq_open validation"
    assert len(source.load(1)) == 1 and len(source.load()) == 2
    repo_id = "google-research-datasets/nq_open"
    assert asked == [(repo_id, None, "validation", True), (repo_id, None, "validation", False)]


@pytest.mark.parametrize("hub_set", HUB_SETS, ids=lambda each: each.name)
def test_a_hub_set_that_is_missing_offline_names_the_file_to_get(monkeypatch, tmp_path, hub_set):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    with pytest.raises(NoNetworkError) as caught:
        registry.load_questions(hub_set.name).load(3)
    assert hub_set.file in str(caught.value) and hub_set.repo_id in str(caught.value)


@pytest.mark.parametrize(
    ("raised", "error", "problem"),
    [
        (ConnectionError("no route"), NoNetworkError, "the Hub cannot be reached"),
        (FileNotFoundError("not cached"), NoNetworkError, "the Hub cannot be reached"),
        (ValueError("Couldn't find cache for nq_open"), NoNetworkError, "the Hub cannot be reached"),
        (ValueError("BuilderConfig 'x' not found"), QuestionFileError, "on the Hub has no longer the split validation"),
        (ValueError('Unknown split "validation"'), QuestionFileError, "has no longer the split validation"),
        (datasets.exceptions.DatasetNotFoundError("x"), QuestionFileError, "the Hub has no data set google-research"),
    ],
)
def test_an_error_of_the_hub_is_told_as_what_it_is(monkeypatch, raised, error, problem):
    def load_dataset(*_, **__):
        raise raised

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(error, match=problem):
        registry.load_questions("nq_open").load(1)


def test_splits_without_answers_or_of_no_set_are_refused():
    with pytest.raises(SettingsError, match="the test split of triviaqa has no answers to judge by: use validation"):
        registry.load_questions("triviaqa", "test")
    with pytest.raises(SettingsError, match="popqa has the splits test; got 'train'"):
        registry.load_questions("popqa", "train")


# Selection.


class Source:
    name = "made"

    def load(self, limit=None):
        return [make_question(f"Question {number}?", ["a", "b c"][: 1 + number % 2]) for number in range(20)][:limit]


def test_a_selection_cuts_shuffles_and_filters():
    everything = Source().load()
    assert Selection().of(Source()) == everything
    assert Selection(limit=3).of(Source()) == everything[:3]
    shuffled = Selection(shuffle_seed=1).of(Source())
    assert shuffled != everything and sorted(shuffled, key=everything.index) == everything
    assert Selection(limit=5, shuffle_seed=1).of(Source()) == shuffled[:5]
    assert Selection(shuffle_seed=2).of(Source()) != shuffled
    assert Selection(min_answers=2).of(Source()) == everything[1::2]
    with pytest.raises(SettingsError, match="made has no question with 3 distinct accepted answers"):
        Selection(min_answers=3).of(Source())


def test_a_selection_says_what_it_is():
    assert Selection(limit=3).describe("made") == "made"
    assert Selection(3, 7, 2).describe("made") == "made, at least 2 answers, shuffled by 7"


@pytest.mark.parametrize(
    ("answers", "number"),
    [
        (["ten", "10", "10 years"], 1),
        (["Mars", "Venus", "the planet Venus"], 2),
        (["colour", "color", "colours"], 1),
        (["Rome", "Paris", "Oslo"], 3),
        (["?", "Rome"], 1),
    ],
)
def test_distinct_answers_are_ideas_not_spellings(answers, number):
    assert num_distinct_answers(Question("q", "Which?", tuple(answers))) == number


# Search.

INDEX = QuestionIndex(
    [
        make_question("What is the capital of France?", ["Paris"]),
        make_question("Who painted the Mona Lisa?", ["Leonardo da Vinci"]),
        make_question("Where does Paris Saint-Germain play?", ["Parc des Princes"]),
        make_question("Wo liegt Zürich?", ["Schweiz"]),
    ]
)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("mona", "Who painted the Mona Lisa?"),
        ("MONA li", "Who painted the Mona Lisa?"),
        ("leonardo", "Who painted the Mona Lisa?"),
        ("paris", "Where does Paris Saint-Germain play?"),
        ("france paris", "What is the capital of France?"),
        ("zurich", "Wo liegt Zürich?"),
    ],
)
def test_search_finds_by_how_words_begin_questions_first(text, first):
    assert INDEX.search(text)[0].text == first


def test_search_wants_every_word_and_keeps_to_the_limit():
    assert INDEX.search("mona france") == []
    assert len(INDEX.search("wh", limit=2)) == 2 and len(INDEX.search("  ", limit=3)) == 3
    assert len(INDEX) == 4


@given(st.text(max_size=60))
def test_nothing_that_is_typed_breaks_the_search(text):
    assert all(isinstance(each, Question) for each in INDEX.search(text))


@pytest.mark.parametrize("text", ['mona" OR "paris', "NEAR(mona lisa)", "question:mona", "mona AND", "mona NOT paris"])
def test_what_is_typed_is_words_and_no_query(text):
    assert INDEX.search(text) == []


# The real files.


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the real question sets")
@pytest.mark.parametrize(
    ("file", "at_least", "first"),
    [
        ("nq_open.dev.jsonl", 3_600, "when was the last time anyone was on the moon"),
        ("triviaqa.sm_sub.jsonl", 2_900, None),
        ("evouna.TQ.json", 1_900, "Who was the man behind The Chipmunks?"),
    ],
)
def test_real_files_are_read_whole(file, at_least, first):
    questions = registry.load_questions(str(DATA / file)).load()
    assert at_least <= len(questions) == len({each.id for each in questions})
    assert first in (None, questions[0].text)
    assert not any(each.text.startswith(("Question:", '""')) or "Answer:" in each.text for each in questions)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the real question sets")
def test_real_questions_have_one_idea_however_many_spellings():
    questions = registry.load_questions(str(DATA / "nq_open.dev.jsonl")).load()
    assert sum(len(each.accepted_answers) >= 2 for each in questions) > 100
    assert {len(each.ideas) for each in questions} == {1}
    assert max(num_distinct_answers(each) for each in questions) == 1


def test_a_parquet_file_that_unpacks_to_far_too_much_is_refused(tmp_path, monkeypatch):
    from hcl_core.questions import files, tables

    file = tmp_path / "bomb.parquet"
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 600, pa.int32()), pa.array(["x" * 10_000]))
    table = pa.table({"question": texts, "answers": pa.array([["yes"]] * 600), "id": [str(n) for n in range(600)]})
    pq.write_table(table, file, compression="zstd")
    assert file.stat().st_size < 20_000
    monkeypatch.setattr(tables, "_MAX_BYTES", 4 * 2**20)
    with pytest.raises(QuestionFileError, match="unpacks to more than 4 MiB"):
        files.LocalQuestions(file).load()
    monkeypatch.setattr(tables, "_MAX_VALUES", 1_000)
    with pytest.raises(QuestionFileError, match="claims 1,800 values"):
        files.LocalQuestions(file).load()


def test_distinct_answers_are_counted_no_further_than_is_enough():
    from hcl_core.questions.selection import num_distinct_answers

    question = Question("q", "Which?", tuple(f"answer number {number}" for number in range(9)))
    assert (num_distinct_answers(question), num_distinct_answers(question, 3)) == (9, 3)
