"""One decoder block: norms, attention and products with fixed matrices, on a CPU as they are and elsewhere fused."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hcl_core.decode.model.linear import affine, pad_rows, product_with

# ``(query [n, heads, head_dim], key [n, kv_heads, head_dim], value like key) -> [n, heads * head_dim]``.
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
# The products of the same rows with several matrices.
Products = Callable[[Tensor], Sequence[Tensor]]


class DecoderBlock:
    """A decoder block of a Llama, Mistral, Qwen2 or Qwen3 model.

    Attributes:
        device: Of its weights.

    Args:
        block: ``transformers``' own.
        release: Free its weights that are kept here in another form; ``block`` can't be used afterwards.
        is_fused: One product for query, key and value, one for gate and up, and one kernel for a norm, which a GPU
            starts faster than several. ``None``: on every device but a CPU, where answers must keep their bits.
    """

    def __init__(self, block: Any, *, release: bool = False, is_fused: bool | None = None) -> None:
        attention, mlp = block.self_attn, block.mlp
        self.device: torch.device = block.input_layernorm.weight.device
        self._is_fused = fuses_on(self.device) if is_fused is None else is_fused
        products = _merged if self._is_fused else _separate
        self._head_dim = int(attention.head_dim)
        self._input_norm, self._post_attention_norm = block.input_layernorm, block.post_attention_layernorm
        self._query_key_value = products([attention.q_proj, attention.k_proj, attention.v_proj], release)
        self._query_norm = getattr(attention, "q_norm", None)  # Qwen3
        self._key_norm = getattr(attention, "k_norm", None)
        self._output = product_with(attention.o_proj, release=release)
        self._gate_up = products([mlp.gate_proj, mlp.up_proj], release)
        self._activation = mlp.act_fn
        self._down = product_with(mlp.down_proj, release=release)

    def __call__(self, hidden: Tensor, rotary: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """``[n, hidden_size]`` to the same; see ``CausalLM.block``."""
        num_rows = len(hidden)
        hidden = pad_rows(hidden)  # once for all products
        normed = rms_norm(self._input_norm, hidden, is_fused=self._is_fused)
        query, key, value = (
            rows[:num_rows].unflatten(1, (-1, self._head_dim)) for rows in self._query_key_value(normed)
        )
        if self._query_norm is not None:
            query = rms_norm(self._query_norm, query, is_fused=self._is_fused)
            key = rms_norm(self._key_norm, key, is_fused=self._is_fused)
        mixed = attend(_rotate(query, *rotary), _rotate(key, *rotary), value)
        hidden = hidden + self._output(pad_rows(mixed))
        gate, up = self._gate_up(rms_norm(self._post_attention_norm, hidden, is_fused=self._is_fused))
        return (hidden + self._down(self._activation(gate) * up))[:num_rows]


def fuses_on(device: torch.device) -> bool:
    """Whether blocks are fused on ``device`` unless something else is asked for."""
    return device.type != "cpu"


def rms_norm(norm: Any, hidden: Tensor, *, is_fused: bool) -> Tensor:
    """The model's own RMS norm over the last axis.

    Torch's function gives the same bits in float32. In half precision it rounds once, where ``transformers`` rounds
    before and after it multiplies with the weight: the last bit can differ.
    """
    if is_fused or hidden.dtype == torch.float32:
        return F.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)
    normed: Tensor = norm(hidden)
    return normed


def _separate(linears: Sequence[nn.Module], release: bool) -> Products:
    """A product for each of ``linears``."""
    products = [product_with(linear, release=release) for linear in linears]
    return lambda rows: [product(rows) for product in products]


def _merged(linears: Sequence[nn.Module], release: bool) -> Products:
    """One product with the matrices of ``linears`` below each other; quantised ones stay separate."""
    plain = [linear for linear in linears if type(linear) is nn.Linear]
    biases: list[Tensor] = [linear.bias for linear in plain if linear.bias is not None]
    if len(plain) < len(linears) or len(biases) not in (0, len(linears)):
        return _separate(linears, release)
    sizes = [linear.out_features for linear in plain]
    weights: list[Tensor] = [linear.weight for linear in plain]
    product = affine(torch.cat(weights), torch.cat(biases) if biases else None)
    if release:
        for linear in plain:
            linear.weight = nn.Parameter(linear.weight.new_empty(0), requires_grad=False)
    return lambda rows: product(rows).split(sizes, dim=-1)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of ``[n, heads, head_dim]`` (Su et al. 2021, halves convention)."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cos.to(heads.device) + torch.cat((-second, first), dim=-1) * sin.to(heads.device)
