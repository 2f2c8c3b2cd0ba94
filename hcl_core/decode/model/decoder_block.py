"""One decoder block: norms, attention and products with fixed matrices, on a CPU as they are and elsewhere fused."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hcl_core.decode.model.attention import Limits
from hcl_core.decode.model.experts import Experts
from hcl_core.decode.model.family.records import AttentionParts, BlockParts, ExpertsParts, MlpParts, NormParts
from hcl_core.decode.model.linear import affine, pad_rows, product_with
from hcl_core.decode.model.norms import Norm

# ``(query [n, heads, head_dim], key [n, kv_heads, head_dim], value like key) -> [n, heads * head_dim]``.
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
# The products of the same rows with several matrices.
Products = Callable[[Tensor], Sequence[Tensor]]


class DecoderBlock:
    """A decoder block of a family of the fast engine.

    Attributes:
        device: Of its weights.
        limits: Of its attention, which whoever mixes the values keeps.
        is_parallel: Whether the MLP reads what attention reads.

    Args:
        parts: Its modules, and what sets its family apart.
        release: Free their weights that are kept here in another form; the modules can't be used afterwards.
        is_fused: One product for query, key and value, one for gate and up, and one kernel for a norm, which a GPU
            starts faster than several. ``None``: on every device but a CPU, where answers must keep their bits. There
            query, key and value are one product in any case: its bits are the same, and a small matrix of keys alone
            keeps no two threads busy.
    """

    def __init__(self, parts: BlockParts, *, release: bool = False, is_fused: bool | None = None) -> None:
        self.device: torch.device = _device_of(parts)
        self._is_fused = fuses_on(self.device) if is_fused is None else is_fused
        self.limits = Limits(parts.attention.window, parts.attention.soft_cap)
        self._residual_scale, self.is_parallel = parts.residual_scale, parts.is_parallel
        self._attention_norm, self._attention_output_norm = map(
            self._norm, (parts.attention_norm, parts.attention_output_norm)
        )
        self._mlp_norm, self._mlp_output_norm = map(self._norm, (parts.mlp_norm, parts.mlp_output_norm))
        self._prepare_attention(parts.attention, release)
        if isinstance(parts.mlp, ExpertsParts):
            self._experts: Experts | None = Experts(parts.mlp, release=release)
        else:
            self._experts = None
            self._prepare_mlp(parts.mlp, release)

    def _prepare_attention(self, parts: AttentionParts, release: bool) -> None:
        merges = self._is_fused or self.device.type == "cpu"
        self._query_key_value = (_merged if merges else _separate)(parts.projections, release)
        self._split, self._head_dim, self._rotary = parts.split, parts.head_dim, parts.rotary
        self._query_norm, self._key_norm = self._norm(parts.query_norm), self._norm(parts.key_norm)
        self._norms_all_heads = parts.norms_all_heads
        usual = parts.head_dim**-0.5  # whoever mixes the values multiplies by it
        self._query_scale = 1.0 if parts.scaling in (None, usual) else parts.scaling / usual
        self._output = product_with(parts.output, release=release)

    def _prepare_mlp(self, parts: MlpParts, release: bool) -> None:
        self._up = (_merged if self._is_fused else _separate)(parts.up, release)
        self._is_gated, self._activation = parts.is_gated, parts.activation
        self._down = product_with(parts.down, release=release)

    def __call__(
        self, hidden: Tensor, rotary: tuple[Tensor, Tensor], attend: Attend, added: list[Tensor] | None = None
    ) -> Tensor:
        """``[n, hidden_size]`` to the same; see ``CausalLM.block``."""
        num_rows = len(hidden)
        hidden = pad_rows(hidden)  # once for all products
        attended = self._attention(hidden, num_rows, rotary, attend)
        middle = hidden if self.is_parallel else hidden + attended
        output = self._mlp(middle, num_rows)
        if added is not None:
            added += [attended[:num_rows], output[:num_rows]]
        return (output + attended + hidden if self.is_parallel else middle + output)[:num_rows]

    def _attention(self, hidden: Tensor, num_rows: int, rotary: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """What attention adds to ``hidden``, whose rows from ``num_rows`` on are there for the products only."""
        query, key, value = (rows[:num_rows] for rows in self._heads(_normed(self._attention_norm, hidden)))
        if self._rotary is not None:
            cos, sin = (table[:, self._rotary, None] for table in rotary)
            query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
        if self._query_scale != 1:
            query = query * self._query_scale
        return self._scaled(_normed(self._attention_output_norm, self._output(pad_rows(attend(query, key, value)))))

    def _heads(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of each row, ``[n, heads, head_dim]`` each."""
        made = self._query_key_value(hidden)
        query, key, value = made if self._split is None else self._split(made[0])
        if self._norms_all_heads:
            query, key = _normed(self._query_norm, query), _normed(self._key_norm, key)
        query, key, value = (rows.unflatten(1, (-1, self._head_dim)) for rows in (query, key, value))
        if not self._norms_all_heads:
            query, key = _normed(self._query_norm, query), _normed(self._key_norm, key)
        return query, key, value

    def _mlp(self, hidden: Tensor, num_rows: int) -> Tensor:
        """What the MLP adds to ``hidden``, whose rows from ``num_rows`` on are there for the products only."""
        normed = _normed(self._mlp_norm, hidden)
        output = self._down(self._inner(normed)) if self._experts is None else self._experts(normed, num_rows)
        return self._scaled(_normed(self._mlp_output_norm, output))

    def _inner(self, rows: Tensor) -> Tensor:
        """What the projection down reads, ``[n, intermediate_size]``."""
        made = self._up(rows)
        if not self._is_gated:
            return self._activation(made[0])
        gate, up = made if len(made) == 2 else made[0].chunk(2, dim=-1)
        return self._activation(gate) * up

    def _scaled(self, output: Tensor) -> Tensor:
        return output if self._residual_scale == 1 else output * self._residual_scale

    def _norm(self, parts: NormParts | None) -> Norm | None:
        return None if parts is None else Norm(parts, is_fused=self._is_fused)


def fuses_on(device: torch.device) -> bool:
    """Whether blocks are fused on ``device`` unless something else is asked for."""
    return device.type != "cpu"


def _device_of(parts: BlockParts) -> torch.device:
    norm = parts.mlp_norm or parts.mlp_output_norm
    assert norm is not None, "a family has a norm before or after its MLP"
    device: torch.device = norm.module.weight.device
    return device


def _normed(norm: Norm | None, rows: Tensor) -> Tensor:
    return rows if norm is None else norm(rows)


def _separate(linears: Sequence[nn.Module], release: bool) -> Products:
    """A product for each of ``linears``."""
    products = [product_with(linear, release=release) for linear in linears]
    return lambda rows: [product(rows) for product in products]


def _merged(linears: Sequence[nn.Module], release: bool) -> Products:
    """One product with the matrices of ``linears`` below each other; quantised ones stay separate."""
    plain = [linear for linear in linears if type(linear) is nn.Linear]
    biases: list[Tensor] = [linear.bias for linear in plain if linear.bias is not None]
    if len(linears) == 1 or len(plain) < len(linears) or len(biases) not in (0, len(linears)):
        return _separate(linears, release)
    sizes = [linear.out_features for linear in plain]
    weights: list[Tensor] = [linear.weight for linear in plain]
    product = affine(torch.cat(weights), torch.cat(biases) if biases else None)
    if release:
        for linear in plain:
            linear.weight = nn.Parameter(linear.weight.new_empty(0), requires_grad=False)
    return lambda rows: product(rows).split(sizes, dim=-1)


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of ``[n, heads, head_dim]`` (Su et al. 2021, halves convention).

    ``cos`` and ``sin`` are ``[n, 1, rotary_dim]``; the rest of each head stays as it is.
    """
    width = cos.shape[-1]
    first, second = heads[..., :width].chunk(2, dim=-1)
    turned = heads[..., :width] * cos.to(heads.device) + torch.cat((-second, first), dim=-1) * sin.to(heads.device)
    turned = turned.to(heads.dtype)  # OLMo's cosines are float32 whatever the model
    return turned if width == heads.shape[-1] else torch.cat((turned, heads[..., width:]), dim=-1)
