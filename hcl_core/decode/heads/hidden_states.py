"""Hidden states after every layer: of a text in one pass, and of texts while the model writes them.

The engine's trie stores only the states that samples need; here all positions are read, to fit exit heads and for the
token lens.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from hcl_core.decode.model.attention import attend_to_texts
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.inside_blocks import Inside, Watch
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.model.reference_lm import ReferenceLM
from hcl_core.decode.trie.sampling import draw_tokens
from hcl_core.errors import SettingsError
from hcl_core.models.lens_records import RESID_POST
from hcl_core.records import SamplingSettings


class _BatchKv:
    """One layer's keys and values of ``b`` texts that grow together."""

    def __init__(self, lm: CausalLM, layer: int, num_texts: int, num_positions: int) -> None:
        shape, device = (num_texts, lm.num_key_value_heads, num_positions, lm.head_dim), lm.layer_devices[layer]
        self._limits = lm.limits[layer]
        self._keys = torch.empty(shape, dtype=lm.dtype, device=device)
        self._values = torch.empty(shape, dtype=lm.dtype, device=device)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, start: int, by_text: tuple[int, int]) -> Tensor:
        """Store and attend from the new positions; see ``CausalLM.block``.

        Args:
            query: ``[b * t, heads, head_dim]``.
            key: ``[b * t, kv_heads, head_dim]``.
            value: Like ``key``.
            start: First new position.
            by_text: ``(b, t)``; ``b`` is 1 where one text is read for all.

        Returns:
            ``[b * t, heads * head_dim]``.
        """
        query, key, value = (rows.unflatten(0, by_text).transpose(1, 2) for rows in (query, key, value))
        stop = start + by_text[1]
        self._keys[:, :, start:stop], self._values[:, :, start:stop] = key, value
        keys, values = self._keys[: by_text[0], :, :stop], self._values[: by_text[0], :, :stop]
        mixed = attend_to_texts(query, keys, values, self._limits)
        return mixed.transpose(1, 2).flatten(2).flatten(0, 1)


class _FastTexts:
    """Texts of one length that are read or written together, with their keys and values.

    Args:
        lm: The model.
        num_texts: ``b``.
        num_positions: Longest the texts may grow.
    """

    def __init__(self, lm: CausalLM, num_texts: int, num_positions: int) -> None:
        self._lm, self._num_read = lm, 0
        self._layers = [_BatchKv(lm, layer, num_texts, num_positions) for layer in range(lm.num_hidden_layers)]

    def read(self, token_ids: Tensor, watch: Watch | None = None) -> Tensor:
        """See ``TextBatch.read``."""
        lm, start = self._lm, self._num_read
        num_texts, count = by_text = (token_ids.shape[0], token_ids.shape[1])
        assert start == 0 or count == 1, "a later piece would need a mask of its own"
        positions = torch.arange(start, start + count).repeat(num_texts)
        hidden, rotary = lm.embed(token_ids.flatten(), positions), lm.rotary(positions)
        states = torch.empty(
            lm.num_hidden_layers, num_texts, count, lm.hidden_size, dtype=lm.dtype, device=lm.readout_device
        )
        for layer, kv in enumerate(self._layers):
            before, added = hidden.to(lm.layer_devices[layer]), list[Tensor]()
            hidden = lm.block(
                layer, before, rotary, partial(kv.attend, start=start, by_text=by_text), added if watch else None
            )
            if watch is not None:
                attention, mlp = added
                watch(layer, Inside(attention, mlp, None if lm.is_parallel else before + attention))
            states[layer] = hidden.unflatten(0, by_text)
        self._num_read += count
        return states


class _ReferenceTexts:
    """The same, as the reference engine reads them."""

    def __init__(self, lm: ReferenceLM, num_texts: int) -> None:
        self._lm, self._num_texts = lm, num_texts
        self._cache: Any = None
        self._num_kept = 0  # texts in the cache

    def read(self, token_ids: Tensor, watch: Watch | None = None) -> Tensor:
        """See ``TextBatch.read``."""
        lm = self._lm
        if self._cache is not None and self._num_kept < len(token_ids):
            self._cache, self._num_kept = lm.spread(self._cache, self._num_texts), self._num_texts
        states, self._cache = lm.run(token_ids, lm.num_hidden_layers, self._cache, watch)
        self._num_kept = len(token_ids)
        return torch.stack(states).to(lm.readout_device)


class TextBatch:
    """Texts of one length that are read or written together.

    Args:
        lm: The model.
        num_texts: ``b``.
        num_positions: Longest the texts may grow.
    """

    def __init__(self, lm: LanguageModel, num_texts: int, num_positions: int) -> None:
        self._texts: _ReferenceTexts | _FastTexts
        if isinstance(lm, ReferenceLM):
            self._texts = _ReferenceTexts(lm, num_texts)
        else:
            assert isinstance(lm, CausalLM)
            self._texts = _FastTexts(lm, num_texts, num_positions)

    def read(self, token_ids: Tensor, watch: Watch | None = None) -> Tensor:
        """Append ``token_ids [b, t]`` to the texts; ``[1, t]`` appends the same tokens to all.

        After the first call, ``t`` must be 1. ``watch`` is told what each block adds to the states of these tokens.

        Returns:
            Hidden states of these tokens before the final norm, ``[num_hidden_layers, b or 1, t, hidden_size]``, on the
            device of the unembedding.
        """
        return self._texts.read(token_ids, watch)


def read_text(lm: LanguageModel, token_ids: Sequence[int]) -> Tensor:
    """Hidden states of one text after every layer, before the final norm: ``[num_hidden_layers, t, hidden_size]``."""
    return TextBatch(lm, 1, len(token_ids)).read(torch.tensor([list(token_ids)]))[:, 0]


def read_site(lm: LanguageModel, token_ids: Sequence[int], site: str) -> tuple[Tensor, Tensor]:
    """Read one text at a place of every block.

    Args:
        lm: The model.
        token_ids: The text.
        site: One of ``SITES``.

    Returns:
        What stands at ``site`` in every layer, ``[num_hidden_layers, t, hidden_size]``, and the state after the last
        block, ``[t, hidden_size]``; both before the final norm.

    Raises:
        SettingsError: Nothing stands at ``site``.
        UnsupportedArchitectureError: The reference engine finds no attention and MLP in a block.
    """
    if site == RESID_POST:
        states = read_text(lm, token_ids)
        return states, states[-1]
    shape = (lm.num_hidden_layers, len(token_ids), lm.hidden_size)
    found = torch.empty(shape, dtype=lm.dtype, device=lm.readout_device)

    def watch(layer: int, inside: Inside) -> None:
        at_site: Tensor | None = getattr(inside, site)
        if at_site is None:
            raise SettingsError(
                f"in {lm.name} attention and MLP read the same state, and nothing stands between them: choose another "
                f"site than {site}"
            )
        found[layer] = at_site

    return found, TextBatch(lm, 1, len(token_ids)).read(torch.tensor([list(token_ids)]), watch)[-1, 0]


def write_texts(
    lm: LanguageModel, prompt_token_ids: Sequence[int], num_texts: int, num_tokens: int, settings: SamplingSettings
) -> tuple[Tensor, Tensor]:
    """Let the model write ``num_texts`` continuations of one prompt; they go on after an end-of-text token.

    Args:
        lm: The model.
        prompt_token_ids: The prompt.
        num_texts: ``b``.
        num_tokens: ``t``, the length of each continuation.
        settings: Temperature, truncation and seed of the draws.

    Returns:
        The tokens ``[b, t]``, and the hidden states that each token was drawn from (those of the token before it),
        ``[num_hidden_layers, b, t, hidden_size]``, on the CPU.
    """
    noise = torch.Generator().manual_seed(settings.seed)
    batch = TextBatch(lm, num_texts, len(prompt_token_ids) + num_tokens)
    logits = lm.logits_buffer(num_texts)
    tokens = torch.empty(num_texts, num_tokens, dtype=torch.int64)
    states = torch.empty(lm.num_hidden_layers, num_texts, num_tokens, lm.hidden_size, dtype=lm.dtype)
    rows = torch.arange(num_texts, device=lm.readout_device)
    latest = batch.read(torch.tensor([list(prompt_token_ids)])).expand(-1, num_texts, -1, -1)
    for step in range(num_tokens):
        states[:, :, step] = latest[:, :, -1].cpu()
        uniforms = torch.rand(num_texts, generator=noise, dtype=torch.float64).to(lm.readout_device)
        scores = lm.unembed(lm.final_norm(latest[-1, :, -1]), out=logits)
        tokens[:, step] = draw_tokens(scores, rows, uniforms, settings)[0]
        if step + 1 < num_tokens:
            latest = batch.read(tokens[:, step, None])
    return tokens, states
