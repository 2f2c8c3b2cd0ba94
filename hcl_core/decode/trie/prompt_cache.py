"""A prompt run through the model once: its keys, values and last-token states, which every trie borrows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hcl_core.answer_rules import FIRST_LINE, AnswerRule
from hcl_core.decode.model.attention import Limits, attend_to_texts
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.linear import MIN_ROWS
from hcl_core.decode.trie.slot_pool import SlotPool, Slots, new_pool
from hcl_core.decode.trie.token_trie import TokenTrie
from hcl_core.models.attention_kinds import BY_TREE, blocks_kept
from hcl_core.models.footprint import pooled_row_scratch, row_scratch

# Bytes of prefixes that are kept for later prompts.
_MOST_KEPT_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A prompt to run through the model.

    Attributes:
        token_ids: At least one.
        answer_rule: How the answers to it end, and where they stand.
        num_prefix_tokens: So many of its tokens, not all, are those of every prompt of its template. They run by
            themselves, once for many prompts. A prompt's bits depend on this number, not on who runs them.
    """

    token_ids: Sequence[int]
    answer_rule: AnswerRule = FIRST_LINE
    num_prefix_tokens: int = 0

    def __post_init__(self) -> None:
        assert 0 <= self.num_prefix_tokens < len(self.token_ids), "the state of the last token is the prompt's own"


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """Keys and values of the first tokens of several prompts.

    Attributes:
        keys: ``[t, kv_heads, head_dim]`` of each layer.
        values: Like ``keys``.
    """

    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def of(cls, lm: CausalLM, token_ids: Sequence[int]) -> "Prefix":
        """Run the tokens through the model."""
        all_keys: list[Tensor] = []
        all_values: list[Tensor] = []

        def attend(layer: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            all_keys.append(keys.contiguous())
            all_values.append(values.contiguous())
            return _attend_causally(query, keys, values, lm.limits[layer])

        for _ in _run_blocks(lm, torch.tensor(token_ids), torch.arange(len(token_ids)), attend):
            pass
        return cls(all_keys, all_values)

    @property
    def num_bytes(self) -> int:
        """Bytes of keys and values."""
        return sum(each.nbytes for each in (*self.keys, *self.values))

    def followed_by(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, with those of a prompt's other tokens after them."""
        return torch.cat((self.keys[layer], keys)), torch.cat((self.values[layer], values))


class PrefixCache:
    """The prefixes of the templates that were used lately, as far as they are small.

    Args:
        lm: The model.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self._lm = lm
        self._kept: dict[tuple[int, ...], Prefix] = {}  # the one that was not used for longest in front

    def of(self, prompts: Sequence[Prompt]) -> list[Prefix | None]:
        """The prefix of each prompt, each run once; ``None`` where a prompt shares none."""
        assert isinstance(self._lm, CausalLM)
        asked = [tuple(prompt.token_ids[: prompt.num_prefix_tokens]) for prompt in prompts]
        found = {
            token_ids: self._kept.pop(token_ids) if token_ids in self._kept else Prefix.of(self._lm, token_ids)
            for token_ids in dict.fromkeys(filter(None, asked))
        }
        self._kept |= {ids: prefix for ids, prefix in found.items() if prefix.num_bytes <= _MOST_KEPT_BYTES}
        while sum(prefix.num_bytes for prefix in self._kept.values()) > _MOST_KEPT_BYTES:
            del self._kept[next(iter(self._kept))]
        return [found.get(token_ids) for token_ids in asked]


@dataclass(frozen=True, slots=True)
class PromptKv:
    """One layer's keys and values of a prompt of ``P`` tokens.

    Attributes:
        keys: ``[kv_heads, head_dim, P]``.
        values: ``[kv_heads, P, head_dim]``.
        limits: Of the layer's attention.
    """

    keys: Tensor
    values: Tensor
    limits: Limits

    def scores(self, query: Tensor) -> Tensor:
        """Scaled ``query [n, kv_heads, group, head_dim]`` times the keys: ``[n, kv_heads, group, P]``."""
        return _product_by_head(query, self.keys)

    def mix(self, weights: Tensor) -> Tensor:
        """Values averaged by ``weights [n, kv_heads, group, P]``: ``[n, heads * head_dim]``."""
        return _product_by_head(weights, self.values).flatten(1)


class PromptCache:
    """Keys, values and last-token states of one prompt at full depth; tries read them and never change them.

    Attributes:
        lm: The model.
        num_tokens: Tokens of the prompt.
        layers: Keys and values, an entry a decoder block; none where a pool or the reference engine keeps them.
        last_states: ``[num_hidden_layers, hidden_size]`` hidden state of the last token after each block.
        slots: Of its tokens, in order, where a pool keeps its keys and values.

    Args:
        lm: The model.
        num_tokens: See above.
        layers: See above.
        last_states: See above.
        answer_rule: How the answers to the prompt end, and where they stand.
        slots: See above.
    """

    def __init__(
        self,
        lm: LanguageModel,
        num_tokens: int,
        layers: list[PromptKv],
        last_states: Tensor,
        answer_rule: AnswerRule,
        slots: Slots | None = None,
    ) -> None:
        self.lm, self.num_tokens, self.layers, self.last_states = lm, num_tokens, layers, last_states
        self._answer_rule, self.slots = answer_rule, slots

    @property
    def text_bytes(self) -> int:
        """Bytes of the prompt that each text which follows it has for itself: none, as all share it."""
        return 0

    @classmethod
    def of(cls, lm: CausalLM, token_ids: Sequence[int]) -> "PromptCache":
        """Run one prompt through the model."""
        return cls.of_many(lm, [Prompt(token_ids)])[0]

    @classmethod
    def of_many(
        cls,
        lm: CausalLM,
        prompts: Sequence[Prompt],
        pool: SlotPool | None = None,
        prefixes: PrefixCache | None = None,
    ) -> "list[PromptCache]":
        """Run several prompts through the model together.

        Args:
            lm: The model.
            prompts: Of any templates.
            pool: Gets their keys and values; ``None``: a new pool does, if the model's attention reads one.
            prefixes: Of earlier prompts, and where those of these are kept; ``None``: they are kept for this call only.
        """
        of_prompts = (prefixes or PrefixCache(lm)).of(prompts)
        lengths = [len(prompt.token_ids) for prompt in prompts]
        rest = [prompt.token_ids[prompt.num_prefix_tokens :] for prompt in prompts]  # what each has for itself
        num_rows = [len(token_ids) for token_ids in rest]
        layers: list[list[PromptKv]] = [[] for _ in prompts]
        pool = pool or new_pool(lm)
        slots = None if pool is None else [Slots(pool, length) for length in lengths]
        numbers = np.concatenate([each.numbers for each in slots or ()] or [np.empty(0, dtype=np.int64)])
        on_device = {device: torch.from_numpy(numbers).to(device) for device in set(lm.layer_devices)}

        def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            limits = lm.limits[layer]
            whole = [
                (keys, values) if prefix is None else prefix.followed_by(layer, keys, values)
                for prefix, keys, values in zip(of_prompts, key.split(num_rows), value.split(num_rows), strict=True)
            ]
            if pool is not None:
                pool.store(layer, on_device[key.device], *map(torch.cat, zip(*whole, strict=True)))
            else:
                for of_prompt, (keys, values) in zip(layers, whole, strict=True):
                    kept = keys.permute(1, 2, 0).contiguous(), values.transpose(0, 1).contiguous()
                    of_prompt.append(PromptKv(*kept, limits))
            mixed = [
                _attend_causally(queries, keys, values, limits)
                for queries, (keys, values) in zip(query.split(num_rows), whole, strict=True)
            ]
            return torch.cat(mixed)

        positions = torch.cat([torch.arange(prompt.num_prefix_tokens, len(prompt.token_ids)) for prompt in prompts])
        last_rows = torch.tensor(num_rows).cumsum(0) - 1
        last_states = [
            hidden[last_rows.to(hidden.device)].to(lm.readout_device)
            for hidden in _run_blocks(lm, torch.tensor([*chain.from_iterable(rest)]), positions, attend)
        ]
        by_prompt = torch.stack(last_states, dim=1)  # [number of prompts, num_hidden_layers, hidden_size]
        return [
            cls(lm, length, of_prompt, states, prompt.answer_rule, None if slots is None else slots[number])
            for number, (length, of_prompt, states, prompt) in enumerate(
                zip(lengths, layers, by_prompt, prompts, strict=True)
            )
        ]

    def new_trie(self) -> TokenTrie:
        """An empty trie of texts that follow the prompt."""
        lm, rule = self.lm, self._answer_rule
        stop_token_ids = lm.stop_token_ids if rule.ends_at_line_break else lm.stop_token_ids | lm.end_of_turn_ids
        return TokenTrie(lm.token_texts, stop_token_ids, rule)

    def scratch_bytes(self, path_length: int) -> int:
        """Short-lived bytes of a block for each node whose path has ``path_length`` tokens."""
        if self.slots is None:
            return row_scratch(self.lm.shape, self.num_tokens, path_length)
        pool = self.slots.pool
        return pooled_row_scratch(
            self.lm.shape,
            pool.kind,
            self.lm.dtype.itemsize,
            self.num_tokens,
            path_length,
            pool.top,
            scores_in_memory=pool.scores_in_memory,
        )

    def blocks_kept(self, exit_layer: int) -> int:
        """Blocks for whose keys and values a node takes memory when it runs ``exit_layer`` of them."""
        kind = BY_TREE if self.slots is None else self.slots.pool.kind
        return blocks_kept(kind, self.lm.num_hidden_layers, exit_layer)


def _run_blocks(
    lm: CausalLM, token_ids: Tensor, positions: Tensor, attend: Callable[[int, Tensor, Tensor, Tensor], Tensor]
) -> Iterator[Tensor]:
    """Run tokens ``[n]`` at their positions ``[n]`` through the model: ``[n, hidden_size]`` after each block."""
    hidden, rotary = lm.embed(token_ids, positions), lm.rotary(positions)
    for layer, device in enumerate(lm.layer_devices):
        hidden = lm.block(layer, hidden.to(device), rotary, partial(attend, layer))
        yield hidden


def _attend_causally(query: Tensor, key: Tensor, value: Tensor, limits: Limits) -> Tensor:
    """Attention within one prompt of its last tokens: ``query [n, heads, head_dim]``.

    ``key`` and ``value [P, kv_heads, head_dim]`` are those of all its tokens. Returns ``[n, heads * head_dim]``.
    """
    by_head = [heads.transpose(0, 1)[None] for heads in (query, key, value)]
    return attend_to_texts(by_head[0], by_head[1], by_head[2], limits)[0].transpose(0, 1).flatten(1)


def _product_by_head(left: Tensor, right: Tensor) -> Tensor:
    """``[n, kv_heads, group, a] @ [kv_heads, a, b]`` as one matrix product a head: ``[n, kv_heads, group, b]``."""
    num_rows, num_kv_heads, group, _ = left.shape
    rows = left.transpose(0, 1).reshape(num_kv_heads, num_rows * group, -1)
    if rows.shape[1] < MIN_ROWS:  # the same result whatever the batch: see MIN_ROWS
        rows = F.pad(rows, (0, 0, 0, MIN_ROWS - rows.shape[1]))
    product = torch.bmm(rows, right)[:, : num_rows * group]
    return product.view(num_kv_heads, num_rows, group, -1).transpose(0, 1)
