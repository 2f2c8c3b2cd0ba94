"""One decoder block: norms, attention and products with fixed matrices, on a CPU as they are and elsewhere fused."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hcl_core.decode.model.facts import BlockFacts
from hcl_core.decode.model.linear import affine, pad_rows, product_with

# ``(query [n, heads, head_dim], key [n, kv_heads, head_dim], value like key) -> [n, heads * head_dim]``.
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
# The products of the same rows with several matrices.
Products = Callable[[Tensor], Sequence[Tensor]]


class DecoderBlock:
    """A decoder block of a family of the fast engine.

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
        self._facts = BlockFacts.of(block)
        self.device: torch.device = block.post_attention_layernorm.weight.device
        self._is_fused = fuses_on(self.device) if is_fused is None else is_fused
        products = _merged if self._is_fused else _separate
        self._head_dim = int(attention.head_dim)
        if self._facts.norms_outputs:
            self._attention_norm, self._mlp_norm = block.post_attention_layernorm, block.post_feedforward_layernorm
        else:
            self._attention_norm, self._mlp_norm = block.input_layernorm, block.post_attention_layernorm
        self._query_key_value = products([attention.q_proj, attention.k_proj, attention.v_proj], release)
        self._query_norm = getattr(attention, "q_norm", None)  # Qwen3 and OLMo 2
        self._key_norm = getattr(attention, "k_norm", None)
        self._output = product_with(attention.o_proj, release=release)
        self._gate_up = products([mlp.gate_proj, mlp.up_proj], release)
        self._activation = mlp.act_fn
        self._down = product_with(mlp.down_proj, release=release)

    def __call__(self, hidden: Tensor, rotary: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """``[n, hidden_size]`` to the same; see ``CausalLM.block``."""
        num_rows, facts = len(hidden), self._facts
        hidden = pad_rows(hidden)  # once for all products
        query, key, value = self._heads(hidden if facts.norms_outputs else self._norm(self._attention_norm, hidden))
        query, key, value = query[:num_rows], key[:num_rows], value[:num_rows]
        if facts.has_positions:
            query, key = _rotate(query, *rotary), _rotate(key, *rotary)
        if facts.query_scale != 1:
            query = query * facts.query_scale
        hidden = self._add(hidden, self._output(pad_rows(attend(query, key, value))), self._attention_norm)
        gate, up = self._gate_up(hidden if facts.norms_outputs else self._norm(self._mlp_norm, hidden))
        return self._add(hidden, self._down(self._activation(gate) * up), self._mlp_norm)[:num_rows]

    def _heads(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of each row, ``[n, heads, head_dim]`` each."""
        query, key, value = self._query_key_value(hidden)
        if self._query_norm is not None and self._facts.norms_all_heads:
            query, key = self._norm(self._query_norm, query), self._norm(self._key_norm, key)
        query, key, value = (rows.unflatten(1, (-1, self._head_dim)) for rows in (query, key, value))
        if self._query_norm is not None and not self._facts.norms_all_heads:
            query, key = self._norm(self._query_norm, query), self._norm(self._key_norm, key)
        return query, key, value

    def _add(self, hidden: Tensor, output: Tensor, norm: Any) -> Tensor:
        """``hidden`` and what a part of the block made of it."""
        if self._facts.norms_outputs:
            output = self._norm(norm, output)
        return hidden + (output if self._facts.residual_scale == 1 else output * self._facts.residual_scale)

    def _norm(self, norm: Any, rows: Tensor) -> Tensor:
        return rms_norm(norm, rows, is_fused=self._is_fused)


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
