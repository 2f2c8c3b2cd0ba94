"""Draws against their definition, up to both ends of the uniform numbers; and the noise itself."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from test_engine import DEVICES, HostReads

from hcl_core.decode.trie import histogram, sampling
from hcl_core.decode.trie.digits import draw_by_digits
from hcl_core.decode.trie.histogram import draw_by_histogram, rounded_probs
from hcl_core.decode.trie.sampling import draw_from, draw_tokens, sample_uniforms, truncated_distribution
from hcl_core.records import SamplingSettings

# The engine sums float32 probabilities, the definition float64 ones: cumulative probabilities differ by less than this.
TOLERANCE = 1e-5
ENDS = torch.tensor([0.0, np.nextafter(1, 0)], dtype=torch.float64)


def exact_intervals(logits, settings):
    """The definition: part of the mass that draws each token, lower and upper end ``[v]``, and the whole mass.

    Tokens outside the truncated distribution have an interval of NaN.
    """
    scaled = logits.double() / settings.temperature
    order = np.lexsort((np.arange(len(scaled)), -logits.numpy()))
    if settings.top_k:
        order = order[(logits >= logits[order[settings.top_k - 1]])[order].numpy()]
    cumulative = np.cumsum(scaled[order].softmax(-1).numpy())
    if settings.top_p < 1:
        order = order[: np.searchsorted(cumulative, settings.top_p) + 1]
    lower, upper = np.full((2, len(logits)), np.nan)
    lower[order] = np.append(0, cumulative)[: len(order)]
    upper[order] = cumulative[: len(order)]
    return lower, upper, upper[order[-1]]


# No nucleus may end exactly between two tokens here: which side it takes would be a matter of rounding.
@pytest.mark.parametrize("with_ties", [False, True], ids=["", "with ties"])
@pytest.mark.parametrize("spread", [0.0, 0.3, 3.0, 30.0], ids=["uniform", "flat", "broad", "peaked"])
@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(temperature=1.0, top_p=0.90007),
        SamplingSettings(temperature=0.6, top_p=1.0),
        SamplingSettings(temperature=1.5, top_p=0.97013, top_k=100),
        SamplingSettings(temperature=0.8, top_p=0.50009, top_k=3000),
        SamplingSettings(temperature=1.0, top_p=1.0, top_k=1),
    ],
    ids=["top_p", "everything", "top_k", "large top_k", "top_k of 1"],
)
def test_draws_equal_the_definition_whatever_the_tiers(settings, spread, with_ties, monkeypatch):
    monkeypatch.setattr(histogram, "_BLOCK_BYTES_ON_CPU", 400_000)  # several blocks of draws and of rows
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5000, generator=generator) * spread
    if with_ties:
        logits = logits.bfloat16().float()
    rows = torch.cat([torch.randint(0, 3, (120,), generator=generator), torch.arange(3).repeat(2)])
    uniforms = torch.cat([torch.rand(120, generator=generator, dtype=torch.float64), ENDS.repeat_interleave(3)])
    token_ids, logprobs = draw_tokens(logits, rows, uniforms, settings)
    num_decided = 0
    for row in range(3):
        lower, upper, mass = exact_intervals(logits[row], settings)
        targets, drawn = uniforms[rows == row].numpy() * mass, token_ids[rows == row].numpy()
        assert (lower[drawn] - TOLERANCE <= targets).all() and (targets <= upper[drawn] + TOLERANCE).all()
        # Away from every end of an interval, exactly one token is right.
        ends = upper[~np.isnan(upper)]
        is_decided = np.abs(targets[:, None] - ends).min(axis=1) > TOLERANCE
        inside = (lower <= targets[is_decided, None]) & (targets[is_decided, None] < upper)
        assert inside.sum(axis=1).tolist() == [1] * is_decided.sum()
        assert inside.argmax(axis=1).tolist() == drawn[is_decided].tolist()
        num_decided += is_decided.sum()
    assert num_decided > 90
    torch.testing.assert_close(logprobs, logits.double().log_softmax(-1)[rows, token_ids], atol=1e-4, rtol=0)


def log_mass_of(logits, temperature):
    """``[m, 1]`` as ``draw_tokens`` takes it."""
    return sampling._log_mass(logits, temperature, logits.argmax(dim=-1, keepdim=True))


def sorted_draws(logits, rows, uniforms, settings):
    """The definition by a sort of every row, from the same rounded probabilities: token ids ``[s]``."""
    allowed = sampling._mask_below_top_k(logits, settings.top_k)
    probs = rounded_probs(allowed, log_mass_of(allowed, settings.temperature), settings.temperature).numpy()
    drawn = []
    for row, uniform in zip(rows.tolist(), uniforms.tolist(), strict=True):
        order = np.lexsort((np.arange(len(probs[row])), -allowed[row].numpy()))
        cumulative = np.cumsum(probs[row][order])
        mass = 1.0
        if settings.top_p < 1:
            mass = cumulative[min(np.searchsorted(cumulative, settings.top_p), len(order) - 1)]
        last_with_mass = np.flatnonzero(probs[row][order])[-1]
        drawn.append(order[min(np.searchsorted(cumulative, uniform * mass, side="right"), last_with_mass)])
    return torch.tensor(drawn)


@st.composite
def random_draws(draw):
    """Logits, peaked or flat, with ties and with logits of minus infinity; rows, uniforms, both ends among them."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    vocab_size = draw(st.sampled_from([1, 5, 64, 65, 3000]))
    logits = torch.randn(draw(st.integers(1, 4)), vocab_size, generator=generator)
    logits *= draw(st.sampled_from([0.0, 1e-3, 0.3, 3.0, 30.0, 1e6]))
    steps = draw(st.sampled_from([None, 1, 8]))
    if steps:
        logits = (logits * steps).round() / steps
    share_without_mass = draw(st.sampled_from([0.0, 0.5, 0.99]))
    without_mass = torch.rand(logits.shape, generator=generator) < share_without_mass
    without_mass[:, draw(st.integers(0, vocab_size - 1))] = False
    logits = logits.masked_fill(without_mass, -torch.inf)
    rows = torch.randint(0, len(logits), (20,), generator=generator)
    uniforms = torch.cat([torch.rand(18, generator=generator, dtype=torch.float64), ENDS])
    return logits, rows, uniforms


some_settings = st.builds(
    SamplingSettings,
    temperature=st.sampled_from([0.05, 0.6, 1.0, 1.5, 5.0]),
    top_p=st.one_of(st.just(1.0), st.sampled_from([1e-9, 0.5, 0.9, 0.999999]), st.floats(0.01, 0.99)),
    top_k=st.sampled_from([0, 1, 7, 100, 2000]),
)


@given(random_draws(), some_settings)
def test_draws_equal_those_of_a_sort(draws, settings):
    logits, rows, uniforms = draws
    token_ids, _ = draw_tokens(logits, rows, uniforms, settings)
    assert torch.equal(token_ids, sorted_draws(logits, rows, uniforms, settings))


@pytest.mark.parametrize("draw_flat", [draw_by_histogram, draw_by_digits], ids=lambda function: function.__name__)
@given(random_draws(), some_settings)
def test_draws_of_flat_distributions_equal_those_of_a_sort(draw_flat, draws, settings):
    logits, rows, uniforms = draws
    allowed = sampling._mask_below_top_k(logits, settings.top_k)
    log_mass = log_mass_of(allowed, settings.temperature)
    drawn = draw_flat(allowed, log_mass, rows, uniforms, settings.temperature, settings.top_p)
    assert torch.equal(drawn, sorted_draws(logits, rows, uniforms, settings))


@pytest.mark.parametrize("top_p", [0.5, 0.9, 0.999999, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("spread", [0.0, 0.5, 5.0], ids=["uniform", "flat", "peaked"])
def test_tokens_out_of_reach_are_never_missed(spread, top_p):
    """What is left out has less mass than lies outside the nucleus, even where rounding leaves too little."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 20_000, generator=generator) * spread
    rows = torch.arange(8).repeat(len(ENDS) + 50)
    uniforms = torch.rand(len(rows), generator=generator, dtype=torch.float64)
    uniforms[: 8 * len(ENDS)] = ENDS.repeat_interleave(8)
    settings = SamplingSettings(1.2, top_p)
    drawn = draw_by_histogram(logits, log_mass_of(logits, 1.2), rows, uniforms, 1.2, top_p)
    assert torch.equal(drawn, sorted_draws(logits, rows, uniforms, settings))


def test_where_rounding_leaves_too_little_the_whole_row_is_reached():
    """As many equal logits as make the rounded sum of a row smallest, and others of almost no probability."""
    top_p, vocab_size = 1 - 2e-7, 20_000
    counts = torch.arange(5_000, 5_200)
    sums = counts * rounded_probs(torch.zeros(len(counts), 1), counts.float().log()[:, None], 1.0)[:, 0]
    logits = torch.full((1, vocab_size), math.log(counts[sums.argmin()] * (1 - top_p) / 4 / vocab_size))
    logits[0, : counts[sums.argmin()]] = 0
    log_mass = log_mass_of(logits, 1.0)
    assert rounded_probs(logits, log_mass, 1.0).sum() < top_p
    rows, uniforms = torch.tensor([0]), torch.tensor([1 - 2.0**-53], dtype=torch.float64)
    drawn = draw_by_histogram(logits, log_mass, rows, uniforms, 1.0, top_p)
    assert torch.equal(drawn, sorted_draws(logits, rows, uniforms, SamplingSettings(1.0, top_p)))
    assert drawn.item() == vocab_size - 1


@given(random_draws(), some_settings, st.randoms(use_true_random=False))
def test_a_draw_depends_on_its_own_row_and_uniform_only(draws, settings, random):
    logits, rows, uniforms = draws
    token_ids, logprobs = draw_tokens(logits, rows, uniforms, settings)
    some = torch.tensor(random.sample(range(20), 3))
    for draw in some:
        alone = draw_tokens(logits[rows[draw]][None], torch.tensor([0]), uniforms[draw][None], settings)
        assert (alone[0].item(), alone[1].item()) == (token_ids[draw].item(), logprobs[draw].item())
    of_some, some_rows = rows[some].unique(return_inverse=True)
    together = draw_tokens(logits[of_some], some_rows, uniforms[some], settings)
    assert torch.equal(together[0], token_ids[some]) and torch.equal(together[1], logprobs[some])


@pytest.mark.parametrize("device", DEVICES[1:])
@pytest.mark.parametrize("spread", [0.1, 3.0], ids=["flat", "peaked"])
def test_a_gpu_draws_what_a_cpu_draws(spread, device):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 3000, generator=generator) * spread
    rows, uniforms = torch.arange(40).repeat(5), torch.rand(200, generator=generator, dtype=torch.float64)
    settings = SamplingSettings(1.5, 0.9)
    expected, _ = draw_tokens(logits, rows, uniforms, settings)
    drawn, _ = draw_tokens(logits.to(device), rows.to(device), uniforms.to(device), settings)
    assert (drawn == expected).float().mean() > 0.98  # sums of exponentials differ in their last bits


@pytest.mark.parametrize("spread", [0.1, 30.0], ids=["flat", "peaked"])
@pytest.mark.parametrize("top_k", [0, 100])
@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_a_draw_waits_for_a_device_at_its_ends_only(spread, top_k, top_p, monkeypatch):
    monkeypatch.setattr(sampling, "draw_by_histogram", draw_by_digits)  # as on a GPU
    logits = torch.randn(40, 3000, generator=torch.Generator().manual_seed(0)) * spread
    rows, uniforms = torch.arange(40).repeat(2), torch.rand(80, dtype=torch.float64)
    events: list[str] = []
    with HostReads(events):
        draw_tokens(logits, rows, uniforms, SamplingSettings(1.5, top_p, top_k))
    assert not events
    with HostReads(events):  # which would be noticed
        draw_by_histogram(logits, logits.logsumexp(-1, keepdim=True), rows, uniforms, 1.5, top_p)
    assert events


@given(st.integers(0, 2**32), st.sampled_from([64, 1100, 3001]), st.sampled_from([1, 3, 1000]))
def test_the_largest_logits_are_those_of_topk(seed, vocab_size, num_values):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, num_values, (4, vocab_size + 16), generator=generator).float()[:, :vocab_size]
    values, token_ids = sampling._largest(logits, 64)
    assert torch.equal(values, logits.topk(64).values) and torch.equal(logits.gather(1, token_ids), values)
    assert all(len(set(row)) == 64 for row in token_ids.tolist())


def test_sums_of_rounded_probabilities_are_exact_in_any_order():
    logits = torch.randn(4, 50_000, generator=torch.Generator().manual_seed(0)) * 3
    probs = rounded_probs(logits, logits.logsumexp(-1, keepdim=True), 1.0)
    orders = [probs, probs.flip(-1), probs.sort(dim=-1).values, probs.sort(dim=-1, descending=True).values]
    sums = [np.cumsum(order.numpy(), axis=-1)[:, -1].tolist() for order in orders]
    assert sums == [sums[0]] * 4
    assert (probs - (logits - logits.logsumexp(-1, keepdim=True)).double().exp()).abs().max() <= 2.0**-53


@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_a_row_with_nan_draws_some_token_and_leaves_its_neighbour_alone(top_p):
    logits = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0)) * 0.1
    rows, uniforms = torch.arange(2).repeat(2), torch.rand(4, dtype=torch.float64)
    settings = SamplingSettings(temperature=1.5, top_p=top_p)
    expected, _ = draw_tokens(logits, rows, uniforms, settings)
    logits[0, 7] = torch.nan
    token_ids, logprobs = draw_tokens(logits, rows, uniforms, settings)
    assert token_ids[1::2].tolist() == expected[1::2].tolist()
    assert ((token_ids >= 0) & (token_ids < 3000)).all() and logprobs[::2].isnan().all()


@pytest.mark.parametrize("top_p", [1.0, 0.99999])
@pytest.mark.parametrize("top_k", [1, 5, 100])
def test_no_uniform_draws_a_token_outside_the_top_k(top_k, top_p):
    # Rounding leaves the last cumulative probability below 1 in about half of the rows.
    logits = torch.randn(200, 1000, generator=torch.Generator().manual_seed(0)) * 3
    settings = SamplingSettings(temperature=1.0, top_p=top_p, top_k=top_k)
    top = logits.topk(top_k).indices
    for uniform in ENDS:
        drawn, _ = draw_tokens(logits, torch.arange(200), uniform.expand(200), settings)
        assert (drawn[:, None] == top).any(dim=1).all()


def test_the_first_uniform_draws_the_most_probable_token():
    logits = torch.randn(50, 1000, generator=torch.Generator().manual_seed(1)) * 3
    drawn, _ = draw_tokens(logits, torch.arange(50), torch.zeros(50).double(), SamplingSettings(temperature=1.0))
    assert torch.equal(drawn, logits.argmax(-1))


@pytest.mark.parametrize("settings", [
    SamplingSettings(temperature=0.7, top_p=0.9), SamplingSettings(temperature=1.3, top_p=1.0, top_k=7),
    SamplingSettings(temperature=1.0, top_p=0.5, top_k=30), SamplingSettings(temperature=0),
], ids=str)  # fmt: skip
def test_the_truncated_distribution_is_what_tokens_are_drawn_from(settings):
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)) * 3
    probs = truncated_distribution(logits, settings)
    uniforms = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    for row in range(3):
        drawn, _ = draw_tokens(logits, torch.full((4000,), row), uniforms, settings)
        shares = torch.bincount(drawn, minlength=50) / 4000
        # A token whose probability spans a step of the uniforms is drawn, one without probability is not.
        assert (shares - probs[row]).abs().max() < 1 / 4000 + TOLERANCE
        assert (shares > 0)[probs[row] > 1 / 4000 + TOLERANCE].all() and not (shares > 0)[probs[row] == 0].any()


def test_a_draw_never_takes_a_token_without_mass():
    probs = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]], dtype=torch.float64).repeat(4, 1)
    uniforms = torch.tensor([0.0, 0.4999, 0.5, np.nextafter(1, 0)], dtype=torch.float64)
    assert draw_from(probs, uniforms).tolist() == [1, 1, 3, 3]


def test_greedy_takes_the_first_of_equal_logits():
    logits = torch.tensor([[0.0, 3.0, 3.0, 1.0]])
    draws, _ = draw_tokens(
        logits, torch.tensor([0, 0]), torch.tensor([0.1, 0.9]).double(), SamplingSettings(temperature=0)
    )
    assert draws.tolist() == [1, 1]


def test_noise_depends_on_each_part_of_its_key_and_on_nothing_else():
    base = sample_uniforms(1, "q", 2, 3, 8)
    others = [
        sample_uniforms(2, "q", 2, 3, 8),
        sample_uniforms(1, "r", 2, 3, 8),
        sample_uniforms(1, "q", 3, 3, 8),
        sample_uniforms(1, "q", 2, 4, 8),
    ]
    assert all(not np.isin(base, other).any() for other in others)
    np.testing.assert_array_equal(sample_uniforms(1, "q", 2, 3, 20)[:8], base)


def test_noise_is_uniform():
    draws = np.concatenate([sample_uniforms(0, "q", layer, idx, 50) for layer in range(1, 31) for idx in range(50)])
    assert ((draws >= 0) & (draws < 1)).all()
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert np.abs(counts - len(draws) / 20).max() < 5 * np.sqrt(len(draws) / 20)


def test_noise_is_the_same_on_every_machine():
    # Written down once: another value here would change every stored run.
    assert sample_uniforms(0, "name-a-planet", 30, 0, 2).tolist() == [0.7307763774939039, 0.4134986354608776]
