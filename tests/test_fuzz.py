"""Files and addresses of any bytes at all: what is damaged is a named error, and nothing else happens."""

import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.handlers.links import SMALL_STEPS, STEPS, read_link
from app.library import stored_runs
from app.question_view import QuestionView
from hcl_core import registry
from hcl_core.errors import HclError
from hcl_core.questions.files import SUFFIXES
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.verify import verify_run
from hcl_core.transfer.unpacking import unpack_run

FILES = (
    "manifest.json", "questions.jsonl", "verdicts.parquet", "clusters.parquet", "layer_scores.parquet",
    "samples/part-00000.parquet",
)  # fmt: skip
steady = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damages(draw):
    """A change of a file's bytes."""
    kind = draw(st.sampled_from(("cut", "flip", "replace", "insert", "key")))
    place, content = draw(st.floats(0, 1, exclude_max=True)), draw(st.binary(min_size=1, max_size=40))
    value = draw(json_values)

    def change(old):
        at = int(place * len(old))
        if kind == "cut":
            return old[:at]
        if kind == "flip":
            return old[:at] + bytes([old[at] ^ content[0]]) + old[at + 1 :]
        if kind == "insert":
            return old[:at] + content + old[at:]
        if kind == "key" and old.startswith(b"{"):
            lines = old.decode().splitlines()
            first = json.loads(lines[0] if len(lines) > 1 and lines[0].endswith("}") else old)
            first[sorted(first)[int(place * len(first))]] = value
            return json.dumps(first).encode()
        return content

    return change


@pytest.fixture(scope="module")
def runs(finished, tmp_path_factory):
    """A folder of runs with one in it, whose files are changed and put back."""
    root = tmp_path_factory.mktemp("fuzzed")
    shutil.copytree(finished.path, root / finished.manifest().run_id)
    return root


@steady
@given(st.sampled_from(FILES), damages())
def test_a_damaged_run_is_refused_by_a_named_error_wherever_it_is_read(
    runs, monkeypatch, tmp_path_factory, name, change
):
    monkeypatch.setenv("HCL_RUNS", str(runs))
    (path,) = (each for each in runs.iterdir() if not each.name.startswith("."))
    file, folder = path / name, RunFolder(path)
    old = file.read_bytes()
    file.write_bytes(change(old))
    into = tmp_path_factory.mktemp("into")
    try:
        verify_run(folder)
        for run in stored_runs(with_own=True):
            if run.folder.path == path:
                try:
                    QuestionView.load(run, run.folder.questions()[0].question.id)
                except HclError as error:
                    assert str(error)
        try:
            unpack_run(path, into)
        except HclError as error:
            assert str(error)
            assert list(into.iterdir()) == []
    finally:
        file.write_bytes(old)
        shutil.rmtree(into)


rows = st.lists(st.dictionaries(st.sampled_from(("question", "answer", "answers", "id", "q")), json_values), max_size=4)
contents = (
    st.binary(max_size=400)
    | st.text(max_size=200).map(lambda text: text.encode(errors="replace"))
    | rows.map(lambda made: json.dumps(made).encode())
    | rows.map(lambda made: "\n".join(map(json.dumps, made)).encode())
    | st.binary(max_size=200).map(lambda middle: b"PAR1" + middle + b"PAR1")
    | st.lists(st.text(max_size=20), max_size=12).map(lambda cells: ("question,answer\n" + ",".join(cells)).encode())
)


@steady
@given(contents, st.sampled_from((*SUFFIXES, "", ".zip")))
def test_any_file_is_questions_or_a_named_error(tmp_path, content, suffix):
    file = tmp_path / f"questions{suffix}"
    file.write_bytes(content)
    try:
        questions = registry.load_questions(str(file)).load(limit=5)
    except HclError as error:
        assert "\n" not in str(error) and len(str(error)) < 1_000
    else:
        assert 1 <= len(questions) <= 5 and all(each.text.strip() for each in questions)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from((*SMALL_STEPS, *STEPS)) | st.text(max_size=8), st.text()), st.lists(st.text()))
def test_any_query_is_a_link(query, answers):
    link = read_link(query, answers)
    assert read_link(query, answers) == link
    json.dumps(link.query())
