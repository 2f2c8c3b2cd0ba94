"""Plausibility: how probable the whole model finds answers, whichever exit layer gave them. No judge is needed.

The distinct token prefixes of all answers to a question are one trie; every node of it runs to full depth once.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile

import numpy as np
import torch
from numpy.typing import NDArray

from hcl_core.decode.engine import EngineParts
from hcl_core.decode.heads.exit_heads import SharedHead
from hcl_core.decode.likelihood import TokenIds, read_trees
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.decode.trie.engines import run_prompt
from hcl_core.decode.trie.tree import node_bytes
from hcl_core.errors import ContextTooLongError, SettingsError
from hcl_core.records import StoredQuestion


class WholeModel:
    """The last layer's view of answers: a ``ports.AnswerLikelihood``.

    Args:
        parts: Model, template and memory budget; the exit head is not used.
    """

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    def mean_logprobs(self, stored: StoredQuestion, completions: Sequence[TokenIds]) -> NDArray[np.float64]:
        """Mean of ``token_logprobs`` of each completion: ``[n]``; see ``ports.AnswerLikelihood``."""
        return np.array([logprobs.mean() for logprobs in self.token_logprobs(stored, completions)])

    @torch.inference_mode()
    def token_logprobs(self, stored: StoredQuestion, completions: Sequence[TokenIds]) -> list[NDArray[np.float32]]:
        """Natural logarithm of the probability of each token, after the prompt and the tokens before it.

        Args:
            stored: The question; its prompt comes first.
            completions: Token ids of each answer, at least one token each.

        Returns:
            An array ``[num_tokens]`` a completion, in order (temperature 1, no truncation).

        Raises:
            SettingsError: A completion is empty, or has a token that the model does not know.
            ContextTooLongError: Prompt and answer exceed what the model can attend over.
            NotEnoughMemoryError: Memory ran out.
        """
        lm = self._parts.lm
        prompt_token_ids = self._parts.tokenize(stored)
        distinct = sorted(set(completions))
        self._check(stored, len(prompt_token_ids), distinct)
        logprobs: dict[TokenIds, NDArray[np.float32]] = {}
        with explain_out_of_memory("reading the answers"):
            max_nodes = max(1, self._parts.budget_now() // node_bytes(lm))
            prompt = run_prompt(lm, prompt_token_ids)
            for group, _ in in_groups(distinct, max_nodes):
                (readings,) = read_trees(lm, SharedHead(), lm.num_hidden_layers, [(prompt, group)])
                logprobs |= zip(group, (reading.logprobs for reading in readings), strict=True)
        return [logprobs[completion] for completion in completions]

    def _check(self, stored: StoredQuestion, num_prompt_tokens: int, completions: Sequence[TokenIds]) -> None:
        lm = self._parts.lm
        for completion in completions:
            if not completion or not all(0 <= token < lm.vocab_size for token in completion):
                raise SettingsError(
                    f"question {stored.question.label!r}: an answer needs at least one token, and token ids from 0 to "
                    f"{lm.vocab_size - 1}; got {str(completion)[:80]}"
                )
            if num_prompt_tokens + len(completion) > lm.max_positions:
                raise ContextTooLongError(
                    f"question {stored.question.label!r}: a prompt of {num_prompt_tokens} tokens and an answer of "
                    f"{len(completion)} exceed this model's window of {lm.max_positions}"
                )


def in_groups(completions: Sequence[TokenIds], max_nodes: int) -> Iterator[tuple[list[TokenIds], int]]:
    """Split sorted ``completions`` into groups of at most ``max_nodes`` nodes, at least one completion each.

    Sorted, neighbours share the longest prefixes, so that few nodes are run in two groups. The last token of a
    completion needs no node: nothing is read after it.
    """
    group: list[TokenIds] = []
    num_nodes = 0
    for completion in completions:
        num_new = len(completion) - 1 - (_num_shared(group[-1], completion) if group else 0)
        if group and num_new and num_nodes + num_new > max_nodes:
            yield group, num_nodes
            group, num_nodes, num_new = [], 0, len(completion) - 1
        group.append(completion)
        num_nodes += num_new
    if group:
        yield group, num_nodes


def _num_shared(first: TokenIds, second: TokenIds) -> int:
    """Tokens at the start of both, the last token of each left out."""
    pairs = zip(first[:-1], second[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
