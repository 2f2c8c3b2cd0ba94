"""Gemma: the weights of its norms are stored less 1. Gemma 2 and 3 norm what attention and MLP return too."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from hcl_core.decode.model.families import rotary_kinds, window_of
from hcl_core.decode.model.family.llama import attention, gated_mlp, model_parts
from hcl_core.decode.model.family.records import BlockParts, ModelParts, NormParts

_norm = partial(NormParts, offset=1.0)


def gemma(model: Any) -> ModelParts:
    """Gemma 1: Llama but for its norms and the scale of its embedding, which is the module's own."""
    return _model(model, lambda block, _: _block(block, window=None))


def gemma2(model: Any) -> ModelParts:
    """Gemma 2, with soft caps and windows."""
    config = model.config
    parts = _model(model, lambda block, layer: _normed_block(block, window_of(config, layer), config))
    return replace(parts, logits_soft_cap=config.final_logit_softcapping)


def gemma3(model: Any) -> ModelParts:
    """The text model of Gemma 3, with norms of queries and keys and a rotary embedding for each type of layer."""
    config, decoder = model.config, model.model
    kinds = rotary_kinds(config)

    def block_of(block: Any, layer: int) -> BlockParts:
        parts = _normed_block(block, window_of(config, layer))
        return replace(parts, attention=replace(parts.attention, rotary=kinds.index(config.layer_types[layer])))

    rotaries = tuple(partial(decoder.rotary_emb, layer_type=kind) for kind in kinds)
    return replace(_model(model, block_of), rotaries=rotaries, logits_soft_cap=config.final_logit_softcapping)


def _model(model: Any, block_of: Callable[[Any, int], BlockParts]) -> ModelParts:
    return replace(model_parts(model, block_of), final_norm=_norm(model.model.norm))


def _block(block: Any, window: int | None) -> BlockParts:
    return BlockParts(
        attention=attention(block.self_attn, window, norm_offset=1.0),
        mlp=gated_mlp(block.mlp),
        attention_norm=_norm(block.input_layernorm),
        mlp_norm=_norm(block.post_attention_layernorm),
    )


def _normed_block(block: Any, window: int | None, caps: Any = None) -> BlockParts:
    """A block with four norms; its scores are capped as the config ``caps`` says, as Gemma 2's alone are."""
    parts = _block(block, window)
    return replace(
        parts,
        attention=replace(parts.attention, soft_cap=caps and caps.attn_logit_softcapping),
        attention_output_norm=_norm(block.post_attention_layernorm),
        mlp_norm=_norm(block.pre_feedforward_layernorm),
        mlp_output_norm=_norm(block.post_feedforward_layernorm),
    )
