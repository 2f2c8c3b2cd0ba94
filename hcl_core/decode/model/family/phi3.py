"""Phi-3 and Phi-4: one projection for query, key and value, one for gate and up; some rotate a part of a head only."""

from typing import Any

from hcl_core.decode.model.families import window_of
from hcl_core.decode.model.family.llama import model_parts
from hcl_core.decode.model.family.records import AttentionParts, BlockParts, MlpParts, ModelParts, NormParts


def phi3(model: Any) -> ModelParts:
    """Phi-3."""
    config = model.config
    return model_parts(model, lambda block, layer: _block(block, config, window_of(config, layer)))


def _block(block: Any, config: Any, window: int | None) -> BlockParts:
    head_dim = int(block.self_attn.head_dim)
    sizes = [config.num_attention_heads * head_dim] + [config.num_key_value_heads * head_dim] * 2
    return BlockParts(
        attention=AttentionParts(
            projections=(block.self_attn.qkv_proj,),
            split=lambda made: made.split(sizes, dim=-1),
            output=block.self_attn.o_proj,
            head_dim=head_dim,
            window=window,
        ),
        mlp=MlpParts(up=(block.mlp.gate_up_proj,), activation=block.mlp.activation_fn, down=block.mlp.down_proj),
        attention_norm=NormParts(block.input_layernorm),
        mlp_norm=NormParts(block.post_attention_layernorm),
    )
