"""Which file names the parts of which family."""

from collections.abc import Callable
from typing import Any

from hcl_core.decode.model.family.experts import with_experts
from hcl_core.decode.model.family.gemma import gemma, gemma2, gemma3
from hcl_core.decode.model.family.gpt2 import gpt2
from hcl_core.decode.model.family.gpt_neox import gpt_neox
from hcl_core.decode.model.family.llama import granite, llama
from hcl_core.decode.model.family.olmo import olmo
from hcl_core.decode.model.family.phi3 import phi3
from hcl_core.decode.model.family.records import ModelParts

# By ``model_type``; ``models.engines.FAST_FAMILIES`` names the same, without torch.
FAMILIES: dict[str, Callable[[Any], ModelParts]] = {
    "llama": llama,
    "mistral": llama,
    "qwen2": llama,
    "qwen3": llama,
    "smollm3": llama,
    "granite": granite,
    "olmo2": olmo,
    "olmo3": olmo,
    "gemma": gemma,
    "gemma2": gemma2,
    "gemma3_text": gemma3,
    "phi3": phi3,
    "gpt2": gpt2,
    "gpt_neox": gpt_neox,
    "mixtral": with_experts,
    "qwen3_moe": with_experts,
}


def parts_of(model: Any) -> ModelParts:
    """The parts of a ``transformers`` causal LM of a family of the fast engine."""
    return FAMILIES[model.config.model_type](model)
