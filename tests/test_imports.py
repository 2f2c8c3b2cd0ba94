"""Who may import whom: the contracts of ``pyproject.toml``, and what a process that needs no model really loads."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
MODEL_LIBRARIES = ("torch", "transformers", "sentence_transformers")
HEAVY = ("hcl_core.decode", "hcl_core.embedders")


def module_name(file):
    parts = file.relative_to(REPO).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# The package app/ wins over app.py, so "app" is the package here, as it is for Python.
MODULES = sorted(module_name(file) for package in ("hcl_core", "app") for file in (REPO / package).rglob("*.py"))
# Programs of others import these, whose packages are not installed everywhere.
OF_OTHERS = ("hcl_core.neighbours.harness", "hcl_core.neighbours.inspect_provider")
LIGHT = [name for name in MODULES if not name.startswith(HEAVY) and name not in (*OF_OTHERS, "hcl_core.__main__")]


def model_libraries_loaded_by(*names):
    code = f"import sys, {', '.join(names)}; print(*(set({MODEL_LIBRARIES!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_rooms_keep_their_contracts():
    # A process of its own: the linter replaces the logging of the one that it runs in.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_room_stands_in_the_contracts():
    # A room that no contract names could import anything.
    contracts = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    rooms = {".".join(name.split(".")[:2]) for name in MODULES} - {"app", "hcl_core", "hcl_core.__main__"}
    assert {room for room in rooms if room.startswith("hcl_core") and f"{room}" not in contracts} == set()


def test_modules_without_a_model_load_no_model_library():
    assert "hcl_core.pipeline.runner" in LIGHT and "app.page" in LIGHT
    assert model_libraries_loaded_by(*LIGHT) == set()


@pytest.mark.parametrize("name", ["hcl_core.cli", "app.views", "app.figures", "app.library"])
def test_door_loads_no_model_library_by_itself(name):
    assert model_libraries_loaded_by(name) == set()


@pytest.mark.parametrize("name", ["hcl_core.decode.engine", "hcl_core.embedders.minilm"])
def test_heavy_module_is_seen_as_heavy(name):
    # What the tests above look for is found where it is.
    assert model_libraries_loaded_by(name)
