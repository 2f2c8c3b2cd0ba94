"""Damaged run folders: what is found, what is left out, and how the same command or `repair` mends them."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import FakeEmbedder, contents, fake_sample
from fake_runs import PLANET, Sitting
from test_cli import assert_one_line_error, command  # noqa: F401  # fixture

from hcl_core.errors import RunBusyError, RunFolderError
from hcl_core.folders import precomputed_folder
from hcl_core.judges.alias import AliasJudge
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.pipeline.stored import read_outcomes, rescore
from hcl_core.records import Question
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.repair import repair_run
from hcl_core.runs.tables import table_of
from hcl_core.runs.verify import verify_run

SHIPPED = sorted(path.parent for path in precomputed_folder().glob("[0-9a-f]*/questions.jsonl"))


@pytest.fixture
def folder(finished_copy):
    return finished_copy


def part(folder, number):
    return folder.path / "samples" / f"part-{number:05d}.parquet"


def cut(file, share=0.5):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])


def repeat_part(folder):
    """Part 1 a second time, as the last one."""
    shutil.copy(part(folder, 1), part(folder, 4))


def files_with_problems(folder):
    return [problem.file for problem in verify_run(folder)]


def by_key(folder):
    return {sample.key: sample for sample in folder.samples()}


def again(folder):
    """The same `run` command once more."""
    return Sitting(folder.path).finish()


# Verify.


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_run_has_no_problem(path):
    assert verify_run(RunFolder(path)) == []


def test_finished_run_has_no_problem(folder):
    assert verify_run(folder) == []


def test_stopped_run_has_no_problem(tmp_path):
    sitting = Sitting(tmp_path / "run")
    sitting.stop_after(5)
    assert verify_run(sitting.folder) == []


def test_verify_leaves_the_run_as_it_is(folder):
    cut(part(folder, 1))
    before = contents(folder.path)
    verify_run(folder)
    assert contents(folder.path) == before


@pytest.mark.parametrize(
    "name",
    ["samples/part-00002.parquet", "questions.jsonl", "manifest.json", "verdicts.parquet", "layer_scores.parquet"],
)
def test_cut_file_is_the_one_that_is_named(folder, name):
    cut(folder.path / name)
    assert files_with_problems(folder) == [name]


def test_flipped_bit_in_a_part_is_found_by_its_checksum(folder):
    file = part(folder, 2)
    content = bytearray(file.read_bytes())
    column = pq.read_metadata(file).row_group(0).column(3)
    content[column.dictionary_page_offset + column.total_compressed_size // 2] ^= 1
    file.write_bytes(content)
    assert files_with_problems(folder) == ["samples/part-00002.parquet"]


def test_part_that_stands_twice_is_found_with_the_part_that_it_repeats(folder):
    repeat_part(folder)
    (problem,) = verify_run(folder)
    assert str(problem).startswith(
        "samples/part-00004.parquet: it has samples of part-00001.parquet a second time: `rep"
    )


def test_sample_that_stands_twice_in_a_part_is_found(folder):
    pq.write_table(table_of([fake_sample(PLANET, 1, 0)] * 2), part(folder, 0))
    assert "samples/part-00000.parquet" in files_with_problems(folder)


@pytest.mark.parametrize(
    "sample",
    [
        fake_sample(Question("other", "Who?", ("Me",)), 3, 0),
        replace(fake_sample(PLANET, 3, 0), exit_layer=5),
        fake_sample(PLANET, 3, 6),
        replace(fake_sample(PLANET, 3, 0), sample_idx=-1),
    ],
    ids=["question", "layer", "number", "below 0"],
)
def test_sample_of_another_run_is_found(folder, sample):
    folder.append_samples([sample])
    assert files_with_problems(folder) == ["samples/part-00004.parquet"]


def test_missing_part_of_a_finished_run_is_found(folder):
    part(folder, 1).unlink()
    (problem,) = verify_run(folder)
    assert "marked as finished and has 32 of 48 samples" in problem.what


def test_changed_prompt_is_found(folder):
    file = folder.path / "questions.jsonl"
    file.write_text(file.read_text(encoding="utf-8").replace("Q: Name a planet.", "Q: Name a fish."), encoding="utf-8")
    (problem,) = verify_run(folder)
    assert "do not make its run id" in problem.what


def test_verify_of_no_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="holds no run"):
        verify_run(RunFolder(tmp_path))


# Opened without a damaged part.


def test_run_with_a_damaged_part_is_read_without_it(folder, finished):
    cut(part(folder, 1))
    left_out = pq.read_table(part(RunFolder(finished.path), 1)).num_rows
    table = read_outcomes(folder)
    assert (table.outcomes >= -2).sum() == 48 - left_out
    np.testing.assert_array_equal(table.outcomes[0, :, :2], read_outcomes(finished).outcomes[0, :, :2])


def test_run_with_a_damaged_part_is_judged_without_it(folder):
    cut(part(folder, 1))
    assert (rescore(folder, AliasJudge(), Embeddings(FakeEmbedder)).table.outcomes >= -2).sum() == 32


def test_question_view_of_a_damaged_run_says_what_is_left_out(folder):
    from app.library import StoredRun
    from app.question_view import QuestionView

    cut(part(folder, 1))
    view = QuestionView.load(StoredRun(folder, folder.manifest(), False), "planet")
    assert (view.num_bad_parts, view.is_complete, len(view.samples)) == (1, False, 8)


@pytest.mark.parametrize("language", ["en", "de"])
def test_page_says_in_its_language_that_a_part_is_left_out(language):
    from app.language import Translator
    from app.views.headline import left_out_note

    words = Translator(language)
    assert left_out_note(0, words) == ""
    assert left_out_note(1, words) == words("parts_left_out_one")
    assert "2" in left_out_note(2, words)


# The same `run` command.


def test_run_samples_the_answers_of_a_damaged_part_again(folder, finished):
    cut(part(folder, 1))
    again(folder)
    assert by_key(folder) == by_key(finished)
    assert verify_run(folder) == []


def test_run_keeps_the_damaged_part(folder):
    cut(part(folder, 1))
    damaged = part(folder, 1).read_bytes()
    again(folder)
    assert (folder.path / "set_aside" / "part-00001.parquet").read_bytes() == damaged


def test_run_that_was_finished_is_finished_again(folder):
    cut(part(folder, 1))
    events = again(folder)
    assert events[0].num_present == 32
    assert folder.manifest().finished_at is not None


@pytest.mark.parametrize("share", [0, 0.03, 0.5, 0.99])
def test_run_writes_a_manifest_anew_that_was_cut_off(folder, finished, share):
    named = RunFolder(folder.path.rename(folder.path.with_name(folder.manifest().run_id)))
    cut(named.path / "manifest.json", share)
    again(named)
    assert by_key(named) == by_key(finished)
    assert named.manifest().settings == finished.manifest().settings


def test_run_refuses_a_folder_with_half_the_manifest_of_another_run(folder):
    cut(folder.path / "manifest.json")
    with pytest.raises(RunFolderError, match="the manifest cannot be read"):
        Sitting(folder.path, num_samples=7).finish()


def test_run_writes_questions_anew_that_are_damaged(folder, finished):
    cut(folder.path / "questions.jsonl")
    again(folder)
    assert folder.questions() == finished.questions()


@pytest.mark.parametrize(
    "read",
    [
        again,
        lambda folder: rescore(folder, AliasJudge(), Embeddings(FakeEmbedder)),
        read_outcomes,
        lambda folder: folder.samples("planet"),
    ],
    ids=["run", "score", "show", "page"],
)
def test_part_that_stands_twice_is_refused_with_the_advice_that_works(folder, read):
    repeat_part(folder)
    with pytest.raises(RunFolderError, match=r"part-00004\.parquet has samples of part-00001\.parquet .*`repair`"):
        read(folder)
    repair_run(folder)
    read(folder)


# Repair.


def test_repair_moves_a_repeated_part_and_leaves_a_whole_run(folder, finished):
    repeat_part(folder)
    assert repair_run(folder) == [folder.path / "set_aside" / "part-00004.parquet"]
    assert by_key(folder) == by_key(finished)
    assert folder.manifest() == finished.manifest()


def test_repair_moves_a_damaged_part_and_leaves_an_unfinished_run(folder):
    cut(part(folder, 1))
    repair_run(folder)
    assert verify_run(folder) == []
    assert folder.manifest().finished_at is None


def test_repair_deletes_nothing(folder):
    cut(part(folder, 1))
    cut(folder.path / "clusters.parquet")
    before = sorted(contents(folder.path).values())
    folder.write_manifest(replace(folder.manifest(), finished_at=None))
    before = sorted(contents(folder.path).values())
    repair_run(folder)
    assert sorted(contents(folder.path).values()) == before


def test_repair_of_a_whole_run_changes_nothing(folder):
    before = contents(folder.path)
    assert repair_run(folder) == []
    assert contents(folder.path) == before


def test_file_that_was_set_aside_is_not_replaced_by_the_next(folder):
    for text in ("one", "two"):
        part(folder, 1).write_text(text)
        repair_run(folder)
    aside = folder.path / "set_aside"
    assert {file.name: file.read_text() for file in aside.iterdir()} == {
        "part-00001.parquet": "one",
        "part-00001.parquet.2": "two",
    }


def test_repair_writes_a_manifest_anew_that_was_cut_off_late(folder, finished):
    cut(folder.path / "manifest.json", 0.85)
    repair_run(folder)
    mended, whole = folder.manifest(), finished.manifest()
    assert (mended.run_id, mended.settings, mended.judge) == (whole.run_id, whole.settings, whole.judge)
    assert folder.samples() == finished.samples()


def test_repair_of_a_manifest_that_was_cut_off_early_names_the_command_that_works(folder):
    cut(folder.path / "manifest.json", 0.3)
    with pytest.raises(RunFolderError, match="too little is left .* give the same `run` command again"):
        repair_run(folder)


def test_repair_does_not_guess_the_last_number_of_a_cut_off_manifest(folder):
    file = folder.path / "manifest.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index('"num_hidden_layers": 4') + len('"num_hidden_layers": 4')], encoding="utf-8")
    with pytest.raises(RunFolderError, match="num_hidden_layers missing"):
        repair_run(folder)


def test_repair_waits_for_no_other_writer(folder):
    with folder.writing(), pytest.raises(RunBusyError):
        repair_run(folder)


# In the terminal.


def test_verify_in_the_terminal_is_a_line_a_problem(command, folder):  # noqa: F811
    cut(part(folder, 1))
    cut(part(folder, 2))
    code, out, _ = command("verify", folder.path)
    assert code == 1
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        "samples/part-00001.parquet",
        "samples/part-00002.parquet",
    ]


def test_verify_of_a_whole_run_is_one_line(command, finished):  # noqa: F811
    code, out, _ = command("verify", finished.path)
    assert (code, out) == (0, f"{finished.path}: no problem found; 48 of 48 samples are there\n")


def test_verify_finds_a_stored_run_by_its_id(command):  # noqa: F811
    assert command("verify", SHIPPED[0].name)[0] == 0


@pytest.mark.parametrize("name", ["verify", "repair"])
def test_no_run_in_the_terminal_is_one_line(command, name):  # noqa: F811
    assert_one_line_error(command(name, "0" * 16), "holds no run")


def test_repair_in_the_terminal_names_the_command_that_fills_the_gap(command, folder):  # noqa: F811
    cut(part(folder, 1))
    code, out, _ = command("repair", folder.path)
    assert code == 0
    assert out.endswith("can be read; missing: 16 samples, which the same `run` command makes\n")


def test_show_names_the_part_that_it_leaves_out(command, folder):  # noqa: F811
    cut(part(folder, 1))
    code, out, err = command("show", folder.path)
    assert code == 0
    assert "part-00001.parquet is left out" in " ".join(err.split())
    assert "This run is not complete" in out


def test_half_manifest_in_the_terminal_is_one_line(command, folder):  # noqa: F811
    cut(folder.path / "manifest.json")
    assert_one_line_error(command("show", folder.path), "the same `run` command writes it anew")
