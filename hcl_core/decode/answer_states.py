"""Hidden states along stored answers, after every layer that is asked for: what probes are trained on."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hcl_core.decode.engine import EngineParts
from hcl_core.decode.likelihood import TokenIds, nodes_along
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.decode.plausibility import in_groups
from hcl_core.decode.trie.engines import grow, run_prompt
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.decode.trie.tree import PromptTree, node_bytes
from hcl_core.records import StoredQuestion


class AnswerStates:
    """The states of answers to one question, whose prompt is run once.

    A layer's state depends on the tokens before it alone. So it is the one that decoding had, at whatever exit layer
    the answer was given; layers above that were not run then, and are what the whole model makes of the text.

    Attributes:
        last_prompt_token: Id of the prompt's last token.

    Args:
        parts: Model, template and memory budget; the exit head is not used.
        stored: The question with its prompt.
    """

    @torch.inference_mode()
    def __init__(self, parts: EngineParts, stored: StoredQuestion) -> None:
        self._parts = parts
        token_ids = parts.tokenize(stored)
        self.last_prompt_token = token_ids[-1]
        with explain_out_of_memory("reading the answers"):
            self._prompt = run_prompt(parts.lm, token_ids)

    @torch.inference_mode()
    def read(
        self, completions: Sequence[TokenIds], layers: Sequence[int]
    ) -> Iterator[tuple[TokenIds, NDArray[np.float32]]]:
        """The states at the prompt's last token and at each token of each distinct answer, before the final norm.

        Args:
            completions: Token ids of each answer, ``t`` of them, at least one.
            layers: Blocks run, from 1.

        Yields:
            An answer, and its states ``[len(layers), 1 + t, hidden_size]``.

        Raises:
            NotEnoughMemoryError: Memory ran out.
        """
        lm = self._parts.lm
        bytes_of_node = node_bytes(lm) + len(layers) * lm.hidden_size * lm.dtype.itemsize
        # A token more, as nothing is read after the last one, and here its state is read too.
        extended = sorted((*completion, 0) for completion in set(completions))
        with explain_out_of_memory("reading the answers"):
            for group, num_nodes in in_groups(extended, max(1, self._parts.budget_now() // bytes_of_node)):
                yield from self._read(group, num_nodes, np.array(layers))

    def _read(
        self, extended: Sequence[TokenIds], num_nodes: int, layers: IntArray
    ) -> Iterator[tuple[TokenIds, NDArray[np.float32]]]:
        tree = PromptTree(self._prompt)
        tree.reserve_for(np.array([layers.max()]), num_nodes, len(layers))
        nodes = nodes_along(tree, extended)
        unique = np.unique(nodes)
        grow(self._parts.lm, [(tree, np.repeat(unique, len(layers)), np.tile(layers, len(unique)))])
        by_answer = np.split(nodes, np.cumsum([len(each) for each in extended])[:-1])
        for completion, own in zip(extended, by_answer, strict=True):
            states = tree.states(np.tile(own, len(layers)), np.repeat(layers, len(own)))
            yield completion[:-1], states.float().cpu().numpy().reshape(len(layers), len(own), -1)
