"""The terminal at its edges: numbers, folders that cannot be used, near misses, Ctrl-C, and what a pipe gets."""

import ast
import errno
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import run_command
from typer.main import get_command

from hcl_core.cli import app
from hcl_core.quiet import no_bars_in_a_pipe
from hcl_core.text import counted

REPO = Path(__file__).parent.parent
RUN = ("run", "--question", "Name a planet", "--accept", "Mars")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HCL_RUNS", raising=False)
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    return lambda *arguments: run_command(capsys, *arguments)


@pytest.mark.parametrize(
    ("option", "text"),
    [("--samples", "1_0"), ("--seed", "1_0"), ("--temperature", "0_1.5"), ("--top-k", "٣"), ("--samples", "１０")],
)
@pytest.mark.parametrize("joined", [False, True])
def test_a_number_is_typed_in_digits(command, option, text, joined):
    code, out, err = command(*RUN, *([f"{option}={text}"] if joined else [option, text]))
    assert (code, out) == (2, "")
    assert option in err and len(err.splitlines()) == 1


def test_the_word_behind_a_flag_is_no_number_of_it(command):
    _, _, err = command("deploy", "--dry-run", "owner_x/name")
    assert "in digits" not in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "--question", "x", "--question", "y"), "--question takes one value, and was given 2 times"),
        (("run", "--question", "x", "--layers=2", "--layers", "2"), "--layers takes one value, and was given 2 times"),
        (("compare", "a", "--layers", "1,2", "b", "--layers", "2,3"), "--layers takes one value, and was given 2"),
        (("show", "a", *("--limit", "1") * 3), "--limit takes one value, and was given 3 times"),
    ],
)
def test_an_option_with_one_value_is_given_once(command, arguments, expected):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {expected}")
    assert f"`{arguments[0]} --help`" in err


def test_an_option_of_the_page_with_one_value_is_given_once():
    command = [sys.executable, str(REPO / "app.py"), "--port", "7860", "--port=7861"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.endswith("--port takes one value, and was given twice: give it once\n")


def test_every_option_that_takes_one_value_is_refused_twice(command):
    program: Any = get_command(app)
    tried = 0
    for name, each in program.commands.items():
        for option in each.params:
            if option.param_type_name == "option" and not option.is_flag and not option.multiple:
                text = {"--format": "zip", "--engine": "local"}.get(option.opts[0], "7")
                places = ["x"] * sum(1 for other in each.params if other.param_type_name == "argument")
                code, _, err = command(name, *places, *[option.opts[0], text] * 2)
                assert (code, option.opts[0] in err and "given 2 times" in err) == (2, True), (name, option.opts, err)
                tried += 1
    assert tried > 50


def test_what_takes_several_values_and_help_stay(command):
    assert command("run", "--help", "--question", "x", "--question", "y")[0] == 0
    _, _, err = command("run", "--accept", "a", "--accept", "b")
    assert "given" not in err


@pytest.mark.parametrize("layers", ["1_0", "٣", "２:４", "1:1_0", "1::1_0", "²"])
def test_layers_are_typed_in_digits(command, layers):
    code, _, err = command(*RUN, "--layers", layers)
    assert code == 2
    assert "layers must be" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "x", "--weights", "0_1,0.9"),
        ("score", "x", "--weights", "nan,1"),
        (*RUN, "--strategy", "dynamic:probability:0_1"),
        (*RUN, "--strategy", "dynamic:probability:inf"),
    ],
)
def test_numbers_inside_an_option_are_typed_in_digits(command, arguments):
    code, _, err = command(*arguments)
    assert code == 2
    assert "number" in err


@pytest.mark.parametrize("variable", ["HCL_CACHE", "HCL_RUNS"])
@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_data_folder_that_is_a_file_is_one_line(command, tmp_path, monkeypatch, variable, below):
    file = tmp_path / "file"
    file.write_text("text")
    monkeypatch.setenv(variable, str(file / below))
    code, out, err = command("models") if variable == "HCL_CACHE" else command("restore", "0123456789abcdef")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {file} is no folder: set {variable} ")
    assert len(err.splitlines()) == 1


def test_what_the_system_refuses_is_one_line(command, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "/data/runs")

    monkeypatch.setattr("hcl_core.runs.trash.restore_run", refuse)
    assert command("restore", "0123456789abcdef") == (2, "", "error: /data/runs: Permission denied\n")


def test_a_full_disk_says_how_to_go_on(command, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/runs")

    monkeypatch.setattr("hcl_core.runs.trash.restore_run", refuse)
    code, _, err = command("restore", "0123456789abcdef")
    assert code == 2
    assert err == "error: /data/runs: No space left on device; free some space, and give the same command again\n"


def test_show_refuses_a_question_before_it_prints_anything(command, finished):
    code, out, err = command("show", finished.path, "--question", "nope")
    assert (code, out) == (2, "")
    assert "has no question 'nope'" in err


def test_show_suggests_the_nearest_questions(command, finished):
    question_id = finished.questions()[0].question.id
    _, _, err = command("show", finished.path, "--question", question_id[:-1])
    assert f"did you mean {question_id}" in err


def test_a_warning_says_so_once(command, monkeypatch, capsys):
    monkeypatch.setattr(logging.root, "handlers", [])
    command("restore", "0123456789abcdef")
    logging.getLogger("hcl_core").warning("ignored: a file")
    assert capsys.readouterr().err.split() == ["WARNING", "ignored:", "a", "file"]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
@pytest.mark.parametrize(
    "arguments",
    [
        (*RUN, "--template-file", "/dev/zero"),
        ("fit-head", "--texts", "/dev/zero"),
        ("judge-eval", "/dev/zero"),
        ("judge-eval", "--precision", "/dev/zero"),
        ("speed", "--show", "/dev/zero"),
    ],
)
def test_an_endless_file_is_refused(command, arguments):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert "/dev/zero" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (*RUN, "--template-file"),
        ("run", "--questions"),
        ("lens", "--question", "x", "--template-file"),
        ("fit-head", "--texts"),
        ("judge-eval",),
        ("judge-eval", "--precision"),
        ("speed", "--show"),
        ("sweep",),
        ("import",),
        ("score",),
        ("repair",),
        ("import-head",),
    ],
)
@pytest.mark.parametrize("name", ["nope.json", "file/nope.json"])
def test_a_file_that_is_not_there_is_named_once_without_a_number_of_the_system(command, arguments, name):
    Path("file").write_text("text")
    code, out, err = command(*arguments, name)
    assert (code, out) == (2, "")
    assert "Errno" not in err
    assert err.count(name) == 1


def test_no_error_about_a_file_quotes_the_system_as_python_prints_it():
    wrong = []
    for file in (*REPO.glob("hcl_core/**/*.py"), *REPO.glob("app/**/*.py")):
        for handler in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(handler, ast.ExceptHandler) and handler.type and "OSError" in ast.unparse(handler.type):
                raised = [ast.unparse(node) for node in ast.walk(handler) if isinstance(node, ast.Raise)]
                wrong += [f"{file.name}: {each}" for each in raised if f"{{{handler.name}}}" in each]
    assert wrong == []


@pytest.mark.parametrize(("is_terminal", "expected"), [(True, None), (False, "1")])
def test_libraries_draw_no_progress_bars_in_a_pipe(monkeypatch, is_terminal, expected):
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    no_bars_in_a_pipe()
    found = [os.environ.pop(name, None) for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE")]
    assert found == [expected, expected]


@pytest.mark.slow
def test_the_embedder_is_loaded_in_silence_in_a_pipe():
    code = "from hcl_core.quiet import no_bars_in_a_pipe; no_bars_in_a_pipe()\n"
    code += "from hcl_core.embedders.minilm import MiniLmEmbedder; MiniLmEmbedder()"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


# The first import of a library takes long, as on a slow disk, and says that it has begun.
SLOW_IMPORT = """
import sys, time
class Slow:
    def find_spec(self, name, *_):
        if name in ("typer", "gradio"):
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
"""


@pytest.mark.slow
@pytest.mark.parametrize("program", [("-m", "hcl_core", "models"), ("app.py",)], ids=["terminal", "page"])
def test_ctrl_c_while_the_program_starts_leaves_no_traceback(tmp_path, program):
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORT)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "HCL_CACHE": str(tmp_path / "cache")}
    process = subprocess.Popen(
        [sys.executable, *program], cwd=REPO, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "error: stopped")


@pytest.mark.parametrize(("number", "text"), [(0, "0 layers"), (1, "1 layer"), (2, "2 layers"), (1200, "1,200 layers")])
def test_a_number_of_things_has_their_plural_unless_it_is_one(number, text):
    assert counted(number, "layer") == text


def test_memory_says_one_of_each_as_one(command):
    code, out, _ = command("memory", "--layers", "3", "--samples", "1", "--max-new-tokens", "1")
    assert code == 0
    assert "; 1 layer x 1 answer of at most 1 token; " in out


def test_no_line_of_the_terminal_has_a_plural_of_its_own():
    bare = re.compile(
        r"\{[^{}]*\} (samples|layers|questions|answers|tokens|cells|runs|files|requests|threads|prompts)\b"
    )
    known = {"config.num_tokens:,", "usage['prompt_tokens']:,"}
    wrong = []
    for file in REPO.glob("hcl_core/cli/*.py"):
        for found in bare.finditer(file.read_text(encoding="utf-8")):
            if not any(each in found.group() for each in known):
                wrong.append(f"{file.name}: {found.group()}")
    assert wrong == []
