"""What the owner of a page sets in the environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import PageSettings


def test_a_setting_is_read_from_its_variable(monkeypatch):
    assert not PageSettings().public
    monkeypatch.setenv("HCL_PUBLIC", "1")
    assert PageSettings().public


@pytest.mark.slow
def test_a_bad_setting_is_one_line_and_code_2():
    done = subprocess.run(
        [sys.executable, "app.py"],
        env=os.environ | {"HCL_PUBLIC": "perhaps"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: HCL_PUBLIC: ") and done.stderr.count("\n") == 1 and "perhaps" in done.stderr
