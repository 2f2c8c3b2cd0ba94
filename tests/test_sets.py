"""Question sets of visitors: what each has loaded is theirs, and a public page reads no paths."""

import json
import shutil

import pytest

from app import sets
from app.language import Translator
from app.render.questions import set_parts
from app.sets import QuestionSets
from hcl_core.errors import QuestionFileError, SettingsError


def write(path, *texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"question": text, "answers": ["yes"]}) for text in texts]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("language", "line"),
    [
        (
            "en",
            "mine.csv: layout question, answers; 1 question; read as Windows-1252; 1 row joined with the same "
            "question; 1 row skipped: no answer, and no [] as for an open question (line 4); one answer has commas or "
            "slashes; write | between answers to divide it (line 3); columns not read: source.",
        ),
        (
            "de",
            "mine.csv: Aufbau question, answers; 1 Frage; gelesen als Windows-1252; 1 Zeile mit derselben Frage "
            "zusammengeführt; 1 Zeile übersprungen: keine Antwort und kein [] wie bei einer offenen Frage (Zeile 4); "
            "eine Antwort enthält Kommas oder Schrägstriche; mehrere Antworten trennt ein | (Zeile 3); "
            "nicht gelesene Spalten: source.",
        ),
    ],
)
def test_a_loaded_set_says_what_was_read_and_what_was_not(tmp_path, language, line):
    file = tmp_path / "mine.csv"
    file.write_text("question;answers;source\nOù?;Rome;\nOù?;Sun, Vega;x\nQui?;nan;\n", encoding="cp1252")
    loaded = QuestionSets()
    name = loaded.load_file("me", file)
    assert line in set_parts(loaded.names("me"), loaded.get("me", name), Translator(language))["set_report"]


def test_the_starter_set_is_there_for_everybody():
    starter = QuestionSets().get("anybody", None)
    assert len(starter.questions) == len(starter.load()) == 174 and len(starter.load(3)) == 3


def test_a_loaded_set_is_its_visitors_alone(tmp_path):
    loaded = QuestionSets()
    name = loaded.load_file("me", write(tmp_path / "mine.jsonl", "Is it?"))
    assert loaded.names("me") == ["starter", name] and loaded.names("you") == ["starter"]
    assert [question.text for question in loaded.get("me", name).questions] == ["Is it?"]
    with pytest.raises(SettingsError, match="no longer loaded"):
        loaded.get("you", name)


def test_a_visitor_who_left_has_nothing(tmp_path):
    loaded = QuestionSets()
    loaded.load_file("me", write(tmp_path / "mine.jsonl", "Is it?"))
    loaded.forget("me")
    assert loaded.names("me") == ["starter"]


def test_a_file_that_is_no_set_is_named_without_its_folder(tmp_path):
    file = write(tmp_path / "secret" / "mine.jsonl", "Is it?")
    file.write_text("not json", encoding="utf-8")
    with pytest.raises(QuestionFileError) as error:
        QuestionSets().load_file("me", file)
    assert "mine.jsonl" in str(error.value) and "secret" not in str(error.value)


def test_a_path_is_loaded_by_its_owner_and_refused_on_a_public_page(tmp_path):
    file = write(tmp_path / "mine.jsonl", "Is it?")
    assert QuestionSets().load_named("me", str(file)) == "mine.jsonl"
    with pytest.raises(SettingsError, match="reads no paths"):
        QuestionSets(is_public=True).load_named("me", str(file))


def test_a_public_page_reads_no_parquet_whatever_it_is_called(tmp_path):
    for name in ("mine.parquet", "mine.csv"):
        (tmp_path / name).write_bytes(b"PAR1 and more")
        with pytest.raises(QuestionFileError, match="reads no parquet files"):
            QuestionSets(is_public=True).load_file("me", tmp_path / name)


@pytest.mark.parametrize("content", [b"\n" * 50_001, b"\r" * 50_001, b"[" + b"{}," * 50_001, b"[" * 50_001])
def test_a_file_of_very_many_rows_is_refused_on_a_public_page_before_it_is_read(tmp_path, content):
    file = tmp_path / "mine.csv"
    file.write_bytes(content)
    with pytest.raises(QuestionFileError, match="this public page reads 50,000"):
        QuestionSets(is_public=True).load_file("me", file)


def test_no_more_sets_and_visitors_are_kept_than_fit(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "_MOST_SETS", 2)
    monkeypatch.setattr(sets, "_MOST_VISITORS", 2)
    loaded = QuestionSets()
    names = [loaded.load_file("me", write(tmp_path / f"set-{number}.jsonl", "Is it?")) for number in range(3)]
    assert loaded.names("me") == ["starter", *names[1:]]
    for visitor in ("you", "they"):
        loaded.load_file(visitor, tmp_path / "set-0.jsonl")
    assert loaded.names("me") == ["starter"]


def test_a_set_that_is_too_large_is_refused_with_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "_MOST_QUESTIONS", 2)
    file = write(tmp_path / "big.jsonl", "Is it?", "Was it?", "Will it be?")
    with pytest.raises(QuestionFileError, match="more than 2 questions"):
        QuestionSets().load_file("me", file)


def test_a_set_that_is_called_like_ours_does_not_take_its_place(tmp_path):
    file = write(tmp_path / "mine.jsonl", "Is it?")
    folder = tmp_path / "starter"
    shutil.move(file, folder)
    loaded = QuestionSets()
    name = loaded.load_file("me", folder)
    assert name != "starter" and len(loaded.get("me", name).questions) == 1
    assert len(loaded.get("me", "starter").questions) == 174
