"""From logits to tokens: truncation, inverse-CDF draws, and noise that belongs to the sample."""

import hashlib
import struct

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.records import SamplingSettings

# Most nuclei hold a handful of tokens. Each tier is tried on the rows that the one before could not cover.
_CANDIDATE_TIERS = (64, 2048)
# Rows whose exponentials are summed at a time: they stay in a CPU's cache.
_ROWS_IN_CACHE = 16
# Bytes of cumulative probabilities that are copied out for draws at a time.
_BYTES_TO_SEARCH = 32 * 2**20


def sample_uniforms(
    seed: int, question_id: str, exit_layer: int, sample_idx: int, num_steps: int
) -> NDArray[np.float64]:
    """The noise of one sample: ``[num_steps]`` uniforms in [0, 1).

    A counter-based generator (Philox 4x64, Salmon et al. 2011) keyed by seed and question, its counter
    placed by layer and sample: a number depends on nothing but ``(seed, question, layer, sample, step)``,
    so neither the layer range nor waves nor order can change an answer.
    """
    digest = hashlib.blake2b(struct.pack("<q", seed) + question_id.encode(), digest_size=16).digest()
    # The lowest counter word is the generator's own: it advances with the steps.
    stream = np.random.Philox(counter=[0, sample_idx, exit_layer, 0], key=np.frombuffer(digest, dtype="<u8"))
    uniforms: NDArray[np.float64] = (stream.random_raw(num_steps) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniforms


def draw_tokens(logits: Tensor, rows: Tensor, uniforms: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor]:
    """Draw one token a sample from the truncated distribution of its row.

    Tokens stand in order of falling probability and a draw walks that order until the cumulative
    probability passes ``uniform * kept mass`` (inverse CDF). Temperature, then top-k, then top-p, each as
    ``transformers`` defines it.

    Args:
        logits: ``[m, vocab_size]`` float32, one row a distinct distribution.
        rows: ``[s]`` which row each sample draws from.
        uniforms: ``[s]`` float64 in [0, 1).
        settings: Temperature, ``top_k`` and ``top_p``; temperature 0 takes the most probable token.

    Returns:
        Token ids ``[s]`` and their natural-log probabilities ``[s]`` at temperature 1, nothing truncated.
    """
    vocab_size = logits.shape[1]
    tiers = [*(tier for tier in _CANDIDATE_TIERS if tier < vocab_size), vocab_size]
    if settings.temperature == 0:
        largest = logits.argmax(dim=-1, keepdim=True)  # the first of equal ones
        token_ids = largest[rows, 0]
    else:
        kept = _keep_top_k(logits, settings.top_k)
        ranked = _ranked(kept, tiers[0])
        largest = ranked[1][:, :1]
        log_mass = _log_mass(kept, largest, settings.temperature)
        token_ids = _draw_truncated(kept, ranked, log_mass, tiers, rows, uniforms, settings)
    logprobs = logits[rows, token_ids].double() - _log_mass(logits, largest, 1.0)[rows, 0].double()
    return token_ids, logprobs


def truncated_distribution(logits: Tensor, settings: SamplingSettings) -> Tensor:
    """What ``draw_tokens`` draws from, in full: ``[m, vocab_size]`` to the same, float64, each row summing to 1."""
    if settings.temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.shape[1]).double()
    probs = (_keep_top_k(logits, settings.top_k).double() / settings.temperature).softmax(dim=-1)
    if settings.top_p < 1:
        ordered, token_ids = probs.sort(dim=-1, descending=True, stable=True)
        outside = ordered.cumsum(dim=-1) - ordered >= settings.top_p  # the nucleus had reached top_p before it
        probs = probs.scatter(-1, token_ids, ordered.masked_fill(outside, 0))
    return probs / probs.sum(dim=-1, keepdim=True)


def draw_from(probs: Tensor, uniforms: Tensor) -> Tensor:
    """One token of each row of ``probs [m, vocab_size]`` (of any positive mass) by its uniform ``[m]``: ``[m]``."""
    cumulative = probs.cumsum(dim=-1)
    targets = (uniforms * cumulative[:, -1])[:, None]
    found = torch.searchsorted(cumulative, targets, right=True).squeeze(-1)
    # The last token that has any mass: rounding may put a target at the very end.
    last = probs.shape[1] - 1 - (probs.flip(-1) > 0).to(torch.uint8).argmax(dim=-1)
    return torch.minimum(found, last)


def _keep_top_k(logits: Tensor, top_k: int) -> Tensor:
    """Logits with all below the ``top_k``-th largest of their row at minus infinity; those equal to it stay."""
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
    """``[s]`` token ids. ``ranked`` is the first tier; it widens for the draws that it does not cover."""
    values, candidates = ranked
    token_ids, covered = _pick(values, candidates, log_mass, rows, uniforms, settings)
    for tier in tiers[1:]:
        open_rows = rows[~covered].unique()
        # Wide tiers are large: a few rows at a time.
        for some in open_rows.split(max(1, _BYTES_TO_SEARCH // (32 * tier))):
            draws = (~covered & torch.isin(rows, some)).nonzero().squeeze(-1)
            values, candidates = _ranked(logits[some], tier)
            local_rows = torch.searchsorted(some, rows[draws])
            token_ids[draws], covered[draws] = _pick(
                values, candidates, log_mass[some], local_rows, uniforms[draws], settings
            )
    return token_ids


def _pick(
    values: Tensor, candidates: Tensor, log_mass: Tensor, rows: Tensor, uniforms: Tensor, settings: SamplingSettings
) -> tuple[Tensor, Tensor]:
    """Token ids ``[s]`` and whether the candidates ``[m, k]`` of their rows sufficed, ``[s]``."""
    probs = (values / settings.temperature - log_mass).double().exp()
    positions, covered = _inverse_cdf(probs, rows, uniforms, settings.top_p)
    return candidates[rows, positions], covered


def _log_mass(logits: Tensor, largest: Tensor, temperature: float) -> Tensor:
    """``log(sum(exp(logits / temperature)))`` of each row of ``[m, n]``: ``[m, 1]``.

    Read off ``log_softmax``, which is fused and, unlike ``exp``, not slowed by denormal results.
    ``largest [m, 1]`` is where each row's largest logit stands; there the difference loses no digits.
    """
    rows = _ROWS_IN_CACHE if logits.device.type == "cpu" else len(logits)
    # Two buffers for all blocks: fresh pages for each would cost as much as filling them.
    buffers = logits.new_empty(2, min(rows, len(logits)), logits.shape[1])
    masses = []
    for block, where in zip(logits.split(rows), largest.split(rows), strict=True):
        scaled, log_softmax = buffers[:, : len(block)]
        torch.div(block, temperature, out=scaled)
        torch.ops.aten._log_softmax.out(scaled, -1, False, out=log_softmax)
        masses.append(scaled.gather(-1, where) - log_softmax.gather(-1, where))
    return torch.cat(masses)


def _ranked(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` largest of each row in falling order, equal ones by rising token id.

    Which of equal logits ``topk`` takes at its end is left open, so those are put at minus infinity: a draw
    that needs one of them goes on to the next tier, and at the last one all stand in order.
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
    """Walk the falling probabilities.

    Args:
        probs: ``[m, k]`` float64, falling; the first ``k`` of each row's distribution.
        rows: ``[s]`` row of each draw.
        uniforms: ``[s]``.
        top_p: Nucleus mass; the nucleus is the shortest prefix that reaches it.

    Returns:
        Positions ``[s]`` and whether ``k`` candidates sufficed for the draw, ``[s]``.
    """
    cumulative = probs.cumsum(dim=-1)  # [m, k]
    reaches = cumulative >= top_p
    # A full distribution sums to 1 only up to rounding: where nothing reaches top_p, all of it is kept.
    last = torch.full_like(rows[:1], cumulative.shape[1] - 1)
    nucleus_end = torch.where(reaches[:, -1], reaches.to(torch.uint8).argmax(dim=-1), last)  # [m]
    kept = cumulative.gather(-1, nucleus_end[:, None]).squeeze(-1) if top_p < 1 else torch.ones_like(cumulative[:, 0])
    targets = (uniforms * kept[rows])[:, None]
    # A block at a time: many samples may draw from one row, and each needs a copy of it here.
    block = max(1, _BYTES_TO_SEARCH // (8 * cumulative.shape[1]))
    positions = torch.cat(
        [
            torch.searchsorted(cumulative[some], target, right=True).squeeze(-1)
            for some, target in zip(rows.split(block), targets.split(block), strict=True)
        ]
    )
    # Where everything is kept, the kept mass is 1, and a draw below what the candidates hold is decided.
    covered = reaches[rows, -1] if top_p < 1 else uniforms < cumulative[rows, -1]
    return torch.minimum(positions, nucleus_end[rows]), covered
