"""How probable given texts are at an exit layer: each token after the tokens before it.

The continuations of one context are a trie, of which every node runs up to the exit layer once. A long continuation
shares little and is read in one pass with its context instead.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.engine import EngineParts
from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.heads.hidden_states import read_text
from hcl_core.decode.model.finite import check_rows
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.decode.trie.engines import grow, run_prompts
from hcl_core.decode.trie.prompt_cache import Prompt, PromptCache
from hcl_core.decode.trie.token_trie import ROOT, IntArray
from hcl_core.decode.trie.tree import PromptTree
from hcl_core.errors import ContextTooLongError, SettingsError

TokenIds = tuple[int, ...]

# Tokens of a continuation that is still part of a trie: each node attends over a copy of its path's keys.
_MOST_IN_TRIE = 64
# Tokens of contexts that run together; more fill a processor no better, and their keys and values take memory.
_TOKENS_AT_ONCE = 2_048


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A text as an exit layer reads it.

    Attributes:
        logprobs: ``[num_tokens]`` natural logarithm of the probability of each token after those before it
            (temperature 1, no truncation).
        is_greedy: Whether each of them is the most probable token there.
    """

    logprobs: NDArray[np.float32]
    is_greedy: bool

    @property
    def total(self) -> float:
        """Logarithm of the probability of the whole text."""
        return float(self.logprobs.sum(dtype=np.float64))


class LayerReader:
    """What an exit layer says of given texts.

    Args:
        parts: Model and exit head; the template is not used.
        exit_layer: Decoder blocks run, from 1.

    Raises:
        SettingsError: The model has no such layer.
    """

    def __init__(self, parts: EngineParts, exit_layer: int) -> None:
        parts.check_layers([exit_layer])
        self._lm, self._head, self._exit_layer = parts.lm, parts.exit_head, exit_layer

    @torch.inference_mode()
    def read(self, texts: Sequence[tuple[TokenIds, Sequence[TokenIds]]]) -> Iterator[list[Reading]]:
        """Read continuations.

        Args:
            texts: Contexts, at least one token each, and the continuations of each, at least one token each.

        Yields:
            For each context, in order, the reading of each of its continuations.

        Raises:
            SettingsError: A text is empty, or has a token that the model does not know.
            ContextTooLongError: Context and continuation exceed what the model can attend over.
            NotEnoughMemoryError: Memory ran out.
            NotFiniteError: A logit is infinite or undefined.
        """
        for context, continuations in texts:
            for continuation in continuations:
                self._check(context, continuation)
        with explain_out_of_memory("reading the texts"):
            for batch in _batches(texts):
                short = [[each for each in every if len(each) <= _MOST_IN_TRIE] for _, every in batch]
                asked = [(context, each) for (context, _), each in zip(batch, short, strict=True) if each]
                in_tries = iter(self._read_tries(asked))
                for (context, continuations), of_context in zip(batch, short, strict=True):
                    found = dict(zip(of_context, next(in_tries) if of_context else (), strict=True))
                    yield [found.get(each) or self._read_pass(context, each) for each in continuations]

    def _read_tries(self, texts: Sequence[tuple[TokenIds, Sequence[TokenIds]]]) -> list[list[Reading]]:
        if not texts:
            return []
        prompts = run_prompts(self._lm, [Prompt(context) for context, _ in texts])
        of_prompts = [(prompt, continuations) for prompt, (_, continuations) in zip(prompts, texts, strict=True)]
        return read_trees(self._lm, self._head, self._exit_layer, of_prompts)

    def _read_pass(self, context: TokenIds, continuation: TokenIds) -> Reading:
        states = read_text(self._lm, (*context, *continuation[:-1]))[self._exit_layer - 1, len(context) - 1 :]
        exit_layers = np.full(len(states), self._exit_layer)
        rows = np.arange(len(states))
        return _readings(self._lm, self._head, states, exit_layers, rows, [continuation])[0]

    def _check(self, context: TokenIds, continuation: TokenIds) -> None:
        lm = self._lm
        if not context or not continuation:
            raise SettingsError("a context and a continuation of at least one token each were wanted; one is empty")
        if not 0 <= min(*context, *continuation) <= max(*context, *continuation) < lm.vocab_size:
            raise SettingsError(f"{lm.name} has embeddings for {lm.vocab_size} tokens; a text has others")
        if len(context) + len(continuation) - 1 > lm.max_positions:
            raise ContextTooLongError(
                f"a context of {len(context)} tokens and a continuation of {len(continuation)} exceed this model's "
                f"window of {lm.max_positions}"
            )


def _batches(
    texts: Sequence[tuple[TokenIds, Sequence[TokenIds]]],
) -> Iterator[list[tuple[TokenIds, Sequence[TokenIds]]]]:
    """Contexts of ``_TOKENS_AT_ONCE`` tokens together, at least one context each; in order."""
    batch: list[tuple[TokenIds, Sequence[TokenIds]]] = []
    num_tokens = 0
    for context, continuations in texts:
        if batch and num_tokens + len(context) > _TOKENS_AT_ONCE:
            yield batch
            batch, num_tokens = [], 0
        batch.append((context, continuations))
        num_tokens += len(context)
    if batch:
        yield batch


def read_trees(
    lm: LanguageModel, head: ExitHead, exit_layer: int, of_prompts: Sequence[tuple[PromptCache, Sequence[TokenIds]]]
) -> list[list[Reading]]:
    """The readings of the continuations of each prompt, all computed together.

    Args:
        lm: The model.
        head: How early layers are read.
        exit_layer: Decoder blocks run.
        of_prompts: At least one prompt, each with at least one continuation of at least one token.
    """
    trees, node_of_token = [], []
    for prompt, continuations in of_prompts:
        tree = PromptTree(prompt)
        node_of_token.append(nodes_along(tree, continuations))
        tree.reserve_for(np.array([exit_layer]), len(tree.trie))
        trees.append(tree)
    nodes = [np.unique(each) for each in node_of_token]
    exit_layers = [np.full(len(each), exit_layer) for each in nodes]
    grow(lm, list(zip(trees, nodes, exit_layers, strict=True)))
    states = torch.cat([tree.states(*each) for tree, *each in zip(trees, nodes, exit_layers, strict=True)])
    first_rows = np.cumsum([0, *(len(each) for each in nodes)])
    rows = [
        first + np.searchsorted(unique, each)
        for first, unique, each in zip(first_rows, nodes, node_of_token, strict=False)
    ]
    texts = [each for _, continuations in of_prompts for each in continuations]
    readings = iter(_readings(lm, head, states, np.concatenate(exit_layers), np.concatenate(rows), texts))
    return [[next(readings) for _ in continuations] for _, continuations in of_prompts]


def nodes_along(tree: PromptTree, continuations: Sequence[TokenIds]) -> IntArray:
    """The node from which each token is read, of all continuations one after another: ``[t]``."""
    lengths = [len(continuation) for continuation in continuations]
    tokens: IntArray = np.concatenate(continuations).astype(np.int64)  # [t]
    steps = np.concatenate([np.arange(length) for length in lengths])  # [t] tokens before each in its continuation
    nodes = np.full(len(tokens), ROOT, dtype=np.int64)
    # By step: a node can be made once the node before it is known.
    for step in range(1, max(lengths)):
        at_step = np.flatnonzero(steps == step)
        nodes[at_step] = tree.children(nodes[at_step - 1], tokens[at_step - 1])
    return nodes


def _readings(
    lm: LanguageModel,
    head: ExitHead,
    states: Tensor,
    exit_layers: IntArray,
    row_of_token: IntArray,
    texts: Sequence[TokenIds],
) -> list[Reading]:
    """The readings of ``texts``.

    Args:
        lm: The model.
        head: How early layers are read.
        states: ``[m, hidden_size]``.
        exit_layers: ``[m]``.
        row_of_token: ``[t]`` the state from which each token is read, of all texts one after another.
        texts: See above.
    """
    tokens: IntArray = np.concatenate(texts).astype(np.int64)
    logprobs, is_top = np.empty(len(tokens), dtype=np.float32), np.empty(len(tokens), dtype=bool)
    buffer = lm.logits_buffer(min(lm.readout_rows(), len(states)))
    for begin in range(0, len(states), len(buffer)):
        part = slice(begin, begin + len(buffer))
        hidden = head.translate(states[part], exit_layers[part])
        logits = lm.unembed(lm.final_norm(hidden), out=buffer)
        check_rows(lm, logits, exit_layers[part])
        chosen = np.flatnonzero((row_of_token >= begin) & (row_of_token < begin + len(buffer)))
        rows = torch.from_numpy(row_of_token[chosen] - begin).to(logits.device)
        wanted = torch.from_numpy(tokens[chosen]).to(logits.device)
        logprobs[chosen] = (logits[rows, wanted] - logits.logsumexp(-1)[rows]).cpu().numpy()
        is_top[chosen] = (logits.argmax(-1)[rows] == wanted).cpu().numpy()
    stops = np.cumsum([len(text) for text in texts])[:-1]
    by_text = zip(np.split(logprobs, stops), np.split(is_top, stops), strict=True)
    return [Reading(of_text, bool(top.all())) for of_text, top in by_text]
