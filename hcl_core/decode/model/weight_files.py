"""The weight files of a model folder: which ones ``transformers`` reads, and a hash of their whole content."""

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError, safe_open

from hcl_core.atomic import atomic_file
from hcl_core.errors import DamagedModelError, UnsafeWeightsError, cause_of
from hcl_core.folders import cache_folder
from hcl_core.models.shapes import ModelShape
from hcl_core.user_files import read_text_limited

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_INDEX_SUFFIX = ".safetensors.index.json"
# The Hub's cache names a large file by the SHA-256 of its content.
_SHA256 = re.compile("[0-9a-f]{64}")
# Of torch.distributed's checkpoints, which transformers prefers to the other files and reads differently.
_DISTRIBUTED = "shard-?????-model-?????-of-?????.safetensors"
# A file that changed so recently could change again without another time: clocks of file systems have ticks.
_SETTLED_SECONDS = 2.0
_MAX_JSON_BYTES = 64 * 2**20
# A shape counts the weights of most families only roughly.
_MOST_LACKING = 2
# Numbers in one stored number of quantised weights: 32 bits of 2 each.
_MOST_PACKED = 16


def read_json_object(file: Path) -> dict[str, Any]:
    """The JSON object in a small file of a model folder; raises ``DamagedModelError`` if there is none."""
    try:
        entries = json.loads(read_text_limited(file, _MAX_JSON_BYTES, "utf-8"))
        if not isinstance(entries, dict):
            raise ValueError("it is no JSON object")
        return entries
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedModelError(f"{file} cannot be read: {cause_of(error)[:100]}: fetch the model again") from None


def weight_files(folder: Path) -> list[Path]:
    """The files that ``transformers`` reads, whether they exist or not, in its order of preference.

    They are the file that the config names, else the single file, else the shards of the index.

    Raises:
        UnsafeWeightsError: The config or the index names a file that is not safetensors, or is outside the folder.
        DamagedModelError: The config or the index cannot be read.
    """
    if any(folder.glob(_DISTRIBUTED)):
        raise UnsafeWeightsError(f"{folder} holds a distributed checkpoint: save the model with save_pretrained")
    named = read_json_object(folder / "config.json").get("transformers_weights")
    if named is None:
        has_index = (folder / _INDEX).exists() and not (folder / _SINGLE).is_file()
        named = _INDEX if has_index else _SINGLE
    if not str(named).endswith(_INDEX_SUFFIX):
        return [_inside(folder, named, ".safetensors")]
    index = _inside(folder, named, _INDEX_SUFFIX)
    shards = read_json_object(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise DamagedModelError(f"{index} cannot be read: it lists no files: fetch the model again")
    return [_inside(folder, shard, ".safetensors") for shard in sorted(set(shards.values()))]


def _inside(folder: Path, name: object, suffix: str) -> Path:
    """The file called ``name`` in ``folder``; its name must end with ``suffix``."""
    path = PurePosixPath(str(name).replace("\\", "/"))
    if not path.name.endswith(suffix) or path.is_absolute() or ".." in path.parts:
        raise UnsafeWeightsError(
            f"{folder} names {str(name)[:80]!r} as a file of its weights; only safetensors files inside the folder are "
            "opened, never pickled ones"
        )
    return folder / path


def check_header(file: Path) -> None:
    """Raise ``DamagedModelError`` unless ``file`` is safetensors whose header describes all of it, and nothing else."""
    num_weights([file])


def num_weights(files: Sequence[Path]) -> int:
    """Numbers in all tensors of safetensors files, as their headers say; raises ``DamagedModelError``."""
    number = 0
    for file in files:
        try:
            with safe_open(file, framework="np") as opened:
                number += sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118 (no mapping)
        except (SafetensorError, OSError):
            raise DamagedModelError(f"{file} is damaged or incomplete: fetch the model again") from None
    return number


def check_weights(folder: Path, shape: ModelShape) -> None:
    """Raise ``DamagedModelError`` where the weight files of ``folder`` hold far fewer numbers than ``shape`` has.

    Memory is taken for all of them before the names and shapes of the tensors are compared.
    """
    is_quantized = "quantization_config" in read_json_object(folder / "config.json")
    check_held(folder, shape, num_weights(weight_files(folder)) * (_MOST_PACKED if is_quantized else 1))


def check_held(path: Path, shape: ModelShape, num_held: int) -> None:
    """``check_weights`` of files that hold ``num_held`` numbers."""
    if shape.num_weights > _MOST_LACKING * num_held:
        raise DamagedModelError(
            f"{path} holds {num_held:,} numbers, and its config says that the model has {shape.num_weights:,}: fetch "
            "the model again"
        )


def weights_hash(folder: Path) -> str:
    """32 hexadecimal digits of all bytes of a folder's weight files, whatever number format they are loaded in.

    Raises:
        DamagedModelError: A file is missing, or is not what the Hub published.
        UnsafeWeightsError: As ``weight_files``.
    """
    files = weight_files(folder)
    hashes = file_hashes(files)
    for file, digest in zip(files, hashes, strict=True):
        published = file.resolve().name
        if _SHA256.fullmatch(published) and published != digest:
            raise DamagedModelError(f"{file} is damaged: its content is not what the Hub published: fetch it again")
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:32]


def file_hashes(files: Sequence[Path]) -> list[str]:
    """SHA-256 of each file's content, several at a time; about a second for each GB, or at once if known."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(file_hash, files))


def file_hash(file: Path) -> str:
    """SHA-256 of a file's content, kept in the cache until the file's size, time or inode changes.

    Raises:
        DamagedModelError: It cannot be read.
    """
    try:
        before = _identity(file)
        entry = cache_folder() / "hashes" / f"{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:32]}.json"
        if (known := _known_hash(entry, before)) is not None:
            return known
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        after = _identity(file)
    except OSError as error:
        raise DamagedModelError(f"{file} cannot be read: {cause_of(error)}") from None
    if before == after and time.time_ns() - after[1] > _SETTLED_SECONDS * 1e9:
        with suppress(OSError):  # a cache that cannot be written to costs a second reading only
            entry.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(entry) as temporary:
                temporary.write_text(json.dumps({"identity": after, "sha256": digest}), encoding="utf-8")
    return digest


def _identity(file: Path) -> list[int]:
    """What changes with a file's content: size, times of the last change of content and of inode, and the inode."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _known_hash(entry: Path, identity: list[int]) -> str | None:
    try:
        known = json.loads(entry.read_text(encoding="utf-8"))
        return str(known["sha256"]) if known["identity"] == identity else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
