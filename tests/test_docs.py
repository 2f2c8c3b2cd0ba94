"""What the texts tell people to type, and the files and names that they speak of, exist."""

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from app.settings import PageSettings
from docs import public
from docs.architecture import PACKAGES, rooms
from docs.writing import fill_in
from hcl_core.cli import app

REPO = Path(__file__).parent.parent
TEXTS = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
COMMANDS = typer.main.get_group(app).commands
TYPED = [
    (text.name, line) for text in TEXTS for line in re.findall(r"python -m [^`\n|)]+", text.read_text(encoding="utf-8"))
]
LINKS = [
    (text, target) for text in TEXTS for target in re.findall(r"\]\(([^)#:\s]+)\)", text.read_text(encoding="utf-8"))
]
# A path of the repository in a code span, perhaps with a name in that file: `hcl_core/ports.py:Judge.judge`.
FOLDERS = "app|assets|bench|docs|hcl_core|precomputed|tests"
NAMED = sorted(
    {
        (text.name, path, name)
        for text in TEXTS
        for path, name in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)(?::([\w.]+))?`", text.read_text(encoding="utf-8"))
    }
)


def names_in(body):
    """Functions, classes and constants, and the methods of classes as ``Class.method``."""
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield node.name
            yield from (f"{node.name}.{name}" for name in names_in(node.body))
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def test_there_is_something_to_check():
    assert len(TYPED) > 10 and len(LINKS) > 5 and {"run", "score", "judge-eval"} <= COMMANDS.keys()
    assert len([name for _, _, name in NAMED if name]) > 20 and {name for name, _, _ in NAMED} > {"README.md"}


@pytest.mark.parametrize(("text", "path", "name"), NAMED, ids=[f"{text}: {path}:{name}" for text, path, name in NAMED])
def test_a_file_and_a_name_in_the_texts_exist(text, path, name):
    file = REPO / path
    assert file.exists(), f"{text}: no {path}"
    if name:
        assert name in names_in(ast.parse(file.read_text(encoding="utf-8")).body), f"{text}: no {name} in {path}"


def test_every_threat_names_the_test_that_holds_it():
    table = (REPO / "docs" / "security.md").read_text(encoding="utf-8").partition("## Threats")[2].partition("## ")[0]
    threats = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(threats) > 20
    assert [line for line in threats if not re.search(r"`tests/\w+\.py:test_\w+`", line.rpartition(" | ")[2])] == []


def test_the_tables_of_the_architecture_are_those_of_the_code():
    done = subprocess.run([sys.executable, "-m", "docs.architecture", "--check"], cwd=REPO, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr.decode()


def test_the_table_of_settings_is_that_of_the_class():
    text = (REPO / "docs" / "public.md").read_text(encoding="utf-8")
    assert fill_in(text, public.tables()) == text
    assert public.descriptions().keys() == PageSettings.model_fields.keys()


def test_the_readme_lists_every_room():
    # One row's cells may name several.
    table = TEXTS[0].read_text(encoding="utf-8").partition("| folder | what is in it |")[2].partition("\n\n")[0]
    paths = {path.rstrip("/") for path in re.findall(r"`([\w./]+/)`", table)}
    expected = {str(room.relative_to(REPO)) for package in PACKAGES for room in rooms(REPO / package)}
    assert paths == expected | set(FOLDERS.split("|"))


@pytest.mark.parametrize(("name", "line"), TYPED, ids=[f"{name}: {line[:60]}" for name, line in TYPED])
def test_a_command_in_the_texts_exists_with_its_options(name, line):
    module, *words = shlex.split(line.strip().rstrip(";:,."), comments=True)[2:]
    assert module in ("venv", "pip", "pytest") or importlib.util.find_spec(module), f"{name}: no module {module}"
    if module == "hcl_core" and words and "ignore_unknown_options" not in COMMANDS[words[0]].context_settings:
        known = {option for each in COMMANDS[words[0]].params for option in each.opts}
        said = {word.split("=")[0] for word in words if word.startswith("--")}
        assert said <= known | {"--help"}, f"{name}: {line}"


@pytest.mark.parametrize(("text", "target"), LINKS, ids=[f"{text.name}: {target}" for text, target in LINKS])
def test_a_link_in_the_texts_leads_somewhere(text, target):
    assert (text.parent / target).exists()


def test_every_command_is_in_the_readme():
    readme = TEXTS[0].read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"python -m hcl_core {name}" not in readme] == []
