"""OLMo 2 and 3: norms of what attention and MLP return, and of queries and keys with all heads together."""

from dataclasses import replace
from functools import partial
from typing import Any

from hcl_core.decode.model.families import rotary_kinds, window_of
from hcl_core.decode.model.family.llama import attention, gated_mlp, model_parts
from hcl_core.decode.model.family.records import BlockParts, ModelParts, NormParts


def olmo(model: Any) -> ModelParts:
    """OLMo 2, or OLMo 3, which has windows and a rotary embedding for each type of layer."""
    config, rotary = model.config, model.model.rotary_emb
    kinds = rotary_kinds(config)

    def block_of(block: Any, layer: int) -> BlockParts:
        return _block(block, window_of(config, layer), kinds.index(config.layer_types[layer]) if kinds else 0)

    parts = model_parts(model, block_of)
    return replace(parts, rotaries=tuple(partial(rotary, layer_type=kind) for kind in kinds) or parts.rotaries)


def _block(block: Any, window: int | None, rotary: int) -> BlockParts:
    return BlockParts(
        attention=replace(attention(block.self_attn, window), norms_all_heads=True, rotary=rotary),
        mlp=gated_mlp(block.mlp),
        attention_output_norm=NormParts(block.post_attention_layernorm),
        mlp_output_norm=NormParts(block.post_feedforward_layernorm),
    )
