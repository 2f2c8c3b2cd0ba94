"""What sets a family of the fast engine apart from Llama, in numbers and places: read from config and blocks."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about a whole model.

    Attributes:
        embedding_scale: Embeddings are multiplied by it.
        logits_scale: Logits are multiplied by it.
    """

    embedding_scale: float = 1.0
    logits_scale: float = 1.0

    @classmethod
    def of(cls, config: Any) -> "ModelFacts":
        """The facts in a ``transformers`` config."""
        if config.model_type == "granite":
            return cls(float(config.embedding_multiplier), 1 / float(config.logits_scaling))
        return cls()


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """Facts about one decoder block.

    Attributes:
        query_scale: Queries are multiplied by it, beside the usual root of the width of a head.
        residual_scale: What attention and MLP return is multiplied by it.
        has_positions: Whether queries and keys are rotated by their positions.
        norms_outputs: Whether the norms stand after attention and MLP, not before them.
        norms_all_heads: Whether queries and keys are normed over all heads together, not each by itself.
    """

    query_scale: float
    residual_scale: float
    has_positions: bool
    norms_outputs: bool
    norms_all_heads: bool

    @classmethod
    def of(cls, block: Any) -> "BlockFacts":
        """The facts of ``transformers``' own block."""
        attention = block.self_attn
        usual = int(attention.head_dim) ** -0.5
        is_olmo2 = not hasattr(block, "input_layernorm")
        return cls(
            query_scale=1.0 if attention.scaling == usual else attention.scaling / usual,  # Granite
            residual_scale=float(getattr(block, "residual_multiplier", 1.0)),  # Granite
            has_positions=bool(getattr(attention, "use_rope", True)),  # SmolLM3
            norms_outputs=is_olmo2,
            norms_all_heads=is_olmo2,
        )
