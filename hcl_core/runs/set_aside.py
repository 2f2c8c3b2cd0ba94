"""Damaged files of a run are moved out of the way and stay on disk."""

from pathlib import Path

from hcl_core.atomic import disk_errors

# In the run folder, beside ``samples``.
SET_ASIDE = "set_aside"


def set_aside(file: Path, run: Path) -> Path:
    """Move ``file`` of the run folder ``run`` to ``set_aside`` there, where nothing is replaced; its new path."""
    folder = run / SET_ASIDE
    target, number = folder / file.name, 2
    while target.exists():
        target, number = folder / f"{file.name}.{number}", number + 1
    with disk_errors(target):
        folder.mkdir(exist_ok=True)
        file.rename(target)
    return target
