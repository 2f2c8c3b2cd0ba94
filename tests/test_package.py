"""The wheel: what is in it, and that the program runs from it, outside the repository."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hcl_core import __version__, folders
from hcl_core.errors import RunReadOnlyError
from hcl_core.runs.folder import RunFolder

REPO = Path(__file__).parent.parent
TRACKED = ("app", "app.py", "assets", "hcl_core", "precomputed", "requirements-weights.txt")
NOT_SHIPPED = ("assets/screenshots/", "assets/performance.png")

pytestmark = pytest.mark.slow


def run(*command, cwd, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in ("HCL_RUNS", "HCL_CACHE", "PYTHONPATH")}
    done = subprocess.run(command, cwd=cwd, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The tracked files alone: a build leaves folders beside them."""
    folder = tmp_path_factory.mktemp("source")
    files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=REPO).split("\0")
    for file in filter(None, files):
        if (REPO / file).is_file() and file.split("/")[0] in (*TRACKED, "pyproject.toml", "LICENSE"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes((REPO / file).read_bytes())
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", ".", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    run(*pip, "-w", str(out), cwd=source)
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder))
    run(*pip, str(wheel), cwd=folder)
    return folder


def test_a_wheel_has_every_file_of_the_program_and_no_other(wheel, source):
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    files = {file.relative_to(source).as_posix() for file in source.rglob("*") if file.is_file()}
    wanted = {file for file in files if file.split("/")[0] in TRACKED and not file.startswith(NOT_SHIPPED)}
    assert names == {file if file.startswith("hcl_core/") else f"hcl_explorer/{file}" for file in wanted}


def test_a_wheel_is_as_large_as_the_docs_say(wheel):
    text = (REPO / "docs" / "package.md").read_text(encoding="utf-8")
    assert f"wheel of {wheel.stat().st_size / 1e6:.0f} MB" in " ".join(text.split())


def test_the_command_runs_outside_the_repository(installed, tmp_path):
    def hcl(*arguments):
        return run(
            str(installed / "bin" / "hcl"), *arguments, cwd=tmp_path, PYTHONPATH=str(installed), HCL_CACHE=str(tmp_path)
        )

    assert hcl("--version").strip() == __version__
    assert "fit-head" in hcl("--help")
    page = hcl("page", "--help")
    assert "usage: hcl page" in page and "--allowed-host" in page


def test_a_stored_run_is_read_from_the_installed_package_which_is_not_written_to(installed, tmp_path):
    before = {file: file.stat().st_mtime_ns for file in installed.rglob("*") if "__pycache__" not in file.parts}
    code = (
        "import hcl_core, app.settings, json; from hcl_core.folders import precomputed_folder, PROGRAM; "
        "print(json.dumps([hcl_core.__file__, app.settings.__file__, str(precomputed_folder() / '0be6b1cadd189061')]))"
    )
    code = f"import sys; sys.path.insert(0, {str(installed / 'hcl_explorer')!r}); {code}"
    core, page, stored = json.loads(run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(installed)))
    assert core.startswith(str(installed)) and page.startswith(str(installed)) and stored.startswith(str(installed))
    score = (sys.executable, "-m", "hcl_core", "score", stored)
    out = run(*score, cwd=tmp_path, PYTHONPATH=str(installed), HCL_CACHE=os.environ.get("HCL_CACHE", ""))
    assert "HCB" in out
    after = {file: file.stat().st_mtime_ns for file in installed.rglob("*") if "__pycache__" not in file.parts}
    assert after == before


def test_nothing_is_written_into_an_installed_run(monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "PROGRAM", tmp_path / "hcl_explorer")
    folder = RunFolder(tmp_path / "hcl_explorer" / "precomputed" / "a")
    with pytest.raises(RunReadOnlyError, match="never written to"), folder.writing():
        pass
    assert not folder.path.exists()
