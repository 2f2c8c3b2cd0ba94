"""Where the program keeps things, and how it writes them so that a crash leaves nothing half-made."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock


def cache_folder() -> Path:
    """``$HCL_CACHE``, else the platform's cache folder. Converted weights; safe to delete."""
    return Path(os.environ.get("HCL_CACHE") or platformdirs.user_cache_dir("hcl-explorer", appauthor=False))


def runs_folder() -> Path:
    """``$HCL_RUNS``, else ``runs`` in the working folder."""
    return Path(os.environ.get("HCL_RUNS") or "runs")


def own_heads_folder() -> Path:
    """Where ``fit-head`` puts the exit heads that ``auto`` finds."""
    return cache_folder() / "exit_heads"


_PROGRAM = Path(__file__).parent.parent


def shipped_heads_folder() -> Path:
    """The exit heads that come with the program."""
    return _PROGRAM / "assets" / "exit_heads"


def precomputed_folder() -> Path:
    """The runs, lenses and published curves that come with the program."""
    return _PROGRAM / "precomputed"


def user_path(text: str) -> Path | None:
    """What a user typed as a path, ``~`` resolved; ``None`` if nothing is there, or nothing could be."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, a folder that can't be looked into, a user that is none
        return None


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``target`` when the block ends well, and vanishes when it does not.

    If ``target`` exists by then, what the block made is dropped. Whoever wants only one process to make it
    holds ``lock_for(target)``.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=".tmp", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if not target.exists():
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that replaces it when the block ends well."""
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def lock_for(target: Path) -> FileLock:
    """A lock between processes on making or changing ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(target.with_name(f".{target.name}.lock"))
