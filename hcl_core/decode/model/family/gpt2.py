"""GPT-2: an embedding of positions in the place of rotations, layer norms, biases, and an MLP without a gate."""

from typing import Any

from hcl_core.decode.model.family.records import AttentionParts, BlockParts, MlpParts, ModelParts, NormParts


def gpt2(model: Any) -> ModelParts:
    """GPT-2. Its projections are ``Conv1D``, whose matrices are stored transposed."""
    decoder = model.transformer
    return ModelParts(
        embedding=decoder.wte,
        positions=decoder.wpe,
        blocks=tuple(_block(block) for block in decoder.h),
        final_norm=NormParts(decoder.ln_f),
        head=model.lm_head,
    )


def _block(block: Any) -> BlockParts:
    attention = block.attn
    return BlockParts(
        attention=AttentionParts(
            projections=(attention.c_attn,),
            split=lambda made: made.chunk(3, dim=-1),
            output=attention.c_proj,
            head_dim=int(attention.head_dim),
            scaling=float(attention.scaling),
            rotary=None,
        ),
        mlp=MlpParts(up=(block.mlp.c_fc,), is_gated=False, activation=block.mlp.act, down=block.mlp.c_proj),
        attention_norm=NormParts(block.ln_1),
        mlp_norm=NormParts(block.ln_2),
    )
