"""Attention that reaches a window of tokens only, or whose scores are capped."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hcl_core.models.footprint import scratch_bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What limits the attention of one layer.

    Attributes:
        window: How many of the last tokens it reaches, the token itself among them; ``None``: all.
        soft_cap: Scores ``s`` become ``soft_cap * tanh(s / soft_cap)``; ``None``: they stay.
    """

    window: int | None = None
    soft_cap: float | None = None

    def cap(self, scores: Tensor) -> Tensor:
        """Scaled scores with the cap."""
        return scores if self.soft_cap is None else soft_cap(scores, self.soft_cap)

    def reach(self, num_tokens: int) -> bool:
        """Whether the last of ``num_tokens`` tokens attends to all of them."""
        return self.window is None or num_tokens <= self.window


def soft_cap(scores: Tensor, cap: float) -> Tensor:
    """``cap * tanh(scores / cap)``, in the number format of ``scores``."""
    return torch.tanh(scores / cap) * cap


def softmax(scores: Tensor) -> Tensor:
    """Attention weights over the last axis, summed in float32 whatever the dtype, as ``transformers`` does."""
    return scores.softmax(dim=-1, dtype=torch.float32).to(scores.dtype)


def attend_to_texts(query: Tensor, keys: Tensor, values: Tensor, limits: Limits) -> Tensor:
    """Attention of the last ``t`` tokens of each of ``b`` texts of ``T`` tokens to those before them and themselves.

    Args:
        query: ``[b, heads, t, head_dim]``.
        keys: ``[b or 1, kv_heads, T, head_dim]``.
        values: Like ``keys``.
        limits: Of the layer.

    Returns:
        ``[b, heads, t, head_dim]``.
    """
    count, total = query.shape[2], keys.shape[2]
    hidden = None
    if not limits.reach(total) or 1 < count < total:
        places = torch.arange(total, device=query.device)
        distances = places[-count:, None] - places  # [t, T]
        hidden = (distances < 0) | (distances >= (limits.window or total))
    if limits.soft_cap is not None:
        return _capped(query, keys, values, limits, hidden)
    mask = None if hidden is None else ~hidden
    is_causal = mask is None and count > 1
    return F.scaled_dot_product_attention(query, keys, values, mask, is_causal=is_causal, enable_gqa=True)


def attend_where(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, limits: Limits) -> Tensor:
    """Attention to the tokens that ``mask`` names, which must keep the window of ``limits``.

    Args:
        query: ``[b, heads, q, head_dim]``.
        keys: ``[b, heads, k, head_dim]``.
        values: Like ``keys``.
        mask: ``[b or 1, 1, q, k]``, at least one true in a row.
        limits: Of the layer.

    Returns:
        ``[b, heads, q, head_dim]``.
    """
    if limits.soft_cap is None:
        return F.scaled_dot_product_attention(query, keys, values, mask)
    scores = limits.cap((query * query.shape[-1] ** -0.5) @ keys.transpose(-1, -2))
    return softmax(scores.masked_fill(~mask, -torch.inf)) @ values


def _capped(query: Tensor, keys: Tensor, values: Tensor, limits: Limits, hidden: Tensor | None) -> Tensor:
    """Torch's function has no cap. Some tokens at a time, as it has all scores in memory."""
    num_kv_heads, total, head_dim = keys.shape[1:]
    if hidden is None:
        places = torch.arange(total, device=query.device)
        hidden = places[-query.shape[2] :, None] < places
    grouped = (query * head_dim**-0.5).unflatten(1, (num_kv_heads, -1))  # [b, kv_heads, group, t, head_dim]
    at_once = max(1, scratch_bytes(query.device.type) // (12 * query.shape[0] * query.shape[1] * total))
    mixed = []
    for rows, outside in zip(grouped.split(at_once, dim=3), hidden.split(at_once), strict=True):
        scores = limits.cap(rows @ keys[:, :, None].transpose(-1, -2))
        mixed.append(softmax(scores.masked_fill(outside, -torch.inf)) @ values[:, :, None])
    return torch.cat(mixed, dim=3).flatten(1, 2)
