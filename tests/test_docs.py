"""What the texts tell people to type exists."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer

from hcl_core.cli import app

REPO = Path(__file__).parent.parent
TEXTS = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
COMMANDS = typer.main.get_command(app).commands
TYPED = [
    (text.name, line) for text in TEXTS for line in re.findall(r"python -m [^`\n|)]+", text.read_text(encoding="utf-8"))
]
LINKS = [
    (text, target) for text in TEXTS for target in re.findall(r"\]\(([^)#:\s]+)\)", text.read_text(encoding="utf-8"))
]


def test_there_is_something_to_check():
    assert len(TYPED) > 10 and len(LINKS) > 5 and {"run", "score", "judge-eval"} <= COMMANDS.keys()


@pytest.mark.parametrize(("name", "line"), TYPED, ids=[f"{name}: {line[:60]}" for name, line in TYPED])
def test_a_command_in_the_texts_exists_with_its_options(name, line):
    module, *words = shlex.split(line.strip().rstrip(";:,."), comments=True)[2:]
    assert module in ("venv", "pip", "pytest") or importlib.util.find_spec(module), f"{name}: no module {module}"
    if module == "hcl_core":
        known = {option for each in COMMANDS[words[0]].params for option in each.opts}
        said = {word.split("=")[0] for word in words if word.startswith("--")}
        assert said <= known | {"--help"}, f"{name}: {line}"


@pytest.mark.parametrize(("text", "target"), LINKS, ids=[f"{text.name}: {target}" for text, target in LINKS])
def test_a_link_in_the_texts_leads_somewhere(text, target):
    assert (text.parent / target).exists()


def test_every_command_is_in_the_readme():
    readme = TEXTS[0].read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"python -m hcl_core {name}" not in readme] == []
