"""Files and folders written in one step: after a crash the new content is there whole or not at all."""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from hcl_core.errors import DiskError, HclError, RunFolderError, cause_of

# What to do about an error that the disk causes; no other ``OSError`` becomes a ``DiskError``.
_FREE_SPACE = "free some space, and the same command goes on"
_MAKE_WRITABLE = "where it can be written, the same command goes on"
_ADVICE = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EFBIG: _FREE_SPACE,
    errno.EROFS: _MAKE_WRITABLE,
    errno.EACCES: _MAKE_WRITABLE,
    errno.EPERM: _MAKE_WRITABLE,
    errno.EIO: _MAKE_WRITABLE,
}


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Raise ``DiskError``, with the name of ``target``, for an error that the disk causes while the block runs."""
    try:
        yield
    except HclError:
        raise
    except Exception as error:
        number = _disk_error_number(error)
        if number is None:
            raise
        raise DiskError(f"cannot write {target}: {os.strerror(number)}: {_ADVICE[number]}") from None


def _disk_error_number(error: Exception) -> int | None:
    """The ``errno`` in ``_ADVICE`` that ``error`` stands for; ``None`` for another error."""
    if isinstance(error, OSError):
        return error.errno if error.errno in _ADVICE else None
    # Safetensors has an error class of its own, which quotes the system's message.
    text = str(error)
    return next((number for number in _ADVICE if os.strerror(number) in text), None)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that is renamed to ``target`` when the block ends without an error, else deleted.

    It is deleted too if ``target`` exists by then. A caller that wants only one process to make the folder holds
    ``lock_for(target)``.

    Raises:
        DiskError: The disk is full, read-only or failing.
    """
    with disk_errors(target):
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
    """A temporary path beside ``target`` that replaces it when the block ends without an error.

    Raises:
        DiskError: The disk is full, read-only or failing.
    """
    with _temporary_file(target) as temporary:
        yield temporary
        _write_to_disk(temporary)
        temporary.replace(target)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """``atomic_file`` for a file that does not exist yet: what exists is never replaced.

    Raises:
        FileExistsError: ``target`` exists when the block ends.
        DiskError: The disk is full, read-only or failing.
    """
    with _temporary_file(target) as temporary:
        yield temporary
        _write_to_disk(temporary)
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: reserve the name, then replace the empty file
            os.close(os.open(target, os.O_CREAT | os.O_EXCL))
            temporary.replace(target)


@contextmanager
def _temporary_file(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    with disk_errors(target):
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _write_to_disk(file: Path) -> None:
    with file.open("rb+") as written:
        os.fsync(written.fileno())


@contextmanager
def lock_for(target: Path) -> Iterator[None]:
    """Only one process at a time is in this block, for making or changing ``target``; others wait.

    On a full or read-only disk the block runs without the lock: what is there can be read, and nothing can be changed.
    """
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    with suppress(DiskError), disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def exported_file(target: Path) -> Iterator[Path]:
    """``atomic_file`` for a path that a user chose; raises an ``HclError`` if it can't be written."""
    try:
        with atomic_file(target) as temporary:
            yield temporary
    except OSError as error:
        raise RunFolderError(f"cannot write {target}: {cause_of(error)}") from None
