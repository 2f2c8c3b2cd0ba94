"""Attention of the rows of all trees by one call a layer, over keys and values in one pool: three kinds.

- ``gathered``: some rows of a tree are a tile; the prompt's keys are gathered once a tile, each row's path once a row.
- ``masked``: every row meets every slot of the pool, and a mask says which are its own. Nothing is gathered; the work
  grows with rows times slots.
- ``flex``: the same by torch's ``flex_attention``, which passes over blocks of slots that no row of a block reads.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from hcl_core.decode.model.attention import Limits, attend_where, soft_cap
from hcl_core.decode.trie.slot_pool import PooledKv, SlotPool, index_of
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.models.attention_kinds import GATHERED, MASKED, TILE_ROWS

# Rows, and slots, of a block that ``flex_attention`` computes or passes over.
_BLOCK = 128


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """The texts of ``n`` rows as slots, on one device: the prompts of ``g`` trees, and the rows' paths.

    Attributes:
        prompts: ``[g, P]``, padded on the left with a prompt's first slot.
        lengths: ``[g]`` tokens of the prompts.
        trees: ``[n]`` the rows' trees.
        paths: ``[n, t]``, padded on the left with the row's own slot.
        padding: ``[n]`` columns of ``paths`` that are padding.
    """

    prompts: Tensor
    lengths: Tensor
    trees: Tensor
    paths: Tensor
    padding: Tensor

    def select(self, rows: slice | Tensor) -> "_Texts":
        """Some of the rows."""
        return _Texts(self.prompts, self.lengths, self.trees[rows], self.paths[rows], self.padding[rows])

    def slots(self) -> Tensor:
        """``[n, P + t]`` of prompts and paths."""
        return torch.cat((self.prompts[self.trees], self.paths), dim=1)

    def visible(self, window: int | None) -> tuple[Tensor, Tensor]:
        """Which columns of the prompt ``[n, P]`` and of the path ``[n, t]`` a row attends to."""
        width, length = self.prompts.shape[1], self.paths.shape[1]
        before = torch.arange(width - 1, -1, -1, device=self.paths.device)  # prompt tokens after each column
        ago = torch.arange(length - 1, -1, -1, device=self.paths.device)  # columns of the path after each
        depths = length - self.padding[:, None]
        of_prompt, of_path = before < self.lengths[self.trees][:, None], ago < depths
        if window is not None:
            of_prompt, of_path = of_prompt & (before + depths < window), of_path & (ago < window)
        return of_prompt, of_path


class PooledRows:
    """Rows of trees that lie in one pool; see ``attending.Rows``.

    Args:
        trees: A tree's part of the pool, its rows' paths ``[n, t]`` of nodes and their padding ``[n]``.
        devices: Where the rows' layers are.
    """

    def __init__(self, trees: Sequence[tuple[PooledKv, IntArray, IntArray]], devices: Collection[torch.device]) -> None:
        self._pool = trees[0][0].pool
        width, length = max(len(kv.prompt) for kv, _, _ in trees), max(paths.shape[1] for _, paths, _ in trees)
        missing = [length - paths.shape[1] for _, paths, _ in trees]
        self._trees = np.repeat(np.arange(len(trees)), [len(paths) for _, paths, _ in trees])
        columns = (
            np.stack([np.pad(kv.prompt, (width - len(kv.prompt), 0), mode="edge") for kv, _, _ in trees]),
            np.array([len(kv.prompt) for kv, _, _ in trees]),
            self._trees,
            np.concatenate(
                [
                    kv.slots(np.concatenate([np.repeat(paths[:, -1:], left, axis=1), paths], axis=1))
                    for (kv, paths, _), left in zip(trees, missing, strict=True)
                ]
            ),
            np.concatenate([padding + left for (_, _, padding), left in zip(trees, missing, strict=True)]),
        )
        self._texts = {
            device: _Texts(*(torch.from_numpy(column).to(device) for column in columns)) for device in devices
        }

    def select(self, rows: IntArray, devices: Collection[torch.device]) -> "PooledAttention":
        """See ``attending.Rows``."""
        texts = {device: self._texts[device].select(index_of(rows, device)) for device in devices}
        return PooledAttention(self._pool, {device: self._kind(each, rows) for device, each in texts.items()})

    def _kind(self, texts: _Texts, rows: IntArray) -> "_Mix":
        if self._pool.kind == GATHERED:
            return _Gathered(texts, self._trees[rows])
        return (_Masked if self._pool.kind == MASKED else _Flex)(texts, self._pool.top)


@dataclass(frozen=True, slots=True, eq=False)
class PooledAttention:
    """One call for the rows of all trees; see ``attending.Attention``."""

    pool: SlotPool
    mixes: "dict[torch.device, _Mix]"

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See ``attending.Attention``."""
        pool, mix = self.pool, self.mixes[query.device]
        pool.store(layer, mix.texts.paths[:, -1], key, value)
        return mix(query, pool.keys[layer], pool.values[layer], pool.limits[layer])


class _Mix(Protocol):
    """Attention of the rows of ``texts`` on one device."""

    texts: _Texts

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor, limits: Limits) -> Tensor:
        """``query [n, heads, head_dim]``; a layer's keys and values, slots first: ``[n, heads * head_dim]``."""


class _Gathered:
    """Tiles of rows of one tree, each with gathered keys: of the prompt, then of the path of each of its rows."""

    def __init__(self, texts: _Texts, trees: IntArray) -> None:
        self.texts, device = texts, texts.paths.device
        rows, place = _tiles(trees)
        self._rows, self._place = (torch.from_numpy(each).to(device) for each in (rows, place))
        of_tile = texts.trees[self._rows[:, 0]]
        self._slots = torch.cat((texts.prompts[of_tile], texts.paths[self._rows].flatten(1)), dim=1)  # [tiles, k]
        self._masks: dict[int | None, Tensor] = {}

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor, limits: Limits) -> Tensor:
        num_heads, head_dim = query.shape[1:]
        (num_tiles, at_once), num_kv_heads = self._rows.shape, keys.shape[1]
        group = num_heads // num_kv_heads
        of_tiles = query[self._rows].view(num_tiles, at_once, num_kv_heads, group, head_dim)
        # A key's query heads stand below each other: it is read once for all of them.
        of_tiles = of_tiles.permute(0, 2, 3, 1, 4).flatten(2, 3)  # [tiles, kv_heads, group * rows, head_dim]
        own_keys, own_values = (
            each.index_select(0, self._slots.flatten()).view(num_tiles, -1, num_kv_heads, head_dim).transpose(1, 2)
            for each in (keys, values)
        )
        mixed = attend_where(of_tiles, own_keys, own_values, self._mask(limits.window, group), limits)
        by_row = mixed.unflatten(2, (group, at_once)).permute(0, 3, 1, 2, 4).reshape(num_tiles * at_once, -1)
        return by_row[self._place]

    def _mask(self, window: int | None, group: int) -> Tensor:
        """``[tiles, 1, group * rows, k]``."""
        if window not in self._masks:
            of_prompt, of_path = (each[self._rows] for each in self.texts.visible(window))  # [tiles, rows, P or t]
            own = torch.eye(of_path.shape[1], dtype=torch.bool, device=of_path.device)
            of_paths = (own[:, :, None] & of_path[:, :, None, :]).flatten(2)
            self._masks[window] = torch.cat((of_prompt, of_paths), dim=2).repeat(1, group, 1)[:, None]
        return self._masks[window]


def _tiles(trees: IntArray) -> tuple[IntArray, IntArray]:
    """Rows ``[tiles, r]`` of each tile, a tree's last one repeated where it lacks some, and each row's place ``[n]``.

    Args:
        trees: ``[n]`` of the rows, ascending.
    """
    _, first, counts = np.unique(trees, return_index=True, return_counts=True)
    at_once = min(TILE_ROWS, len(trees) // len(counts))  # so that fewer rows are repeated than there are
    num_tiles = -(-counts // at_once)
    tile_of_tree = np.arange(num_tiles.sum()) - np.repeat(np.cumsum(num_tiles) - num_tiles, num_tiles)
    of_tree = tile_of_tree[:, None] * at_once + np.arange(at_once)
    last = np.repeat(counts - 1, num_tiles)[:, None]
    rows = np.repeat(first, num_tiles)[:, None] + np.minimum(of_tree, last)
    return rows, np.flatnonzero(of_tree <= last)


class _Masked:
    """All slots of the pool for each row, by torch's own kernel."""

    def __init__(self, texts: _Texts, num_slots: int) -> None:
        self.texts, self._num_slots = texts, num_slots
        self._masks: dict[int | None, Tensor] = {}

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor, limits: Limits) -> Tensor:
        num_kv_heads, group = keys.shape[1], query.shape[1] // keys.shape[1]
        by_head = query.unflatten(1, (num_kv_heads, group)).permute(1, 2, 0, 3)  # [kv_heads, group, n, head_dim]
        all_keys, all_values = (
            each[: self._num_slots].transpose(0, 1)[:, None].expand(-1, group, -1, -1) for each in (keys, values)
        )
        mixed = attend_where(by_head, all_keys, all_values, self._mask(limits.window)[None, None], limits)
        return mixed.permute(2, 0, 1, 3).flatten(1)

    def _mask(self, window: int | None) -> Tensor:
        """``[n, slots]``."""
        if window not in self._masks:
            visible, own = torch.cat(self.texts.visible(window), dim=1), self.texts.paths[:, -1:]
            slots = torch.where(visible, self.texts.slots(), own)
            mask = torch.zeros(len(slots), self._num_slots, dtype=torch.bool, device=slots.device)
            self._masks[window] = mask.scatter_(1, slots, True)
        return self._masks[window]


class _Flex:
    """The slots of the blocks that a row of a block reads. A slot is a row's own if it stands at its place in the text.

    Places count from the left of the padded prompts, so that a path begins at the same place in all trees.
    """

    def __init__(self, texts: _Texts, num_slots: int) -> None:
        self.texts, self._num_slots, device = texts, num_slots, texts.paths.device
        self._slots = texts.slots()
        num_rows, width = self._slots.shape
        self._prompt_width, columns = texts.prompts.shape[1], torch.arange(width, device=device)
        self._own_place = width - 1 - texts.padding  # [n]
        # Columns that are padding hold a slot that stands elsewhere too.
        of_prompt = torch.maximum(columns, self._prompt_width - texts.lengths[texts.trees][:, None])
        of_path = columns - texts.padding[:, None]
        of_path = torch.where(of_path < self._prompt_width, self._own_place[:, None], of_path)
        places = torch.where(columns < self._prompt_width, of_prompt, of_path)
        self._places = torch.zeros(num_slots, dtype=torch.long, device=device)
        self._places.scatter_(0, self._slots.flatten(), places.flatten())
        blocks = torch.zeros(-(-num_rows // _BLOCK), -(-num_slots // _BLOCK), dtype=torch.int32, device=device)
        row_blocks = torch.arange(num_rows, device=device)[:, None] // _BLOCK
        blocks.view(-1).scatter_(0, (row_blocks * blocks.shape[1] + self._slots // _BLOCK).flatten(), 1)
        self._counts = blocks.sum(1, dtype=torch.int32)
        self._blocks = blocks.argsort(dim=1, descending=True, stable=True).int()
        self._masks: dict[int | None, BlockMask] = {}

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor, limits: Limits) -> Tensor:
        shared = (each[: self._num_slots].transpose(0, 1)[None] for each in (keys, values))
        mixed = _flex_attention(query.is_cuda)(
            query.transpose(0, 1)[None],
            *shared,
            score_mod=_capping(limits.soft_cap),
            block_mask=self._mask(limits.window),
            enable_gqa=True,
        )
        return mixed[0].transpose(0, 1).flatten(1)

    def _mask(self, window: int | None) -> BlockMask:
        if window not in self._masks:
            self._masks[window] = BlockMask.from_kv_blocks(
                self._counts[None, None],
                self._blocks[None, None],
                BLOCK_SIZE=_BLOCK,
                mask_mod=self._is_visible(window),
                seq_lengths=(len(self._slots), self._num_slots),
                compute_q_blocks=False,
            )
        return self._masks[window]

    def _is_visible(self, window: int | None) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        slots, places, own_place, padding = self._slots, self._places, self._own_place, self.texts.padding
        prompt_width, last = self._prompt_width, self._slots.shape[1] - 1
        reach = last + 1 if window is None else window

        def is_visible(batch: Tensor, head: Tensor, row: Tensor, slot: Tensor) -> Tensor:
            place = places[slot]
            column = torch.where(place < prompt_width, place, place + padding[row]).clamp(max=last)
            return (slots[row, column] == slot) & (own_place[row] - place < reach)

        return is_visible


def _capping(cap: float | None) -> Callable[..., Tensor] | None:
    if cap is None:
        return None

    def capped(score: Tensor, batch: Tensor, head: Tensor, row: Tensor, slot: Tensor) -> Tensor:
        return soft_cap(score, cap)

    return capped


@cache
def _flex_attention(compiles: bool) -> Callable[..., Any]:
    """Only compiled code passes over blocks; else all scores are in memory, which serves tests on a CPU."""
    flex: Any = flex_attention
    return torch.compile(flex, dynamic=True) if compiles else flex
