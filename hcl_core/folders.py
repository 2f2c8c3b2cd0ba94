"""Where the program keeps things, and how it writes them so that a crash leaves nothing half-made."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """``$HCL_CACHE``, else the platform's cache folder. Converted weights; safe to delete."""
    return Path(os.environ.get("HCL_CACHE") or platformdirs.user_cache_dir("hcl-explorer", appauthor=False))


def runs_folder() -> Path:
    """``$HCL_RUNS``, else ``runs`` in the working folder."""
    return Path(os.environ.get("HCL_RUNS") or "runs")


def own_heads_folder() -> Path:
    """Where ``fit-head`` puts the exit heads that ``auto`` finds."""
    return cache_folder() / "exit_heads"


# The repository: packages, assets and shipped runs.
PROGRAM = Path(__file__).resolve().parent.parent


def shipped_heads_folder() -> Path:
    """The exit heads that come with the program."""
    return PROGRAM / "assets" / "exit_heads"


def precomputed_folder() -> Path:
    """The runs, lenses and published curves that come with the program."""
    return PROGRAM / "precomputed"


def user_path(text: str) -> Path | None:
    """What a user typed as a path, ``~`` resolved; ``None`` if nothing is there, or nothing could be."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, a folder that can't be looked into, a user that is none
        return None
