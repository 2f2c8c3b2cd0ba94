"""Attention of rows of many trees, each to its own prompt and path: the port, and the way that goes tree by tree."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hcl_core.decode.trie.kv_pool import TreeKv
from hcl_core.decode.trie.pooled_attention import PooledRows
from hcl_core.decode.trie.slot_pool import PooledKv, index_of
from hcl_core.decode.trie.token_trie import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class TreeRows:
    """Rows of one tree.

    Attributes:
        kv: Keys and values of the tree.
        paths: ``[n, t]`` nodes from the first token to each row's own, padded on the left.
        padding: ``[n]`` columns of ``paths`` that are padding.
    """

    kv: TreeKv | PooledKv
    paths: IntArray
    padding: IntArray


class Attention(Protocol):
    """Attention of the rows of some layers; what they need was uploaded before."""

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Store new nodes' keys and values of a layer; attend to each row's prompt and path.

        Args:
            layer: Which, from 0.
            query: ``[n, heads, head_dim]``; ``key`` and ``value``: ``[n, kv_heads, head_dim]``.
            key: See ``query``.
            value: See ``query``.

        Returns:
            ``[n, heads * head_dim]``.
        """


class Rows(Protocol):
    """All rows that run together."""

    def select(self, rows: IntArray, devices: Collection[torch.device]) -> Attention:
        """Attention of some of the ``rows``, ascending, in layers on ``devices``."""


def attention_of(trees: Sequence[TreeRows], devices: Collection[torch.device]) -> Rows:
    """The rows of ``trees``, one after another, uploaded to ``devices``: all trees in one pool, or each on its own."""
    pooled = [(rows.kv, rows.paths, rows.padding) for rows in trees if isinstance(rows.kv, PooledKv)]
    return PooledRows(pooled, devices) if pooled else _RowsByTree(trees, devices)


class _RowsByTree:
    def __init__(self, trees: Sequence[TreeRows], devices: Collection[torch.device]) -> None:
        self._offsets = np.cumsum([0, *(len(rows.paths) for rows in trees)])
        self._parts = [_whole(rows, devices) for rows in trees]

    def select(self, rows: IntArray, devices: Collection[torch.device]) -> Attention:
        """See ``Rows``."""
        bounds = np.searchsorted(rows, self._offsets)
        return _ByTree(
            [
                _part(part, rows[first:last] - offset, devices)
                for part, offset, first, last in zip(self._parts, self._offsets, bounds, bounds[1:], strict=False)
                if last > first
            ]
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The rows of one tree that run some layers; the paths on every device that has one of those layers."""

    kv: TreeKv
    num_rows: int
    paths: dict[torch.device, Tensor]
    padding: dict[torch.device, Tensor] | None


def _whole(rows: TreeRows, devices: Collection[torch.device]) -> _Part:
    """All rows of a tree, with their paths uploaded to ``devices``."""
    assert isinstance(rows.kv, TreeKv)
    paths, padding = torch.from_numpy(rows.paths), torch.from_numpy(rows.padding)
    return _Part(
        rows.kv,
        len(rows.paths),
        {device: paths.to(device) for device in devices},
        {device: padding.to(device) for device in devices} if rows.padding.any() else None,
    )


def _part(whole: _Part, rows: IntArray, devices: Collection[torch.device]) -> _Part:
    """``rows`` of a tree, from 0, on ``devices``."""
    if len(rows) == whole.num_rows:
        return whole

    def select(column: dict[torch.device, Tensor]) -> dict[torch.device, Tensor]:
        return {device: column[device][index_of(rows, device)] for device in devices}

    return _Part(whole.kv, len(rows), select(whole.paths), None if whole.padding is None else select(whole.padding))


@dataclass(frozen=True, slots=True, eq=False)
class _ByTree:
    """Each tree's rows to its own prompt and paths. On a CPU a row's bits do not depend on the other rows."""

    parts: list[_Part]

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mixed, begin = [], 0
        for part in self.parts:
            end = begin + part.num_rows
            padding = None if part.padding is None else part.padding[query.device]
            paths = part.paths[query.device]
            mixed.append(
                part.kv.layers[layer].attend(query[begin:end], key[begin:end], value[begin:end], paths, padding)
            )
            begin = end
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)
