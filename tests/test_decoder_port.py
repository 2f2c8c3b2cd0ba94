"""What ``ports.Decoder`` promises, of every decoder there is and of the fake that stands for them."""

import inspect

import pytest
from conftest import FakeDecoder, make_lm, stored_question

from hcl_core import registry
from hcl_core.errors import ContextTooLongError, SettingsError
from hcl_core.models.cost import ModelCost
from hcl_core.ports import Answerer, Decoder
from hcl_core.records import Question, SamplingSettings
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import Strategy

PLANET = Question("planet", "Name a planet.", ("Mars", "Venus"))
SETTINGS = SamplingSettings(temperature=1.0, max_new_tokens=4)
WAVES = [[(2, 0), (4, 0), (4, 1)], [(4, 2), (2, 1)]]
STRATEGIES = ("early_exit", "self_speculative:2", "dynamic:probability:0.5")


@pytest.fixture(params=[*STRATEGIES, "fake", "replicas"], scope="module")
def decoder(request):
    if request.param == "fake":
        return FakeDecoder()
    template = PromptTemplate("file", "Q: {question}\nA:")
    if request.param == "replicas":
        return registry.ReplicatedDecoder([registry.make_decoder(make_lm(), "shared", template) for _ in range(2)])
    return registry.make_decoder(make_lm(), "shared", template, strategy=Strategy.parse(request.param))


@pytest.fixture(scope="module")
def progress(decoder):
    return list(decoder.decode(stored_question(decoder, PLANET), SETTINGS, WAVES))


def test_decoder_has_every_member_of_the_port(decoder):
    members = [name for port in (Answerer, Decoder) for name in vars(port) if not name.startswith("_")]
    assert len(members) == 8 and [name for name in members if not hasattr(decoder, name)] == []
    for name in members:
        promised = getattr(Decoder, name)
        if inspect.isfunction(promised):
            given = inspect.signature(getattr(decoder, name)).parameters
            assert list(given) == list(inspect.signature(promised).parameters)[1:]


def test_decoder_says_what_a_run_stores_of_it(decoder):
    assert decoder.num_hidden_layers == 4
    assert decoder.exit_head.name and decoder.exit_head.fingerprint
    cost = decoder.cost()
    assert isinstance(cost, ModelCost) and cost.num_hidden_layers == decoder.num_hidden_layers


def test_prompt_holds_the_question_and_is_the_same_each_time(decoder):
    assert PLANET.text in decoder.prompt_for(PLANET)
    assert decoder.prompt_for(PLANET) == decoder.prompt_for(PLANET)


def test_every_sample_asked_for_comes_once(progress):
    finished = [sample for step in progress for sample in step.finished]
    keys = [(sample.exit_layer, sample.sample_idx) for sample in finished]
    assert sorted(keys) == sorted(key for wave in WAVES for key in wave)
    assert {sample.question_id for sample in finished} == {PLANET.id}


def test_a_wave_ends_before_the_next_begins(progress):
    by_wave: list[list[tuple[int, int]]] = [[]]
    for step in progress:
        by_wave[-1] += [(sample.exit_layer, sample.sample_idx) for sample in step.finished]
        assert step.wave_done is (step.num_running == 0)
        if step.wave_done:
            by_wave.append([])
    assert [sorted(keys) for keys in by_wave] == [*map(sorted, WAVES), []]


def test_samples_have_tokens_that_have_texts(decoder, progress):
    for step in progress:
        for sample in step.finished:
            assert 1 <= len(sample.completion_token_ids) == len(sample.token_logprobs) <= SETTINGS.max_new_tokens
            assert all(isinstance(decoder.token_text(token_id), str) for token_id in sample.completion_token_ids)


def test_waves_are_taken_one_at_a_time(decoder):
    taken = []

    def waves():
        for wave in WAVES:
            taken.append(wave)
            yield wave

    steps = decoder.decode(stored_question(decoder, PLANET), SETTINGS, waves())
    assert taken == []
    next(step for step in steps if step.wave_done)
    assert taken == WAVES[:1]


def test_a_layer_that_does_not_exist_is_refused(decoder):
    with pytest.raises(SettingsError, match="1 to 4"):
        list(decoder.decode(stored_question(decoder, PLANET), SETTINGS, [[(5, 0)]]))


def test_too_long_a_prompt_is_refused_before_anything_is_computed(decoder):
    stored = stored_question(decoder, Question("long", "x" * 2_000, ("y",)))
    with pytest.raises(ContextTooLongError, match="'long'"):
        decoder.tokenize_checked(stored, SETTINGS)
    with pytest.raises(ContextTooLongError, match="'long'"):
        next(decoder.decode(stored, SETTINGS, WAVES))
