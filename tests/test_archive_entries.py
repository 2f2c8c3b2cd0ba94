"""Sources of a run that somebody has tampered with: none is read further than is safe, and nothing is left behind."""

import stat
import struct
import zipfile

import pytest
from zipped_runs import assert_refused, entries_of, unpacked, write_zip


@pytest.fixture
def folder(finished_copy):
    return finished_copy


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
    monkeypatch.setattr("hcl_core.transfer.entries.MAX_BYTES", 5_000)
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
    monkeypatch.setattr("hcl_core.transfer.entries.MAX_ENTRIES", 5)
    assert_refused(zipped, into, "it has more than 5 files")


def test_number_of_files_in_a_folder_has_a_limit(finished, into, monkeypatch):
    monkeypatch.setattr("hcl_core.transfer.entries.MAX_ENTRIES", 5)
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
    monkeypatch.setattr("hcl_core.transfer.entries.MAX_DIRECTORY_BYTES", 200_000)
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
