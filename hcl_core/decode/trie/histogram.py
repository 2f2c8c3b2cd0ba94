"""Draws from flat distributions: a histogram says which few tokens of a row must be put in order."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_NUM_BINS = 2048
# Rounded to a multiple of 2**-52, a smaller probability is 0.
_LEAST_LOG_PROB = math.log(2**-53)
# Which tokens a draw can reach is estimated from one token of so many, in so many bins; so much of the mass outside the
# nucleus is left out.
_SAMPLED, _NUM_COARSE_BINS, _LEFT_OUT = 16, 256, 0.7
# Bytes of one block of rows: few enough for a CPU's cache, enough to fill a GPU.
_BLOCK_BYTES_ON_CPU = 8 * 2**20
_BLOCK_BYTES_ON_GPU = 512 * 2**20
# For each logit of a row, about: its copy, its log-probability and a mask, and 50 for a token within reach, of which a
# usual flat distribution has a tenth.
_BYTES_A_LOGIT = 16


def rounded_probs(logits: Tensor, log_mass: Tensor, temperature: float) -> Tensor:
    """``exp(logits / temperature - log_mass)`` as multiples of 2**-52: ``[m, n]`` to float64.

    Float64 adds such numbers without rounding as long as the sum is at most 2. So cumulative probabilities do not
    depend on the order of the additions, and a draw is the same by a sort, by a histogram and on every device.

    Args:
        logits: ``[m, n]`` float32.
        log_mass: ``[m, 1]`` logarithm of the sum of each row's exponentials at ``temperature``.
        temperature: Above 0.
    """
    return _rounded_exp(_log_probs(logits, log_mass, temperature))


def _log_probs(logits: Tensor, log_mass: Tensor, temperature: float) -> Tensor:
    return (logits / temperature).sub_(log_mass)


def _rounded_exp(log_probs: Tensor) -> Tensor:
    # Between 1 and 2, float64 numbers are the multiples of 2**-52.
    return log_probs.double().exp_().add_(1).sub_(1)


def draw_by_histogram(
    logits: Tensor, log_mass: Tensor, rows: Tensor, uniforms: Tensor, temperature: float, top_p: float
) -> Tensor:
    """Token ids ``[s]`` of draws that may reach any token of their row; ``draw_tokens`` defines the draw.

    Args:
        logits: ``[m, vocab_size]`` float32, on a CPU.
        log_mass: ``[m, 1]`` as in ``rounded_probs``.
        rows: ``[s]`` row of each draw.
        uniforms: ``[s]`` float64 in [0, 1).
        temperature: Above 0.
        top_p: Nucleus mass.
    """
    token_ids = torch.empty_like(rows)
    block = rows_in_block(_BYTES_A_LOGIT * logits.shape[1], logits.device)
    used_rows, row_of_draw, num_draws = rows.unique(return_inverse=True, return_counts=True)
    draws_of_blocks = row_of_draw.argsort().split([int(counts.sum()) for counts in num_draws.split(block)])
    for number, (of_block, draws) in enumerate(zip(used_rows.split(block), draws_of_blocks, strict=True)):
        histogram = Histogram.of(logits.index_select(0, of_block), log_mass[of_block], temperature, top_p)
        mass, largest_target = histogram.nucleus(top_p)
        row = row_of_draw[draws] - number * block
        targets = torch.minimum(uniforms[draws] * mass[row], largest_target[row])
        token_ids[draws], _ = histogram.draw(row, targets)
    return token_ids


@dataclass(frozen=True)
class Histogram:
    """Distributions whose tokens are counted into bins of falling probability.

    Attributes:
        logits: ``[m, vocab_size]``.
        flat_indices: ``[n]`` of the tokens that a draw can reach, through all of ``logits``.
        probs: ``[n]`` float64.
        bins: ``[n]`` bin of each, counted through those of all rows: in a row, a larger logit is never in a later bin.
        masses: ``[m, num_bins]`` float64 sum of the probabilities in each bin.
        cumulative: ``[m, num_bins]`` float64 mass up to the end of each bin.
    """

    logits: Tensor
    flat_indices: Tensor
    probs: Tensor
    bins: Tensor
    masses: Tensor
    cumulative: Tensor

    @classmethod
    def of(cls, logits: Tensor, log_mass: Tensor, temperature: float, top_p: float) -> "Histogram":
        """The histogram of ``logits [m, vocab_size]``; the other arguments are those of ``draw_by_histogram``."""
        log_probs = _log_probs(logits, log_mass, temperature)
        if top_p < 1:
            histogram = cls._of_probable(logits, log_probs, _least_in_reach(log_probs, top_p))
            if not (histogram.cumulative[:, -1] < top_p).any():  # else too many tokens were left out
                return histogram
        return cls._of_probable(logits, log_probs, log_probs.new_full((len(logits), 1), _LEAST_LOG_PROB))

    @classmethod
    def _of_probable(cls, logits: Tensor, log_probs: Tensor, least: Tensor) -> "Histogram":
        """Of the tokens whose ``log_probs [m, vocab_size]`` are ``least [m, 1]`` or more."""
        # NaN stays: the caller finds it in the results.
        flat_indices = _flat_nonzero(~(log_probs < least))
        log_probs = log_probs.view(-1).index_select(0, flat_indices)
        bins = (log_probs * (_NUM_BINS / float(least.min()))).long().clamp_(0, _NUM_BINS - 1)
        # Cheaper than to divide each index by the size of the vocabulary.
        ends = torch.searchsorted(flat_indices, torch.arange(1, len(logits)) * logits.shape[1])
        for row, of_row in enumerate(bins.tensor_split(ends)):
            of_row += row * _NUM_BINS
        probs = _rounded_exp(log_probs)
        masses = probs.new_zeros(len(logits) * _NUM_BINS).scatter_add_(0, bins, probs).view(len(logits), -1)
        return cls(logits, flat_indices, probs, bins, masses, masses.cumsum(dim=-1))

    def nucleus(self, top_p: float) -> tuple[Tensor, Tensor]:
        """Mass of each row's truncated distribution, and the largest target of a draw from it: ``[m]`` each.

        With ``top_p`` 1 the mass is 1 by definition, though rounding can leave the sum of the row below it.
        """
        total = self.cumulative[:, -1]
        if top_p >= 1:
            return torch.ones_like(total), next_below(total)
        # Where rounding leaves the whole row below top_p, the nucleus is all that has mass.
        reached = next_below(total.clamp(max=top_p))
        _, mass = self.draw(torch.arange(len(total)), reached)
        return mass, next_below(mass)

    def draw(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """First token of each row in falling order whose cumulative probability exceeds the target.

        Args:
            rows: ``[n]``.
            targets: ``[n]`` float64, below the mass of the row.

        Returns:
            Token ids and cumulative probabilities, ``[n]`` each.
        """
        is_needed = torch.zeros_like(self.masses, dtype=torch.bool)  # [m, num_bins]
        is_needed[rows, first_above(self.cumulative, rows, targets)] = True
        skipped = self.masses.masked_fill(is_needed, 0).cumsum(dim=-1).view(-1)
        # [m, k] the tokens of the needed bins, by rising id, then by falling logit; padding stays at the end.
        chosen = _flat_nonzero(is_needed.view(-1).index_select(0, self.bins))
        chosen, is_padding = _padded(self.bins[chosen] // _NUM_BINS, chosen, len(self.masses))
        values = self.logits.view(-1)[self.flat_indices[chosen]].masked_fill(is_padding, -torch.inf)
        chosen = chosen.gather(-1, values.sort(dim=-1, descending=True, stable=True).indices)
        sums = self.probs[chosen].cumsum(dim=-1) + skipped[self.bins[chosen]]
        sums = sums.masked_fill(is_padding, torch.inf)
        positions = first_above(sums, rows, targets)
        return self.flat_indices[chosen[rows, positions]] % self.logits.shape[1], sums[rows, positions]


def _least_in_reach(log_probs: Tensor, top_p: float) -> Tensor:
    """Log-probability ``[m, 1]`` below which the tokens have together less than the mass outside the nucleus, about.

    By a sample of the tokens: those left out have small probabilities, so that a sample says their mass well. The
    caller sees whether it was too much.
    """
    sample = log_probs[:, ::_SAMPLED]
    bins = (sample * (_NUM_COARSE_BINS / _LEAST_LOG_PROB)).long().clamp_(0, _NUM_COARSE_BINS - 1)
    masses = sample.new_zeros(len(sample), _NUM_COARSE_BINS).scatter_add_(-1, bins, sample.exp().mul_(_SAMPLED))
    from_bin_on = masses.flip(-1).cumsum(dim=-1).flip(-1)
    num_in_reach = (from_bin_on > _LEFT_OUT * (1 - top_p)).sum(dim=-1, keepdim=True).clamp(min=1)
    return num_in_reach * (_LEAST_LOG_PROB / _NUM_COARSE_BINS)


def first_above(cumulative: Tensor, rows: Tensor, targets: Tensor) -> Tensor:
    """Position ``[n]`` of the first number of each row that exceeds the target, at most the last.

    Args:
        cumulative: ``[m, k]`` rising.
        rows: ``[n]`` row of each target.
        targets: ``[n]``.
    """
    # A block at a time: many targets can belong to one row, and each needs a copy of it here.
    block = rows_in_block(cumulative[0].nbytes, cumulative.device)
    positions = [
        torch.searchsorted(cumulative.index_select(0, of_block), block_targets[:, None], right=True)
        for of_block, block_targets in zip(rows.split(block), targets.contiguous().split(block), strict=True)
    ]
    return torch.cat(positions).squeeze(-1).clamp(max=cumulative.shape[1] - 1)


def _flat_nonzero(mask: Tensor) -> Tensor:
    """Flat indices of what is true in ``mask``. By numpy: torch's ``nonzero`` takes several times as long."""
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def _padded(rows: Tensor, values: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """A table of ``values [n]`` by their ``rows [n]``, which are ascending.

    Returns:
        Values of each row, padded with 0, and where that is padding: ``[num_rows, k]`` each, ``k`` at least 1.
    """
    counts = torch.bincount(rows, minlength=num_rows)
    firsts = counts.cumsum(dim=0) - counts
    columns = torch.arange(len(rows)) - firsts[rows]
    padded = values.new_zeros(num_rows, max(1, int(counts.max())))
    padded[rows, columns] = values
    return padded, torch.arange(padded.shape[1]) >= counts[:, None]


def next_below(numbers: Tensor) -> Tensor:
    """The next smaller floating-point number of each: to exceed it is to reach the number itself."""
    return torch.nextafter(numbers, torch.full_like(numbers, -torch.inf))


def rows_in_block(row_bytes: int, device: torch.device) -> int:
    """Number of rows in a block."""
    return max(1, (_BLOCK_BYTES_ON_CPU if device.type == "cpu" else _BLOCK_BYTES_ON_GPU) // row_bytes)
