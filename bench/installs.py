"""The package in fresh environments: ``python -m bench.installs 3.11 3.12 3.13``, a quarter of an hour and 8 GB each.

A wheel is built and installed with what it needs, by each Python that is found under ``pythonX.Y`` or pyenv, into an
environment that is removed afterwards. There, in an empty folder, the commands run, and the page is served: a program
asks it for a stored run. Prints a row for each, and exits with 1 where one fails.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

REPO = Path(__file__).parent.parent
RUN, QUESTION = "0be6b1cadd189061", "name-a-planet"
MOST_SECONDS_TO_START = 120


def main() -> None:
    """A row for each Python."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="+", help="of Python, as 3.12")
    parser.add_argument("--first", default="", help="what pip installs before the wheel, such as torch==2.13.0")
    options = parser.parse_args()
    has_failed = False
    print("| Python | installed, GB | seconds | torch | gradio | commands | the page |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        pip_wheel = [sys.executable, "-m", "pip", "wheel", str(REPO), "--quiet", "--no-deps", "-w", name]
        subprocess.run(pip_wheel, check=True, cwd=name)
        (wheel,) = Path(name).glob("*.whl")
        for version in options.versions:
            try:
                print(row(version, wheel, options.first.split()), flush=True)
            except (subprocess.CalledProcessError, httpx.HTTPError, RuntimeError) as error:
                has_failed = True
                print(f"| {version} | failed: {getattr(error, 'stderr', None) or error} |", flush=True)
    sys.exit(has_failed)


def row(version: str, wheel: Path, first: list[str]) -> str:
    """Install, try, and say how it went."""
    with tempfile.TemporaryDirectory() as name:
        environment, empty = Path(name) / "environment", Path(name) / "empty"
        empty.mkdir()
        run([python_of(version), "-m", "venv", str(environment)], empty)
        began = time.perf_counter()
        for wanted in filter(None, (first, [str(wheel)])):
            run([str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted], empty)
        seconds = time.perf_counter() - began
        size = sum(file.lstat().st_size for file in environment.rglob("*") if file.is_file())
        versions = run([str(environment / "bin" / "python"), "-m", "pip", "list"], empty)
        torch, gradio = (re.search(rf"^{name} +(\S+)", versions, re.MULTILINE) for name in ("torch", "gradio"))
        hcl = str(environment / "bin" / "hcl")
        said = run([hcl, "--version"], empty).strip()
        commands = "models" if "smollm2-135m" in run([hcl, "models"], empty) else "no model is listed"
        cells = [version, f"{size / 1e9:.1f}", f"{seconds:.0f}", torch and torch[1], gradio and gradio[1]]
        return f"| {' | '.join(map(str, [*cells, f'{said}, {commands}', served(hcl, empty)]))} |"


def served(hcl: str, folder: Path) -> str:
    """What the page answers."""
    with subprocess.Popen(
        [hcl, "page"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            address = next((found[0] for line in process.stdout if (found := re.search(r"http://\S+\d", line))), None)
            if address is None:
                raise RuntimeError("the page ended before it was served")
            opened = httpx.get(address, timeout=MOST_SECONDS_TO_START)
            asked = httpx.post(f"{address}/gradio_api/call/get_run", json={"data": [RUN, QUESTION, False]}, timeout=60)
            event = asked.raise_for_status().json()["event_id"]
            told = httpx.get(f"{address}/gradio_api/call/get_run/{event}", timeout=60).raise_for_status().text
            has_run = RUN in told and "event: complete" in told
            return f"{opened.status_code}, {'a stored run' if has_run else f'no stored run: {told[:200]}'}"
        finally:
            process.terminate()


def run(command: list[str], folder: Path) -> str:
    """What a command prints; its error is in the exception."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HCL_", "PYTHON"))}
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=True)
    return done.stdout


def python_of(version: str) -> str:
    """Where that Python is."""
    pyenv = (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")  # its shims may stand for none
    found = next(map(str, pyenv), None) or shutil.which(f"python{version}")
    if found is None:
        raise RuntimeError(f"no Python {version} here")
    return found


if __name__ == "__main__":
    main()
