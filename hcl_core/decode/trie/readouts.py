"""Readouts of many trees: one product with the unembedding for all rows, and the draws from their logits."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.model.finite import check_finite, check_rows
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.trie.requests import Draw, Read
from hcl_core.decode.trie.sampling import draw_tokens
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.errors import NotFiniteError

Drawn = tuple[IntArray, NDArray[np.float64]]
Reply = Tensor | Drawn | NotFiniteError


def read_out(lm: LanguageModel, reads: Sequence[Read], buffer: Tensor) -> list[Reply]:
    """The replies to ``reads``, whose states are stored; an error where a logit is infinite or undefined.

    Args:
        lm: The model.
        reads: Of any trees, heads and settings.
        buffer: ``[k, vocab_size]`` float32 for ``k`` rows of logits at a time, from ``lm.logits_buffer``.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, read in enumerate(reads):
        groups.setdefault(_kind(read), []).append(index)
    replies: dict[int, Reply] = {}
    for indices in groups.values():
        group = [reads[index] for index in indices]
        draws = [read for read in group if isinstance(read, Draw)]
        replies |= zip(indices, _draw(lm, draws, buffer) if draws else _logits(lm, group, buffer), strict=True)
    return [replies[index] for index in range(len(reads))]


def logits_of(lm: LanguageModel, read: Read, buffer: Tensor) -> Tensor:
    """The reply to one read that draws nothing; see ``read_out``.

    Raises:
        NotFiniteError: A logit is infinite or undefined.
    """
    (reply,) = read_out(lm, [read], buffer)
    if isinstance(reply, NotFiniteError):
        raise reply
    assert isinstance(reply, Tensor)
    return reply


def _kind(read: Read) -> tuple[object, ...]:
    """Equal for reads that are served together."""
    if not isinstance(read, Draw):
        return (read.head.fingerprint,)
    settings = read.settings
    return read.head.fingerprint, settings.temperature, settings.top_p, settings.top_k


def _chunks(lm: LanguageModel, reads: Sequence[Read], buffer: Tensor) -> Iterator[tuple[IntArray, Tensor]]:
    """Logits of all reads, some rows at a time: which rows of all of them, ``[k]``, and their logits."""
    exit_layers = np.concatenate([read.exit_layers for read in reads])
    states = torch.cat([read.tree.states(read.nodes, read.exit_layers) for read in reads])
    # By exit layer, so that an exit head translates each layer's rows together.
    order = np.argsort(exit_layers, kind="stable")
    states = states[torch.from_numpy(order).to(states.device)]
    for begin in range(0, len(order), len(buffer)):
        rows = order[begin : begin + len(buffer)]
        hidden = reads[0].head.translate(states[begin : begin + len(buffer)], exit_layers[rows])
        yield rows, lm.unembed(lm.final_norm(hidden), out=buffer)


def _logits(lm: LanguageModel, reads: Sequence[Read], buffer: Tensor) -> list[Reply]:
    all_logits = torch.empty(sum(len(read.nodes) for read in reads), lm.vocab_size, device=lm.readout_device)
    for rows, logits in _chunks(lm, reads, buffer):
        all_logits[torch.from_numpy(rows).to(logits.device)] = logits
    by_read = all_logits.split([len(read.nodes) for read in reads])
    return [
        _or_error(logits, partial(check_rows, lm, logits, read.exit_layers))
        for read, logits in zip(reads, by_read, strict=True)
    ]


def _draw(lm: LanguageModel, draws: Sequence[Draw], buffer: Tensor) -> list[Reply]:
    first_rows = np.cumsum([0, *(len(draw.nodes) for draw in draws)])
    row_of_sample = np.concatenate([draw.row_of_sample + first for draw, first in zip(draws, first_rows, strict=False)])
    uniforms = np.concatenate([draw.uniforms for draw in draws])
    tokens, logprobs = np.empty(len(uniforms), dtype=np.int64), np.empty(len(uniforms))
    place = np.full(first_rows[-1], -1)  # of each row in the chunk
    for rows, logits in _chunks(lm, draws, buffer):
        place[:] = -1
        place[rows] = np.arange(len(rows))
        drawing = np.flatnonzero(place[row_of_sample] >= 0)
        drawn, drawn_logprobs = draw_tokens(
            logits,
            torch.from_numpy(place[row_of_sample[drawing]]).to(logits.device),
            torch.from_numpy(uniforms[drawing]).to(logits.device),
            draws[0].settings,
        )
        tokens[drawing], logprobs[drawing] = drawn.numpy(), drawn_logprobs.numpy()
    stops = np.cumsum([len(draw.uniforms) for draw in draws])[:-1]
    by_draw = zip(draws, np.split(tokens, stops), np.split(logprobs, stops), strict=True)
    # Every row of logits is drawn from, and a log-probability contains the mass of its whole row.
    return [
        _or_error((of_draw, of_logprobs), partial(check_finite, lm, of_logprobs, draw.exit_layers[draw.row_of_sample]))
        for draw, of_draw, of_logprobs in by_draw
    ]


def _or_error(reply: Tensor | Drawn, check: Callable[[], None]) -> Reply:
    """``reply``, or the error of its check."""
    try:
        check()
    except NotFiniteError as error:
        return error
    return reply
