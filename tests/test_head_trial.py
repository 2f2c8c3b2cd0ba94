"""Weights that no head was fitted for: a head of slightly other weights is taken and says so; else noise is named."""

import copy

import pytest
from conftest import NUM_LAYERS, make_lm, make_model, make_tokenizer

torch = pytest.importorskip("torch")

from hcl_core.decode.heads.exit_heads import SharedHead, _try, load_exit_head  # noqa: E402
from hcl_core.decode.heads.fidelity import final_logits  # noqa: E402
from hcl_core.decode.heads.fitting import fit_head  # noqa: E402
from hcl_core.decode.heads.head_files import read_config  # noqa: E402
from hcl_core.decode.heads.trial import noise_below, trial_states  # noqa: E402
from hcl_core.decode.model.causal_lm import CausalLM  # noqa: E402
from hcl_core.errors import ExitHeadError  # noqa: E402
from hcl_core.models.head_records import (  # noqa: E402
    FITTED_FOR_OTHERS,
    NONE_FITTED,
    FitSettings,
    HeadChoice,
    HeadTrial,
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The file of a head that was fitted for the tiny model."""
    folder = tmp_path_factory.mktemp("cache")
    file = folder / "exit_heads" / "own.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HCL_CACHE", str(folder))
        for _ in fit_head(make_lm(), "r1", FitSettings(num_tokens=2_000), file):
            pass
    return file


@pytest.fixture(autouse=True)
def own_cache(fitted, monkeypatch):
    monkeypatch.setenv("HCL_CACHE", str(fitted.parent.parent))


def changed_lm(noise):
    """The tiny model with noise of that share of each matrix's spread: weights that no head was fitted for."""
    model = make_model("llama")
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data += noise * parameter.std() * torch.randn(parameter.shape, generator=generator)
    return CausalLM(model, make_tokenizer(), weights_hash="f" * 32)


@pytest.mark.parametrize("asked", ["auto", "linear"])
def test_a_head_of_nearly_the_same_weights_is_taken_and_its_agreement_told(fitted, asked):
    head = load_exit_head(asked, changed_lm(0.001))
    assert (head.name, head.reason) == ("linear", FITTED_FOR_OTHERS)
    trial = head.trial
    assert trial is not None and trial.is_accepted and trial.noise_below is None
    assert (trial.first_layer, trial.last_layer) == (NUM_LAYERS - 2, NUM_LAYERS - 1)
    told = HeadChoice.of(asked, head).describe()
    assert told is not None and f"{trial.agreement:.0%} of {trial.num_positions} places" in told


def test_a_head_of_far_other_weights_is_not_taken_and_noise_is_named(fitted):
    lm = make_lm(seed=7)
    head = load_exit_head("auto", lm)
    assert head.name == "shared" and head.reason == f"{NONE_FITTED}, but for others of that name (own.safetensors)"
    trial = head.trial
    assert trial is not None and not trial.is_accepted and trial.agreement is not None
    assert trial.noise_below is not None
    assert f"below layer {trial.noise_below} its answers are noise" in str(HeadChoice.of("auto", head).describe())
    with pytest.raises(ExitHeadError, match="but for others of that name"):
        load_exit_head("linear", lm)


def test_a_head_of_another_size_is_not_tried(fitted):
    head = load_exit_head("auto", make_lm(hidden_size=32))
    assert head.name == "shared" and head.trial is not None and head.trial.agreement is None


def test_noise_ends_where_every_deeper_layer_agrees_in_most_places():
    lm = make_lm(seed=7)
    states = trial_states(lm)
    tops = [final_logits(lm, layer).argmax(-1) for layer in states]
    agreement = [float((top == tops[-1]).double().mean()) for top in tops]
    wrong = [layer for layer, share in enumerate(agreement, 1) if share < 0.5]
    assert noise_below(lm, SharedHead(), states) == max(wrong, default=0) + 1


def test_a_model_is_tried_once(fitted, monkeypatch):
    lm = changed_lm(0.001)
    first = load_exit_head("auto", lm)
    monkeypatch.setattr("hcl_core.decode.heads.exit_heads.trial_states", lambda lm: pytest.fail("tried again"))
    assert load_exit_head("auto", lm).trial == first.trial
    assert _try(lm, (fitted,))[0] == fitted


def test_the_bound_is_a_share_of_the_expected_agreement():
    assert HeadTrial(1, 1, 2, agreement=0.5, expected=0.5).is_accepted
    assert not HeadTrial(1, 1, 2, agreement=0.3, expected=0.5).is_accepted
    assert not HeadTrial(1).is_accepted


def test_the_shipped_head_has_the_expected_agreement_of_its_own_fit(fitted):
    assert all(0 < layer.agreement <= 1 for layer in read_config(fitted).after)


@pytest.mark.slow
def test_the_shipped_head_is_taken_for_its_weights_in_bfloat16(smollm2):
    model = copy.deepcopy(smollm2.peer).bfloat16().float()
    lm = CausalLM(model, smollm2.tokenizer, smollm2.name, weights_hash="e" * 32)
    head = load_exit_head("auto", lm)
    assert (head.name, head.reason) == ("linear", FITTED_FOR_OTHERS)
    assert head.trial is not None and head.trial.agreement is not None and head.trial.agreement > 0.6
