"""The folders that the program reads and writes."""

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Folder of converted weights and own exit heads: ``$HCL_CACHE``, else in the platform's cache folder."""
    return Path(os.environ.get("HCL_CACHE") or platformdirs.user_cache_dir("hcl-explorer", appauthor=False))


def runs_folder() -> Path:
    """Folder of the user's runs: ``$HCL_RUNS``, else ``runs`` in the working folder."""
    return Path(os.environ.get("HCL_RUNS") or "runs")


def own_heads_folder() -> Path:
    """Folder of the exit heads that ``fit-head`` writes and ``auto`` finds."""
    return cache_folder() / "exit_heads"


# The repository: packages, assets and shipped runs.
PROGRAM = Path(__file__).resolve().parent.parent


def shipped_heads_folder() -> Path:
    """Folder of the exit heads that ship with the program."""
    return PROGRAM / "assets" / "exit_heads"


def precomputed_folder() -> Path:
    """Folder of the runs, lenses and published curves that ship with the program."""
    return PROGRAM / "precomputed"


def user_path(text: str) -> Path | None:
    """The path that a user typed, with ``~`` resolved; ``None`` if nothing exists there."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, in an unreadable folder, or ~ of an unknown user
        return None
