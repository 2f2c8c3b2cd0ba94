"""Which engine computes a model: the fast one, or the reference, which any decoder-only model can have. No torch."""

from typing import Literal

EngineName = Literal["fast", "reference"]

FAST: EngineName = "fast"
REFERENCE: EngineName = "reference"
# Values of ``model_type`` whose blocks the fast engine computes itself.
FAST_FAMILIES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "smollm3",
    "granite",
    "olmo2",
    "olmo3",
    "gemma",
    "gemma2",
    "gemma3_text",
    "phi3",
    "gpt2",
    "gpt_neox",
    "mixtral",
    "qwen3_moe",
)
