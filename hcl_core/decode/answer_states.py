"""Hidden states along stored answers, after every layer that is asked for: what probes are trained on."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from hcl_core.decode.engine import EngineParts
from hcl_core.decode.likelihood import TokenIds
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.decode.plausibility import in_groups
from hcl_core.decode.trie.engines import grow, run_prompt
from hcl_core.decode.trie.token_trie import ROOT, IntArray
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
        # A token more, as ``in_groups`` counts no node for the last one, and here its state is read too.
        extended = sorted((*completion, 0) for completion in set(completions))
        with explain_out_of_memory("reading the answers"):
            for group, num_nodes in in_groups(extended, max(1, self._parts.budget_now() // bytes_of_node)):
                yield from self._read([completion[:-1] for completion in group], num_nodes, np.array(layers))

    def _read(
        self, completions: Sequence[TokenIds], num_nodes: int, layers: IntArray
    ) -> Iterator[tuple[TokenIds, NDArray[np.float32]]]:
        tree = PromptTree(self._prompt)
        tree.reserve_for(np.array([layers.max()]), num_nodes, len(layers))
        # [c, 1 + t] the node of each token; shorter answers stay at their last one.
        nodes = np.full((len(completions), 1 + max(map(len, completions))), ROOT, dtype=np.int64)
        for step in range(1, nodes.shape[1]):
            nodes[:, step] = nodes[:, step - 1]
            longer = np.array([place for place, each in enumerate(completions) if len(each) >= step])
            tokens = np.array([completions[place][step - 1] for place in longer], dtype=np.int64)
            nodes[longer, step] = tree.children(nodes[longer, step - 1], tokens)
        unique = np.unique(nodes)
        grow(self._parts.lm, [(tree, np.repeat(unique, len(layers)), np.tile(layers, len(unique)))])
        for completion, row in zip(completions, nodes, strict=True):
            own = row[: 1 + len(completion)]
            states = tree.states(np.tile(own, len(layers)), np.repeat(layers, len(own)))
            yield completion, states.float().cpu().numpy().reshape(len(layers), len(own), -1)
