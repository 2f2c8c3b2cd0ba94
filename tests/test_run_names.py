"""What runs are called: in words of their settings, told apart where two are alike, and as their user calls them."""

from dataclasses import replace
from pathlib import Path

import pytest
from fake_runs import make_manifest, make_settings

from app import library
from app.handlers import runs
from app.handlers.run_list import RunFilter, list_runs
from app.language import Translator
from app.library import StoredRun
from app.run_names import head_name, model_name, run_name, run_names, settings_in_words
from app.service import Service
from app.settings import PageSettings
from app.visit import Visit
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.folders import precomputed_folder
from hcl_core.records import Question, SamplingSettings, StoredQuestion
from hcl_core.runs import trash
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.titles import MAX_NAME, MAX_NOTE, NO_TITLE, RunTitle, read_title, title_file, write_title
from hcl_core.runs.verify import verify_run
from hcl_core.transfer.packing import pack_run
from hcl_core.transfer.unpacking import unpack_run

ENGLISH, GERMAN = Translator("en"), Translator("de")
SHIPPED, WARMER = "0be6b1cadd189061", "a9a4b3a8654fe9da"
TITLE = RunTitle("Lesson 3", "for Tuesday\n<b>shared</b> head")


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The user's folder of runs."""
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def visit():
    return Visit(ENGLISH, Service(), "visitor")


def manifest_of(**settings):
    asked = {"exit_layers": (1, 2, 3, 4), "num_samples": 6, "sampling": SamplingSettings(temperature=0.6)}
    question = Question("planet", "Name a planet.", ("Mars",))
    return make_manifest(make_settings(**asked | settings), [StoredQuestion(question, "Q: Name a planet.\nA:")])


def run_of(title=NO_TITLE, question_set="own", **settings):
    return StoredRun(
        RunFolder(Path("nowhere")), replace(manifest_of(**settings), question_set=question_set), False, title
    )


def write_run(root, created_at, **settings):
    """A run of a question without answers, in the folder of runs; its id."""
    manifest = replace(manifest_of(**settings), created_at=created_at)
    RunFolder(root / manifest.run_id).create(
        manifest, [StoredQuestion(Question("planet", "Name a planet.", ("Mars",)), "Q: Name a planet.\nA:")]
    )
    return manifest.run_id


# In words.


def test_a_shipped_run_is_named_in_words_of_each_language():
    run = library.find_run(SHIPPED)
    assert run_name(run, ENGLISH) == "SmolLM2-135M, fitted head, T 0.6, all 30 layers, 50 answers"
    assert run_name(run, GERMAN) == "SmolLM2-135M, angepasster Ausgabekopf, T 0,6, alle 30 Schichten, 50 Antworten"
    assert run_name(run, Translator("zh")).endswith("，T 0.6，全部 30 层，50 个回答")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "fake, {own}, T 0.6, all 4 layers, 6 answers"),
        ({"exit_head": "linear"}, "fake, fitted head, T 0.6, all 4 layers, 6 answers"),
        ({"strategy": "self_speculative"}, "fake, {own}, self-speculation, T 0.6, all 4 layers, 6 answers"),
        ({"sampling": SamplingSettings(temperature=1.25)}, "fake, {own}, T 1.25, all 4 layers, 6 answers"),
        ({"sampling": SamplingSettings(temperature=0)}, "fake, {own}, T 0, all 4 layers, 6 answers"),
        ({"exit_layers": (3,)}, "fake, {own}, T 0.6, layer 3, 6 answers"),
        ({"exit_layers": (1, 2, 4)}, "fake, {own}, T 0.6, layers 1, 2 and 4, 6 answers"),
        ({"num_samples": 1}, "fake, {own}, T 0.6, all 4 layers, 1 answer"),
    ],
)  # fmt: skip
def test_settings_are_said_in_words(settings, said):
    assert settings_in_words(manifest_of(**settings), ENGLISH) == said.format(own="the model’s own head")


@pytest.mark.parametrize(
    ("layers", "said"),
    [(tuple(range(2, 31)), "layers 2 to 30"), (tuple(range(2, 31, 2)), "15 layers from 2 to 30"), ((30,), "layer 30")],
)
def test_many_layers_are_a_span(layers, said):
    deep = replace(manifest_of(exit_layers=layers), num_hidden_layers=30)
    assert f", {said}, " in settings_in_words(deep, ENGLISH)


def test_models_and_heads_that_the_program_does_not_know_keep_their_names():
    assert model_name("HuggingFaceTB/SmolLM2-135M-Instruct") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert head_name("lens-of-mine", ENGLISH) == "lens-of-mine"
    assert len(model_name("m" * 500)) < 100


def test_only_what_differs_is_said_of_runs_of_one_name():
    first, seeded = run_of(), run_of(sampling=SamplingSettings(temperature=0.6, seed=7))
    other = run_of(sampling=SamplingSettings(temperature=1.0))
    names = run_names([first, seeded, other], ENGLISH)
    assert names[0].endswith("6 answers, seed 0") and names[1].endswith("6 answers, seed 7")
    assert names[2].endswith("6 answers")


def test_runs_of_other_sets_are_told_apart_by_them_unless_these_stand_beside():
    both = [run_of(question_set="starter"), run_of(question_set="mine")]
    both = [replace(run, manifest=replace(run.manifest, num_questions=2)) for run in both]
    assert [name.rpartition("6 answers, ")[2] for name in run_names(both, ENGLISH)] == [
        "starter, 2 questions",
        "mine, 2 questions",
    ]
    assert len(set(run_names(both, ENGLISH, "beside"))) == 1
    assert run_names(both, ENGLISH, "first")[1].startswith("mine, 2 questions · fake, ")


def test_runs_that_differ_in_nothing_else_have_different_names():
    first = run_of()
    second = replace(first, manifest=replace(first.manifest, run_id="f" * 16))
    assert len(set(run_names([first, second], ENGLISH))) == 2


def test_an_own_name_stands_in_front():
    assert run_name(run_of(TITLE), ENGLISH).startswith("Lesson 3 · fake, ")


# Names and notes.


def test_a_title_is_kept_beside_a_shipped_run_which_stays_as_it_is(visit, folder):
    before = {file: file.read_bytes() for file in (precomputed_folder() / SHIPPED).iterdir() if file.is_file()}
    renamed = runs.rename(visit, SHIPPED, f"  {TITLE.name} ", TITLE.note)
    assert renamed is not None and renamed.before == NO_TITLE and renamed.result.run.title == TITLE
    assert library.find_run(SHIPPED).title == TITLE and read_title(SHIPPED, folder) == TITLE
    assert {file: file.read_bytes() for file in before} == before
    assert verify_run(library.find_run(SHIPPED).folder) == []


def test_a_title_that_is_there_already_is_not_written_again(visit):
    assert runs.rename(visit, SHIPPED, "one", "") is not None
    assert runs.rename(visit, SHIPPED, " one ", "") is None


def test_an_empty_title_is_taken_away(visit, folder):
    write_title(SHIPPED, folder, TITLE)
    assert runs.rename(visit, SHIPPED, "", "  ") is not None
    assert not title_file(SHIPPED, folder).exists() and library.find_run(SHIPPED).title == NO_TITLE


@pytest.mark.parametrize(
    ("name", "note"), [("n" * (MAX_NAME + 1), ""), ("", "n" * (MAX_NOTE + 1)), (["a"], ""), ("", 3)]
)
def test_a_title_that_is_too_long_or_no_text_is_refused(visit, folder, name, note):
    with pytest.raises(SettingsError):
        runs.rename(visit, SHIPPED, name, note)
    assert read_title(SHIPPED, folder) == NO_TITLE


def test_a_name_is_one_line_without_control_characters():
    assert RunTitle.of("a\nb\x1b[31m  c", "x\x00\r\ny\n").name == "a b·[31m c"
    assert RunTitle.of("", "x\x00\r\ny\n").note == "x·\ny"


def test_visitors_of_a_public_page_name_nothing(folder):
    public = Visit(ENGLISH, Service(PageSettings(public=True)), "visitor")
    with pytest.raises(SettingsError, match="public page"):
        runs.rename(public, SHIPPED, "mine", "")
    assert not folder.exists()


@pytest.mark.parametrize("run_id", ["../../x", "", None, "0" * 16])
def test_only_runs_that_are_there_have_titles(visit, folder, run_id):
    with pytest.raises((SettingsError, RunFolderError)):
        runs.rename(visit, run_id, "mine", "")
    assert not folder.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"name": 3}', b'{"name": "' + b"n" * 500 + b'"}', b"\xff" * 40_000]
)
def test_a_damaged_title_is_none(visit, folder, content):
    write_title(SHIPPED, folder, TITLE)
    title_file(SHIPPED, folder).write_bytes(content)
    assert library.find_run(SHIPPED).title == NO_TITLE
    assert runs.rename(visit, SHIPPED, "again", "") is not None


def test_a_deleted_run_has_its_title_again_when_it_is_restored(visit, folder):
    run_id = write_run(folder, "2026-01-01T00:00:00+00:00")
    runs.rename(visit, run_id, *(TITLE.name, TITLE.note))
    runs.delete(visit, run_id)
    trash.restore_run(run_id, folder)
    assert library.find_run(run_id).title == TITLE


# To another machine.


@pytest.fixture
def packed(visit, tmp_path):
    """A zip of a shipped run with a title."""
    runs.rename(visit, SHIPPED, TITLE.name, TITLE.note)
    pack_run(library.find_run(SHIPPED).folder, tmp_path / "run.zip")
    return tmp_path / "run.zip"


def test_a_title_goes_with_its_run(packed, tmp_path):
    imported = unpack_run(packed, tmp_path / "elsewhere")
    assert imported.is_new and read_title(SHIPPED, tmp_path / "elsewhere") == TITLE
    assert verify_run(imported.folder) == [] and not (imported.folder.path / "title.json").exists()


def test_a_title_that_is_there_is_kept(packed, tmp_path):
    write_title(SHIPPED, tmp_path / "elsewhere", RunTitle("mine"))
    unpack_run(packed, tmp_path / "elsewhere")
    assert read_title(SHIPPED, tmp_path / "elsewhere") == RunTitle("mine")


def test_the_same_run_and_title_give_the_same_zip(packed, tmp_path):
    pack_run(library.find_run(SHIPPED).folder, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_a_run_with_a_damaged_title_is_taken_in_without_it(visit, tmp_path):
    source = tmp_path / "source"
    imported = unpack_run(precomputed_folder() / SHIPPED, source)
    (imported.folder.path / "title.json").write_text('{"name": 3}')
    unpack_run(imported.folder.path, tmp_path / "elsewhere")
    assert read_title(SHIPPED, tmp_path / "elsewhere") == NO_TITLE


# The list.


def ids(visit, **wanted):
    return [run.manifest.run_id for run in list_runs(visit, RunFilter(**wanted)).runs]


def test_runs_are_listed_newest_first(visit, folder):
    old = write_run(folder, "2020-01-01T00:00:00+00:00")
    new = write_run(folder, "2030-01-01T00:00:00+00:00", num_samples=7)
    listed = ids(visit)
    assert (listed[0], listed[-1], len(listed)) == (new, old, 6)


@pytest.mark.parametrize(
    "text", ["Lesson", "TUESDAY lesson", "<b>shared</b>", "fitted head T 0.6", "starter 174", SHIPPED[:8], "0.6 linear"]
)  # fmt: skip
def test_a_run_is_found_by_its_words(visit, folder, text):
    write_title(SHIPPED, folder, replace(TITLE, note=f"{TITLE.note} linear"))
    assert SHIPPED in ids(visit, text=text)
    assert WARMER not in ids(visit, text=f"{text} lesson")


def test_a_run_is_found_by_its_question(visit, folder):
    run_id = write_run(folder, "2030-01-01T00:00:00+00:00")
    assert ids(visit, text="a planet") == [run_id]


def test_runs_are_filtered_by_model_head_and_kind(visit, folder):
    own = write_run(folder, "2030-01-01T00:00:00+00:00")
    assert ids(visit, model="fake") == ids(visit, kind="unfinished") == [own]
    assert set(ids(visit, head="linear")) == {SHIPPED, WARMER}
    assert len(ids(visit, kind="shipped")) == 4 and ids(visit, kind="own") == []
    page = list_runs(visit, RunFilter(model="fake"))
    assert (page.num_runs, page.num_all, page.models) == (1, 5, ["fake", "smollm2-135m"])


def test_a_filter_that_the_page_does_not_offer_is_refused():
    with pytest.raises(SettingsError):
        RunFilter.from_controls("", "", "", "others")
    with pytest.raises(SettingsError):
        RunFilter.from_controls(["a"], "", "", "")
