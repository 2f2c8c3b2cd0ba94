"""Mixtral and Qwen3-MoE: Llama and Qwen3 with experts in the place of the MLP."""

from typing import Any

from hcl_core.decode.model.families import window_of
from hcl_core.decode.model.family.llama import attention, gated_mlp, model_parts
from hcl_core.decode.model.family.records import BlockParts, ExpertsParts, MlpParts, ModelParts, NormParts


def with_experts(model: Any) -> ModelParts:
    """Mixtral or Qwen3-MoE."""
    return model_parts(model, lambda block, layer: _block(block, window_of(model.config, layer)))


def _block(block: Any, window: int | None) -> BlockParts:
    return BlockParts(
        attention=attention(block.self_attn, window),
        mlp=_mlp(block.mlp),
        attention_norm=NormParts(block.input_layernorm),
        mlp_norm=NormParts(block.post_attention_layernorm),
    )


def _mlp(module: Any) -> MlpParts | ExpertsParts:
    """Experts, or the plain MLP that some blocks of Qwen3-MoE have."""
    if not hasattr(module, "experts"):
        return gated_mlp(module)
    return ExpertsParts(
        router=module.gate.weight,
        num_active=int(module.gate.top_k),
        shares_sum_to_one=bool(getattr(module.gate, "norm_topk_prob", True)),
        gate_up=module.experts.gate_up_proj,
        activation=module.experts.act_fn,
        down=module.experts.down_proj,
    )
