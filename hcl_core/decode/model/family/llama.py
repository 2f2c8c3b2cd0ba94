"""Llama, and the families that are Llama but for single facts: Mistral, Qwen2, Qwen3, SmolLM3, Granite."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hcl_core.decode.model.families import window_of
from hcl_core.decode.model.family.records import AttentionParts, BlockParts, MlpParts, ModelParts, NormParts


def llama(model: Any) -> ModelParts:
    """Llama, Mistral, Qwen2, Qwen3 or SmolLM3."""
    return model_parts(model, lambda block, layer: llama_block(block, window_of(model.config, layer)))


def model_parts(model: Any, block_of: Callable[[Any, int], BlockParts]) -> ModelParts:
    """A model whose modules are called as Llama's are.

    Args:
        model: ``transformers``' own.
        block_of: The parts of a block and of its number, from 0.
    """
    decoder = model.model
    return ModelParts(
        embedding=decoder.embed_tokens,
        blocks=tuple(block_of(block, layer) for layer, block in enumerate(decoder.layers)),
        final_norm=NormParts(decoder.norm),
        head=model.lm_head,
        rotaries=(decoder.rotary_emb,),
    )


def llama_block(block: Any, window: int | None = None) -> BlockParts:
    """A block with a norm before attention and one before the MLP."""
    return BlockParts(
        attention=attention(block.self_attn, window),
        mlp=gated_mlp(block.mlp),
        attention_norm=NormParts(block.input_layernorm),
        mlp_norm=NormParts(block.post_attention_layernorm),
    )


def attention(module: Any, window: int | None = None, norm_offset: float = 0.0) -> AttentionParts:
    """Attention with three projections, and norms of queries and keys where the module has them."""
    norms = [NormParts(norm, norm_offset) for name in ("q_norm", "k_norm") if (norm := getattr(module, name, None))]
    query_norm, key_norm = norms or (None, None)
    return AttentionParts(
        projections=(module.q_proj, module.k_proj, module.v_proj),
        output=module.o_proj,
        head_dim=int(module.head_dim),
        scaling=float(module.scaling),
        rotary=0 if getattr(module, "use_rope", True) else None,  # SmolLM3
        window=window,
        query_norm=query_norm,
        key_norm=key_norm,
    )


def gated_mlp(module: Any) -> MlpParts:
    """An MLP with a gate."""
    return MlpParts(up=(module.gate_proj, module.up_proj), activation=module.act_fn, down=module.down_proj)


def granite(model: Any) -> ModelParts:
    """Llama with a scale at embeddings, logits and what each part of a block adds."""
    parts, config = llama(model), model.config
    scale = float(config.residual_multiplier)
    return replace(
        parts,
        blocks=tuple(replace(block, residual_scale=scale) for block in parts.blocks),
        embedding_scale=float(config.embedding_multiplier),
        logits_scale=1 / float(config.logits_scaling),
    )
