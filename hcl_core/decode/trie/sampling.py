"""From logits to tokens: truncation, inverse-CDF draws, and noise that belongs to the sample."""

import hashlib
import struct

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.trie.digits import draw_by_digits
from hcl_core.decode.trie.histogram import draw_by_histogram, first_above, rounded_probs
from hcl_core.records import SamplingSettings

# Most probable tokens that are tried first: most nuclei hold a handful.
_NUM_CANDIDATES = 64
# Parts of the vocabulary of which a token each is compared first: see ``_largest``.
_NUM_PARTS = 16
# Below it, a logit divided by the temperature can be infinite in float32; long before, one token has all the mass.
_GREEDY_BELOW = 1e-30
# Rows whose exponentials are summed at a time: so many stay in a CPU's cache.
_ROWS_IN_CACHE = 16


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
        Token ids ``[s]`` and their natural-log probabilities ``[s]`` at temperature 1, nothing truncated; both on the
        host, which waits for a device once, and a second time if some draws are of flat distributions.
    """

    def with_logprobs(token_ids: Tensor, rows: Tensor, total: Tensor) -> Tensor:
        """``[2, n]``: float64 holds token ids exactly."""
        return torch.stack((token_ids.double(), logits[rows, token_ids].double() - total[rows, 0].double()))

    if settings.temperature < _GREEDY_BELOW:
        best = logits.argmax(dim=-1, keepdim=True)  # the first of equal ones
        drawn = with_logprobs(best[rows, 0], rows, _log_mass(logits, 1.0, best)).cpu()
        return drawn[0].long(), drawn[1]
    allowed = _mask_below_top_k(logits, settings.top_k)
    values, candidates = _most_probable(allowed)
    log_mass = _log_mass(allowed, settings.temperature, candidates[:, :1])
    is_total = settings.temperature == 1 and allowed is logits
    total = log_mass if is_total else _log_mass(logits, 1.0, candidates[:, :1])
    cumulative = rounded_probs(values, log_mass, settings.temperature).cumsum(dim=-1)
    positions, is_decided = _pick(cumulative, rows, uniforms, settings.top_p)
    drawn = torch.cat((with_logprobs(candidates[rows, positions], rows, total), is_decided.double()[None])).cpu()
    if len(undecided := np.flatnonzero(drawn[2].numpy() == 0)):
        places = torch.from_numpy(undecided)
        rows, uniforms = (each.index_select(0, places.to(each.device)) for each in (rows, uniforms))
        draw_flat = draw_by_histogram if logits.device.type == "cpu" else draw_by_digits
        token_ids = draw_flat(allowed, log_mass, rows, uniforms, settings.temperature, settings.top_p)
        drawn[:2].index_copy_(1, places, with_logprobs(token_ids, rows, total).cpu())
    return drawn[0].long(), drawn[1]


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
    positions = torch.searchsorted(cumulative, (uniforms * cumulative[:, -1])[:, None], right=True).squeeze(-1)
    # Rounding can put a target at the last cumulative probability, and no draw may go beyond it.
    last_with_mass = probs.shape[1] - 1 - (probs.flip(-1) > 0).to(torch.uint8).argmax(dim=-1)
    return torch.minimum(positions, last_with_mass)


def _mask_below_top_k(logits: Tensor, top_k: int) -> Tensor:
    """Logits with those below the ``top_k``-th largest of their row at minus infinity; ties with it stay."""
    if not 0 < top_k < logits.shape[1]:
        return logits
    return logits.masked_fill(logits < logits.topk(top_k, dim=-1).values[:, -1:], -torch.inf)


def _log_mass(logits: Tensor, temperature: float, best: Tensor) -> Tensor:
    """``log(sum(exp(logits / temperature)))`` of each row of ``[m, n]``: ``[m, 1]``.

    Taken from ``log_softmax``, which is fused and, unlike ``exp``, not slowed by denormal results; at the largest
    logit, whose place is ``best [m, 1]``, as there the difference loses no digits.
    """
    rows = _ROWS_IN_CACHE if logits.device.type == "cpu" else len(logits)
    # Two buffers for all blocks: newly mapped memory for each would cost as much as filling it.
    buffers = logits.new_empty(2, min(rows, len(logits)), logits.shape[1])
    masses = []
    for block, at in zip(logits.split(rows), best.split(rows), strict=True):
        scaled, log_softmax = buffers[:, : len(block)]
        scaled = block if temperature == 1 else torch.div(block, temperature, out=scaled)
        torch.ops.aten._log_softmax.out(scaled, -1, False, out=log_softmax)
        masses.append(scaled.gather(-1, at) - log_softmax.gather(-1, at))
    return torch.cat(masses)


def _most_probable(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The largest logits of each row in falling order, ties by rising token id, and their token ids: ``[m, k]`` each.

    Which of several equal logits come last is not said, so those are set to minus infinity: a draw that needs one of
    them is drawn as from a flat distribution.
    """
    values, token_ids = _largest(logits, min(_NUM_CANDIDATES, logits.shape[1]))
    values = values.masked_fill(values == values[:, -1:], -torch.inf)
    token_ids, by_id = token_ids.sort(dim=-1)
    values, by_value = values.gather(-1, by_id).sort(dim=-1, descending=True, stable=True)
    return values, token_ids.gather(-1, by_value)


def _largest(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """``logits.topk(k)``, any of equal ones, in about half of the time.

    Tokens that are one part of the vocabulary apart form a column. The ``k`` columns of the largest maxima hold the
    ``k`` largest logits: each of them has one that is at least as large as any in the other columns.
    """
    width = logits.shape[1] // _NUM_PARTS
    if width <= k:
        return logits.topk(k, dim=-1)
    starts = torch.arange(0, _NUM_PARTS * width, width, device=logits.device)
    rest = torch.arange(_NUM_PARTS * width, logits.shape[1], device=logits.device)
    maxima = logits[:, : _NUM_PARTS * width].unflatten(1, (_NUM_PARTS, width)).amax(dim=1)
    in_columns = (maxima.topk(k, dim=-1).indices[:, None] + starts[:, None]).flatten(1)
    token_ids = torch.cat((in_columns, rest.expand(len(logits), -1)), dim=1)
    values, places = logits.gather(1, token_ids).topk(k, dim=-1)
    return values, token_ids.gather(1, places)


def _pick(cumulative: Tensor, rows: Tensor, uniforms: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """Position of each draw in the order of falling probabilities.

    Args:
        cumulative: ``[m, k]`` float64 cumulative probabilities of each row's ``k`` most probable tokens.
        rows: ``[s]`` row of each draw.
        uniforms: ``[s]``.
        top_p: Nucleus mass; the nucleus is the shortest prefix that reaches it.

    Returns:
        Positions ``[s]``, and whether the ``k`` tokens decide the draw, ``[s]``.
    """
    last = cumulative.shape[1] - 1
    if top_p < 1:
        nucleus_ends = (cumulative < top_p).sum(dim=-1, keepdim=True)
        targets = uniforms * cumulative.gather(-1, nucleus_ends.clamp(max=last))[rows, 0]
        is_decided = (nucleus_ends <= last)[rows, 0]
    else:
        targets = uniforms
        is_decided = targets < cumulative[rows, -1]
    return first_above(cumulative, rows, targets), is_decided
