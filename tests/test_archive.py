"""A run as a zip file: packed and taken in again it is the same run; what is no run leaves nothing behind."""

import json
import shutil
import stat
import struct
import warnings
import zipfile
from contextlib import nullcontext
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import FakeEmbedder, contents, fake_sample
from fake_runs import PLANET, Sitting, sample_keys, write_derived, write_verdicts

from hcl_core import registry
from hcl_core.errors import RunFolderError
from hcl_core.folders import precomputed_folder
from hcl_core.pipeline.plausibility import plausibility_stamp
from hcl_core.pipeline.scorer import Embeddings, stamps_of
from hcl_core.pipeline.stored import measure, read_outcomes, rescore
from hcl_core.records import SampleKey, Verdict
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.tables import table_of
from hcl_core.settings.prompts import PromptTemplate, load_template
from hcl_core.transfer import archive, vetting
from hcl_core.transfer.archive import pack_run, unpack_run

DERIVED = {"verdicts.parquet", "clusters.parquet", "layer_scores.parquet"}
SHIPPED = RunFolder(precomputed_folder() / "0be6b1cadd189061")


@pytest.fixture
def folder(finished_copy):
    return finished_copy


@pytest.fixture
def into(tmp_path):
    into = tmp_path / "into"
    into.mkdir()
    return into


@pytest.fixture
def zipped(finished, tmp_path):
    pack_run(finished, tmp_path / "run.zip")
    return tmp_path / "run.zip"


def entries_of(zipped):
    with zipfile.ZipFile(zipped) as opened:
        return [(info.filename, opened.read(info)) for info in opened.infolist()]


def write_zip(target, entries):
    """A zip of names, or of entries with what only hostile ones have, and contents."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a name that is there already
        for name, content in entries:
            opened.writestr(name, content)
    return target


def unpacked(source, into):
    return unpack_run(source, into).folder


def assert_refused(source, into, match):
    with pytest.raises(RunFolderError, match=match):
        unpacked(source, into)
    assert list(into.iterdir()) == []


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes) + "\n", encoding="utf-8")


# There and back.


def test_packed_and_unpacked_run_has_the_same_files(finished, zipped, into):
    assert contents(unpacked(zipped, into).path) == contents(finished.path)


def test_shipped_run_comes_back_the_same(tmp_path, into):
    pack_run(SHIPPED, tmp_path / "run.zip")
    assert contents(unpacked(tmp_path / "run.zip", into).path) == contents(SHIPPED.path)


def test_unpacked_run_is_named_by_its_id(finished, zipped, into):
    unpacked(zipped, into)
    assert [path.name for path in into.iterdir()] == [finished.manifest().run_id]


def test_packing_twice_gives_the_same_bytes(folder, finished, zipped, tmp_path):
    for file in sorted(folder.path.rglob("*"), reverse=True):
        file.touch()
    pack_run(folder, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == zipped.read_bytes()


def test_zip_holds_the_runs_files_alone(folder, tmp_path):
    for name in ("notes.txt", ".lock", "samples/notes.txt", "samples/.part-00009.parquet.1.tmp"):
        (folder.path / name).write_text("mine")
    pack_run(folder, tmp_path / "run.zip")
    run_id = folder.manifest().run_id
    names = {name.removeprefix(f"{run_id}/") for name, _ in entries_of(tmp_path / "run.zip")}
    parts = {f"samples/part-0000{number}.parquet" for number in range(4)}
    optional = {name for name in ("tokens.parquet",) if (folder.path / name).exists()}
    assert names == {"manifest.json", "questions.jsonl"} | parts | DERIVED | optional


def test_packing_leaves_the_run_as_it_is(folder, finished, tmp_path):
    pack_run(folder, tmp_path / "run.zip")
    assert {path.name for path in folder.path.iterdir()} == {path.name for path in finished.path.iterdir()}


def test_run_that_goes_on_comes_back_unfinished(tmp_path, into):
    sitting = Sitting(tmp_path / "run")
    sitting.stop_after(5)
    pack_run(sitting.folder, tmp_path / "run.zip")
    assert unpacked(tmp_path / "run.zip", into).samples() == sitting.folder.samples()


def test_run_that_ends_while_it_is_packed_is_packed_as_unfinished(folder, tmp_path, into, monkeypatch):
    folder.write_manifest(replace(folder.manifest(), finished_at=None))
    pack_file = archive._pack_file

    def pack_and_finish(opened, file, name):
        pack_file(opened, file, name)
        folder.finish("2026-01-01T00:00:00+00:00")

    monkeypatch.setattr(archive, "_pack_file", pack_and_finish)
    pack_run(folder, tmp_path / "run.zip")
    assert unpacked(tmp_path / "run.zip", into).manifest().finished_at is None


def test_packing_no_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="holds no run"):
        pack_run(RunFolder(tmp_path), tmp_path / "run.zip")


def test_packing_to_nowhere_is_one_named_error(finished, tmp_path):
    with pytest.raises(RunFolderError, match="cannot write .*run.zip: No such file or directory"):
        pack_run(finished, tmp_path / "none" / "run.zip")


def test_packing_too_many_files_is_refused(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    with pytest.raises(RunFolderError, match="too large for one zip file"):
        pack_run(finished, tmp_path / "run.zip")
    assert list(tmp_path.iterdir()) == []


def test_manifest_with_a_path_for_an_id_is_not_packed(folder, tmp_path):
    edit_json(folder.path / "manifest.json", run_id="../../evil")
    with pytest.raises(RunFolderError, match="16 hexadecimal digits was wanted; got '../../evil'"):
        pack_run(folder, tmp_path / "run.zip")


# Where the files stand.


def test_files_at_the_root_of_a_zip_are_taken(finished, zipped, tmp_path, into):
    bare = [(name.partition("/")[2], content) for name, content in entries_of(zipped)]
    taken = unpacked(write_zip(tmp_path / "bare.zip", bare), into)
    assert contents(taken.path) == contents(finished.path)


def test_zip_with_entries_for_folders_is_taken(finished, zipped, tmp_path, into):
    run_id = finished.manifest().run_id
    entries = [(f"{run_id}/", b""), (f"{run_id}/samples/", b""), *entries_of(zipped)]
    assert unpacked(write_zip(tmp_path / "folders.zip", entries), into).samples() == finished.samples()


@pytest.mark.parametrize("above", ["", "within"])
def test_a_folder_is_taken_like_a_zip(finished, tmp_path, into, above):
    shutil.copytree(finished.path, tmp_path / "source" / above)
    assert contents(unpacked(tmp_path / "source", into).path) == contents(finished.path)


def test_lock_and_leftovers_of_a_run_folder_stay_behind(folder, finished, into):
    for name in (".lock", "samples/.part-00009.parquet.1.tmp"):
        (folder.path / name).write_bytes(b"")
    assert set(contents(unpacked(folder.path, into).path)) == set(contents(finished.path))


def test_source_is_left_as_it_is(folder, finished, into):
    (folder.path / "measures.parquet").write_bytes(b"junk")
    unpacked(folder.path, into)
    assert set(contents(folder.path)) == {*contents(finished.path), "measures.parquet"}


def test_run_that_is_there_already_is_left_as_it_is(zipped, into):
    taken = unpacked(zipped, into)
    (taken.path / "verdicts.parquet").unlink()
    assert unpacked(zipped, into).path == taken.path
    assert not (taken.path / "verdicts.parquet").exists()


@pytest.mark.parametrize("kind", ["file", "folder", "other run"])
def test_what_is_no_such_run_is_in_the_way(finished, folder, zipped, into, kind):
    target = into / finished.manifest().run_id
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
    else:
        edit_json(folder.path / "manifest.json", run_id="0" * 16)
        shutil.copytree(folder.path, target)
    with pytest.raises(RunFolderError, match="is in the way, and is not run"):
        unpacked(zipped, into)
    assert list(into.iterdir()) == [target]


def test_missing_source_is_refused(tmp_path, into):
    assert_refused(tmp_path / "none.zip", into, "none.zip is no run that can be taken in: there is no such file")


def test_place_that_cannot_be_written_to_is_one_named_error(zipped, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFolderError, match="cannot unpack .*run.zip into .*file: File exists"):
        unpacked(zipped, tmp_path / "file")


def test_import_says_whether_it_stored_the_run(zipped, into):
    assert [unpack_run(zipped, into).is_new for _ in range(2)] == [True, False]


def test_part_of_six_digits_goes_there_and_back(folder, finished, tmp_path, into):
    (folder.path / "samples" / "part-00003.parquet").rename(folder.path / "samples" / "part-100000.parquet")
    pack_run(folder, tmp_path / "run.zip")
    assert unpacked(tmp_path / "run.zip", into).samples() == finished.samples()


def test_files_set_aside_are_neither_packed_nor_taken(folder, finished, tmp_path, into):
    (folder.path / "set_aside").mkdir()
    (folder.path / "set_aside" / "part-00009.parquet").write_text("junk")
    pack_run(folder, tmp_path / "run.zip")
    assert not any("set_aside" in name for name, _ in entries_of(tmp_path / "run.zip"))
    assert set(contents(unpacked(folder.path, into).path)) == set(contents(finished.path))


def test_part_that_stands_twice_is_refused(folder, into):
    shutil.copy(folder.path / "samples" / "part-00001.parquet", folder.path / "samples" / "part-00004.parquet")
    problem = "part-00004.parquet has samples of part-00001.parquet a second time: `repair` sets the later part aside"
    folder.write_manifest(replace(folder.manifest(), finished_at=None))
    assert_refused(folder.path, into, problem)


def test_damaged_run_is_not_packed(folder, tmp_path):
    (folder.path / "samples" / "part-00002.parquet").write_bytes(b"junk")
    with pytest.raises(RunFolderError, match=r"part-00002\.parquet is damaged .*give the same `run` command again"):
        pack_run(folder, tmp_path / "run.zip")


@pytest.mark.parametrize("name", ["MAX_BYTES", "MAX_TEXT_BYTES"])
def test_run_that_import_would_refuse_for_its_size_is_not_packed(folder, tmp_path, monkeypatch, name):
    monkeypatch.setattr(archive, name, {"questions.jsonl": 99} if name == "MAX_TEXT_BYTES" else 99)
    with pytest.raises(RunFolderError, match="[0-9,]+ bytes; import takes 99 of them: copy the folder instead"):
        pack_run(folder, tmp_path / "run.zip")


# Hostile zips.


@pytest.mark.parametrize(
    "name",
    ["../manifest.json", "a/../../manifest.json", "/manifest.json", "C:/manifest.json", "..\\manifest.json", "./m"],
)
def test_entry_that_leads_out_is_refused(zipped, tmp_path, into, name):
    bad = write_zip(tmp_path / "bad.zip", [*entries_of(zipped), (name, b"{}")])
    assert_refused(bad, into, "leads out of it")


def test_folder_entry_that_leads_out_is_refused(zipped, tmp_path, into):
    bad = write_zip(tmp_path / "bad.zip", [*entries_of(zipped), ("../evil/", b"")])
    assert_refused(bad, into, "leads out of it")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_entry_that_is_no_plain_file_is_refused(finished, zipped, tmp_path, into, kind):
    entry = zipfile.ZipInfo(f"{finished.manifest().run_id}/measures.parquet")
    entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
    bad = write_zip(tmp_path / "bad.zip", [*entries_of(zipped), (entry, b"/etc/passwd")])
    assert_refused(bad, into, "is a link, or something else that no run has")


def test_link_in_a_folder_is_refused(folder, tmp_path, into):
    (tmp_path / "secret").write_text("secret")
    (folder.path / "measures.parquet").symlink_to(tmp_path / "secret")
    assert_refused(folder.path, into, "'measures.parquet' is a link, or something else that no run has")


def test_linked_samples_folder_is_refused(folder, tmp_path, into):
    (folder.path / "samples").rename(tmp_path / "elsewhere")
    (folder.path / "samples").symlink_to(tmp_path / "elsewhere")
    assert_refused(folder.path, into, "'samples' is a link, or something else that no run has")


def test_entry_that_unpacks_to_too_much_is_refused(finished, zipped, tmp_path, into):
    # 17 MiB of zeros come to 17 kB.
    bomb = (f"{finished.manifest().run_id}/measures.parquet", bytes(17 * 2**20))
    bad = write_zip(tmp_path / "bad.zip", [*entries_of(zipped), bomb])
    assert_refused(bad, into, "measures.parquet unpacks to more than the 16,777,216 bytes that it may have")


def test_manifest_is_read_no_further_than_one_can_be_long(zipped, tmp_path, into):
    entries = [
        (name, content + b" " * 2**20 if "manifest" in name else content) for name, content in entries_of(zipped)
    ]
    bad = write_zip(tmp_path / "bad.zip", entries)
    assert_refused(bad, into, "manifest.json unpacks to more than the 1,048,576 bytes that it may have")


def test_all_entries_together_have_a_limit(zipped, into, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 5_000)
    assert_refused(zipped, into, "unpacks to more than the")


def test_size_that_a_header_understates_is_refused(zipped, into):
    content = bytearray(zipped.read_bytes())
    place = content.rindex(b"PK\x01\x02")  # the last entry of the directory; its unpacked size stands 24 bytes on
    content[place + 24 : place + 28] = struct.pack("<I", 10)
    zipped.write_bytes(content)
    assert_refused(zipped, into, "Bad CRC-32")


def test_entries_that_share_their_bytes_are_refused(zipped, into):
    content = bytearray(zipped.read_bytes())
    place = content.rindex(b"PK\x01\x02")
    content[place + 20 : place + 24] = struct.pack("<I", len(content))
    zipped.write_bytes(content)
    assert_refused(zipped, into, "its entries overlap")


def test_number_of_entries_has_a_limit(zipped, into, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ENTRIES", 5)
    assert_refused(zipped, into, "it has more than 5 files")


def test_number_of_files_in_a_folder_has_a_limit(finished, into, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ENTRIES", 5)
    assert_refused(finished.path, into, "it has more than 5 files")


def test_directory_of_a_zip_has_a_limit(zipped, tmp_path, into, monkeypatch):
    # A comment of 30,000 bytes each, so that the directory is larger than any other piece that is read of it.
    entries = []
    for name, content in entries_of(zipped):
        entry = zipfile.ZipInfo(name)
        entry.comment = b"x" * 30_000
        entries.append((entry, content))
    bad = write_zip(tmp_path / "bad.zip", entries)
    assert unpacked(bad, tmp_path / "taken").exists
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 200_000)
    assert_refused(bad, into, "its directory has more than 200,000 bytes")


@pytest.mark.parametrize("name", ["evil.py", "samples/evil.py", "samples/part-1.parquet", "deep/er/manifest.txt"])
def test_file_that_no_run_has_is_refused(finished, zipped, tmp_path, into, name):
    bad = write_zip(tmp_path / "bad.zip", [*entries_of(zipped), (f"{finished.manifest().run_id}/{name}", b"")])
    assert_refused(bad, into, "is no file of a run")


def test_file_beside_the_runs_folder_is_refused(zipped, tmp_path, into):
    bad = write_zip(tmp_path / "bad.zip", [*entries_of(zipped), ("questions.jsonl", b"")])
    assert_refused(bad, into, "'questions.jsonl' is no file of a run")


def test_two_runs_in_one_zip_are_refused(zipped, tmp_path, into):
    bad = write_zip(tmp_path / "bad.zip", [*entries_of(zipped), ("other/manifest.json", b"{}")])
    assert_refused(bad, into, "it should hold the manifest.json of one run; it has 2")


def test_zip_without_a_manifest_is_refused(tmp_path, into):
    bad = write_zip(tmp_path / "bad.zip", [("photo.jpg", b"photo")])
    assert_refused(bad, into, "it should hold the manifest.json of one run; it has 0")


def test_run_too_deep_in_a_zip_is_refused(zipped, tmp_path, into):
    deep = [(f"a/{name}", content) for name, content in entries_of(zipped)]
    assert_refused(write_zip(tmp_path / "bad.zip", deep), into, "is no file of a run")


def test_duplicate_entry_is_refused(zipped, tmp_path, into):
    entries = entries_of(zipped)
    bad = write_zip(tmp_path / "bad.zip", [*entries, entries[1]])
    assert_refused(bad, into, "'questions.jsonl' is there twice")


def test_encrypted_entry_is_refused(zipped, into):
    content = bytearray(zipped.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    zipped.write_bytes(content)
    assert_refused(zipped, into, "parquet' is encrypted")


def test_exotic_compression_is_refused(finished, zipped, tmp_path, into):
    entry = zipfile.ZipInfo(f"{finished.manifest().run_id}/measures.parquet")
    entry.compress_type = zipfile.ZIP_LZMA
    with zipfile.ZipFile(zipped, "a") as opened:
        opened.writestr(entry, b"", zipfile.ZIP_LZMA)
    assert_refused(zipped, into, "is compressed in a way that no run is")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_truncated_zip_is_refused(zipped, into, kept):
    content = zipped.read_bytes()
    zipped.write_bytes(content[: int(kept * len(content))])
    assert_refused(zipped, into, "is no run that can be taken in")


def test_what_is_no_zip_is_refused(tmp_path, into):
    (tmp_path / "notes.txt").write_text("mine")
    assert_refused(tmp_path / "notes.txt", into, "notes.txt is no run that can be taken in: File is not a zip file")


def test_changed_byte_is_refused(zipped, into):
    content = bytearray(zipped.read_bytes())
    content[content.index(b"PAR1") + 30] ^= 1
    zipped.write_bytes(content)
    assert_refused(zipped, into, "Bad CRC-32")


# Runs that are none.


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


def replace_samples(folder, samples):
    shutil.rmtree(folder.path / "samples")
    (folder.path / "samples").mkdir()
    # Not by ``append_samples``, which refuses what is refused here.
    pq.write_table(table_of(samples), folder.path / "samples" / "part-00000.parquet")


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


# What can be made again.


def taken_files(folder, into):
    return {path.name for path in unpacked(folder.path, into).path.iterdir()}


def test_verdicts_of_another_run_are_dropped(folder, into):
    write_verdicts(folder, list(judged(folder)), "alias 2; run 0000000000000000")
    assert taken_files(folder, into) & DERIVED == set()


def test_verdicts_of_another_judge_are_dropped(folder, into):
    folder.write_manifest(replace(folder.manifest(), judge="paper"))
    assert taken_files(folder, into) & DERIVED == set()


def test_clusters_of_another_embedder_are_dropped(folder, into):
    folder.write_manifest(replace(folder.manifest(), embedder="other"))
    assert taken_files(folder, into) & DERIVED == set()


def judged(folder):
    """The verdicts that are in the folder, as records."""
    for row in folder.verdict_table().to_pylist():
        key = SampleKey(row["question_id"], row["exit_layer"], row["sample_idx"])
        yield Verdict(key, row["outcome"], row["reason"])


def test_verdicts_of_a_judge_from_elsewhere_are_kept(folder, into):
    folder.write_manifest(replace(folder.manifest(), judge="house"))
    restamp(folder, "house 1")
    assert taken_files(folder, into) & DERIVED == DERIVED


def test_verdicts_of_a_judge_from_elsewhere_on_another_run_are_dropped(folder, into):
    folder.write_manifest(replace(folder.manifest(), judge="house"))
    restamp(folder, "house 1", run_id="0" * 16)
    assert taken_files(folder, into) & DERIVED == set()


def restamp(folder, judge_stamp, run_id=None):
    manifest = folder.manifest()
    stamps = stamps_of(judge_stamp, replace(manifest, run_id=run_id or manifest.run_id))
    for name, stamp in zip(("verdicts", "clusters"), stamps, strict=True):
        path = folder.path / f"{name}.parquet"
        pq.write_table(pq.read_table(path).replace_schema_metadata({"made_by": stamp}), path)


def test_verdicts_of_other_samples_are_dropped(tmp_path, into):
    # As many as there are samples, all of this run's, but not of the samples that are there.
    sitting = Sitting(tmp_path / "run")
    sitting.finish()
    folder = sitting.folder
    folder.write_manifest(replace(folder.manifest(), finished_at=None))
    samples = folder.samples()
    replace_samples(folder, [each for each in samples if each.question_id == "planet"])
    for name in ("verdicts.parquet", "clusters.parquet"):
        table = pq.read_table(folder.path / name)
        kept = [place for place, each in enumerate(table["question_id"].to_pylist()) if each == "colour"]
        pq.write_table(table.take(kept), folder.path / name)
    assert read_outcomes(folder) is not None  # which counts them
    assert taken_files(folder, into) & DERIVED == set()


@pytest.mark.parametrize("cluster_id", [-1, 6, 40_000])
def test_cluster_of_an_impossible_number_is_dropped(folder, into, cluster_id):
    path = folder.path / "clusters.parquet"
    table = pq.read_table(path)
    column = pa.array([cluster_id] * len(table), pa.int32())
    pq.write_table(table.set_column(table.column_names.index("cluster_id"), "cluster_id", column), path)
    assert taken_files(folder, into) & DERIVED == set()


@pytest.mark.parametrize("outcome", ["great", None])
def test_verdict_of_an_unknown_kind_is_dropped(folder, into, outcome):
    path = folder.path / "verdicts.parquet"
    table = pq.read_table(path)
    wrong = [outcome if each == "incorrect" else each for each in table["outcome"].to_pylist()]
    pq.write_table(table.set_column(table.column_names.index("outcome"), "outcome", pa.array(wrong)), path)
    assert taken_files(folder, into) & DERIVED == set()


@pytest.mark.parametrize("name", ["verdicts.parquet", "clusters.parquet"])
@pytest.mark.parametrize("content", [b"", b"junk", b"PAR1" + bytes(40) + b"PAR1"], ids=["empty", "junk", "zeros"])
def test_damaged_derived_file_is_dropped(folder, into, name, content):
    (folder.path / name).write_bytes(content)
    assert taken_files(folder, into) & DERIVED == set()


def test_forged_layer_scores_are_made_anew(folder, finished, into):
    shutil.copy(folder.path / "clusters.parquet", folder.path / "layer_scores.parquet")
    taken = unpacked(folder.path, into)
    assert pq.read_table(taken.path / "layer_scores.parquet").equals(
        pq.read_table(finished.path / "layer_scores.parquet")
    )


@pytest.fixture
def measured(folder):
    measure(folder, read_outcomes(folder), Embeddings(FakeEmbedder))
    return folder


def test_measures_of_the_run_are_kept(measured, into):
    assert "measures.parquet" in taken_files(measured, into)


def test_measures_of_other_outcomes_are_dropped(measured, into):
    path = measured.path / "measures.parquet"
    table = pq.read_table(path)
    stamp = table.schema.metadata[b"made_by"].decode().replace("outcomes ", "outcomes 0")
    pq.write_table(table.replace_schema_metadata({"made_by": stamp}), path)
    assert "measures.parquet" not in taken_files(measured, into)


@pytest.fixture
def with_plausibility(folder):
    write_plausibility(folder, plausibility_stamp(folder.manifest()))
    return folder


def write_plausibility(folder, stamp, value=-1.5):
    keys = sorted(sample_keys(folder))
    write_derived(folder, "plausibility", keys, stamp, mean_logprob=[value] * len(keys))


def test_plausibility_of_the_run_is_kept(with_plausibility, into):
    assert "plausibility.parquet" in taken_files(with_plausibility, into)


def test_plausibility_is_packed(with_plausibility, tmp_path, into):
    pack_run(with_plausibility, tmp_path / "run.zip")
    assert contents(unpacked(tmp_path / "run.zip", into).path) == contents(with_plausibility.path)


def test_plausibility_needs_no_verdicts(with_plausibility, into):
    (with_plausibility.path / "verdicts.parquet").write_bytes(b"junk")
    assert "plausibility.parquet" in taken_files(with_plausibility, into)


def test_plausibility_of_another_run_is_dropped(folder, into):
    write_plausibility(folder, plausibility_stamp(folder.manifest()).replace("run ", "run 0"))
    assert "plausibility.parquet" not in taken_files(folder, into)


def test_plausibility_that_is_no_log_probability_is_dropped(folder, into):
    write_plausibility(folder, plausibility_stamp(folder.manifest()), 0.5)
    assert "plausibility.parquet" not in taken_files(folder, into)


def test_plausibility_with_more_rows_than_samples_is_dropped(folder, into):
    keys = sorted(sample_keys(folder)) * 2
    stamp = plausibility_stamp(folder.manifest())
    write_derived(folder, "plausibility", keys, stamp, mean_logprob=[-1.0] * len(keys))
    assert "plausibility.parquet" not in taken_files(folder, into)


def test_token_texts_are_kept(folder, into):
    pq.write_table(pa.table({"token_id": pa.array([7], pa.int32()), "text": ["Mars"]}), folder.path / "tokens.parquet")
    assert "tokens.parquet" in taken_files(folder, into)


def test_damaged_token_texts_are_dropped(folder, into):
    (folder.path / "tokens.parquet").write_bytes(b"junk")
    assert "tokens.parquet" not in taken_files(folder, into)


def test_run_without_verdicts_is_judged_again_to_the_same(folder, finished, into):
    (folder.path / "verdicts.parquet").unlink()
    taken = unpacked(folder.path, into)
    rescore(taken, registry.load_judge("alias"), Embeddings(FakeEmbedder))
    assert taken.verdict_table().equals(finished.verdict_table())
