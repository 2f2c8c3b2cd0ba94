"""The run folder: written whole or not at all, and read back the same, or refused by name."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import fake_runs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import fake_sample
from fake_runs import make_settings, verdict_table, write_derived, write_verdicts

from hcl_core.errors import DiskError, RunBusyError, RunFolderError, SettingsError
from hcl_core.records import Question, SampleKey, SamplingSettings, StoredQuestion, Verdict
from hcl_core.runs.file_version import file_version
from hcl_core.runs.folder import MAX_BYTES, RunFolder
from hcl_core.runs.manifest import RunSettings
from hcl_core.runs.parts import SampleParts
from hcl_core.runs.tables import mean_logprobs, table_of
from hcl_core.strict_json import finite

QUESTIONS = [
    Question("planet", "Name a planet.", ("Mars", "Vénus"), "astronomy", "easy"),
    Question("q2", 'A "quoted"\nquestion\u2028with {braces}?', ("東京", "\\n")),
]


def asked(questions):
    return [StoredQuestion(question, f"Q: {question.text}\nA:") for question in questions]


STORED = asked(QUESTIONS)
SETTINGS = make_settings(
    model="tiny",
    model_revision="folder-1",
    exit_layers=(1, 3, 4),
    num_samples=4,
    sampling=SamplingSettings(temperature=0.6, top_p=0.9, top_k=5, max_new_tokens=8, seed=3),
)
SAMPLES = [fake_sample(question, layer, idx) for question in QUESTIONS for layer in (1, 3, 4) for idx in range(4)]
REPO = Path(__file__).parent.parent


def make_manifest(settings=SETTINGS, questions=QUESTIONS, **others):
    return fake_runs.make_manifest(settings, asked(questions), **others)


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(make_manifest(), STORED)
    return folder


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes) + "\n", encoding="utf-8")


def files_of(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file() and file.name != ".lock")


# The run's id.


def test_run_id_is_16_hexadecimal_digits():
    assert len(SETTINGS.run_id(asked(QUESTIONS))) == 16
    assert int(SETTINGS.run_id(asked(QUESTIONS)), 16) >= 0


def test_run_id_is_the_same_in_every_version():
    # Written down once: another value would make every stored run another run.
    assert SETTINGS.run_id(STORED) == "19f24b91ff09a6b1"


def test_run_id_of_the_same_request_is_the_same():
    twin = RunSettings(**{name: getattr(SETTINGS, name) for name in RunSettings.__slots__})
    assert twin.run_id(asked(list(QUESTIONS))) == SETTINGS.run_id(asked(QUESTIONS))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"model_revision": "folder-2"},
        {"dtype": "bfloat16"},
        {"exit_head": "linear"},
        {"exit_head_hash": "0123"},
        {"strategy": "self_speculative"},
        {"exit_layers": (1, 3)},
        {"num_samples": 5},
        {"sampling": replace(SETTINGS.sampling, temperature=0.7)},
        {"sampling": replace(SETTINGS.sampling, top_p=0.8)},
        {"sampling": replace(SETTINGS.sampling, top_k=6)},
        {"sampling": replace(SETTINGS.sampling, max_new_tokens=9)},
        {"sampling": replace(SETTINGS.sampling, seed=4)},
    ],
    ids=str,
)
def test_run_id_depends_on_every_deciding_setting(change):
    assert replace(SETTINGS, **change).run_id(asked(QUESTIONS)) != SETTINGS.run_id(asked(QUESTIONS))


@pytest.mark.parametrize(
    "questions",
    [
        QUESTIONS[:1],
        QUESTIONS[::-1],
        [replace(QUESTIONS[0], text="Name a moon."), QUESTIONS[1]],
        [replace(QUESTIONS[0], id="p"), QUESTIONS[1]],
    ],
    ids=["fewer", "another order", "another text", "another id"],
)
def test_run_id_depends_on_the_questions(questions):
    assert SETTINGS.run_id(asked(questions)) != SETTINGS.run_id(asked(QUESTIONS))


@pytest.mark.parametrize(
    "other",
    [
        {"device": "cuda"},
        {"judge": "other"},
        {"embedder": "other"},
        {"question_set": "starter"},
        {"num_hidden_layers": 9},
    ],
    ids=str,
)
def test_run_id_does_not_depend_on_the_rest(other):
    assert make_manifest(**other).run_id == make_manifest().run_id


def test_run_id_does_not_depend_on_the_accepted_answers():
    other = [replace(QUESTIONS[0], answers=("Mars",)), QUESTIONS[1]]
    assert SETTINGS.run_id(asked(other)) == SETTINGS.run_id(asked(QUESTIONS))


def test_run_id_depends_on_the_prompts():
    assert SETTINGS.run_id([replace(STORED[0], prompt="Today is Monday."), STORED[1]]) != SETTINGS.run_id(STORED)


def test_update_takes_over_other_accepted_answers(folder):
    other = [replace(STORED[0], question=replace(QUESTIONS[0], answers=("Earth",))), STORED[1]]
    folder.update(folder.create(make_manifest(), other), other)
    assert folder.questions() == other


@pytest.mark.parametrize(
    ("whole", "decimal"), [({"temperature": 1}, {"temperature": 1.0}), ({"top_p": 1}, {"top_p": 1.0})]
)
def test_run_id_does_not_depend_on_how_a_number_is_written(whole, decimal):
    # A page's slider gives 1 where the terminal gives 1.0.
    one, other = (replace(SETTINGS, sampling=replace(SETTINGS.sampling, **change)) for change in (whole, decimal))
    assert one.run_id(asked(QUESTIONS)) == other.run_id(asked(QUESTIONS))


@pytest.mark.parametrize("num_samples", [0, -1, 10_001])
def test_settings_refuse_a_number_of_samples_out_of_range(num_samples):
    with pytest.raises(SettingsError, match=f"between 1 and 10000; got {num_samples}"):
        replace(SETTINGS, num_samples=num_samples)


@pytest.mark.parametrize("exit_layers", [(), (0, 1), (2, 1), (1, 1)])
def test_settings_refuse_layers_that_do_not_ascend_from_1(exit_layers):
    with pytest.raises(SettingsError, match="exit layers must be ascending and from 1"):
        replace(SETTINGS, exit_layers=exit_layers)


# Manifest and questions.


def test_manifest_is_read_back_the_same(folder):
    manifest = replace(make_manifest(), decode_seconds=1.25, finished_at="2026-01-01T00:00:00+00:00")
    folder.write_manifest(manifest)
    assert folder.manifest() == manifest


def test_manifest_read_back_has_the_same_run_id(folder):
    assert folder.manifest().settings.run_id(folder.questions()) == make_manifest().run_id


@pytest.mark.parametrize("name", ["manifest.json", "questions.jsonl"])
def test_a_byte_order_mark_of_an_editor_is_read_over(folder, name):
    before = folder.manifest(), folder.questions()
    file = folder.path / name
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert (folder.manifest(), folder.questions()) == before


def test_questions_are_read_back_with_their_prompts(folder):
    assert folder.questions() == STORED


def test_created_folder_holds_manifest_and_questions_alone(folder):
    assert files_of(folder.path) == ["manifest.json", "questions.jsonl"]


def test_create_goes_on_with_the_same_run(folder):
    folder.write_manifest(replace(folder.manifest(), decode_seconds=5.0))
    assert folder.create(make_manifest(), STORED).decode_seconds == 5.0


def test_create_refuses_a_folder_with_another_run(folder):
    other = make_manifest(replace(SETTINGS, num_samples=5))
    with pytest.raises(RunFolderError, match=f"holds another run .{make_manifest().run_id}.*choose another folder"):
        folder.create(other, STORED)


def test_refused_create_leaves_the_other_run_alone(folder):
    with pytest.raises(RunFolderError):
        folder.create(make_manifest(replace(SETTINGS, num_samples=5)), STORED)
    assert folder.manifest().settings == SETTINGS


def test_create_refuses_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is not empty and holds no run"):
        RunFolder(tmp_path).create(make_manifest(), STORED)


def test_refused_create_leaves_the_folder_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError):
        RunFolder(tmp_path).create(make_manifest(), STORED)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_create_takes_an_empty_folder(tmp_path):
    RunFolder(tmp_path).create(make_manifest(), STORED)
    assert RunFolder(tmp_path).manifest().run_id == make_manifest().run_id


def test_crash_before_the_manifest_leaves_no_run(tmp_path, monkeypatch):
    def crash(self, manifest):
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "write_manifest", crash)
    with pytest.raises(KeyboardInterrupt):
        RunFolder(tmp_path / "run").create(make_manifest(), STORED)
    assert not RunFolder(tmp_path / "run").exists


def test_create_goes_on_after_a_crash_before_the_manifest(tmp_path, monkeypatch):
    def crash(self, manifest):
        raise KeyboardInterrupt

    folder = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunFolder, "write_manifest", crash)
        folder.create(make_manifest(), STORED)
    assert folder.create(make_manifest(), STORED).run_id == make_manifest().run_id


def test_crash_while_writing_the_manifest_leaves_the_old_one(folder, monkeypatch):
    before = folder.manifest()
    write_text = Path.write_text

    def crash(self, text, **options):
        write_text(self, text[:20], **options)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(DiskError):
        patch.setattr(Path, "write_text", crash)
        folder.finish("now")
    assert folder.manifest() == before


def test_finish_notes_the_time_alone(folder):
    before = folder.manifest()
    assert folder.finish("2026-01-01T00:00:00+00:00") == replace(before, finished_at="2026-01-01T00:00:00+00:00")


def test_manifest_describes_itself_in_one_line(folder):
    assert folder.manifest().describe() == "tiny · shared head · layers 1,3,4 · 4 samples · T 0.6"
    one = replace(folder.manifest(), settings=replace(folder.manifest().settings, num_samples=1))
    assert one.describe().endswith("· 1 sample · T 0.6")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version_is_refused(folder, version):
    edit_json(folder.path / "manifest.json", schema_version=version)
    with pytest.raises(RunFolderError, match=f"schema version 1 was wanted; got {version}"):
        folder.manifest()


def damaged_settings(**changes):
    return {"settings": asdict(SETTINGS) | changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": None},
        {"settings": {}},
        {"new_key": 1},
        damaged_settings(exit_layers=[]),
        damaged_settings(exit_layers=3),
        damaged_settings(num_samples="4"),
        damaged_settings(new_key=1),
        damaged_settings(template={"name": "file", "text": "no place"}),
        damaged_settings(sampling={"temperature": -1}),
    ],
    ids=str,
)
def test_damaged_manifest_is_refused(folder, changes):
    edit_json(folder.path / "manifest.json", **changes)
    with pytest.raises(RunFolderError, match="run: the manifest cannot be read"):
        folder.manifest()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b'{"schema_version": 1}'])
def test_manifest_that_is_no_manifest_is_refused(folder, content):
    (folder.path / "manifest.json").write_bytes(content)
    with pytest.raises(RunFolderError, match="run: the manifest cannot be read"):
        folder.manifest()


def test_manifest_that_is_no_text_is_refused(folder):
    (folder.path / "manifest.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunFolderError):
        folder.manifest()


def test_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="holds no run"):
        RunFolder(tmp_path).manifest()


def test_missing_folder_does_not_exist(tmp_path):
    assert not RunFolder(tmp_path / "none").exists


@pytest.mark.parametrize(
    "change",
    [
        {"id": 5},
        {"id": ""},
        {"question": None},
        {"answers": []},
        {"answers": "Mars"},
        {"answers": [5]},
        {"answers": None},
    ],
    ids=str,
)
def test_damaged_question_is_refused(folder, change):
    path = folder.path / "questions.jsonl"
    entry = json.loads(path.read_text(encoding="utf-8").split("\n")[0])
    path.write_text(json.dumps(entry | change) + "\n", encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"run: questions\.jsonl cannot be read"):
        folder.questions()


@pytest.mark.parametrize("content", [b"{", b"\xff\n", b"[]\n", b"5\n", b"{}\n"])
def test_questions_that_are_no_questions_are_refused(folder, content):
    (folder.path / "questions.jsonl").write_bytes(content)
    with pytest.raises(RunFolderError, match=r"run: questions\.jsonl cannot be read"):
        folder.questions()


def test_missing_questions_are_refused(folder):
    (folder.path / "questions.jsonl").unlink()
    with pytest.raises(RunFolderError, match=r"questions\.jsonl"):
        folder.questions()


def test_questions_cut_off_at_a_line_are_refused(folder):
    path = folder.path / "questions.jsonl"
    path.write_text(path.read_text(encoding="utf-8").split("\n")[0] + "\n", encoding="utf-8")
    with pytest.raises(RunFolderError):  # the manifest says that there are two
        folder.questions()


# Samples.


def test_samples_are_read_back_the_same(folder):
    folder.append_samples(SAMPLES)
    assert folder.samples() == SAMPLES


def test_samples_of_several_parts_are_read_in_their_order(folder):
    for start in range(0, len(SAMPLES), 2):
        folder.append_samples(SAMPLES[start : start + 2])
    assert folder.samples() == SAMPLES


def test_parts_are_numbered_from_0_and_never_changed(folder):
    folder.append_samples(SAMPLES[:4])
    first = (folder.path / "samples" / "part-00000.parquet").read_bytes()
    folder.append_samples(SAMPLES[4:])
    assert files_of(folder.path / "samples") == ["part-00000.parquet", "part-00001.parquet"]
    assert (folder.path / "samples" / "part-00000.parquet").read_bytes() == first


def test_part_number_is_never_used_again(folder):
    for sample in SAMPLES[:3]:
        folder.append_samples([sample])
    (folder.path / "samples" / "part-00001.parquet").unlink()
    folder.append_samples(SAMPLES[3:])
    assert files_of(folder.path / "samples")[-1] == "part-00003.parquet"


def test_new_folder_has_no_samples(folder):
    assert folder.samples() == []


def test_sample_table_can_be_read_in_part(folder):
    folder.append_samples(SAMPLES)
    assert folder.sample_table(["answer", "question_id"]).column_names == ["question_id", "answer"]


def crash_while_writing(monkeypatch, error):
    write_table = pq.write_table

    def write_and_crash(table, where, **options):
        write_table(table, where, **options)
        raise error

    monkeypatch.setattr(pq, "write_table", write_and_crash)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), DiskError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["full", "Ctrl-C"],
)
def test_crash_while_writing_a_part_leaves_no_part(folder, monkeypatch, error, raised):
    folder.append_samples(SAMPLES[:4])
    with monkeypatch.context() as patch, pytest.raises(raised):
        crash_while_writing(patch, error)
        folder.append_samples(SAMPLES[4:])
    assert files_of(folder.path / "samples") == ["part-00000.parquet"]


def test_samples_can_be_added_after_a_crash(folder, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(DiskError):
        crash_while_writing(patch, OSError(28, "No space left on device"))
        folder.append_samples(SAMPLES)
    folder.append_samples(SAMPLES)
    assert folder.samples() == SAMPLES


def test_leftovers_of_a_killed_process_are_no_part(folder):
    folder.append_samples(SAMPLES)
    (folder.path / "samples" / ".part-00001.parquet.4711.tmp").write_bytes(b"half a par")
    assert folder.samples() == SAMPLES


def cut(content):
    return content[:-20]


def zero_the_data(content):
    return content[:20] + bytes(100) + content[120:]


@pytest.mark.parametrize(
    "damage", [cut, zero_the_data, lambda _: b"", lambda _: b"junk"], ids=["cut", "zeros", "empty", "junk"]
)
def test_damaged_part_is_left_out_and_named(folder, damage):
    folder.append_samples(SAMPLES[:4])
    folder.append_samples(SAMPLES[4:])
    part = folder.path / "samples" / "part-00001.parquet"
    part.write_bytes(damage(part.read_bytes()))
    assert folder.samples() == SAMPLES[:4]
    assert [bad.file for bad in folder.bad_parts()] == [part]


@pytest.mark.parametrize("column", ["answer", "token_logprobs", "question_id"])
def test_part_without_a_column_is_left_out_and_named(folder, column):
    folder.append_samples(SAMPLES)
    part = folder.path / "samples" / "part-00000.parquet"
    pq.write_table(pq.read_table(part).drop([column]), part)
    assert folder.samples() == []
    assert column in folder.bad_parts()[0].problem


# Derived tables.

KEY = SampleKey("planet", 3, 0)
VERDICTS = [Verdict(KEY, "correct", "contains “Mars”", "Mars")]


def test_verdicts_are_read_back(folder):
    write_verdicts(folder, VERDICTS, "judge 1")
    assert folder.verdict_table().to_pylist() == [
        {
            "question_id": "planet",
            "exit_layer": 3,
            "sample_idx": 0,
            "outcome": "correct",
            "reason": "contains “Mars”",
            "matched": "Mars",
        }
    ]


def test_clusters_are_read_back(folder):
    write_derived(folder, "clusters", [KEY], "judge 1; embedder", cluster_id=[2])
    row = {"question_id": "planet", "exit_layer": 3, "sample_idx": 0, "cluster_id": 2}
    assert folder.cluster_table().to_pylist() == [row]


def test_stamps_are_read_back(folder):
    assert folder.stamps() == (None, None)
    write_verdicts(folder, VERDICTS, "judge 1")
    write_derived(folder, "clusters", [KEY], "judge 1; embedder", cluster_id=[2])
    assert folder.stamps() == ("judge 1", "judge 1; embedder")


def test_derived_tables_that_were_not_made_are_none(folder):
    assert (folder.verdict_table(), folder.cluster_table()) == (None, None)


@pytest.mark.parametrize("content", [b"", b"junk", b"PAR1" + bytes(40) + b"PAR1"], ids=["empty", "junk", "zeros"])
def test_damaged_derived_tables_are_none(folder, content):
    for name in ("verdicts", "clusters"):
        (folder.path / f"{name}.parquet").write_bytes(content)
    assert (folder.verdict_table(), folder.cluster_table()) == (None, None)


def test_derived_table_without_a_column_is_none(folder):
    write_verdicts(folder, VERDICTS, "judge 1")
    path = folder.path / "verdicts.parquet"
    pq.write_table(pq.read_table(path).drop(["outcome"]), path)
    assert folder.verdict_table() is None


def test_derived_tables_are_replaced(folder):
    write_verdicts(folder, VERDICTS * 3, "judge 1")
    write_verdicts(folder, VERDICTS, "judge 1")
    assert len(folder.verdict_table()) == 1


def test_crash_while_writing_verdicts_leaves_the_old_ones(folder):
    def tables():
        yield verdict_table(VERDICTS * 3)
        raise OSError(28, "No space left on device")

    write_verdicts(folder, VERDICTS, "judge 1")
    with pytest.raises(DiskError):
        folder.write_by_sample("verdicts", tables(), "judge 1")
    assert len(folder.verdict_table()) == 1


# Two writers.


def test_second_writer_is_refused(folder):
    with folder.writing(), pytest.raises(RunFolderError, match="another process is writing"), folder.writing():
        pass


def test_second_process_is_refused(folder):
    code = (
        "import sys, pathlib\n"
        "from hcl_core.runs import RunFolder\n"
        "with RunFolder(pathlib.Path(sys.argv[1])).writing(): pass"
    )
    with folder.writing():
        other = subprocess.run([sys.executable, "-c", code, folder.path], cwd=REPO, capture_output=True, text=True)
    assert other.returncode == 1
    assert "RunBusyError: another process is writing to" in other.stderr


def test_next_writer_is_let_in(folder):
    with folder.writing():
        pass
    with folder.writing():
        folder.append_samples(SAMPLES)
    assert len(folder.samples()) == len(SAMPLES)


def test_writer_that_failed_lets_the_next_one_in(folder):
    with pytest.raises(ZeroDivisionError), folder.writing():
        raise ZeroDivisionError
    with folder.writing():
        folder.append_samples(SAMPLES)
    assert len(folder.samples()) == len(SAMPLES)


def test_writing_where_a_file_stands_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFolderError), RunFolder(tmp_path / "file").writing():
        pass


# Arithmetic.


def test_mean_logprobs_are_the_means_of_the_rows(folder):
    # Rows of layer 1: (-0.5 - 0.25) / 2; of layer 3: (-0.5 - 0.75) / 2; of layer 4: (-0.5 - 1) / 2.
    folder.append_samples(SAMPLES[:6])
    folder.append_samples(SAMPLES[6:12])
    expected = [-0.375] * 4 + [-0.625] * 4 + [-0.75] * 4
    assert mean_logprobs(folder.sample_table()).tolist() == expected


def test_mean_logprobs_of_rows_of_any_length(folder):
    lengths = [1, 4, 2]
    ragged = [
        replace(
            sample, completion_token_ids=tuple(range(length)), token_logprobs=tuple(-float(n) for n in range(length))
        )
        for sample, length in zip(SAMPLES, lengths, strict=False)
    ]
    folder.append_samples(ragged)
    # 0; (0 + 1 + 2 + 3) / 4; (0 + 1) / 2
    assert mean_logprobs(folder.sample_table()).tolist() == [0.0, -1.5, -0.5]


def test_mean_logprobs_agree_with_the_samples_confidence(folder):
    folder.append_samples(SAMPLES)
    expected = [sample.confidence for sample in SAMPLES]
    np.testing.assert_allclose(np.exp(mean_logprobs(folder.sample_table())), expected, rtol=1e-12)


def test_mean_logprobs_of_a_slice_are_those_of_its_rows(folder):
    folder.append_samples(SAMPLES)
    assert mean_logprobs(folder.sample_table().slice(3, 3)).tolist() == [-0.375, -0.625, -0.625]


def test_mean_logprobs_of_no_samples_are_none(folder):
    assert mean_logprobs(folder.sample_table()).tolist() == []


@pytest.mark.parametrize(("value", "stored"), [(0.5, 0.5), (float("nan"), None), (float("inf"), None)])
def test_finite_leaves_out_what_json_lacks(value, stored):
    assert finite(value) == stored


# What no run writes.


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("token_logprobs", [float("nan"), -1.0], "no log-probability"),
        ("token_logprobs", [1e30], "no log-probability"),
        ("token_logprobs", [None], "no log-probability"),
        ("token_logprobs", [], "a sample without tokens"),
        ("token_logprobs", None, "column token_logprobs has a missing value"),
        ("answer", None, "column answer has a missing value"),
    ],
)
def test_a_part_with_values_that_no_run_writes_is_left_out_and_named(folder, column, value, problem):
    folder.append_samples([fake_sample(Question("planet", "Name a planet.", ("Mars",)), 3, 0)])
    (part,) = (folder.path / "samples").iterdir()
    table = pq.read_table(part)
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, table.field(column), pa.array([value], table.field(column).type)), part)
    assert folder.samples() == []
    assert problem in folder.bad_parts()[0].problem


def test_token_texts_are_added_to_those_that_are_there(folder):
    folder.add_token_texts({7: " Mars", 2: "\n"})
    folder.add_token_texts({9: "😀", 7: " Mars"})
    assert folder.token_texts() == {2: "\n", 7: " Mars", 9: "😀"}


def test_token_texts_that_cannot_be_read_are_none(folder):
    (folder.path / "tokens.parquet").write_bytes(b"no parquet")
    assert folder.token_texts() == {}


# Parts of any number, and none replaced.


def test_the_100001st_part_replaces_none(folder):
    for number in (99_998, 99_999):
        pq.write_table(table_of([SAMPLES[number - 99_998]]), folder.path / "samples" / f"part-{number}.parquet")
    folder.append_samples(SAMPLES[2:4])
    folder.append_samples(SAMPLES[4:])
    assert files_of(folder.path / "samples") == [
        f"part-{number}.parquet" for number in (100_000, 100_001, 99_998, 99_999)
    ]
    assert folder.samples() == SAMPLES


@pytest.mark.parametrize(
    "name", ["part-1.parquet", "part-000001.parquet", "part-0000a.parquet", "part-00001.parquet.bak"]
)
def test_other_names_are_no_part(folder, name):
    pq.write_table(table_of(SAMPLES), folder.path / "samples" / name)
    assert folder.samples() == []


def test_second_writer_with_the_same_number_replaces_nothing(folder):
    first, second = RunFolder(folder.path), RunFolder(folder.path)
    for writer, sample in ((first, SAMPLES[0]), (second, SAMPLES[1])):
        writer.append_samples([sample])
    with pytest.raises(RunBusyError, match="another process has written .*part-00001.parquet"):
        first.append_samples([SAMPLES[2]])
    assert folder.samples() == SAMPLES[:2]


def test_part_replaces_nothing_where_there_are_no_hard_links(folder, monkeypatch):
    def no_links(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    folder.append_samples(SAMPLES[:4])
    with pytest.raises(RunBusyError):
        folder.parts._next_number = 0
        folder.append_samples(SAMPLES[4:])
    assert folder.samples() == SAMPLES[:4]


def test_next_writer_goes_on_after_the_parts_of_another(folder):
    first, second = RunFolder(folder.path), RunFolder(folder.path)
    for writer, start in ((first, 0), (second, 4), (first, 8)):
        with writer.writing():
            writer.append_samples(SAMPLES[start : start + 4])
    assert folder.samples() == SAMPLES[:12]


def test_folder_is_listed_once_however_many_parts_are_written(folder, monkeypatch):
    listed = []
    files = SampleParts.files
    monkeypatch.setattr(SampleParts, "files", lambda self: listed.append(self) or files(self))
    for sample in SAMPLES:
        folder.append_samples([sample])
    assert len(listed) == 1


# Checked before they are written.


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"token_logprobs": (float("nan"), -1.0)}, "no log-probability"),
        ({"token_logprobs": (float("-inf"), -1.0)}, "no log-probability"),
        ({"token_logprobs": (0.5, -1.0)}, "no log-probability"),
        ({"token_logprobs": (), "completion_token_ids": ()}, "a sample without tokens"),
        ({"token_logprobs": (-1.0,)}, "more or fewer tokens than probabilities"),
        ({"answer": None}, "column answer has a missing value"),
        ({"finish_reason": "bored"}, "unknown finish_reason 'bored'"),
        ({"sample_idx": 1}, "two samples have the same key"),
    ],
    ids=str,
)
def test_bad_sample_refuses_its_batch_before_a_file_is_made(folder, changes, problem):
    with pytest.raises(RunFolderError, match=f"4 samples are not stored: .*{problem}"):
        folder.append_samples([replace(SAMPLES[0], **changes), *SAMPLES[1:4]])
    assert files_of(folder.path / "samples") == []


def test_samples_can_be_added_after_a_refused_batch(folder):
    with pytest.raises(RunFolderError):
        folder.append_samples([replace(SAMPLES[0], token_logprobs=(float("nan"), -1.0))])
    folder.append_samples(SAMPLES)
    assert folder.samples() == SAMPLES


# Size of what is read.


@pytest.mark.parametrize("name", ["manifest.json", "questions.jsonl"])
def test_text_is_read_no_further_than_its_limit(folder, monkeypatch, name):
    monkeypatch.setitem(MAX_BYTES, name, 100)
    with pytest.raises(RunFolderError, match=f"{name.split('.')[0]}.* is larger than 100 bytes"):
        folder.questions()


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_device_in_the_place_of_the_questions_is_not_read(folder):
    (folder.path / "questions.jsonl").unlink()
    (folder.path / "questions.jsonl").symlink_to("/dev/zero")
    with pytest.raises(RunFolderError, match=r"questions\.jsonl cannot be read: it is no regular file"):
        folder.questions()


def test_byte_order_mark_of_an_edited_manifest_is_read(folder):
    before = folder.manifest()
    file = folder.path / "manifest.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert folder.manifest() == before


# Versions of files, for caches.


def test_the_version_of_a_file_changes_with_it(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"one")
    first = file_version(file)
    assert file_version(file) == first
    file.write_bytes(b"three")
    assert file_version(file) != first


def test_a_missing_file_has_a_version(tmp_path):
    assert file_version(tmp_path / "none") == (str(tmp_path / "none"), 0, 0)
