"""Prompts and trees of either engine: the fast one's own blocks, or the reference, which runs ``transformers``'."""

from collections.abc import Sequence

from hcl_core.answer_rules import FIRST_LINE, AnswerRule
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.reference_lm import ReferenceLM
from hcl_core.decode.trie import blocks
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.reference import ReferencePrompt, grow_reference
from hcl_core.decode.trie.slot_pool import SlotPool
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.decode.trie.tree import PromptTree


def run_prompts(
    lm: LanguageModel, prompts: Sequence[tuple[Sequence[int], AnswerRule]], pool: SlotPool | None = None
) -> list[PromptCache]:
    """Run several prompts through the model: token ids of each, and the rule of its answers.

    ``pool`` gets their keys and values; see ``PromptCache.of_many``.
    """
    if isinstance(lm, ReferenceLM):
        return [ReferencePrompt(lm, token_ids, rule) for token_ids, rule in prompts]
    assert isinstance(lm, CausalLM)
    return PromptCache.of_many(lm, prompts, pool)


def run_prompt(lm: LanguageModel, token_ids: Sequence[int], answer_rule: AnswerRule = FIRST_LINE) -> PromptCache:
    """Run one prompt through the model."""
    return run_prompts(lm, [(token_ids, answer_rule)])[0]


def grow(lm: LanguageModel, asked: Sequence[tuple[PromptTree, IntArray, IntArray]]) -> None:
    """Compute and store the states of nodes after their exit layers; see ``blocks.grow``."""
    if isinstance(lm, ReferenceLM):
        grow_reference(asked)
    else:
        assert isinstance(lm, CausalLM)
        blocks.grow(lm, asked)
