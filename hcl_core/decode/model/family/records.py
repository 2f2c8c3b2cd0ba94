"""The parts of a model and of its blocks by what they do, with the facts that set its family apart from Llama."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

# ``(like, positions [1, n]) -> cosines and sines [1, n, rotary_dim]``, on the device of ``like``.
Rotary = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class NormParts:
    """A norm.

    Attributes:
        module: ``transformers``' own: an RMS norm, or ``nn.LayerNorm``.
        offset: What is added to its weight (Gemma).
    """

    module: Any
    offset: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionParts:
    """Attention of one block.

    Attributes:
        projections: Of query, key and value, or one that makes all of them.
        split: Query, key and value, ``[n, heads * head_dim]`` each, of what a projection of all makes.
        output: The projection of what was mixed.
        head_dim: Width of a head.
        query_norm: Of queries, before they are rotated.
        key_norm: Of keys.
        norms_all_heads: Whether those norm all heads together, not each by itself (OLMo 2).
        scaling: Products of queries and keys are multiplied by it; ``None``: by the usual ``head_dim ** -0.5``.
        rotary: Which of the model's ``rotaries`` turns queries and keys; ``None``: they carry no position.
        window: How many of the last tokens it reaches, the token itself among them; ``None``: all.
        soft_cap: Scores ``s`` become ``soft_cap * tanh(s / soft_cap)``; ``None``: they stay.
    """

    projections: tuple[nn.Module, ...]
    split: Callable[[Tensor], Sequence[Tensor]] | None = None
    output: nn.Module
    head_dim: int
    query_norm: NormParts | None = None
    key_norm: NormParts | None = None
    norms_all_heads: bool = False
    scaling: float | None = None
    rotary: int | None = 0
    window: int | None = None
    soft_cap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpParts:
    """What follows attention in one block.

    Attributes:
        up: Gate and up projection; or one that makes both, the gate first; or, where nothing is gated, up alone.
        is_gated: Whether what the up projection makes is multiplied by the activation of what the gate makes.
        activation: Of the gate, else of the up projection.
        down: The projection back to the hidden size.
    """

    up: tuple[nn.Module, ...]
    is_gated: bool = True
    activation: Callable[[Tensor], Tensor]
    down: nn.Module


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsParts:
    """Experts in the place of one MLP (Mixtral).

    Attributes:
        router: ``[experts, hidden_size]``.
        num_active: Experts of a row.
        shares_sum_to_one: Whether the router's probabilities of those are scaled to a sum of 1.
        gate_up: ``[experts, 2 * intermediate_size, hidden_size]``, the gate first.
        activation: Of the gate.
        down: ``[experts, hidden_size, intermediate_size]``.
    """

    router: Tensor
    num_active: int
    shares_sum_to_one: bool
    gate_up: Tensor
    activation: Callable[[Tensor], Tensor]
    down: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockParts:
    """One decoder block. A norm that is ``None`` is not there.

    Attributes:
        attention: See ``AttentionParts``.
        mlp: See ``MlpParts`` and ``ExpertsParts``.
        attention_norm: Before attention.
        attention_output_norm: Of what attention returns.
        mlp_norm: Before the MLP.
        mlp_output_norm: Of what the MLP returns.
        residual_scale: What attention and MLP return is multiplied by it (Granite).
        is_parallel: Whether the MLP reads what attention reads, not what it left (GPT-NeoX).
    """

    attention: AttentionParts
    mlp: MlpParts | ExpertsParts
    attention_norm: NormParts | None = None
    attention_output_norm: NormParts | None = None
    mlp_norm: NormParts | None = None
    mlp_output_norm: NormParts | None = None
    residual_scale: float = 1.0
    is_parallel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParts:
    """A whole model.

    Attributes:
        embedding: Of tokens; it multiplies by Gemma's scale itself.
        positions: The embedding of positions, which is added (GPT-2).
        blocks: All of them.
        final_norm: Before the head.
        head: The unembedding.
        rotaries: Rotary embeddings: none, one, or one for each type of layer.
        embedding_scale: Embeddings are multiplied by it (Granite).
        logits_scale: Logits are multiplied by it (Granite).
        logits_soft_cap: Logits ``s`` become ``soft_cap * tanh(s / soft_cap)`` (Gemma 2); ``None``: they stay.
    """

    embedding: Any
    positions: Any = None
    blocks: tuple[BlockParts, ...]
    final_norm: NormParts
    head: Any
    rotaries: tuple[Rotary, ...] = ()
    embedding_scale: float = 1.0
    logits_scale: float = 1.0
    logits_soft_cap: float | None = None
