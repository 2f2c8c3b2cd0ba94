"""Keys and values: the prompt's once, each trie node's once, gathered by index along a path."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.linear import MIN_ROWS


class GrowingRows:
    """Rows appended to one tensor that grows by half, never past what is expected unless it must."""

    def __init__(self, width: int, dtype: torch.dtype, device: torch.device) -> None:
        self._rows = torch.empty(0, width, dtype=dtype, device=device)
        self._used = self._limit = 0

    @property
    def num_bytes(self) -> int:
        """Bytes of the rows; spare ones hold what ``expect`` was told of, and were planned for then."""
        return self._used * self._rows.shape[1] * self._rows.element_size()

    def __len__(self) -> int:
        return self._used

    def clear(self) -> None:
        """Forget all rows and free their memory."""
        self._rows, self._used = self._rows[:0].clone(), 0

    def expect(self, num_more: int) -> None:
        """At most ``num_more`` rows are to come. On a GPU there is room for them all from now on.

        A CPU gives pages as they are written to, so there a pool grows as it fills; on a GPU, growing in the
        midst of a step would wait for the device.
        """
        self._limit = self._used + num_more
        if self._rows.device.type == "cuda":
            self._make_room(self._limit)

    def append(self, rows: Tensor) -> int:
        """Store ``[n, width]`` and return the number of its first row."""
        start, needed = self._used, self._used + rows.shape[0]
        if needed > len(self._rows):
            self._make_room(max(needed, min(max(needed, len(self._rows)) * 3 // 2, self._limit)))
        self._rows[start:needed] = rows
        self._used = needed
        return start

    def _make_room(self, capacity: int) -> None:
        if capacity > len(self._rows):
            grown = self._rows.new_empty(capacity, self._rows.shape[1])
            grown[: self._used] = self._rows[: self._used]
            self._rows = grown

    def gather(self, index: Tensor) -> Tensor:
        """Rows ``index [k]``: ``[k, width]``."""
        return self._rows.index_select(0, index)


class LayerKv:
    """One layer's keys and values: of the prompt, and of the nodes that reached the layer.

    Args:
        num_kv_heads: Key/value heads.
        head_dim: Width of a head.
        dtype: Of the model.
        device: Of the layer.
    """

    def __init__(self, num_kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> None:
        self._num_kv_heads, self._head_dim = num_kv_heads, head_dim
        width = num_kv_heads * head_dim
        self.keys, self.values = GrowingRows(width, dtype, device), GrowingRows(width, dtype, device)
        self._slots = torch.zeros(256, dtype=torch.long, device=device)  # row of each trie node
        self._prompt_keys = self._prompt_values = torch.empty(0)

    @property
    def num_bytes(self) -> int:
        """Bytes held for nodes."""
        return self.keys.num_bytes + self.values.num_bytes + self._slots.numel() * 8

    def prefill(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Store the prompt's keys and values and attend causally within it.

        Args:
            query: ``[P, heads, head_dim]``; ``key`` and ``value``: ``[P, kv_heads, head_dim]``.
            key: See ``query``.
            value: See ``query``.

        Returns:
            ``[P, heads * head_dim]``.
        """
        self._prompt_keys = key.permute(1, 2, 0).contiguous()  # [kv_heads, head_dim, P]
        self._prompt_values = value.transpose(0, 1).contiguous()  # [kv_heads, P, head_dim]
        by_head = [heads.transpose(0, 1)[None] for heads in (query, key, value)]
        mixed = F.scaled_dot_product_attention(by_head[0], by_head[1], by_head[2], is_causal=True, enable_gqa=True)
        return mixed[0].transpose(0, 1).flatten(1)

    def clear(self) -> None:
        """Forget all nodes; the prompt stays."""
        self.keys.clear()
        self.values.clear()

    def reserve(self, num_nodes: int) -> None:
        """Make room in the index for nodes below ``num_nodes``."""
        if num_nodes > len(self._slots):
            self._slots = torch.cat([self._slots, self._slots.new_zeros(num_nodes)])

    def expect(self, num_more: int) -> None:
        """At most ``num_more`` further nodes are to come."""
        self.keys.expect(num_more)
        self.values.expect(num_more)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, paths: Tensor, padding: Tensor | None = None) -> Tensor:
        """Store new nodes' keys and values; attend to the prompt and to each node's own path.

        Args:
            query: ``[n, heads, head_dim]``; ``key`` and ``value``: ``[n, kv_heads, head_dim]``.
            key: See ``query``.
            value: See ``query``.
            paths: ``[n, t]`` trie nodes from the first token down to the new node itself.
            padding: ``[n]`` how many columns on the left of each path stand for nothing; ``None``: none.

        Returns:
            ``[n, heads * head_dim]``.
        """
        start = self.keys.append(key.flatten(1))
        self.values.append(value.flatten(1))
        self._slots[paths[:, -1]] = torch.arange(start, start + len(paths), device=paths.device)
        slots = self._slots[paths].flatten()
        by_path = (*paths.shape, self._num_kv_heads, self._head_dim)  # [n, t, kv_heads, head_dim]
        path_keys, path_values = (
            self.keys.gather(slots).view(by_path),
            self.values.gather(slots).view(by_path),
        )
        on_prompt = self._prompt_scores(query)  # [n, kv_heads, group, P]
        # Keys on the left: their rows are aligned whatever the node, so the same bits whatever the batch.
        on_path = path_keys.transpose(1, 2) @ self._grouped(query).transpose(2, 3)  # [n, kv_heads, t, group]
        on_path = on_path.transpose(2, 3)  # [n, kv_heads, group, t]
        if padding is not None:
            columns = torch.arange(paths.shape[1], device=paths.device)
            on_path = on_path.masked_fill((columns < padding[:, None])[:, None, None], -torch.inf)
        weights = _softmax(torch.cat((on_prompt, on_path), dim=-1))
        prompt_weights, path_weights = weights.split((on_prompt.shape[-1], paths.shape[1]), dim=-1)
        return self._prompt_mix(prompt_weights) + (path_weights @ path_values.transpose(1, 2)).flatten(1)

    def _grouped(self, query: Tensor) -> Tensor:
        """``[n, heads, head_dim]`` to scaled ``[n, kv_heads, group, head_dim]``."""
        return (query * self._head_dim**-0.5).unflatten(1, (self._num_kv_heads, -1))

    def _prompt_scores(self, query: Tensor) -> Tensor:
        """``[n, heads, head_dim]`` against the prompt's keys: ``[n, kv_heads, group, P]``."""
        return _by_kv_head(self._grouped(query), self._prompt_keys)

    def _prompt_mix(self, weights: Tensor) -> Tensor:
        """``[n, kv_heads, group, P]`` over the prompt's values: ``[n, heads * head_dim]``."""
        return _by_kv_head(weights, self._prompt_values).flatten(1)


def empty_layers(lm: CausalLM) -> list[LayerKv]:
    """Room for the keys and values of one prompt, a layer each."""
    return [LayerKv(lm.num_key_value_heads, lm.head_dim, lm.dtype, device) for device in lm.layer_devices]


def prefill(lm: CausalLM, layers: list[LayerKv], prompt_token_ids: list[int]) -> Tensor:
    """Run the prompt, storing its keys and values; its last token's states ``[num_hidden_layers, hidden_size]``."""
    hidden = lm.embed(torch.tensor(prompt_token_ids))  # [P, hidden_size]
    rotary = lm.rotary(torch.arange(len(prompt_token_ids)))
    last_token = []
    for layer, kv in enumerate(layers):
        hidden = lm.block(layer, hidden.to(lm.layer_devices[layer]), rotary, kv.prefill)
        last_token.append(hidden[-1:].to(lm.readout_device))
    return torch.cat(last_token)


def _by_kv_head(left: Tensor, right: Tensor) -> Tensor:
    """``[n, kv_heads, group, a] @ [kv_heads, a, b]`` as one matrix product a head: ``[n, kv_heads, group, b]``."""
    num_rows, num_kv_heads, group, _ = left.shape
    rows = left.transpose(0, 1).reshape(num_kv_heads, num_rows * group, -1)
    if rows.shape[1] < MIN_ROWS:  # same bits whatever the batch: see MIN_ROWS
        rows = F.pad(rows, (0, 0, 0, MIN_ROWS - rows.shape[1]))
    product = torch.bmm(rows, right)[:, : num_rows * group]
    return product.view(num_kv_heads, num_rows, group, -1).transpose(0, 1)


def _softmax(scores: Tensor) -> Tensor:
    """Attention weights over the last axis, summed in float32 whatever the dtype, as ``transformers`` does."""
    return scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype)
