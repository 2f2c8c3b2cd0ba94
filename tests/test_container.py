"""The ``Dockerfile``, as far as it can be read: no image is built."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hcl_core.transfer import space

REPO = Path(__file__).parent.parent
TEXT = (REPO / "Dockerfile").read_text(encoding="utf-8")
# One instruction a line.
LINES = [line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
PROGRAM = "\n".join(LINES).partition("AS program\n")[2].partition("FROM ")[0].splitlines()


def copied():
    """What comes from the checkout."""
    return {word for line in LINES if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]}


def test_the_image_gets_what_a_space_gets():
    assert copied() == {*space._FILES, *space._FOLDERS}


def test_what_is_copied_is_sent_to_the_builder_and_nothing_else():
    rules = (REPO / ".dockerignore").read_text(encoding="utf-8").split("\n")
    assert rules[1] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied()


def test_the_page_is_not_roots_and_writes_to_the_data_volume():
    user, volume = (next(line.split()[1] for line in PROGRAM if line.startswith(word)) for word in ("USER", "VOLUME"))
    assert int(user) > 0 and volume == "/data"
    folders = re.findall(r"(HCL_CACHE|HCL_RUNS|HF_HOME|HOME)=(\S+)", "\n".join(PROGRAM))
    assert len(folders) == 4 and all(folder.startswith("/data") for _, folder in folders)
    # Nothing is made after the user changes: the root can be read-only.
    assert not [line for line in PROGRAM[PROGRAM.index(f"USER {user}") :] if line.startswith("RUN")]


def test_there_is_a_target_for_a_cpu_and_one_for_cuda_and_a_health_check():
    assert re.findall(r"^FROM program AS (\w+)$", TEXT, re.MULTILINE) == ["cuda", "cpu"]  # the last is the default
    (check,) = [line for line in PROGRAM if line.startswith("HEALTHCHECK")]
    assert "http://127.0.0.1:7860/healthz" in check
    assert {address for address in re.findall(r"https?://[\w.]+", TEXT)} == {"http://127.0.0.1"}


def test_the_dockerfile_passes_the_linter():
    found = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if found is None:
        pytest.skip("needs hadolint, which requirements-dev.txt brings")
    done = subprocess.run([found, "--no-color", str(REPO / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
