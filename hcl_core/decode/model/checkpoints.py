"""Find a model's weights: a local folder, a wheel (installed or fetched), the Hub's cache, or the Hub."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError is its client's, passed on
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from hcl_core.decode.model.gguf_files import Convert, GgufWeights, gguf_file, gguf_label, is_gguf
from hcl_core.decode.model.model_folders import is_path, model_folder, require_safetensors
from hcl_core.decode.model.weight_files import check_header, file_hashes, weight_files
from hcl_core.errors import GatedModelError, HclError, ModelNotFoundError, NoNetworkError, file_and_cause
from hcl_core.folders import cache_folder
from hcl_core.models.catalogue import CatalogueModel, did_you_mean, find_model
from hcl_core.models.wheels import find_wheel

# Never the pickled *.bin or *.pt, never code, and no second copy of the weights (consolidated.safetensors).
_FILES = ["model*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights on this machine.

    Attributes:
        model: Name for people and manifests: a catalogue name, Hub id, or folder name.
        revision: Identifies the weights: a Hub commit, a wheel's version, a GGUF file's hash, or a folder's
            fingerprint.
        path: Folder with config, tokenizer and safetensors.
    """

    model: str
    revision: str
    path: Path


@dataclass(frozen=True, slots=True)
class Location:
    """Where the weights are, before they are read.

    Attributes:
        model: As in ``Checkpoint``.
        path: As in ``Checkpoint``; of a GGUF file that is not unpacked yet, the file.
        revision: A Hub commit, a wheel's version or a GGUF file's hash; ``None``: a local folder, known by its content
            alone.
    """

    model: str
    path: Path
    revision: str | None = None

    def identify(self) -> Checkpoint:
        """The checkpoint; reads all bytes of a local folder that is new or has changed.

        Raises:
            DamagedModelError: A file cannot be read, or ends too early.
        """
        if self.revision is not None:
            return Checkpoint(self.model, self.revision, self.path)
        for file in weight_files(self.path):
            check_header(file)
        return Checkpoint(self.model, _fingerprint(self.path), self.path)


def resolve(name: str, convert: Convert) -> Checkpoint:
    """Find and identify the weights of ``name``; see ``locate`` and ``Location.identify``."""
    return locate(name, convert).identify()


def locate(name: str, convert: Convert) -> Location:
    """Find the weights of ``name``, and download or convert them if necessary.

    A catalogue name means the weights of a wheel, installed or fetched, if there is one: the shipped exit head and runs
    belong to those, and no network is needed. A Hub id means the Hub's weights: a snapshot in the Hub's cache, else a
    download; if the Hub cannot be reached, the wheel's.

    Args:
        name: A catalogue name, a Hub id (``owner/name``), a local folder, or a GGUF file: its path, or its name in a
            repository on the Hub (``owner/name:FILE.gguf``).
        convert: Unpacks a GGUF file into a folder.

    Raises:
        ModelNotFoundError: Nothing has that name.
        GatedModelError: The Hub requires an accepted licence and a token.
        NoNetworkError: The Hub cannot be reached and the weights are not on this machine.
        UnsafeWeightsError: The weights are not safetensors.
    """
    if (here := locate_here(name, convert)) is not None:
        return here
    known = find_model(name)
    if is_gguf(name):
        return _from_gguf(name, convert)
    if known is None and "/" not in name:  # no Hub id, so the Hub is not asked
        raise _no_model(name)
    label, repo_id = (known.name, known.repo_id) if known else (name, name)
    wheel = _find_wheel(known)
    try:
        logger.debug("looking for %s on the Hub", repo_id)
        snapshot = Path(snapshot_download(repo_id, allow_patterns=_FILES, etag_timeout=5))
    except (HFValidationError, HTTPError, OSError) as error:
        problem = _explain_hub_error(error, name, known)
        if wheel is None or isinstance(problem, (GatedModelError, ModelNotFoundError)):
            raise problem from error
        wheel.unpack(convert)
        return Location(label, wheel.converted, wheel.revision)
    return _from_snapshot(label, snapshot)


def locate_here(name: str, convert: Convert) -> Location | None:
    """``locate`` without a network; ``None`` where the weights would be looked for on the Hub.

    Raises:
        ModelNotFoundError: ``name`` is a path without a model.
        DamagedModelError: ``name`` is a file that ends with .gguf and is no GGUF file.
        UnsafeWeightsError: The weights are not safetensors.
    """
    if is_gguf(name):
        return None if gguf_file(name, fetch=False) is None else _from_gguf(name, convert)
    if (known := find_model(name)) is None:
        return find_here(name)
    wheel = _find_wheel(known)
    if wheel is not None and name.strip().lower() == known.name:
        wheel.unpack(convert)
        return Location(known.name, wheel.converted, wheel.revision)
    snapshot = _cached_snapshot(known.repo_id)
    return None if snapshot is None else _from_snapshot(known.name, snapshot)


def find_here(name: str) -> Location | None:
    """The weights of a model that is not in the catalogue, if they are on this machine. Uses no network.

    Raises:
        ModelNotFoundError: ``name`` is a path without a model.
        DamagedModelError: ``name`` is a file that ends with .gguf and is no GGUF file.
    """
    if is_gguf(name):
        file = gguf_file(name, fetch=False)
        return None if file is None else Location(gguf_label(name), file)
    if is_path(name):
        return _from_folder(model_folder(name))
    snapshot = _cached_snapshot(name)
    return None if snapshot is None else _from_snapshot(name, snapshot)


def find_config(name: str) -> Location | None:
    """Where the config of a Hub id lies in the Hub's cache, with or without weights beside it. Uses no network."""
    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    return Location(name, Path(found).parent, Path(found).parent.name) if isinstance(found, str) else None


def _from_gguf(name: str, convert: Convert) -> Location:
    """The folder that a GGUF file is unpacked into; the file is fetched first if necessary."""
    try:
        file = gguf_file(name, fetch=True)
    except (HFValidationError, HTTPError, OSError) as error:
        raise _explain_hub_error(error, name, None) from error
    assert file is not None  # it was to be fetched
    weights = GgufWeights.of_file(file)
    weights.unpack(convert)
    return Location(gguf_label(name), weights.converted, weights.revision)


def is_here(name: str) -> bool:
    """Whether the weights of the model called ``name`` are on this machine in any form. Uses no network.

    Raises:
        ModelNotFoundError: ``name`` is a folder without a model.
    """
    return is_available(known) if (known := find_model(name)) is not None else find_here(name) is not None


def is_available(model: CatalogueModel) -> bool:
    """Whether the weights are on this machine in any form. Uses no network."""
    return _cached_snapshot(model.repo_id) is not None or _find_wheel(model) is not None


def _find_wheel(model: CatalogueModel | None) -> GgufWeights | None:
    if model is None or model.wheel is None or model.wheel_file is None:
        return None
    data = find_wheel(model.wheel)
    if data is None or not (file := data.folder / model.wheel_file).is_file():
        return None
    return GgufWeights(data.revision, file, cache_folder() / "models" / f"{model.name}-{data.revision}")


def _from_folder(path: Path) -> Location:
    require_safetensors(path, str(path))
    label = path.resolve().name
    # A folder called like a model of the catalogue is not that model.
    return Location(label if find_model(label) is None else f"./{label}", path)


def _cached_snapshot(repo_id: str) -> Path | None:
    """A complete snapshot in the Hub's cache on this machine."""
    try:
        path = Path(snapshot_download(repo_id, allow_patterns=_FILES, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    return path if (path / "config.json").exists() and _has_all_shards(path) else None


def _from_snapshot(label: str, path: Path) -> Location:
    require_safetensors(path, label)
    return Location(label, path, path.name)


def _has_all_shards(path: Path) -> bool:
    return all(file.is_file() for file in weight_files(path))


def _explain_hub_error(error: Exception, name: str, known: CatalogueModel | None) -> HclError:
    """The error of ours, with what to do, for an error of the Hub's client."""
    if isinstance(error, GatedRepoError):
        return GatedModelError(
            f"{name} is gated: accept its licence on its Hub page, then log in with `hf auth login` or set HF_TOKEN"
        )
    if isinstance(error, (RepositoryNotFoundError, HFValidationError)):
        return _no_model(name)
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
        meant = "" if known is not None else did_you_mean(name)
        return NoNetworkError(
            f"{name} is not on this machine and the Hub cannot be reached: go online{gated}, or {install}{meant}"
        )
    return HclError(f"could not store {name}: {file_and_cause(error)}")


def _no_model(name: str) -> ModelNotFoundError:
    if meant := did_you_mean(name):
        return ModelNotFoundError(f"there is no model {name!r}{meant}")
    return ModelNotFoundError(
        f"there is no model {name[:200]!r}: give a name that `models` lists, a Hub id such as owner/name, a folder or "
        "a GGUF file (a private model needs HF_TOKEN)"
    )


def _fingerprint(path: Path) -> str:
    """A hash that tells local folders apart: of the whole content of their small files and weight files."""
    small = {file for pattern in _FILES[1:] for file in path.glob(pattern) if file.is_file()}
    files = [*sorted(small), *weight_files(path)]
    lines = [f"{file.name} {digest}" for file, digest in zip(files, file_hashes(files), strict=True)]
    return f"folder-{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()[:32]}"
