"""Values that overflow: an error that names the layer, and a run folder that still opens."""

import numpy as np
import pytest
import torch
from conftest import make_lm, make_model, make_tokenizer, stored_question
from fake_runs import Sitting

from hcl_core import registry
from hcl_core.decode.engine import EngineParts
from hcl_core.decode.heads.exit_heads import SharedHead
from hcl_core.decode.heads.fitting import fit_head
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.plausibility import WholeModel
from hcl_core.decode.token_lens import read_layers
from hcl_core.errors import NotFiniteError
from hcl_core.models.head_records import FitSettings
from hcl_core.pipeline import WaveDone
from hcl_core.records import Question, SamplingSettings
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import Strategy

PLANET = Question("planet", "Name a planet.", ("Mars",))
TEMPLATE = PromptTemplate("file", "Q: {question}\nA:")
SETTINGS = SamplingSettings(temperature=1.0, max_new_tokens=4)
ADVICE = "layer 3 of this model .* in float16: use --dtype bfloat16 or float32"


@pytest.fixture(scope="module")
def overflowing():
    """A float16 model whose third layer and those after it overflow."""
    model = make_model("llama").to(torch.float16)
    model.model.layers[2].mlp.down_proj.weight.data.fill_(6e4)
    model.model.layers[2].mlp.up_proj.weight.data.fill_(6e4)
    return CausalLM(model, make_tokenizer())


def decode(lm, layers, strategy):
    decoder = registry.make_decoder(lm, "shared", TEMPLATE, strategy=Strategy.parse(strategy))
    wave = [(layer, idx) for layer in layers for idx in range(3)]
    return [
        each for step in decoder.decode(stored_question(decoder, PLANET), SETTINGS, [wave]) for each in step.finished
    ]


def test_layers_below_the_overflow_answer(overflowing):
    samples = decode(overflowing, (1, 2), "early_exit")
    assert np.isfinite([logprob for sample in samples for logprob in sample.token_logprobs]).all()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_layer_that_overflows_gives_no_answer(overflowing, temperature):
    decoder = registry.make_decoder(overflowing, "shared", TEMPLATE)
    settings = SamplingSettings(temperature=temperature, max_new_tokens=4)
    with pytest.raises(NotFiniteError, match=ADVICE):
        list(decoder.decode(stored_question(decoder, PLANET), settings, [[(1, 0), (4, 0), (3, 0)]]))


@pytest.mark.parametrize("strategy", ["dynamic:probability:0.999", "dynamic:agreement:4"])
def test_a_layer_that_overflows_is_not_passed_over_by_dynamic_exit(overflowing, strategy):
    with pytest.raises(NotFiniteError, match=ADVICE):
        decode(overflowing, (2,), strategy)


def test_drafts_of_a_layer_that_overflows_are_refused(overflowing):
    with pytest.raises(NotFiniteError, match=ADVICE):
        decode(overflowing, (3,), "self_speculative:2")


def test_plausibility_of_a_model_that_overflows_is_refused(overflowing):
    decoder = registry.make_decoder(overflowing, "shared", TEMPLATE)
    model = WholeModel(EngineParts(overflowing, SharedHead(), TEMPLATE))
    with pytest.raises(NotFiniteError, match="layer 4"):
        model.mean_logprobs(stored_question(decoder, PLANET), [(5, 6)])


def test_a_lens_of_a_model_that_overflows_is_refused(overflowing):
    with pytest.raises(NotFiniteError, match="layer 4"):
        read_layers(overflowing, SharedHead(), "q", "", [20, 35, 7, 99], 1)


def test_no_head_is_fitted_to_states_that_overflow(overflowing, tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(NotFiniteError, match=ADVICE):
        list(fit_head(overflowing, "r1", FitSettings(num_tokens=1_000), tmp_path / "head.safetensors"))
    assert not (tmp_path / "head.safetensors").exists()


def test_the_lens_says_entropy_0_where_one_token_has_all_probability():
    lm = make_lm()
    with torch.inference_mode():
        lm._parts.final_norm.module.weight.fill_(1e4)  # logits so far apart that all other probabilities are 0
    table = read_layers(lm, SharedHead(), "q", "", [20, 35, 7, 99], 1)
    assert np.isfinite(table.entropy).all() and (table.entropy[:, 0] < 1e-3).all()


def test_damaged_float32_weights_are_named(tmp_path):
    model = make_model("llama")
    model.model.layers[0].mlp.down_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(NotFiniteError, match="layer 1 .* in float32: its weights or its exit head are damaged"):
        decode(CausalLM(model, make_tokenizer()), (1,), "early_exit")


def test_waves_before_an_overflow_stay_and_the_folder_opens(tmp_path):
    lm = CausalLM(make_model("llama"), make_tokenizer())
    sitting = Sitting(tmp_path / "run", decoder=registry.make_decoder(lm, "shared", TEMPLATE), sampling=SETTINGS)
    events = sitting.events()
    next(event for event in events if isinstance(event, WaveDone))
    with torch.inference_mode():
        lm._parts.final_norm.module.weight.fill_(torch.nan)
    with pytest.raises(NotFiniteError):
        list(events)
    assert len(sitting.folder.samples()) == 8
