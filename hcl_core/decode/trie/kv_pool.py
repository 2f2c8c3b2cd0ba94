"""Keys, values and hidden states of trie nodes: stored once a node, gathered by index along a path."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hcl_core.decode.model.attention import softmax
from hcl_core.decode.trie.prompt_cache import PromptKv
from hcl_core.decode.trie.slot_pool import grown_capacity
from hcl_core.decode.trie.token_trie import IntArray


class GrowingRows:
    """Rows appended to one tensor, which grows by half when it is full, but not beyond the reserved number of rows.

    Rows beyond the reserved number are stored too; the tensor then grows to exactly what is needed.
    """

    def __init__(self, width: int, dtype: torch.dtype, device: torch.device) -> None:
        self._rows = torch.empty(0, width, dtype=dtype, device=device)
        self._used = self._reserved = 0

    @property
    def num_bytes(self) -> int:
        """Bytes in use; spare capacity was budgeted when it was reserved."""
        return self._used * self._rows.shape[1] * self._rows.element_size()

    @property
    def capacity_bytes(self) -> int:
        """Bytes allocated, spare rows among them."""
        return self._rows.untyped_storage().nbytes()

    def __len__(self) -> int:
        return self._used

    def clear(self) -> None:
        """Drop all rows and free their memory."""
        self._rows, self._used = self._rows[:0].clone(), 0

    def reserve_for(self, num_more: int) -> None:
        """Prepare for at most ``num_more`` further rows; on a GPU, allocate them now.

        A CPU gives memory page by page as it is written, so there the tensor grows as it fills. On a GPU, growing
        during a step would wait for the device.
        """
        self._reserved = self._used + num_more
        if self._rows.device.type == "cuda":
            self._grow_to(self._reserved)

    def append(self, rows: Tensor) -> int:
        """Store ``[n, width]`` and return the number of its first row."""
        start, needed = self._used, self._used + rows.shape[0]
        if needed > len(self._rows):
            self._grow_to(grown_capacity(len(self._rows), needed, self._reserved))
        self._rows[start:needed] = rows
        self._used = needed
        return start

    def _grow_to(self, capacity: int) -> None:
        if capacity > len(self._rows):
            grown = self._rows.new_empty(capacity, self._rows.shape[1])
            grown[: self._used] = self._rows[: self._used]
            self._rows = grown

    def gather(self, index: Tensor) -> Tensor:
        """Rows ``index [k]``: ``[k, width]``."""
        return self._rows.index_select(0, index)


class LayerKv:
    """One layer's keys and values of the trie nodes that reached the layer.

    Args:
        prompt: The layer's keys and values of the prompt, which every node attends to.
    """

    def __init__(self, prompt: PromptKv) -> None:
        self._prompt = prompt
        self._num_kv_heads, self._head_dim, _ = prompt.keys.shape
        width, device = self._num_kv_heads * self._head_dim, prompt.keys.device
        self.keys = GrowingRows(width, prompt.keys.dtype, device)
        self.values = GrowingRows(width, prompt.keys.dtype, device)
        self._rows_by_node = torch.zeros(256, dtype=torch.long, device=device)

    @property
    def num_bytes(self) -> int:
        """Bytes in use for nodes."""
        return self.keys.num_bytes + self.values.num_bytes + self._rows_by_node.numel() * 8

    def clear(self) -> None:
        """Drop all nodes."""
        self.keys.clear()
        self.values.clear()

    def grow_index(self, num_nodes: int) -> None:
        """Allow node numbers below ``num_nodes``."""
        if num_nodes > len(self._rows_by_node):
            self._rows_by_node = torch.cat([self._rows_by_node, self._rows_by_node.new_zeros(num_nodes)])

    def reserve_for(self, num_more: int) -> None:
        """Prepare for at most ``num_more`` further nodes."""
        self.keys.reserve_for(num_more)
        self.values.reserve_for(num_more)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, paths: Tensor, padding: Tensor | None = None) -> Tensor:
        """Store new nodes' keys and values; attend to the prompt and to each node's own path.

        Args:
            query: ``[n, heads, head_dim]``; ``key`` and ``value``: ``[n, kv_heads, head_dim]``.
            key: See ``query``.
            value: See ``query``.
            paths: ``[n, t]`` trie nodes from the first token to the new node itself.
            padding: ``[n]`` columns on the left of each path to leave out; ``None``: none.

        Returns:
            ``[n, heads * head_dim]``.
        """
        start = self.keys.append(key.flatten(1))
        self.values.append(value.flatten(1))
        new_rows = torch.arange(start, start + len(paths), device=paths.device)
        rows = self._rows_by_node.index_copy_(0, paths[:, -1], new_rows).index_select(0, paths.flatten())
        by_path = (*paths.shape, self._num_kv_heads, self._head_dim)  # [n, t, kv_heads, head_dim]
        path_keys, path_values = (
            self.keys.gather(rows).view(by_path),
            self.values.gather(rows).view(by_path),
        )
        # [n, kv_heads, group, head_dim]
        grouped = (query * self._head_dim**-0.5).unflatten(1, (self._num_kv_heads, -1))
        on_prompt = self._prompt.scores(grouped)  # [n, kv_heads, group, P]
        # Keys on the left: their rows are aligned for every node, so a result does not depend on the batch.
        on_path = path_keys.transpose(1, 2) @ grouped.transpose(2, 3)  # [n, kv_heads, t, group]
        on_path = on_path.transpose(2, 3)  # [n, kv_heads, group, t]
        limits = self._prompt.limits
        on_prompt, on_path = limits.cap(on_prompt), limits.cap(on_path)
        if padding is not None:
            columns = torch.arange(paths.shape[1], device=paths.device)
            on_path = on_path.masked_fill((columns < padding[:, None])[:, None, None], -torch.inf)
        scores = torch.cat((on_prompt, on_path), dim=-1)
        if not limits.reach(scores.shape[-1]):
            scores.masked_fill_(self._outside_window(paths.shape[1], padding)[:, None, None], -torch.inf)
        weights = softmax(scores)
        prompt_weights, path_weights = weights.split((on_prompt.shape[-1], paths.shape[1]), dim=-1)
        return self._prompt.mix(prompt_weights) + (path_weights @ path_values.transpose(1, 2)).flatten(1)

    def _outside_window(self, length: int, padding: Tensor | None) -> Tensor:
        """``[n or 1, P + t]``: which tokens of prompt and paths of ``t`` columns are too far back for a node."""
        columns = torch.arange(-self._prompt.keys.shape[-1], length, device=self._prompt.keys.device)
        distances = (length - 1 - columns)[None]
        if padding is not None:  # columns that stand between the prompt and the path
            distances = distances - torch.where(columns < 0, padding[:, None], 0)
        assert self._prompt.limits.window is not None
        return distances >= self._prompt.limits.window


class TreeKv:
    """A tree's own keys and values.

    Attributes:
        layers: An entry a decoder block; none where the reference engine keeps them.

    Args:
        prompt: An entry a decoder block.
    """

    def __init__(self, prompt: Sequence[PromptKv]) -> None:
        self.layers = [LayerKv(kv) for kv in prompt]

    @property
    def num_bytes(self) -> int:
        """Bytes in use for nodes."""
        return sum(kv.num_bytes for kv in self.layers)

    def clear(self) -> None:
        """Drop all nodes."""
        for kv in self.layers:
            kv.clear()

    def reserve_for(self, exit_layers: IntArray, num_nodes: int) -> None:
        """Prepare for samples at ``exit_layers [s]``, each of at most ``num_nodes`` nodes."""
        for layer, kv in enumerate(self.layers):
            kv.reserve_for(num_nodes * int((exit_layers > layer).sum()))

    def place(self, nodes: IntArray, num_nodes: int) -> None:
        """Prepare for ``nodes [n]``, of ``num_nodes`` that there are."""
        for kv in self.layers:
            kv.grow_index(num_nodes)
