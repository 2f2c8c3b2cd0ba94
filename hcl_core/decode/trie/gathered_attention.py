"""Attention over a pool by gathered keys. Some rows of a tree are a tile: prompts once a tile, paths once a row."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.model.attention import Limits, attend_where
from hcl_core.decode.trie.pooled_texts import Texts
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.models.attention_kinds import TILE_ROWS


class Tiles:
    """Tiles of all rows, made once: those of a tile run the same layers, so that a segment of layers has whole tiles.

    A row that stopped before the others of its tile would leave them slots that nobody has written in their layers.

    Args:
        texts: Of all rows.
        parts: ``[n]`` of the rows, ascending: equal for rows of one tree that run the same layers.
    """

    def __init__(self, texts: Texts, parts: IntArray) -> None:
        self._texts, self._device = texts, texts.paths.device
        self._rows, self._is_own = _tiles(parts)
        place, of_tiles = self._upload(np.flatnonzero(self._is_own), self._rows.flatten())
        self._place, self._rows_there = place, of_tiles.view(self._rows.shape)
        of_tile = texts.trees[self._rows_there[:, 0]]
        self._slots = torch.cat((texts.prompts[of_tile], texts.paths[self._rows_there].flatten(1)), dim=1)  # [tiles, k]
        self._masks: dict[int | None, Tensor] = {}

    def select(self, rows: IntArray) -> "Gathered":
        """The tiles of ``rows``, ascending: all rows of a part, or none."""
        number = np.full(len(self._texts.trees), -1)
        number[rows] = np.arange(len(rows))
        tiles = np.flatnonzero(number[self._rows[:, 0]] >= 0)
        own: slice | Tensor = slice(len(rows))
        which: slice | Tensor = slice(len(tiles))
        if rows[-1] < len(rows):  # the first ones: they keep their numbers, and nothing is uploaded
            place, of_tiles = self._place[own], self._rows_there[which]
        else:
            places, numbers = np.flatnonzero(self._is_own[tiles]), number[self._rows[tiles]]
            own, which, place, of_tiles = self._upload(rows, tiles, places, numbers.flatten())
            of_tiles = of_tiles.view(numbers.shape)
        masks = cache(lambda window, group: self._mask(window, group)[which])
        return Gathered(self._texts.select(own), of_tiles, place, self._slots[which], masks)

    def _upload(self, *columns: IntArray) -> tuple[Tensor, ...]:
        """All by one transfer."""
        return torch.from_numpy(np.concatenate(columns)).to(self._device).split([len(column) for column in columns])

    def _mask(self, window: int | None, group: int) -> Tensor:
        """``[tiles, 1, group * rows, k]``."""
        if window not in self._masks:
            of_prompt, of_path = (each[self._rows_there] for each in self._texts.visible(window))
            own = torch.eye(of_path.shape[1], dtype=torch.bool, device=self._device)
            of_paths = (own[:, :, None] & of_path[:, :, None, :]).flatten(2)
            self._masks[window] = torch.cat((of_prompt, of_paths), dim=2).repeat(1, group, 1)[:, None]
        return self._masks[window]


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Tiles, each with gathered keys: of the prompt, then of the path of each of its rows.

    Attributes:
        texts: Of the rows.
        rows: ``[tiles, r]`` of each tile.
        place: ``[n]`` of each row in ``rows``.
        slots: ``[tiles, k]``.
        mask: By window and query heads of a key: ``[tiles, 1, group * r, k]``.
    """

    texts: Texts
    rows: Tensor
    place: Tensor
    slots: Tensor
    mask: Callable[[int | None, int], Tensor]

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor, limits: Limits) -> Tensor:
        """``query [n, heads, head_dim]``; a layer's keys and values, slots first: ``[n, heads * head_dim]``."""
        num_heads, head_dim = query.shape[1:]
        (num_tiles, at_once), num_kv_heads = self.rows.shape, keys.shape[1]
        group = num_heads // num_kv_heads
        of_tiles = query[self.rows].view(num_tiles, at_once, num_kv_heads, group, head_dim)
        # A key's query heads stand below each other: it is read once for all of them.
        of_tiles = of_tiles.permute(0, 2, 3, 1, 4).flatten(2, 3)  # [tiles, kv_heads, group * rows, head_dim]
        own_keys, own_values = (
            each.index_select(0, self.slots.flatten()).view(num_tiles, -1, num_kv_heads, head_dim).transpose(1, 2)
            for each in (keys, values)
        )
        mixed = attend_where(of_tiles, own_keys, own_values, self.mask(limits.window, group), limits)
        by_row = mixed.unflatten(2, (group, at_once)).permute(0, 3, 1, 2, 4).reshape(num_tiles * at_once, -1)
        return by_row[self.place]


def _tiles(parts: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
    """Rows ``[tiles, r]`` of each tile, a part's last one repeated where it lacks some, and which are not repeated.

    Args:
        parts: ``[n]`` of the rows, ascending. No tile has rows of two.
    """
    _, first, counts = np.unique(parts, return_index=True, return_counts=True)
    at_once = min(TILE_ROWS, len(parts) // len(counts))  # so that fewer rows are repeated than there are
    num_tiles = -(-counts // at_once)
    tile_of_part = np.arange(num_tiles.sum()) - np.repeat(np.cumsum(num_tiles) - num_tiles, num_tiles)
    of_part = tile_of_part[:, None] * at_once + np.arange(at_once)
    last = np.repeat(counts - 1, num_tiles)[:, None]
    rows = np.repeat(first, num_tiles)[:, None] + np.minimum(of_part, last)
    return rows, of_part <= last
