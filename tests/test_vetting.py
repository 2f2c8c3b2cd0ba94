"""What is no run of this program is refused, and leaves nothing behind."""

import json
from contextlib import nullcontext
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import fake_sample
from fake_runs import PLANET
from zipped_runs import assert_refused, edit_json, replace_samples, unpacked

from hcl_core.errors import RunFolderError
from hcl_core.settings.prompts import PromptTemplate, load_template
from hcl_core.transfer import vetting


@pytest.fixture
def folder(finished_copy):
    return finished_copy


@pytest.mark.parametrize("run_id", ["0" * 16, "../../evil", "", "0BE6B1CADD189061"])
def test_wrong_run_id_is_refused(folder, into, run_id):
    edit_json(folder.path / "manifest.json", run_id=run_id)
    assert_refused(folder.path, into, "do not make that id|16 hexadecimal digits was wanted")


def test_changed_setting_is_refused(folder, into):
    manifest = folder.manifest()
    folder.write_manifest(replace(manifest, settings=replace(manifest.settings, model="a better one")))
    assert_refused(folder.path, into, "its settings and questions do not make that id")


def test_changed_prompt_is_refused(folder, into):
    stored = folder.questions()
    folder._write_questions([replace(stored[0], prompt="Say Mars."), *stored[1:]])
    assert_refused(folder.path, into, "its settings and questions do not make that id")


@pytest.mark.parametrize("text", ["Name a fish.", "Name a planet"])
def test_changed_question_over_an_unchanged_prompt_is_refused(folder, into, text):
    stored = folder.questions()
    folder._write_questions([replace(stored[0], question=replace(stored[0].question, text=text)), *stored[1:]])
    assert_refused(folder.path, into, f"the prompt of question 'planet' does not ask '{text}'")


def test_changed_template_over_unchanged_prompts_is_refused(folder, into):
    manifest = folder.manifest()
    template = PromptTemplate("file", "Answer: {question}")
    folder.write_manifest(replace(manifest, settings=replace(manifest.settings, template=template)))
    assert_refused(folder.path, into, "the prompt of question 'planet' does not ask 'Name a planet.'")


@pytest.mark.parametrize(("prompt", "is_right"), [("<user> {}</user>", True), ("<user> Name a fish.</user>", False)])
def test_prompt_in_a_chat_format_must_hold_the_question(finished, prompt, is_right):
    (stored, *_), template = finished.questions(), load_template("chat")
    message = template.render(stored.question.text, wrap_chat=str.strip)
    with nullcontext() if is_right else pytest.raises(ValueError, match="does not ask"):
        vetting._check_prompts(template, [replace(stored, prompt=prompt.format(message))])


def with_own_id(folder, manifest):
    """What a forger does: the id that belongs to the forged settings."""
    folder.write_manifest(replace(manifest, run_id=manifest.settings.run_id(folder.questions())))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"num_hidden_layers": 3}, "go beyond the 3 layers"),
        ({"num_hidden_layers": 10**9}, "go beyond the 1000000000 layers"),
        ({"num_hidden_layers": "4"}, "num_hidden_layers: Input should be a valid integer; got '4'"),
        ({"num_questions": 2.0}, "num_questions: Input should be a valid integer; got 2.0"),
        ({"decode_seconds": float("nan")}, "its decode_seconds are nan"),
        ({"decode_seconds": -1}, "its decode_seconds are -1"),
        ({"versions": []}, "versions: Input should be an object"),
        ({"versions": {"torch": 2}}, "versions.torch: Input should be a valid string; got 2"),
        ({"device": "\ud800"}, "the manifest cannot be read: not JSON"),
        ({"schema_version": 2}, "schema version 1 was wanted; got 2"),
    ],
    ids=str,
)
def test_manifest_of_no_run_is_refused(folder, into, changes, problem):
    edit_json(folder.path / "manifest.json", **changes)
    assert_refused(folder.path, into, problem)


def test_model_that_is_no_name_is_refused(folder, into):
    settings = json.loads((folder.path / "manifest.json").read_text(encoding="utf-8"))["settings"]
    edit_json(folder.path / "manifest.json", settings=settings | {"model": ["tiny"]})
    assert_refused(folder.path, into, "settings.model: Input should be a valid string; got .'tiny'.")


def test_run_that_asks_for_more_than_can_be_held_is_refused(folder, into, monkeypatch):
    monkeypatch.setattr(vetting, "MAX_SAMPLES", 47)  # of the 48 of this run
    assert_refused(folder.path, into, "it asks for 48 answers; between 1 and 47 can be held")


def test_question_that_is_asked_twice_is_refused(folder, into):
    stored = folder.questions()
    folder._write_questions([stored[0], stored[0]])
    with_own_id(folder, folder.manifest())
    assert_refused(folder.path, into, "two of its questions have one id")


@pytest.mark.parametrize("name", ["manifest.json", "questions.jsonl"])
def test_damaged_text_is_refused(folder, into, name):
    (folder.path / name).write_bytes(b"\xff{")
    assert_refused(folder.path, into, "is no run that can be taken in")


def test_error_names_the_source_and_no_temporary_folder(folder, into):
    (folder.path / "questions.jsonl").write_text("{}")
    with pytest.raises(RunFolderError) as caught:
        unpacked(folder.path, into)
    assert str(caught.value).count(str(folder.path)) == 1
    assert str(into) not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"question_id": "other"}, "belongs to no question, layer or number"),
        ({"exit_layer": 5}, "belongs to no question, layer or number"),
        ({"sample_idx": 6}, "belongs to no question, layer or number"),
        ({"sample_idx": -1}, "belongs to no question, layer or number"),
        ({"sample_idx": 1}, "part-00000.parquet has a sample twice: `repair`"),
        ({"answer": "Mars"}, "the answer 'Mars' is not the first line of what the model wrote"),
        ({"finish_reason": "bored"}, "unknown finish_reason"),
        ({"completion_token_ids": (1, 2, 3)}, "more or fewer tokens than probabilities"),
        ({"token_logprobs": (0.5, 0.5)}, "no log-probability"),
    ],
    ids=str,
)
def test_tampered_sample_is_refused(folder, into, changes, problem):
    first, *others = folder.samples()
    replace_samples(folder, [replace(first, **changes), *others])
    assert_refused(folder.path, into, problem)


def test_finished_run_that_lacks_a_sample_is_refused(folder, into):
    replace_samples(folder, folder.samples()[1:])
    assert_refused(folder.path, into, "it says that it is finished, and has 47 of 48 samples")


def test_table_with_more_than_twice_the_runs_rows_is_refused(folder, into):
    replace_samples(folder, [fake_sample(PLANET, 1, 0)] * 97)
    assert_refused(folder.path, into, "a table is larger than a run's can be")


def test_text_that_is_stored_once_and_meant_often_is_counted_each_time(folder, into, monkeypatch):
    # 48 times 1 kB is stored as one kB.
    replace_samples(folder, [replace(each, completion_text="x" * 1_000) for each in folder.samples()])
    assert (folder.path / "samples" / "part-00000.parquet").stat().st_size < 10_000
    monkeypatch.setattr(vetting, "MAX_BYTES", 40_000)
    assert_refused(folder.path, into, "a table is larger than a run's can be")


def test_token_without_an_id_is_refused(folder, into):
    part = folder.path / "samples" / "part-00000.parquet"
    table = pq.read_table(part)
    place = table.column_names.index("completion_token_ids")
    missing = pa.array([[None, 7]] * len(table), table.field(place).type)
    pq.write_table(table.set_column(place, table.field(place), missing), part)
    assert_refused(folder.path, into, "a sample has a token without an id")


def test_damaged_part_is_refused(folder, into):
    (folder.path / "samples" / "part-00002.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    assert_refused(folder.path, into, "a table cannot be read")


def test_text_that_is_no_utf_8_is_refused(folder, into):
    part = folder.path / "samples" / "part-00000.parquet"
    table = pq.read_table(part)
    buffers = [None, *pa.array([" \n"] * len(table)).buffers()[1:2], pa.py_buffer(b"\xff\n" * len(table))]
    bad = pa.StringArray.from_buffers(len(table), buffers[1], buffers[2])
    pq.write_table(table.set_column(table.column_names.index("completion_text"), "completion_text", bad), part)
    assert_refused(folder.path, into, "UTF8|utf-8")
