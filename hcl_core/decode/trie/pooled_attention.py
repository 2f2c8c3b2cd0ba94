"""Attention of the rows of all trees by one call a layer, over keys and values in one pool: three kinds.

- ``gathered``: see ``gathered_attention``.
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
from hcl_core.decode.trie.gathered_attention import Tiles
from hcl_core.decode.trie.pooled_texts import Texts
from hcl_core.decode.trie.slot_pool import PooledKv, SlotPool, index_of
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.models.attention_kinds import GATHERED, MASKED

# Rows, and slots, of a block that ``flex_attention`` computes or passes over.
_BLOCK = 128


class PooledRows:
    """Rows of trees that lie in one pool; see ``attending.Rows``.

    Args:
        trees: A tree's part of the pool, its rows' paths ``[n, t]`` of nodes and their padding ``[n]``.
        layers: Of the rows of all trees: equal numbers where they run the same layers.
        devices: Where the rows' layers are.
    """

    def __init__(
        self,
        trees: Sequence[tuple[PooledKv, IntArray, IntArray]],
        layers: IntArray,
        devices: Collection[torch.device],
    ) -> None:
        self._pool = trees[0][0].pool
        width, length = max(len(kv.prompt) for kv, _, _ in trees), max(paths.shape[1] for _, paths, _ in trees)
        missing = [length - paths.shape[1] for _, paths, _ in trees]
        tree_of_row = np.repeat(np.arange(len(trees)), [len(paths) for _, paths, _ in trees])
        columns = (
            np.stack([np.pad(kv.prompt, (width - len(kv.prompt), 0), mode="edge") for kv, _, _ in trees]),
            np.array([len(kv.prompt) for kv, _, _ in trees]),
            tree_of_row,
            np.concatenate(
                [
                    kv.slots(np.concatenate([np.repeat(paths[:, -1:], left, axis=1), paths], axis=1))
                    for (kv, paths, _), left in zip(trees, missing, strict=True)
                ]
            ),
            np.concatenate([padding + left for (_, _, padding), left in zip(trees, missing, strict=True)]),
        )
        self._texts = {
            device: Texts(*(torch.from_numpy(column).to(device) for column in columns)) for device in devices
        }
        if self._pool.kind == GATHERED:
            parts = np.diff([tree_of_row, layers], prepend=0).any(axis=0).cumsum()
            self._tiles = {device: Tiles(texts, parts) for device, texts in self._texts.items()}

    def select(self, rows: IntArray, devices: Collection[torch.device]) -> "PooledAttention":
        """See ``attending.Rows``."""
        return PooledAttention(self._pool, {device: self._mix(device, rows) for device in devices})

    def _mix(self, device: torch.device, rows: IntArray) -> "_Mix":
        if self._pool.kind == GATHERED:
            return self._tiles[device].select(rows)
        texts = self._texts[device].select(index_of(rows, device))
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

    texts: Texts

    def __call__(self, query: Tensor, keys: Tensor, values: Tensor, limits: Limits) -> Tensor:
        """``query [n, heads, head_dim]``; a layer's keys and values, slots first: ``[n, heads * head_dim]``."""


class _Masked:
    """All slots of the pool for each row, by torch's own kernel."""

    def __init__(self, texts: Texts, num_slots: int) -> None:
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

    def __init__(self, texts: Texts, num_slots: int) -> None:
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
