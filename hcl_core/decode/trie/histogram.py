"""Draws from flat distributions: a histogram says which few tokens of a row must be put in order."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_NUM_BINS = 2048
# Rounded to a multiple of 2**-52, a smaller probability is 0.
_LEAST_LOG_PROB = math.log(2**-53)
# Bytes of one block of rows: few enough for a CPU's cache, enough to fill a GPU.
_BLOCK_BYTES_ON_CPU = 8 * 2**20
_BLOCK_BYTES_ON_GPU = 512 * 2**20
# A logit, its scaled copies, its float64 probability and its bin, at the same time.
_BYTES_A_LOGIT = 32


def rounded_probs(logits: Tensor, log_mass: Tensor, temperature: float) -> Tensor:
    """``exp(logits / temperature - log_mass)`` as multiples of 2**-52: ``[m, n]`` to float64.

    Float64 adds such numbers without rounding as long as the sum is at most 2. So cumulative probabilities do not
    depend on the order of the additions, and a draw is the same by a sort, by a histogram and on every device.

    Args:
        logits: ``[m, n]`` float32.
        log_mass: ``[m, 1]`` logarithm of the sum of each row's exponentials at ``temperature``.
        temperature: Above 0.
    """
    # Between 1 and 2, float64 numbers are the multiples of 2**-52.
    return (logits / temperature).sub_(log_mass).double().exp_().add_(1).sub_(1)


def draw_by_histogram(
    logits: Tensor, log_mass: Tensor, rows: Tensor, uniforms: Tensor, temperature: float, top_p: float
) -> Tensor:
    """Token ids ``[s]`` of draws that may reach any token of their row; ``draw_tokens`` defines the draw.

    Args:
        logits: ``[m, vocab_size]`` float32.
        log_mass: ``[m, 1]`` as in ``rounded_probs``.
        rows: ``[s]`` row of each draw.
        uniforms: ``[s]`` float64 in [0, 1).
        temperature: Above 0.
        top_p: Nucleus mass.
    """
    token_ids = torch.empty_like(rows)
    block_bytes = _BLOCK_BYTES_ON_CPU if logits.device.type == "cpu" else _BLOCK_BYTES_ON_GPU
    block = max(1, block_bytes // (_BYTES_A_LOGIT * logits.shape[1]))
    used_rows, row_of_draw, num_draws = rows.unique(return_inverse=True, return_counts=True)
    draws_of_blocks = row_of_draw.argsort().split([int(counts.sum()) for counts in num_draws.cpu().split(block)])
    for number, (of_block, draws_of_block) in enumerate(zip(used_rows.split(block), draws_of_blocks, strict=True)):
        histogram = Histogram.of(logits.index_select(0, of_block), log_mass[of_block], temperature)
        mass, largest_target = histogram.nucleus(top_p)
        # Each draw is as large as a row here: the tokens of its bin are searched in a copy of the row's bins.
        for draws in draws_of_block.split(block):
            row = row_of_draw[draws] - number * block
            targets = torch.minimum(uniforms[draws] * mass[row], largest_target[row])
            token_ids[draws], _ = histogram.first_above(row, targets)
    return token_ids


@dataclass(frozen=True)
class Histogram:
    """Distributions whose tokens are counted into bins of falling probability.

    Attributes:
        logits: ``[m, vocab_size]``.
        probs: ``[m, vocab_size]`` float64.
        bins: ``[m, vocab_size]`` int16 bin of each token: a larger logit is never in a later bin.
        cumulative: ``[m, num_bins + 1]`` float64 mass before each bin, then the mass of the row.
    """

    logits: Tensor
    probs: Tensor
    bins: Tensor
    cumulative: Tensor

    @classmethod
    def of(cls, logits: Tensor, log_mass: Tensor, temperature: float) -> "Histogram":
        """The histogram of ``logits [m, vocab_size]``; the other arguments are those of ``rounded_probs``."""
        probs = rounded_probs(logits, log_mass, temperature)
        scaled = logits / temperature
        largest = scaled.amax(dim=-1, keepdim=True)
        smallest = torch.maximum(scaled.amin(dim=-1, keepdim=True), log_mass + _LEAST_LOG_PROB)
        # Equal logits have no range to divide by.
        bins_a_unit = _NUM_BINS / (largest - smallest).clamp(min=1e-30)
        # The last bin takes all that is below the smallest. NaN goes to any bin: the caller finds it in the results.
        bins = (largest - scaled).mul_(bins_a_unit).clamp_(max=_NUM_BINS)
        bins = bins.to(torch.int16).clamp_(0, _NUM_BINS)
        masses = probs.new_zeros(len(probs), _NUM_BINS + 1).scatter_add_(-1, bins.long(), probs)
        return cls(logits, probs, bins, F.pad(masses.cumsum(dim=-1), (1, 0)))

    def nucleus(self, top_p: float) -> tuple[Tensor, Tensor]:
        """Mass of each row's truncated distribution, and the largest target of a draw from it: ``[m]`` each.

        With ``top_p`` 1 the mass is 1 by definition, though rounding can leave the sum of the row below it.
        """
        total = self.cumulative[:, -1]
        if top_p >= 1:
            return torch.ones_like(total), _next_below(total)
        # Where rounding leaves the whole row below top_p, the nucleus is all that has mass.
        reached = _next_below(total.clamp(max=top_p))
        _, mass = self.first_above(torch.arange(len(total), device=total.device), reached)
        return mass, _next_below(mass)

    def first_above(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """First token of each row in falling order whose cumulative probability exceeds the target.

        Args:
            rows: ``[n]``.
            targets: ``[n]`` float64, below the mass of the row.

        Returns:
            Token ids and cumulative probabilities, ``[n]`` each.
        """
        cumulative, targets = self.cumulative[rows], targets[:, None]
        bins = torch.searchsorted(cumulative, targets, right=True).clamp(1, _NUM_BINS + 1) - 1  # [n, 1]
        is_in_bin = self.bins.index_select(0, rows) == bins.to(torch.int16)  # [n, vocab_size]
        token_ids, is_padding = _padded(is_in_bin.nonzero(), len(rows))  # [n, k] by rising id
        values = self.logits[rows[:, None], token_ids].masked_fill(is_padding, -torch.inf)
        order = values.sort(dim=-1, descending=True, stable=True).indices  # by falling logit
        probs = self.probs[rows[:, None], token_ids].masked_fill(is_padding, 0).gather(-1, order)
        sums = cumulative.gather(-1, bins) + probs.cumsum(dim=-1)
        positions = torch.searchsorted(sums, targets, right=True).clamp(max=sums.shape[1] - 1)
        return token_ids.gather(-1, order.gather(-1, positions)).squeeze(-1), sums.gather(-1, positions).squeeze(-1)


def _padded(pairs: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """A table of ``pairs [n, 2]`` of row and value, ordered by row.

    Returns:
        Values of each row, padded with 0, and where that is padding: ``[num_rows, k]`` each, ``k`` at least 1.
    """
    rows, values = pairs.unbind(dim=-1)
    counts = torch.bincount(rows, minlength=num_rows)
    firsts = counts.cumsum(dim=0) - counts
    columns = torch.arange(len(rows), device=rows.device) - firsts[rows]
    padded = values.new_zeros(num_rows, max(1, int(counts.max())))
    padded[rows, columns] = values
    return padded, torch.arange(padded.shape[1], device=rows.device) >= counts[:, None]


def _next_below(numbers: Tensor) -> Tensor:
    """The next smaller floating-point number of each: to exceed it is to reach the number itself."""
    return torch.nextafter(numbers, torch.full_like(numbers, -torch.inf))
