"""The tables of ``docs/architecture.md`` (rooms, imports, glossary): ``python -m docs.architecture``.

They come from the docstrings of packages and modules, from the contracts in ``pyproject.toml`` and from
``assets/glossary``. ``--check`` changes nothing and fails when the text's tables are others.
"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from docs.writing import ROOT, parse_check, write
from hcl_core.glossary import glossary

TEXT = Path(__file__).with_name("architecture.md")
PACKAGES = ("app", "hcl_core")


def main() -> None:
    """Write the tables, or check them."""
    write(TEXT, tables(), parse_check(__doc__))


def tables() -> dict[str, str]:
    """The tables by the name of the text's block."""
    return {"rooms": _rooms(), "imports": _imports(), "glossary": _glossary()}


def rooms(package: Path) -> Iterator[Path]:
    """The packages inside ``package``, at any depth, in the order of a folder tree."""
    for folder in sorted(file.parent for file in package.glob("*/__init__.py")):
        yield folder
        yield from rooms(folder)


def _rooms() -> str:
    lines = ["| room or file | what is in it |", "|---|---|"]
    for package in (ROOT / name for name in PACKAGES):
        folders = [package, *rooms(package)]
        lines += [f"| `{folder.relative_to(ROOT)}/` | {_purpose(folder / '__init__.py')} |" for folder in folders]
        files = sorted(file for file in package.glob("*.py") if not file.name.startswith("__"))
        lines += [f"| `{file.relative_to(ROOT)}` | {_purpose(file)} |" for file in files]
    return "\n".join(lines) + "\n"


def _purpose(file: Path) -> str:
    """First paragraph of a module's docstring, as Markdown."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("``", "`")


def _imports() -> str:
    """The layers of the first contract, the highest on top."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(each for each in settings["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    return "\n".join(["```", *(layer.replace("hcl_core.", "") for layer in contract["layers"]), "```"]) + "\n"


def _glossary() -> str:
    lines = ["| term | what it is |", "|---|---|"]
    for each in glossary().values():
        formula = f" *{each.formula}*" if each.formula else ""
        lines.append(f"| {each.term} | {each.definition}{formula} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
