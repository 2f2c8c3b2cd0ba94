"""Records of the token lens: every layer's readouts along a text. Free of torch: a stored lens needs no model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hcl_core.atomic import atomic_file, atomic_folder
from hcl_core.errors import RunFolderError, SettingsError, cause_of
from hcl_core.models.head_records import HeadChoice
from hcl_core.strict_json import record_text
from hcl_core.user_files import MAX_JSON_BYTES, read_text_limited

SCHEMA_VERSION = 1

# Where a block is read: the residual stream after it, the same between attention and MLP, and what either of them adds
# to it (after the norm and scale that some families have there). The names are those of TransformerLens.
SITES = RESID_POST, RESID_MID, ATTN_OUT, MLP_OUT = "resid_post", "resid_mid", "attn_out", "mlp_out"

_SCHEMA = pa.schema(
    [
        ("question_id", pa.dictionary(pa.int32(), pa.string())),
        ("position", pa.int32()),
        ("token_id", pa.int32()),
        ("token_text", pa.string()),
        ("exit_layer", pa.int16()),
        ("top_token_ids", pa.list_(pa.int32())),
        ("top_token_texts", pa.list_(pa.string())),
        ("top_probabilities", pa.list_(pa.float32())),
        ("entropy", pa.float32()),
        ("final_rank", pa.int32()),
        ("text_rank", pa.int32()),
        ("kl_to_last", pa.float32()),
    ]
)


def head_at(site: str, exit_head: str) -> str:
    """The exit head to load for a lens where ``exit_head`` was asked for; but after blocks it is the model's own.

    Raises:
        SettingsError: There is no such site, or a fitted head was asked for elsewhere than after blocks.
    """
    if site not in SITES:
        raise SettingsError(f"site must be one of {', '.join(SITES)}; got {str(site)[:40]!r}")
    if site == RESID_POST:
        return exit_head
    if exit_head not in ("auto", "shared"):
        raise SettingsError(f"a fitted head reads {RESID_POST} alone: at {site} the exit head must be auto or shared")
    return "shared"


@dataclass(frozen=True, slots=True)
class LensTable:
    """Next-token distributions of ``L`` layers at each of ``P`` positions of a text.

    Attributes:
        question_id: Of the question that the text belongs to.
        prompt: The exact text before the first position's token.
        token_ids: ``[P]`` the text's token at each position, which the readouts predict.
        token_texts: Their texts.
        positions: ``[P]`` token positions in the whole text, from 0.
        top_token_ids: ``[L, P, k]`` most probable tokens, by falling probability.
        top_token_texts: ``[L][P][k]`` their texts.
        top_probabilities: ``[L, P, k]`` their probabilities, in [0, 1], at temperature 1.
        entropy: ``[L, P]`` of the readout's distribution, in nats, from 0.
        final_rank: ``[L, P]`` rank, from 1, of the token that the last layer finds most probable.
        text_rank: ``[L, P]`` rank, from 1, of the text's token.
        kl_to_last: ``[L, P]`` Kullback-Leibler divergence from the last layer's distribution to the
            readout's, in nats, from 0; 0 at the last layer.
        head: Which exit head read the layers, and why; a stored lens does not have it, its manifest names the head.
        site: Where each block was read, one of ``SITES``; a stored lens is of the first.
    """

    question_id: str
    prompt: str
    token_ids: tuple[int, ...]
    token_texts: tuple[str, ...]
    positions: tuple[int, ...]
    top_token_ids: NDArray[np.int64]
    top_token_texts: list[list[list[str]]]
    top_probabilities: NDArray[np.float32]
    entropy: NDArray[np.float32]
    final_rank: NDArray[np.int64]
    text_rank: NDArray[np.int64]
    kl_to_last: NDArray[np.float32]
    head: HeadChoice | None = None
    site: str = RESID_POST

    @property
    def num_hidden_layers(self) -> int:
        """``L``."""
        return len(self.entropy)

    @property
    def whole_text(self) -> str:
        """The prompt and all that comes after it."""
        return self.prompt + "".join(self.token_texts)

    def as_json(self) -> dict[str, object]:
        """What ``lens --json`` prints."""
        return {
            "prompt": self.prompt,
            "site": self.site,
            "tokens": list(self.token_texts),
            "token_ids": list(self.token_ids),
            "positions": list(self.positions),
            "settles": self.settles().tolist(),
            "layers": [
                {"exit_layer": layer + 1} | {name: np.asarray(getattr(self, name)[layer]).tolist() for name in _BY_CELL}
                for layer in range(self.num_hidden_layers)
            ],
        }

    def settles(self) -> NDArray[np.int64]:
        """``[P]`` the first exit layer that has the last layer's top token, as have all layers after it.

        0 where there is none, as can be at another site than ``resid_post``.
        """
        is_top = self.final_rank == 1
        stays = np.logical_and.accumulate(is_top[::-1], axis=0)[::-1]
        first: NDArray[np.int64] = np.where(stays[-1], np.argmax(stays, axis=0) + 1, 0)
        return first


@dataclass(frozen=True, slots=True)
class LensManifest:
    """``manifest.json`` of a stored lens.

    Attributes:
        model: Catalogue name, Hub id or folder name.
        model_revision: Of that model.
        dtype: Of the weights.
        exit_head: ``"shared"`` or ``"linear"``.
        exit_head_hash: Identifies the head's weights.
        template: Name of the prompt template.
        prompts: By question id.
        versions: Package versions.
        created_at: UTC, ISO 8601.
        kind: ``"token_lens"``, which tells this folder from a run's.
        schema_version: Of this format.
    """

    model: str
    model_revision: str
    dtype: str
    exit_head: str
    exit_head_hash: str
    template: str
    prompts: dict[str, str]
    versions: dict[str, str]
    created_at: str
    kind: str = "token_lens"
    schema_version: int = SCHEMA_VERSION


def write_lens(folder: Path, manifest: LensManifest, tables: Sequence[LensTable]) -> None:
    """Store lenses as ``manifest.json`` and ``lens.parquet``; an existing folder of a lens is replaced.

    Raises:
        RunFolderError: The folder holds something else, or a table is of another site than ``resid_post``.
    """
    if any(table.site != RESID_POST for table in tables):
        raise RunFolderError(f"only a lens of {RESID_POST} can be stored")
    if folder.exists():
        read_lens(folder)
    rows = [row for table in tables for row in lens_rows(table)]
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in _SCHEMA]
    parquet = pa.table(columns, schema=_SCHEMA)
    text = record_text(manifest)
    if not folder.exists():
        with atomic_folder(folder) as made:
            pq.write_table(parquet, made / "lens.parquet", compression="zstd")
            (made / "manifest.json").write_text(text, encoding="utf-8")
        return
    with atomic_file(folder / "lens.parquet") as temporary:
        pq.write_table(parquet, temporary, compression="zstd")
    with atomic_file(folder / "manifest.json") as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_lens(folder: Path) -> tuple[LensManifest, list[LensTable]]:
    """Read what ``write_lens`` wrote.

    Raises:
        RunFolderError: There is no lens here, or it is damaged or of another version.
    """
    try:
        entries = json.loads(read_text_limited(folder / "manifest.json", MAX_JSON_BYTES))
        if entries["kind"] != "token_lens" or entries["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"it is no token lens of schema version {SCHEMA_VERSION}")
        manifest = LensManifest(**entries)
        rows = pq.read_table(folder / "lens.parquet", schema=_SCHEMA).to_pylist()
        by_question: dict[str, list[dict[str, object]]] = {}
        for row in rows:
            by_question.setdefault(row["question_id"], []).append(row)
        return manifest, [_table(manifest.prompts[question_id], own) for question_id, own in by_question.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise RunFolderError(f"{folder} holds no token lens that can be read: {cause_of(error)}") from None


_BY_CELL = ("top_token_ids", "top_token_texts", "top_probabilities", "entropy", "final_rank", "text_rank", "kl_to_last")


def lens_rows(table: LensTable) -> list[dict[str, object]]:
    """One row a layer and position."""
    return [
        {
            "question_id": table.question_id,
            "position": table.positions[index],
            "token_id": table.token_ids[index],
            "token_text": table.token_texts[index],
            "exit_layer": layer + 1,
        }
        | {name: getattr(table, name)[layer][index] for name in _BY_CELL}
        for layer in range(table.num_hidden_layers)
        for index in range(len(table.positions))
    ]


def _table(prompt: str, rows: list[dict[str, object]]) -> LensTable:
    """The table of one question from its rows, which are ordered by layer, then position."""
    num_positions = sum(row["exit_layer"] == 1 for row in rows)
    by_layer = [rows[start : start + num_positions] for start in range(0, len(rows), num_positions)]

    def cells(name: str) -> object:
        values = [[row[name] for row in layer] for layer in by_layer]
        if name == "top_token_texts":
            return values
        return np.array(values, np.int64 if name in ("top_token_ids", "final_rank", "text_rank") else np.float32)

    first = by_layer[0]
    return LensTable(
        question_id=str(first[0]["question_id"]),
        prompt=prompt,
        token_ids=tuple(row["token_id"] for row in first),  # type: ignore[misc]
        token_texts=tuple(row["token_text"] for row in first),  # type: ignore[misc]
        positions=tuple(row["position"] for row in first),  # type: ignore[misc]
        **{name: cells(name) for name in _BY_CELL},  # type: ignore[arg-type]
    )
