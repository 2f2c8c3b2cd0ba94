"""Questions of a forest: each has the answers that it has alone, whoever else is there, and whoever leaves."""

import inspect
from dataclasses import replace
from typing import Any

import pytest
from conftest import make_decoder, make_lm, stored_question

from hcl_core.decode.forest import Forest, Lane
from hcl_core.decode.strategy import decoder_of
from hcl_core.errors import ContextTooLongError, SettingsError
from hcl_core.ports import DecodeProgress, DecodeRequest
from hcl_core.records import Question, SamplingSettings
from hcl_core.settings.strategies import Strategy

WARM = SamplingSettings(temperature=1.2, top_p=0.95, max_new_tokens=8, seed=3)
GREEDY = SamplingSettings(temperature=0, max_new_tokens=5)
COLD = replace(WARM, temperature=0.4, top_k=7)
STRATEGIES = ("early_exit", "self_speculative:2", "dynamic:probability:0.5")
NAMES = ("a planet", "a colour of the rainbow", "a metal", "a river that is longer than the Rhine", "a fruit")


def waves(*layers, sizes=(2, 5)):
    start, made = 0, []
    for size in sizes:
        made.append([(layer, number) for layer in layers for number in range(start, start + size)])
        start += size
    return made


def requests(decoder, settings=(WARM,), layers=((1, 3, 4), (2, 4), (4,))):
    """A request for each name, with settings and layers in turn."""
    return [
        DecodeRequest(
            stored_question(decoder, Question(f"q{number}", f"Name {name}.", ("x",))),
            settings[number % len(settings)],
            waves(*layers[number % len(layers)]),
        )
        for number, name in enumerate(NAMES)
    ]


def alone(decoder, request):
    """Its progress with nobody else there."""
    return list(decoder.decode(request.stored, request.settings, request.waves))


def together(decoder, asked, at_once=None):
    """The progress of each request in the company of the others."""
    progress: dict[DecodeRequest, list[DecodeProgress]] = {request: [] for request in asked}
    for request, step in decoder.decode_many(asked, at_once):
        progress[request].append(step)
    return [progress[request] for request in asked]


def opened(forest, decoder, asked):
    return [forest.open(decoder, request) for request in asked]


def run(forest, lanes):
    """Events of each lane until none is left."""
    events: dict[Lane, list[Any]] = {lane: [] for lane in lanes}
    while not forest.is_idle:
        for lane, event in forest.step():
            events[lane].append(event)
    return [events[lane] for lane in lanes]


@pytest.mark.parametrize("at_once", [1, 2, 5, None])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_step_of_a_question_is_the_same_alone_and_in_company(strategy, dtype, at_once):
    decoder = decoder_of(make_decoder(make_lm(dtype=dtype)).parts, Strategy.parse(strategy))
    asked = requests(decoder, settings=(WARM, GREEDY, COLD))
    assert together(decoder, asked, at_once) == [alone(decoder, request) for request in asked]


def test_strategies_share_a_forest():
    parts = make_decoder(make_lm()).parts
    decoders = [decoder_of(parts, Strategy.parse(name)) for name in STRATEGIES]
    asked = requests(decoders[0])[:3]
    forest = Forest(parts.lm, parts.budget_now)
    lanes = [forest.open(decoder, request) for decoder, request in zip(decoders, asked, strict=True)]
    expected = [alone(decoder, request) for decoder, request in zip(decoders, asked, strict=True)]
    assert run(forest, lanes) == expected


def test_a_question_that_joins_later_changes_nothing():
    decoder = make_decoder(make_lm())
    asked = requests(decoder)
    forest = Forest(decoder.parts.lm, decoder.parts.budget_now)
    events: dict[Lane, list[Any]] = {}
    waiting = list(asked)
    while waiting or not forest.is_idle:
        if waiting:
            events[forest.open(decoder, waiting.pop(0))] = []
        for lane, event in forest.step():
            events[lane].append(event)
    assert list(events.values()) == [alone(decoder, request) for request in asked]


def test_a_question_that_leaves_changes_nothing():
    decoder = make_decoder(make_lm())
    asked = requests(decoder)
    forest = Forest(decoder.parts.lm, decoder.parts.budget_now)
    lanes = opened(forest, decoder, asked)
    events: dict[Lane, list[Any]] = {lane: [] for lane in lanes}
    for number in range(1_000):
        if number == 4:
            forest.close(lanes[1])
        for lane, event in forest.step():
            events[lane].append(event)
        if forest.is_idle:
            break
    assert [events[lane] for lane in lanes if lane is not lanes[1]] == [
        alone(decoder, request) for request in asked if request is not asked[1]
    ]
    assert len(events[lanes[1]]) < len(alone(decoder, asked[1]))


@pytest.mark.parametrize("budget", [1, 100_000, 1_000_000])
def test_whatever_the_memory(budget):
    lm = make_lm()
    decoder = make_decoder(lm, budget)
    asked = requests(decoder)
    answers = [{each.key: each for step in steps for each in step.finished} for steps in together(decoder, asked)]
    whole = [{each.key: each for step in alone(make_decoder(lm), one) for each in step.finished} for one in asked]
    assert answers == whole


def test_memory_is_promised_to_no_two_questions():
    lm = make_lm(initializer_range=0.05)  # nearly uniform: nothing is shared
    budget = 150_000
    decoder = make_decoder(lm, budget)
    hot = replace(WARM, temperature=1.5, top_p=1.0)
    forest = Forest(lm, decoder.parts.budget_now)
    lanes = opened(forest, decoder, requests(decoder, settings=(hot,)))
    waited = False
    while not forest.is_idle:
        forest.step()
        running = [lane for lane in lanes if forest.has(lane) and lane.num_samples]
        assert sum(lane.num_bytes for lane in running) <= budget
        assert all(lane.tree.num_bytes <= lane.bytes_at_most for lane in running)
        waited |= 0 < len(running) < sum(map(forest.has, lanes))
    assert waited  # the budget did bind


def test_a_small_wave_does_not_wait_for_all_of_a_large_question():
    decoder = make_decoder(make_lm())
    forest = Forest(decoder.parts.lm, decoder.parts.budget_now, most_samples=40)
    large, small = requests(decoder)[:2]
    large = replace(large, waves=waves(1, 2, 3, 4, sizes=(10, 10, 10, 10)))
    lanes = opened(forest, decoder, [large, small])
    order = []
    while not forest.is_idle:
        order += [lane for lane, event in forest.step() if isinstance(event, DecodeProgress) and event.wave_done]
    assert order == [lanes[0], lanes[1], *order[2:]] and order.count(lanes[0]) == 4


def large_question_under_way():
    """A decoder, its forest, the lane of a large question that has had its first wave, and another request."""
    decoder = make_decoder(make_lm())
    forest = Forest(decoder.parts.lm, decoder.parts.budget_now)
    large, new = requests(decoder)[:2]
    (busy,) = opened(forest, decoder, [replace(large, waves=waves(1, 2, 3, 4, sizes=(1, 30)))])
    while busy.is_new:
        forest.step()
    return decoder, forest, busy, new


def test_a_first_wave_is_soon_done_beside_a_large_question():
    decoder, forest, busy, new = large_question_under_way()
    forest.step()  # its second wave has begun
    (newcomer,) = opened(forest, decoder, [new])
    moved = {busy: 0, newcomer: 0}
    while newcomer.is_new:
        for lane, event in forest.step():
            moved[lane] += isinstance(event, DecodeProgress)
    assert moved[newcomer] > 2 * moved[busy]
    assert forest.has(busy)


def test_newcomers_do_not_stop_a_question_that_is_under_way():
    decoder, forest, busy, new = large_question_under_way()
    num_steps = 0
    while forest.has(busy):
        opened(forest, decoder, [new])  # somebody new at every step
        forest.step()
        num_steps += 1
        assert num_steps < 200


def test_an_error_of_one_question_is_its_own():
    decoder = make_decoder(make_lm())
    asked = requests(decoder)[:3]
    asked[1] = replace(asked[1], waves=[[(9, 0)]])
    forest = Forest(decoder.parts.lm, decoder.parts.budget_now)
    first, wrong, last = run(forest, opened(forest, decoder, asked))
    assert [type(event) for event in wrong] == [SettingsError]
    assert [first, last] == [alone(decoder, asked[0]), alone(decoder, asked[2])]


@pytest.mark.parametrize("wrong", [{"waves": [[(9, 0)]]}, {"settings": replace(WARM, max_new_tokens=600)}])
def test_questions_before_one_that_fails_are_finished_first(wrong):
    decoder = make_decoder(make_lm())
    asked = requests(decoder)
    asked[2] = replace(asked[2], **wrong)
    progress: dict[DecodeRequest, list[DecodeProgress]] = {request: [] for request in asked}
    with pytest.raises((SettingsError, ContextTooLongError)):
        for request, step in decoder.decode_many(asked):
            progress[request].append(step)
    assert [progress[request] for request in asked[:2]] == [alone(decoder, request) for request in asked[:2]]


def test_no_question_is_no_progress():
    assert list(make_decoder(make_lm()).decode_many([])) == []


def test_a_closed_generator_ends_every_policy(monkeypatch):
    decoder = make_decoder(make_lm())
    lanes, original = [], Forest.open

    def noted(forest, *arguments):
        lanes.append(original(forest, *arguments))
        return lanes[-1]

    monkeypatch.setattr(Forest, "open", noted)
    steps = decoder.decode_many(requests(decoder))
    next(steps)
    steps.close()
    assert len(lanes) == len(NAMES)
    assert all(inspect.getgeneratorstate(lane.policy) == inspect.GEN_CLOSED and lane.tree is None for lane in lanes)
