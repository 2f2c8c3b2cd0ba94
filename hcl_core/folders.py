"""The folders that the program reads and writes."""

import os
from pathlib import Path

import platformdirs

from hcl_core.errors import SettingsError

_SPACE_STORAGE = Path("/data")


def cache_folder() -> Path:
    """Folder of converted weights and own exit heads: ``$HCL_CACHE``, else in the platform's cache folder.

    On a Space with persistent storage it is there.

    Raises:
        SettingsError: Something else than a folder is in its place.
    """
    storage = space_storage()
    usual = storage / "cache" if storage else platformdirs.user_cache_dir("hcl-explorer", appauthor=False)
    return _data_folder("HCL_CACHE", usual)


def runs_folder() -> Path:
    """Folder of the user's runs: ``$HCL_RUNS``, else ``runs`` in the working folder.

    On a Space with persistent storage it is there.

    Raises:
        SettingsError: Something else than a folder is in its place.
    """
    storage = space_storage()
    return _data_folder("HCL_RUNS", storage / "runs" if storage else "runs")


def space_storage() -> Path | None:
    """The persistent storage of a Hugging Face Space, where this is one that has it: all else goes at each restart."""
    return _SPACE_STORAGE if "SPACE_ID" in os.environ and os.access(_SPACE_STORAGE, os.W_OK | os.X_OK) else None


def own_heads_folder() -> Path:
    """Folder of the exit heads that ``fit-head`` writes and ``auto`` finds."""
    return cache_folder() / "exit_heads"


def _program() -> Path:
    beside_core = Path(__file__).resolve().parent.parent
    installed = beside_core / "hcl_explorer"
    return installed if installed.is_dir() else beside_core


# The page, assets and shipped runs: the repository, or the folder of them that a wheel installs beside this package.
PROGRAM = _program()


def shipped_heads_folder() -> Path:
    """Folder of the exit heads that ship with the program."""
    return PROGRAM / "assets" / "exit_heads"


def precomputed_folder() -> Path:
    """Folder of the runs, lenses and published curves that ship with the program."""
    return PROGRAM / "precomputed"


def is_installed_file(path: Path) -> bool:
    """Whether ``path`` came with an installed package, in which nothing may be written."""
    return PROGRAM.name == "hcl_explorer" and PROGRAM in path.resolve().parents


def user_path(text: str) -> Path | None:
    """The path that a user typed, with ``~`` resolved; ``None`` if nothing exists there."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, in an unreadable folder, or ~ of an unknown user
        return None


def _data_folder(variable: str, default: str | Path) -> Path:
    """The folder that an environment variable names; neither it nor one above it may be something else."""
    path = Path(os.environ.get(variable) or default)
    for folder in (path, *path.parents):
        if os.path.lexists(folder) and not folder.is_dir():
            raise SettingsError(f"{folder} is no folder: set {variable} to another place for this program's files")
    return path
