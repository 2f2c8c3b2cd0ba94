"""Keys and values of all trees in one pool a layer, so that one call of attention a layer serves the rows of all trees.

A token, of a prompt or of a path, has one slot: the same number in every layer. What is said of tokens by their slots
(who attends to whom) then holds for all layers.
"""

import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.models.attention_kinds import BY_TREE, GATHERED, AttentionKind


def grown_capacity(capacity: int, needed: int, reserved: int) -> int:
    """What a full store of rows grows to: by half, but not beyond what is reserved unless more is needed."""
    return max(needed, min(max(needed, capacity) * 3 // 2, reserved))


def index_of(rows: IntArray, device: torch.device) -> slice | Tensor:
    """``rows``, ascending, as an index: the first ones as a slice, which needs no upload, others as numbers ``[k]``."""
    return slice(len(rows)) if rows[-1] < len(rows) else torch.from_numpy(rows).to(device)


class SlotPool:
    """Slots of a layer's keys and values, for all layers of a model.

    It grows by half when it is full, but not beyond what is reserved, and gives its memory back when nobody has a slot.

    Attributes:
        kind: What reads it.
        limits: Of each layer's attention.
        slot_bytes: Bytes of a slot in all layers.
        keys: ``[capacity, kv_heads, head_dim]`` of each layer. Slots that nobody has hold finite numbers.
        values: Like ``keys``.

    Args:
        lm: The model.
    """

    def __init__(self, lm: CausalLM) -> None:
        self.kind: AttentionKind = lm.attention
        self.limits, self.scores_in_memory = lm.limits, lm.scores_in_memory
        self._devices, self._is_cuda = lm.layer_devices, lm.layer_devices[0].type == "cuda"
        self._row, self._dtype = (lm.num_key_value_heads, lm.head_dim), lm.dtype
        self.slot_bytes = 2 * lm.num_hidden_layers * self._row[0] * self._row[1] * lm.dtype.itemsize
        self._holders: weakref.WeakSet[Slots] = weakref.WeakSet()
        self._is_taken, self._top = np.zeros(0, dtype=bool), 0
        self.keys, self.values = self._no_rows(), self._no_rows()

    @property
    def capacity(self) -> int:
        """Slots that are allocated."""
        return len(self._is_taken)

    @property
    def num_taken(self) -> int:
        """Slots that somebody has."""
        return int(np.count_nonzero(self._is_taken))

    @property
    def top(self) -> int:
        """No slot from this number on was taken since the pool was empty."""
        return self._top

    def store(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> None:
        """Keep ``key`` and ``value [n, kv_heads, head_dim]`` of a layer in ``slots [n]``.

        ``GATHERED`` reads a tree's own slots. The others read all and weigh what is not theirs by zero, which is zero
        for finite numbers only.
        """
        for of_layer, rows in ((self.keys[layer], key), (self.values[layer], value)):
            of_layer.index_copy_(0, slots, rows if self.kind == GATHERED else rows.nan_to_num())

    def take(self, count: int) -> IntArray:
        """``count`` slots that nobody has, ascending."""
        needed = self.num_taken + count
        if needed > self.capacity:
            self._grow_to(grown_capacity(self.capacity, needed, self._reserved()))
        slots = np.flatnonzero(~self._is_taken)[:count]
        self._is_taken[slots] = True
        self._top = max(self._top, int(slots[-1]) + 1 if count else 0)
        return slots

    def give_back(self, taken: Sequence[IntArray]) -> None:
        """Free slots."""
        for slots in taken:
            self._is_taken[slots] = False
        if taken and not self._is_taken.any():
            self._drop()

    def join(self, holder: "Slots") -> None:
        """Heed what ``holder`` reserves for as long as it lives."""
        self._holders.add(holder)

    def allocate(self) -> None:
        """On a GPU, allocate all that is reserved; see ``GrowingRows.reserve_for``."""
        if self._is_cuda:
            self._grow_to(self._reserved())

    def _reserved(self) -> int:
        return sum(max(len(holder), holder.reserved) for holder in self._holders)

    def _grow_to(self, capacity: int) -> None:
        if capacity <= self.capacity:
            return
        self._is_taken = np.concatenate([self._is_taken, np.zeros(capacity - self.capacity, dtype=bool)])
        for tensors in (self.keys, self.values):
            for layer, rows in enumerate(tensors):
                tensors[layer] = rows.new_zeros(capacity, *self._row)
                tensors[layer][: len(rows)] = rows

    def _drop(self) -> None:
        self._is_taken, self._top = np.zeros(0, dtype=bool), 0
        self.keys, self.values = self._no_rows(), self._no_rows()

    def _no_rows(self) -> list[Tensor]:
        return [torch.empty(0, *self._row, dtype=self._dtype, device=device) for device in self._devices]


def new_pool(lm: LanguageModel) -> SlotPool | None:
    """A pool for a model whose attention reads one, else ``None``."""
    return SlotPool(lm) if isinstance(lm, CausalLM) and lm.attention != BY_TREE else None


class Slots:
    """Slots of one prompt, or of the nodes of one tree; free again when this is cleared or dropped.

    Attributes:
        pool: Whose slots they are.
        reserved: How many there may come to be.

    Args:
        pool: See above.
        count: Taken at once.
    """

    def __init__(self, pool: SlotPool, count: int = 0) -> None:
        self.pool, self.reserved = pool, count
        self._taken: list[IntArray] = []
        pool.join(self)
        self.take(count)
        weakref.finalize(self, pool.give_back, self._taken).atexit = False

    def __len__(self) -> int:
        return sum(map(len, self._taken))

    @property
    def numbers(self) -> IntArray:
        """The slots, in the order in which they were taken."""
        return np.concatenate(self._taken)

    def reserve_for(self, num_more: int) -> None:
        """Prepare for at most ``num_more`` further slots."""
        self.reserved = len(self) + num_more
        self.pool.allocate()

    def take(self, count: int) -> IntArray:
        """``count`` further slots."""
        self._taken.append(self.pool.take(count))
        return self._taken[-1]

    def clear(self) -> None:
        """Free all."""
        self.pool.give_back(self._taken)
        self._taken.clear()
        self.reserved = 0


class PooledKv:
    """One tree's part of a pool: ``kv_pool.TreeKv`` for keys and values that lie in a pool.

    Attributes:
        pool: The pool.
        prompt: Slots ``[P]`` of the prompt.

    Args:
        prompt: Slots of the prompt.
    """

    def __init__(self, prompt: Slots) -> None:
        self.pool, self.prompt = prompt.pool, prompt.numbers
        self._nodes = Slots(self.pool)
        self._slots_by_node: IntArray = np.full(256, -1, dtype=np.int64)

    @property
    def num_bytes(self) -> int:
        """Bytes in use for nodes."""
        return len(self._nodes) * self.pool.slot_bytes + self._slots_by_node.nbytes

    def clear(self) -> None:
        """Drop all nodes."""
        self._nodes.clear()
        self._slots_by_node[:] = -1

    def reserve_for(self, exit_layers: IntArray, num_nodes: int) -> None:
        """Prepare for samples at ``exit_layers [s]``, each of at most ``num_nodes`` nodes."""
        self._nodes.reserve_for(num_nodes * len(exit_layers))

    def place(self, nodes: IntArray, num_nodes: int) -> None:
        """Give ``nodes [n]``, of ``num_nodes`` that there are, slots where they have none."""
        known = self._slots_by_node
        if num_nodes > len(known):
            self._slots_by_node = known = np.concatenate([known, np.full(num_nodes, -1, dtype=np.int64)])
        missing = nodes[known[nodes] < 0]
        if len(missing):
            known[missing] = self._nodes.take(len(missing))

    def slots(self, paths: IntArray) -> IntArray:
        """Slots of the nodes of ``paths``, in their shape."""
        return self._slots_by_node[paths]
