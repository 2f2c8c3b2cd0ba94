"""A prompt run through the model once: its keys, values and last-token states, which every trie borrows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

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
    def of(cls, lm: CausalLM, prompt_token_ids: Sequence[int], answer_rule: AnswerRule = FIRST_LINE) -> "PromptCache":
        """Run one prompt through the model."""
        return cls.of_many(lm, [(prompt_token_ids, answer_rule)])[0]

    @classmethod
    def of_many(
        cls, lm: CausalLM, prompts: Sequence[tuple[Sequence[int], AnswerRule]], pool: SlotPool | None = None
    ) -> "list[PromptCache]":
        """Run several prompts through the model together: token ids of each, and the rule of its answers.

        ``pool`` gets their keys and values; ``None``: a new pool does, if the model's attention reads one.
        """
        lengths = [len(token_ids) for token_ids, _ in prompts]
        layers: list[list[PromptKv]] = [[] for _ in prompts]
        pool = pool or new_pool(lm)
        slots = None if pool is None else [Slots(pool, length) for length in lengths]
        numbers = np.concatenate([each.numbers for each in slots or ()] or [np.empty(0, dtype=np.int64)])
        on_device = {device: torch.from_numpy(numbers).to(device) for device in set(lm.layer_devices)}

        def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            mixed = []
            if pool is not None:
                pool.store(layer, on_device[key.device], key, value)
            by_prompt = zip(query.split(lengths), key.split(lengths), value.split(lengths), strict=True)
            limits = lm.limits[layer]
            for of_prompt, (queries, keys, values) in zip(layers, by_prompt, strict=True):
                if pool is None:
                    kept = keys.permute(1, 2, 0).contiguous(), values.transpose(0, 1).contiguous()
                    of_prompt.append(PromptKv(*kept, limits))
                mixed.append(_attend_causally(queries, keys, values, limits))
            return torch.cat(mixed)

        positions = torch.cat([torch.arange(length) for length in lengths])
        token_ids = torch.tensor([token_id for token_ids, _ in prompts for token_id in token_ids])
        hidden = lm.embed(token_ids, positions)  # [P, hidden_size]
        cos, sin = lm.rotary(positions)
        last_rows = torch.tensor(lengths).cumsum(0) - 1
        last_states = []
        for layer, device in enumerate(lm.layer_devices):
            hidden = lm.block(layer, hidden.to(device), (cos, sin), partial(attend, layer))
            last_states.append(hidden[last_rows.to(device)].to(lm.readout_device))
        by_prompt = torch.stack(last_states, dim=1)  # [number of prompts, num_hidden_layers, hidden_size]
        return [
            cls(lm, length, of_prompt, states, answer_rule, None if slots is None else slots[number])
            for number, (length, of_prompt, states, (_, answer_rule)) in enumerate(
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


def _attend_causally(query: Tensor, key: Tensor, value: Tensor, limits: Limits) -> Tensor:
    """Attention within one prompt: ``query [P, heads, head_dim]``, ``key`` and ``value [P, kv_heads, head_dim]``."""
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
