"""Prompts and trees of either engine: the fast one's own blocks, or the reference, which runs ``transformers``'."""

from collections.abc import Sequence

from hcl_core.answer_rules import FIRST_LINE, AnswerRule
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.reference_lm import ReferenceLM
from hcl_core.decode.trie import blocks
from hcl_core.decode.trie.prompt_cache import Beginnings, Prompt, PromptCache
from hcl_core.decode.trie.reference import ReferencePrompt, grow_reference
from hcl_core.decode.trie.slot_pool import SlotPool
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.decode.trie.tree import PromptTree


def run_prompts(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    pool: SlotPool | None = None,
    beginnings: Beginnings | None = None,
) -> list[PromptCache]:
    """Run several prompts through the model; see ``PromptCache.of_many``. The reference engine runs each as a whole."""
    if isinstance(lm, ReferenceLM):
        return [ReferencePrompt(lm, prompt.token_ids, prompt.answer_rule) for prompt in prompts]
    assert isinstance(lm, CausalLM)
    return PromptCache.of_many(lm, prompts, pool, beginnings)


def run_prompt(lm: LanguageModel, token_ids: Sequence[int], answer_rule: AnswerRule = FIRST_LINE) -> PromptCache:
    """Run one prompt through the model."""
    return run_prompts(lm, [Prompt(token_ids, answer_rule)])[0]


def grow(lm: LanguageModel, asked: Sequence[tuple[PromptTree, IntArray, IntArray]]) -> None:
    """Compute and store the states of nodes after their exit layers; see ``blocks.grow``."""
    if isinstance(lm, ReferenceLM):
        grow_reference(asked)
    else:
        assert isinstance(lm, CausalLM)
        blocks.grow(lm, asked)
