"""Draws from flat distributions for devices whose host must not wait: every shape is known before the numbers are.

A logit's 32 bits, read as a number, order the tokens. The token of a draw is found digit by digit of that number, the
highest first: the masses of a digit's values say which value the draw falls into, and only the tokens that have it are
looked at further.
"""

import torch
from torch import Tensor

from hcl_core.decode.trie.histogram import next_below, rounded_probs, rows_in_block

_SHIFTS_AND_BITS = ((21, 11), (10, 11), (0, 10))
# A float64 probability, the part of it that is left, a key and a digit, with a copy of some, at the same time.
_BYTES_A_LOGIT = 48


def draw_by_digits(
    logits: Tensor, log_mass: Tensor, rows: Tensor, uniforms: Tensor, temperature: float, top_p: float
) -> Tensor:
    """Token ids ``[s]``, those of ``histogram.draw_by_histogram``, which explains the arguments."""
    token_ids = []
    block = rows_in_block(_BYTES_A_LOGIT * logits.shape[1], logits.device)
    for of_block, block_uniforms in zip(rows.split(block), uniforms.split(block), strict=True):
        own = logits.index_select(0, of_block)  # a row a draw
        probs, keys = rounded_probs(own, log_mass[of_block], temperature), _falling_keys(own)
        total = probs.sum(dim=-1)
        mass, largest_target = torch.ones_like(total), next_below(total)
        if top_p < 1:
            _, mass = _first_above(keys, probs, next_below(total.clamp(max=top_p)))
            largest_target = next_below(mass)
        token_ids.append(_first_above(keys, probs, torch.minimum(block_uniforms * mass, largest_target))[0])
    return torch.cat(token_ids)


def _falling_keys(logits: Tensor) -> Tensor:
    """Numbers from 0 to 2**32 - 1, the smaller the larger the logit, and equal for equal ones; int64."""
    bits = (logits + 0.0).view(torch.int32)  # adding 0 makes -0 the 0 that it equals
    rising = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return 2**31 - 1 - rising.long()


def _first_above(keys: Tensor, probs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """First token of each row, by rising key, then id, at which the cumulative probability exceeds the target.

    Args:
        keys: ``[n, vocab_size]``.
        probs: ``[n, vocab_size]`` rounded, so that sums are exact.
        targets: ``[n]`` below the sum of the row.

    Returns:
        Token ids and cumulative probabilities, ``[n]`` each.
    """
    left, above = probs, torch.zeros_like(targets)[:, None]  # of the tokens that share all digits so far, and before
    targets = targets[:, None]
    for shift, bits in _SHIFTS_AND_BITS:
        digits = (keys >> shift) & (2**bits - 1)
        masses = probs.new_zeros(len(probs), 2**bits).scatter_add_(-1, digits, left)
        cumulative = masses.cumsum(dim=-1) + above
        digit = torch.searchsorted(cumulative, targets, right=True).clamp(max=2**bits - 1)
        above = (cumulative - masses).gather(-1, digit)
        left = left.masked_fill(digits != digit, 0)
    cumulative = left.cumsum(dim=-1) + above
    token_ids = torch.searchsorted(cumulative, targets, right=True).clamp(max=probs.shape[1] - 1)
    return token_ids[:, 0], cumulative.gather(-1, token_ids)[:, 0]
