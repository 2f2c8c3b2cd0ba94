"""Who may import whom (DESIGN section 5), read from the source and seen in a running process."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
PACKAGES = ("hcl_core", "app")
MODEL_LIBRARIES = {"torch", "transformers"}
ADAPTERS = ("judges", "embedders", "questions", "decode")


def module_name(file):
    parts = file.relative_to(REPO).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# The package app/ wins over app.py, so "app" is the package here, as it is for Python.
FILES = {module_name(file): file for package in PACKAGES for file in (REPO / package).rglob("*.py")}
CORE = sorted(name for name in FILES if name.split(".")[0] == "hcl_core")
# Only these rooms know a model library; everything else starts without one.
HEAVY = ("hcl_core.decode", "hcl_core.embedders")
LIGHT = sorted(name for name in FILES if not name.startswith(HEAVY))


def named_by(node, package):
    """Full names that an import statement asks for, the possible submodules of ``from x import y`` included."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    base = node.module or ""
    if node.level:
        above = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*above, base] if base else above)
    return {base} | {f"{base}.{alias.name}" for alias in node.names}


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(tree, at_module_level):
    """Import statements of a file: all of them, or those that run when it is imported."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif at_module_level and (is_type_checking(node) or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            waiting += node.orelse if is_type_checking(node) else []
        else:
            waiting += ast.iter_child_nodes(node)


@cache
def imports_of(name, at_module_level):
    file = FILES[name]
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset().union(*(named_by(node, package) for node in statements(tree, at_module_level)))


def reached_from(name):
    """Everything that is imported when ``name`` is: its own imports, those of ours among them, and our packages."""
    reached, waiting = set(), [name]
    while waiting:
        for imported in imports_of(waiting.pop(), True):
            parents = [".".join(imported.split(".")[:depth]) for depth in range(1, imported.count(".") + 2)]
            new = set(parents) - reached
            reached |= new
            waiting += [each for each in new if each in FILES]
    return reached


def top_level(names):
    return {name.split(".")[0] for name in names}


def test_import_rules_have_something_to_read():
    assert {"hcl_core.cli", "hcl_core.decode.engine", "hcl_core.judges.alias"} <= FILES.keys()


@pytest.mark.parametrize("name", CORE)
def test_core_never_imports_the_app(name):
    assert "app" not in top_level(imports_of(name, False))


@pytest.mark.parametrize("name", CORE)
def test_core_never_imports_gradio(name):
    assert "gradio" not in top_level(imports_of(name, False))


@pytest.mark.parametrize("name", LIGHT)
def test_light_module_imports_no_model_library(name):
    assert top_level(reached_from(name)) & MODEL_LIBRARIES == set()


@pytest.mark.parametrize(
    "name", ["hcl_core.decode.engine", "hcl_core.decode.model.loading", "hcl_core.embedders.minilm"]
)
def test_heavy_module_is_seen_as_heavy(name):
    # What the test above looks for is found where it is.
    assert top_level(reached_from(name)) & (MODEL_LIBRARIES | {"sentence_transformers"})


@pytest.mark.parametrize("name", [name for name in CORE if name.split(".")[1:2] and name.split(".")[1] in ADAPTERS])
def test_adapter_imports_no_other_adapter(name):
    own = name.split(".")[1]
    others = {f"hcl_core.{adapter}" for adapter in ADAPTERS if adapter != own}
    assert {imported for imported in imports_of(name, False) if ".".join(imported.split(".")[:2]) in others} == set()


@pytest.mark.parametrize("name", ["hcl_core.cli", "app.views", "app.figures", "app.library"])
def test_import_leaves_model_libraries_out_of_the_process(name):
    code = f"import sys, {name}; print(sorted({MODEL_LIBRARIES!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
