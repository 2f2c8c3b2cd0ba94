import numpy as np
import pytest
import torch

from hcl_core.decode.trie import sampling
from hcl_core.decode.trie.sampling import draw_tokens, sample_uniforms
from hcl_core.records import SamplingSettings


def naive_draw(logits, uniform, settings):
    """The definition, one row at a time: sort, truncate, walk."""
    scaled = logits.double() / settings.temperature
    order = np.lexsort((np.arange(len(scaled)), -logits.numpy()))
    if settings.top_k:
        order = order[(logits >= logits[order[settings.top_k - 1]])[order].numpy()]
    probs = scaled[order].softmax(-1).numpy()
    cumulative = np.cumsum(probs)
    end = int(np.argmax(cumulative >= settings.top_p)) if (cumulative >= settings.top_p).any() else len(order) - 1
    kept = cumulative[end] if settings.top_p < 1 else 1.0
    return order[min(int(np.searchsorted(cumulative, uniform * kept, side="right")), end)]


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
    ],
    ids=["top_p", "everything", "top_k", "large top_k"],
)
def test_draws_equal_the_definition_whatever_the_tiers(settings, spread, with_ties, monkeypatch):
    monkeypatch.setattr(sampling, "_BYTES_TO_SEARCH", 200_000)  # several blocks of draws and of rows
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5000, generator=generator) * spread
    if with_ties:
        logits = logits.bfloat16().float()
    rows = torch.randint(0, 3, (120,), generator=generator)
    uniforms = torch.rand(120, generator=generator, dtype=torch.float64)
    token_ids, logprobs = draw_tokens(logits, rows, uniforms, settings)
    expected = [naive_draw(logits[row], u.item(), settings) for row, u in zip(rows, uniforms, strict=True)]
    # float32 sums against float64: a draw within rounding of a boundary may fall on its other side.
    assert np.sum(token_ids.numpy() != np.array(expected)) <= 1
    torch.testing.assert_close(logprobs, logits.double().log_softmax(-1)[rows, token_ids], atol=1e-4, rtol=0)


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
