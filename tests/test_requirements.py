"""Ranges stand in ``pyproject.toml``, pins in ``requirements*.txt``, and they agree."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from docs.lock import LOCKS, pins_of

REPO = Path(__file__).parent.parent
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
SOURCES = sorted([REPO / "app.py", *(file for room in ("app", "hcl_core") for file in (REPO / room).rglob("*.py"))])


def pins_in(file):
    """``{name: Requirement}`` of a requirements file."""
    lines = pins_of((REPO / file).read_text(encoding="utf-8")).values()
    return {canonicalize_name((pin := Requirement(line)).name): pin for line in lines}


def ranges_of(extras=()):
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return [Requirement(line) for line in lines]


def version_of(pin):
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    return specifier.version


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.file)
def test_pins_are_within_the_ranges(lock):
    pins = pins_in(lock.file)
    if not lock.is_whole:
        pins |= pins_in("requirements.txt")
    for wanted in ranges_of(lock.extras):
        name = canonicalize_name(wanted.name)
        assert name in pins and wanted.specifier.contains(version_of(pins[name])), f"{wanted}: run `make lock`"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.file)
def test_a_file_says_what_it_is_for(lock):
    assert (REPO / lock.file).read_text(encoding="utf-8").startswith(lock.head)


def test_two_files_pin_a_package_alike():
    chosen: dict[str, str] = {}
    for lock in LOCKS:
        for name, pin in pins_in(lock.file).items():
            # A ZeroGPU Space has another torch, which wants another setuptools.
            if lock.file != "requirements-zerogpu.txt" or name not in ("torch", "setuptools"):
                assert chosen.setdefault(name, str(pin)) == str(pin)


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-zerogpu.txt"])
def test_pins_agree_with_what_the_builder_of_a_space_adds(file):
    # In the same call of pip: `gradio[oauth,mcp]` of the README's version, which bounds what it needs.
    pins = pins_in(file)
    added = [Requirement(line) for line in importlib.metadata.requires("gradio")]
    added = [
        each for each in added if each.marker and any(each.marker.evaluate({"extra": x}) for x in ("oauth", "mcp"))
    ]
    assert {"mcp", "pydantic"} <= {each.name for each in added}
    for wanted in [*added, *ranges_of(("space",))]:
        if (pin := pins.get(canonicalize_name(wanted.name))) is not None:
            assert wanted.specifier.contains(version_of(pin)), f"{file} pins {pin}, a Space wants {wanted}"
    assert "spaces" not in pins  # the builder's own


def test_requirements_have_no_tools_and_no_index():
    assert not {"pytest", "ruff", "mypy"} & pins_in("requirements.txt").keys()
    for file in (*REPO.glob("requirements*.txt"), REPO / "pyproject.toml", REPO / "Makefile"):
        text = file.read_text(encoding="utf-8")
        assert "://" not in text and "index-url" not in text, file


def test_what_is_imported_is_named_in_the_ranges():
    distributions = importlib.metadata.packages_distributions()
    named = {
        canonicalize_name(each.name)
        for each in ranges_of(("llm", "quantized", "cluster", "space", "lm-eval", "inspect"))
    }
    for file in SOURCES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for module in {name.partition(".")[0] for name in names} - {"app", "hcl_core"} - sys.stdlib_module_names:
                of_module = {canonicalize_name(each) for each in distributions.get(module, [module])}
                # pydantic_core and the like come with, and are exported by, what is named.
                assert of_module & named or module == "pydantic_core", f"{file.name} imports {module}"


def test_space_has_the_pinned_gradio_and_an_allowed_python():
    head = (REPO / "README.md").read_text(encoding="utf-8").split("---")[1]
    values = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    assert values["sdk_version"] == version_of(pins_in("requirements.txt")["gradio"])
    assert SpecifierSet(PROJECT["requires-python"]).contains(values["python_version"].strip('"'))


def test_pins_are_for_every_python_that_is_allowed():
    for lock in LOCKS:
        for pin in pins_in(lock.file).values():
            marker = pin.marker or Marker("python_version > '3'")
            # What is left out for a Python is left out for what is newer or foreign, never for the oldest.
            assert "python_full_version <" not in str(marker), f"{lock.file}: {pin}"


def test_code_has_no_syntax_newer_than_the_oldest_python():
    oldest = re.fullmatch(r">=3\.(\d+)", PROJECT["requires-python"])
    settings = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert oldest and settings["ruff"]["target-version"] == f"py3{oldest[1]}"
    assert settings["mypy"]["python_version"] == f"3.{oldest[1]}"
    for file in (
        *SOURCES,
        *(file for room in ("bench", "docs", "precomputed", "tests") for file in (REPO / room).rglob("*.py")),
    ):
        ast.parse(file.read_text(encoding="utf-8"), str(file), feature_version=(3, int(oldest[1])))
