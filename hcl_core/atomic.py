"""Files and folders written in one step: after a crash the new content is there whole or not at all."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from hcl_core.errors import RunFolderError


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that is renamed to ``target`` when the block ends without an error, else deleted.

    It is deleted too if ``target`` exists by then. A caller that wants only one process to make the folder holds
    ``lock_for(target)``.
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
    """A temporary path beside ``target`` that replaces it when the block ends without an error."""
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def lock_for(target: Path) -> FileLock:
    """A lock between processes for making or changing ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(target.with_name(f".{target.name}.lock"))


@contextmanager
def exported_file(target: Path) -> Iterator[Path]:
    """``atomic_file`` for a path that a user chose; raises ``RunFolderError`` if it can't be written."""
    try:
        with atomic_file(target) as temporary:
            yield temporary
    except OSError as error:
        raise RunFolderError(f"cannot write {target}: {error.strerror or error}") from None
