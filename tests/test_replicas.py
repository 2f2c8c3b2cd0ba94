"""Replicas of one model on several devices, here two on one CPU: answers, errors and runs are those of one."""

import inspect
import threading
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from conftest import make_decoder, make_lm
from test_forest import COLD, GREEDY, STRATEGIES, WARM, alone, requests, together

from hcl_core.decode.batch import Requests
from hcl_core.decode.forest import Forest
from hcl_core.decode.replicas import ReplicatedDecoder
from hcl_core.decode.strategy import decoder_of
from hcl_core.errors import ContextTooLongError, ExitHeadError, HclError, NotEnoughMemoryError, SettingsError
from hcl_core.ports import DecodeProgress, DecodeRequest
from hcl_core.settings.strategies import Strategy

WAIT = 20  # seconds that no test should take


def replicas(count=2, strategy="early_exit"):
    return [decoder_of(make_decoder(make_lm()).parts, Strategy.parse(strategy)) for _ in range(count)]


def decoding_threads():
    return [thread for thread in threading.enumerate() if thread.name == "decoding"]


def fails(*arguments):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


# The decoder.


@pytest.mark.parametrize(("count", "at_once"), [(2, 1), (2, 2), (2, None), (3, 1), (7, None)])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_step_of_a_question_is_that_of_one_decoder(strategy, count, at_once):
    decoders = replicas(count, strategy)
    asked = requests(decoders[0], settings=(WARM, GREEDY, COLD))
    assert together(ReplicatedDecoder(decoders), asked, at_once) == [alone(decoders[0], one) for one in asked]
    assert decoding_threads() == []


def test_where_all_have_a_place_questions_are_dealt_by_turns(monkeypatch):
    decoders = replicas()
    opened: dict[Any, list[str]] = {each.parts.lm: [] for each in decoders}
    original = Forest.open

    def noted(forest, decoder, request):
        opened[decoder.parts.lm].append(request.stored.question.id)
        return original(forest, decoder, request)

    monkeypatch.setattr(Forest, "open", noted)
    together(ReplicatedDecoder(decoders), requests(decoders[0]))
    assert list(opened.values()) == [["q0", "q2", "q4"], ["q1", "q3"]]


def test_the_error_of_the_first_request_counts_whichever_comes_first():
    asked = Requests([])
    for number in (3, 1, 2):
        asked.fail(number, HclError(f"number {number}"))
    assert str(asked.error) == "number 1"
    assert [asked.has_dropped(number) for number in range(4)] == [False, True, True, True]


def test_a_question_goes_to_whoever_has_a_place(monkeypatch):
    decoders = replicas()
    asked = requests(decoders[0])
    opened: dict[Any, list[str]] = {each.parts.lm: [] for each in decoders}
    original, may_step = Forest.open, threading.Event()

    def noted(forest, decoder, request):
        opened[decoder.parts.lm].append(request.stored.question.id)
        if len(opened[decoders[0].parts.lm]) == len(asked) - 1:
            may_step.set()
        return original(forest, decoder, request)

    busy, block = decoders[1].parts.lm, decoders[1].parts.lm.block

    def waits(*arguments):
        assert may_step.wait(WAIT)
        return block(*arguments)

    monkeypatch.setattr(Forest, "open", noted)
    monkeypatch.setattr(busy, "block", waits)
    together(ReplicatedDecoder(decoders), asked, at_once=1)
    assert [opened[each.parts.lm] for each in decoders] == [["q0", "q2", "q3", "q4"], ["q1"]]


@pytest.mark.parametrize("wrong", [{"waves": [[(9, 0)]]}, {"settings": replace(WARM, max_new_tokens=600)}])
@pytest.mark.parametrize("places", [[0], [1], [4], [1, 2], [2, 3]])
def test_questions_before_the_first_that_fails_are_finished_and_its_error_is_raised(wrong, places):
    decoders = replicas()
    asked = requests(decoders[0])
    for place in places:
        asked[place] = replace(asked[place], **wrong)
    progress: dict[DecodeRequest, list[DecodeProgress]] = {request: [] for request in asked}

    def answer(decoder):
        for request, step in decoder.decode_many(asked):
            progress[request].append(step)

    with pytest.raises((SettingsError, ContextTooLongError)) as expected:
        list(decoders[0].decode_many(asked))
    with pytest.raises(expected.type) as raised:
        answer(ReplicatedDecoder(decoders))
    assert str(raised.value) == str(expected.value)
    before = asked[: places[0]]
    assert [progress[request] for request in before] == [alone(decoders[0], request) for request in before]
    assert decoding_threads() == []


@pytest.mark.parametrize("which", [0, 1])
def test_memory_that_runs_out_on_one_device_is_the_same_error(monkeypatch, which):
    decoders = replicas()
    asked = requests(decoders[0])
    monkeypatch.setattr(decoders[which].parts.lm, "block", fails)
    seen = []
    with pytest.raises(NotEnoughMemoryError, match="out of memory while decoding"):
        for request, step in ReplicatedDecoder(decoders).decode_many(asked):
            seen.append((request, step))
    other = replicas(1)[0]
    before = asked[:which]  # those of the other device
    assert [[step for each, step in seen if each is one] for one in before] == [alone(other, one) for one in before]
    assert decoding_threads() == []


def test_an_unexpected_error_of_one_device_reaches_the_caller_and_ends_the_other(monkeypatch):
    decoders = replicas()
    monkeypatch.setattr(decoders[1].parts.lm, "block", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        together(ReplicatedDecoder(decoders), requests(decoders[0]))
    assert decoding_threads() == []


@pytest.mark.parametrize("num_good", [0, 3])
def test_an_error_of_the_requests_themselves_reaches_the_caller(num_good):
    decoders = replicas()

    def asked():
        yield from requests(decoders[0])[:num_good]
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(ReplicatedDecoder(decoders).decode_many(asked(), at_once=1))
    assert decoding_threads() == []


def test_closing_ends_every_thread_and_policy(monkeypatch):
    decoders = replicas()
    lanes, original = [], Forest.open

    def noted(forest, *arguments):
        lanes.append(original(forest, *arguments))
        return lanes[-1]

    monkeypatch.setattr(Forest, "open", noted)
    steps: Any = ReplicatedDecoder(decoders).decode_many(requests(decoders[0]))
    with closing(steps):
        next(steps)
        assert len(decoding_threads()) == 2
    assert decoding_threads() == [] and len(lanes) == 5
    assert all(inspect.getgeneratorstate(lane.policy) == inspect.GEN_CLOSED and lane.tree is None for lane in lanes)


def test_no_question_is_no_progress():
    assert list(ReplicatedDecoder(replicas()).decode_many([])) == []


def test_devices_that_take_different_heads_are_refused(monkeypatch):
    first, second = replicas()
    monkeypatch.setattr(second.exit_head, "fingerprint", "another", raising=False)
    with pytest.raises(ExitHeadError, match="name one, such as the model's own"):
        ReplicatedDecoder([first, second])
