"""From logits to tokens: truncation, inverse-CDF draws, and noise that belongs to the sample."""

import hashlib
import struct

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.records import SamplingSettings

# Numbers of most probable tokens to sort. Most nuclei hold a handful; a draw that needs more goes on to the next tier.
_CANDIDATE_TIERS = (64, 2048)
# Below it, a logit divided by the temperature can be infinite in float32; long before, one token has all the mass.
_GREEDY_BELOW = 1e-30
# Rows whose exponentials are summed at a time: so many stay in a CPU's cache.
_ROWS_IN_CACHE = 16
# Bytes of cumulative probabilities copied for draws at a time.
_MAX_SEARCH_BYTES = 32 * 2**20


def sample_uniforms(
    seed: int, question_id: str, exit_layer: int, sample_idx: int, num_steps: int
) -> NDArray[np.float64]:
    """The noise of one sample: ``[num_steps]`` uniforms in [0, 1).

    A counter-based generator (Philox 4x64, Salmon et al. 2011): seed and question make its key, layer and sample its
    counter. So a number depends on nothing but ``(seed, question, layer, sample, step)``, and neither the layer range
    nor waves nor order can change an answer.
    """
    digest = hashlib.blake2b(struct.pack("<q", seed) + question_id.encode(), digest_size=16).digest()
    # The lowest word of the counter is left to the generator, which advances it with the steps.
    stream = np.random.Philox(counter=[0, sample_idx, exit_layer, 0], key=np.frombuffer(digest, dtype="<u8"))
    uniforms: NDArray[np.float64] = (stream.random_raw(num_steps) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniforms


def draw_tokens(logits: Tensor, rows: Tensor, uniforms: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor]:
    """Draw one token a sample from the truncated distribution of its row.

    Inverse CDF: tokens are ordered by falling probability, and a draw takes the first whose cumulative probability
    exceeds ``uniform * mass of the truncated distribution``. Temperature, then top-k, then top-p, each as
    ``transformers`` defines it.

    Args:
        logits: ``[m, vocab_size]`` float32, one row a distinct distribution.
        rows: ``[s]`` row of ``logits`` that each sample draws from.
        uniforms: ``[s]`` float64 in [0, 1).
        settings: Temperature, ``top_k`` and ``top_p``; temperature 0 takes the most probable token.

    Returns:
        Token ids ``[s]`` and their natural-log probabilities ``[s]`` at temperature 1, nothing truncated.
    """
    vocab_size = logits.shape[1]
    tiers = [*(tier for tier in _CANDIDATE_TIERS if tier < vocab_size), vocab_size]
    if settings.temperature < _GREEDY_BELOW:
        largest = logits.argmax(dim=-1, keepdim=True)  # the first of equal ones
        token_ids = largest[rows, 0]
    else:
        top_k_logits = _mask_below_top_k(logits, settings.top_k)
        ranked = _ranked(top_k_logits, tiers[0])
        largest = ranked[1][:, :1]
        log_mass = _log_mass(top_k_logits, largest, settings.temperature)
        token_ids = _draw_truncated(top_k_logits, ranked, log_mass, tiers, rows, uniforms, settings)
    logprobs = logits[rows, token_ids].double() - _log_mass(logits, largest, 1.0)[rows, 0].double()
    return token_ids, logprobs


def truncated_distribution(logits: Tensor, settings: SamplingSettings) -> Tensor:
    """The whole distribution that ``draw_tokens`` draws from: ``[m, vocab_size]`` to float64, each row summing to 1."""
    if settings.temperature < _GREEDY_BELOW:
        return F.one_hot(logits.argmax(dim=-1), logits.shape[1]).double()
    probs = (_mask_below_top_k(logits, settings.top_k).double() / settings.temperature).softmax(dim=-1)
    if settings.top_p < 1:
        ordered, token_ids = probs.sort(dim=-1, descending=True, stable=True)
        outside = ordered.cumsum(dim=-1) - ordered >= settings.top_p  # the tokens before it reach top_p already
        probs = probs.scatter(-1, token_ids, ordered.masked_fill(outside, 0))
    return probs / probs.sum(dim=-1, keepdim=True)


def draw_from(probs: Tensor, uniforms: Tensor) -> Tensor:
    """One token of each row of ``probs [m, vocab_size]`` by its uniform ``[m]``: ``[m]``.

    Each row must have mass above 0, not necessarily 1.
    """
    cumulative = probs.cumsum(dim=-1)
    return _first_above(cumulative, uniforms * cumulative[:, -1], _last_with_mass(probs))


def _first_above(cumulative: Tensor, targets: Tensor, last: Tensor) -> Tensor:
    """The inverse CDF of both draws: first position of each row whose cumulative probability exceeds its target.

    Args:
        cumulative: ``[s, n]``, a row a draw.
        targets: ``[s]``.
        last: ``[s]`` last position with mass. Rounding can put a target at or above the last cumulative probability,
            and no draw may go beyond it.

    Returns:
        ``[s]``.
    """
    positions = torch.searchsorted(cumulative, targets[:, None], right=True).squeeze(-1)
    return torch.minimum(positions, last)


def _last_with_mass(probs: Tensor) -> Tensor:
    """Last position of each row of ``probs [m, n]`` whose probability is above 0: ``[m]``."""
    return probs.shape[1] - 1 - (probs.flip(-1) > 0).to(torch.uint8).argmax(dim=-1)


def _mask_below_top_k(logits: Tensor, top_k: int) -> Tensor:
    """Logits with those below the ``top_k``-th largest of their row at minus infinity; ties with it stay."""
    if not 0 < top_k < logits.shape[1]:
        return logits
    return logits.masked_fill(logits < logits.topk(top_k, dim=-1).values[:, -1:], -torch.inf)


def _draw_truncated(
    logits: Tensor,
    ranked: tuple[Tensor, Tensor],
    log_mass: Tensor,
    tiers: list[int],
    rows: Tensor,
    uniforms: Tensor,
    settings: SamplingSettings,
) -> Tensor:
    """``[s]`` token ids. ``ranked`` is the first tier; draws that it does not cover go on to wider ones."""
    values, candidates = ranked
    token_ids, covered = _pick(values, candidates, log_mass, rows, uniforms, settings)
    for tier in tiers[1:]:
        open_rows = rows[~covered].unique()
        # Wide tiers are large: a few rows at a time.
        for part in open_rows.split(max(1, _MAX_SEARCH_BYTES // (32 * tier))):
            draws = (~covered & torch.isin(rows, part)).nonzero().squeeze(-1)
            values, candidates = _ranked(logits[part], tier)
            rows_in_part = torch.searchsorted(part, rows[draws])
            token_ids[draws], covered[draws] = _pick(
                values, candidates, log_mass[part], rows_in_part, uniforms[draws], settings
            )
    return token_ids


def _pick(
    values: Tensor, candidates: Tensor, log_mass: Tensor, rows: Tensor, uniforms: Tensor, settings: SamplingSettings
) -> tuple[Tensor, Tensor]:
    """Token ids ``[s]``, and whether the ``candidates [m, k]`` covered each draw, ``[s]``."""
    probs = (values / settings.temperature - log_mass).double().exp()
    positions, covered = _inverse_cdf(probs, rows, uniforms, settings.top_p)
    return candidates[rows, positions], covered


def _log_mass(logits: Tensor, largest: Tensor, temperature: float) -> Tensor:
    """``log(sum(exp(logits / temperature)))`` of each row of ``[m, n]``: ``[m, 1]``.

    Taken from ``log_softmax``, which is fused and, unlike ``exp``, not slowed by denormal results.
    ``largest [m, 1]`` is the index of each row's largest logit; there the difference loses no digits.
    """
    rows = _ROWS_IN_CACHE if logits.device.type == "cpu" else len(logits)
    # Two buffers for all blocks: newly mapped memory for each would cost as much as filling it.
    buffers = logits.new_empty(2, min(rows, len(logits)), logits.shape[1])
    masses = []
    for block, index in zip(logits.split(rows), largest.split(rows), strict=True):
        scaled, log_softmax = buffers[:, : len(block)]
        torch.div(block, temperature, out=scaled)
        torch.ops.aten._log_softmax.out(scaled, -1, False, out=log_softmax)
        masses.append(scaled.gather(-1, index) - log_softmax.gather(-1, index))
    return torch.cat(masses)


def _ranked(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest logits of each row in falling order, ties by rising token id, and their token ids.

    ``topk`` does not say which of several equal logits it takes last, so those are set to minus infinity. A draw that
    needs one of them goes on to the next tier; the last tier sorts the whole row.
    """
    if count == logits.shape[1]:
        ordered = logits.sort(dim=-1, descending=True, stable=True)
        return ordered.values, ordered.indices
    values, token_ids = logits.topk(count, dim=-1)
    values = values.masked_fill(values == values[:, -1:], -torch.inf)
    token_ids, by_id = token_ids.sort(dim=-1)
    values, by_value = values.gather(-1, by_id).sort(dim=-1, descending=True, stable=True)
    return values, token_ids.gather(-1, by_value)


def _inverse_cdf(probs: Tensor, rows: Tensor, uniforms: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """Position of each draw in the order of falling probabilities.

    Args:
        probs: ``[m, k]`` float64, falling; the first ``k`` of each row's distribution.
        rows: ``[s]`` row of each draw.
        uniforms: ``[s]``.
        top_p: Nucleus mass; the nucleus is the shortest prefix that reaches it.

    Returns:
        Positions ``[s]``, and whether the ``k`` candidates decide the draw, ``[s]``.
    """
    cumulative = probs.cumsum(dim=-1)  # [m, k]
    reaches = cumulative >= top_p
    # A whole distribution sums to 1 only up to rounding: where nothing reaches top_p, the nucleus is all that has mass.
    nucleus_end = torch.where(reaches[:, -1], reaches.to(torch.uint8).argmax(dim=-1), _last_with_mass(probs))  # [m]
    mass = cumulative.gather(-1, nucleus_end[:, None]).squeeze(-1) if top_p < 1 else torch.ones_like(cumulative[:, 0])
    targets, last = uniforms * mass[rows], nucleus_end[rows]
    # A block at a time: many samples may draw from one row, and each needs a copy of it here.
    block = max(1, _MAX_SEARCH_BYTES // (8 * cumulative.shape[1]))
    positions = torch.cat(
        [
            _first_above(cumulative[part], *of_part)
            for part, *of_part in zip(rows.split(block), targets.split(block), last.split(block), strict=True)
        ]
    )
    # Without top-p the mass is 1, and a draw below the candidates' cumulative probability is decided.
    covered = reaches[rows, -1] if top_p < 1 else uniforms < cumulative[rows, -1]
    return positions, covered
