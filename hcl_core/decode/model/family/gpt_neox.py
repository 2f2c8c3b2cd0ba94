"""GPT-NeoX, Pythia among it: attention and MLP side by side, layer norms, biases, a part of each head rotated."""

from typing import Any

from hcl_core.decode.model.family.records import AttentionParts, BlockParts, MlpParts, ModelParts, NormParts


def gpt_neox(model: Any) -> ModelParts:
    """GPT-NeoX."""
    decoder = model.gpt_neox
    return ModelParts(
        embedding=decoder.embed_in,
        blocks=tuple(_block(block) for block in decoder.layers),
        final_norm=NormParts(decoder.final_layer_norm),
        head=model.lm_head,
        rotaries=(decoder.rotary_emb,),
    )


def _block(block: Any) -> BlockParts:
    attention, mlp = block.attention, block.mlp
    by_head = (-1, 3, int(attention.head_size))  # query, key and value of a head stand beside each other
    return BlockParts(
        attention=AttentionParts(
            projections=(attention.query_key_value,),
            split=lambda made: [part.flatten(1) for part in made.unflatten(1, by_head).unbind(2)],
            output=attention.dense,
            head_dim=int(attention.head_size),
        ),
        mlp=MlpParts(up=(mlp.dense_h_to_4h,), is_gated=False, activation=mlp.act, down=mlp.dense_4h_to_h),
        attention_norm=NormParts(block.input_layernorm),
        mlp_norm=NormParts(block.post_attention_layernorm),
        is_parallel=bool(block.use_parallel_residual),
    )
