"""The time of a run, told before it: its work, foretold, times what work has taken on this machine."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_runs import SETTINGS, make_manifest

from app.service import Service
from hcl_core import registry
from hcl_core.models.catalogue import CATALOGUE, DEFAULT_MODEL
from hcl_core.models.workload import LayerSharing, foretell_work, reference_seconds, sharing_at, work_of
from hcl_core.pipeline import Finished, Started, WaveDone
from hcl_core.pipeline.estimate import MachineSpeed, RunTimer, expected_seconds, foretell
from hcl_core.pipeline.request import RunRequest
from hcl_core.records import Question, Sample, SamplingSettings
from hcl_core.settings.layers import LayerRange
from hcl_core.settings.prompts import load_template
from hcl_core.settings.strategies import Strategy

LAYERS = (10, 20, 30)


def asked(num_questions=1, model="smollm2-135m", strategy=None, **sampling):
    questions = tuple(Question(str(number), "Is it?", ("yes",)) for number in range(num_questions))
    layers = LayerRange(10, 16, 6)
    request = RunRequest(model, questions, "set", layers, 24, SamplingSettings(**sampling), load_template())
    return replace(request, strategy=strategy) if strategy else request


def work(**changes):
    values: dict[str, Any] = {"num_hidden_layers": 30, "exit_layers": LAYERS, "num_samples": 24, "max_new_tokens": 20}
    values |= {"temperature": 0.6, "exit_head": "linear", "num_prompt_tokens": 50}
    return foretell_work(**(values | changes))


# Work.


def test_answers_that_share_nothing_cost_their_number_and_equal_ones_cost_one():
    noise, equal = LayerSharing(3, 1.0, 1.0), LayerSharing(3, 0.0, 0.0)
    assert noise.readouts(24, 20) == 24 * 20 and equal.readouts(24, 20) == 3
    assert equal.readouts(24, 2) == 2  # never longer than the limit


def test_greedy_answers_of_a_layer_are_one():
    assert work(temperature=0.0, num_samples=1).readouts == pytest.approx(work(temperature=0.0).readouts)


@given(st.floats(0, 2), st.floats(0.01, 1), st.sampled_from(["linear", "shared"]))
def test_sharing_is_in_its_ranges_at_every_temperature_and_depth(temperature, depth, head):
    sharing, overlap = sharing_at(head, temperature, depth)
    assert 0 <= sharing.exponent <= 1 and 0 <= sharing.capped <= 1 and 0 < overlap <= 1.01


def test_between_two_temperatures_sharing_is_between_theirs():
    low, middle, high = (sharing_at("linear", temperature, 0.5)[0].exponent for temperature in (0.6, 0.75, 0.9))
    assert middle == pytest.approx((low + high) / 2)
    assert sharing_at("linear", 9.0, 0.5) == sharing_at("linear", 1.5, 0.5)


@pytest.mark.parametrize(
    "more",
    [
        {"num_samples": 48},
        {"temperature": 1.5},
        {"max_new_tokens": 40},
        {"exit_layers": (5, *LAYERS)},
        {"num_waves": 3},
    ],
    ids=lambda more: next(iter(more)),
)
def test_more_work_takes_longer(more):
    shape = DEFAULT_MODEL.shape
    assert reference_seconds(work(**more), shape) > reference_seconds(work(), shape)


def test_questions_at_once_share_the_reads_of_the_weights_alone():
    one, four = work(), work(num_at_once=4)
    assert (four.block_rows, four.readouts) == (one.block_rows, one.readouts)
    assert four.block_steps == one.block_steps / 4


def answer(layer, number, *token_ids):
    return Sample("0", layer, number, "", "", token_ids, (-1.0,) * len(token_ids), "stop")


def test_work_is_counted_from_the_answers():
    # Layer 10 reads what follows (), (7,) and (7, 8); layer 20 (), (7,) and (9,): rows to layer 20 but for (7, 8).
    samples = [answer(10, 0, 7, 8, 0), answer(10, 1, 7, 0), answer(20, 0, 7, 0), answer(20, 1, 9, 0)]
    counted = work_of([samples], num_prompt_tokens=5)
    assert (counted.steps, counted.block_steps) == (4, 80)  # the prompt's, and of three tokens
    assert (counted.readouts, counted.block_rows) == (6, 5 * 20 + 20 + 20 + 10)
    # States are kept from wave to wave, and logits are not.
    again = work_of([samples, samples], 5)
    assert (again.steps, again.block_steps, again.readouts, again.block_rows) == (7, 80, 12, counted.block_rows)
    later = work_of([samples[1:], samples[:1]], 5, num_at_once=2)
    assert (later.steps, later.block_steps) == ((1 + 2 + 3) / 2, 20 * (1 + 2 + 3) / 2)
    assert (later.readouts, later.block_rows) == (5 + 3, counted.block_rows)


# Seconds.


@pytest.mark.parametrize(
    ("num_questions", "num_devices", "share"), [(8, 2, 1 / 2), (3, 2, 2 / 3), (1, 2, 1), (9, 1, 1)]
)
def test_questions_are_divided_among_devices_and_what_a_run_teaches_is_about_one(
    tmp_path, num_questions, num_devices, share
):
    request = asked(num_questions, strategy=Strategy("dynamic"))
    alone, several = (MachineSpeed(tmp_path / "speed.json", number) for number in (1, num_devices))
    alone.learn("smollm2-135m", 3, 1, "dynamic")
    before = foretell(request, LAYERS, 8, alone)
    assert foretell(request, LAYERS, 8, several).middle == pytest.approx(share * before.middle)
    timer = RunTimer(several, request, LAYERS, 8)
    timer.add(BEGUN, is_alone=True)
    timer.add(Finished(replace(MANIFEST, decode_seconds=share * before.middle), None), is_alone=True)
    assert foretell(request, LAYERS, 8, alone).middle == pytest.approx(before.middle)


def test_a_larger_model_takes_longer_and_one_of_unknown_size_is_not_foretold(tmp_path):
    speed = MachineSpeed(tmp_path / "speed.json")
    times = [foretell(asked(model=name), (10, 16), 8, speed) for name in ("smollm2-135m", "layerskip-llama2-7b")]
    assert times[0].high < times[1].low
    assert foretell(asked(model="own"), LAYERS, 8, speed) is None


def test_every_model_of_the_catalogue_is_foretold():
    for model in CATALOGUE:
        assert expected_seconds(asked(model=model.name), (model.num_hidden_layers,), 8) > 0


def test_a_run_that_was_timed_here_is_foretold_by_its_own_time(tmp_path):
    speed = MachineSpeed(tmp_path / "cache" / "speed.json")
    expected = expected_seconds(asked(), LAYERS, 8)
    before = foretell(asked(), LAYERS, 8, speed)
    assert not before.is_timed
    speed.learn("smollm2-135m", 3 * expected, expected)
    after = foretell(asked(), LAYERS, 8, MachineSpeed(tmp_path / "cache" / "speed.json"))
    assert after.is_timed and (after.low * after.high) ** 0.5 == pytest.approx(3 * expected)
    assert after.high / after.low < before.high / before.low
    # Another model is as slow, as far as anyone knows, and less sure.
    assert speed.factor("layerskip-llama2-7b") == (pytest.approx(3), False)


def test_a_strategy_is_foretold_by_its_own_time_and_before_by_the_models(tmp_path):
    speed = MachineSpeed(tmp_path / "speed.json")
    drafting = asked(strategy=Strategy.parse("self_speculative"))
    speed.learn("smollm2-135m", 3, 1)
    before = foretell(drafting, LAYERS, 8, speed)
    assert not before.is_timed and before.middle == pytest.approx(3 * expected_seconds(drafting, LAYERS, 8))
    speed.learn("smollm2-135m", 5, 1, "self_speculative")
    after = foretell(drafting, LAYERS, 8, speed)
    assert after.is_timed and after.middle == pytest.approx(5 * expected_seconds(drafting, LAYERS, 8))
    assert speed.factor("smollm2-135m") == (pytest.approx(3), True)


@pytest.mark.parametrize("name", ["self_speculative", "dynamic"])
def test_other_strategies_take_longer_the_more_layers_answers_and_tokens(name):
    shape = DEFAULT_MODEL.shape
    least = reference_seconds(work(strategy=name), shape)
    for more in ({"num_samples": 48}, {"max_new_tokens": 40, "temperature": 1.5}, {"exit_layers": (5, *LAYERS)}):
        assert reference_seconds(work(strategy=name, **more), shape) > least
    assert least > reference_seconds(work(), shape)


def test_the_last_run_counts_as_much_as_all_before(tmp_path):
    speed = MachineSpeed(tmp_path / "speed.json")
    for taken in (2, 8):
        speed.learn("smollm2-135m", taken, 1)
    assert speed.factor("HuggingFaceTB/SmolLM2-135M-Instruct") == (pytest.approx(4), True)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"smollm2-135m": "fast"}', '{"smollm2-135m": NaN}', "\xff"])
def test_a_damaged_file_counts_as_empty(tmp_path, text):
    path = tmp_path / "speed.json"
    path.write_bytes(text.encode("latin-1"))
    assert MachineSpeed(path).factor("smollm2-135m")[1] is False


def test_a_place_that_cannot_be_written_costs_no_run(tmp_path):
    (tmp_path / "file").write_text("")
    MachineSpeed(tmp_path / "file" / "speed.json").learn("smollm2-135m", 1, 1)


def test_it_is_kept_beside_the_runs_and_is_none_of_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HCL_RUNS", str(tmp_path))
    MachineSpeed(tmp_path / ".speed.json").learn("smollm2-135m", 3, 1)
    service = Service()
    foretold = service.foretell(asked(), LAYERS)
    assert foretold and foretold.is_timed
    assert all(run.is_shipped for run in service.all_runs())


def test_the_reference_engine_is_foretold_slower_and_one_question_after_the_other(monkeypatch):
    def seconds(engine, num_questions):
        monkeypatch.setattr(registry, "shape_and_engine", lambda *_, **__: (DEFAULT_MODEL.shape, engine))
        return expected_seconds(asked(num_questions), LAYERS, 8)

    assert seconds("reference", 1) > 1.5 * seconds("fast", 1)
    assert seconds("reference", 8) == pytest.approx(8 * seconds("reference", 1))
    assert seconds("fast", 8) < 7 * seconds("fast", 1)  # they share each read of the weights


# Which runs teach.


MANIFEST = replace(make_manifest(SETTINGS), decode_seconds=5.0)
BEGUN, GONE_ON, DONE = Started(MANIFEST, 0, 72), Started(MANIFEST, 8, 72), Finished(MANIFEST, None)


def waves(token_of):
    """The two waves of a question, with answers of 20 tokens."""
    for numbers in (range(8), range(8, 24)):
        samples = [answer(layer, number, *[token_of(number)] * 20) for layer in LAYERS for number in numbers]
        yield WaveDone(asked().questions[0], tuple(samples), None, 0, 72), True


def timed(tmp_path, events_alone, request=None, token_of=int):
    speed = MachineSpeed(tmp_path / "speed.json")
    timer = RunTimer(speed, request or asked(), LAYERS, 8)
    first, *rest = events_alone
    for event, is_alone in [first, *waves(token_of), *rest]:
        timer.add(event, is_alone=is_alone)
    return speed.factor("smollm2-135m")


def test_a_question_whose_answers_share_much_does_not_make_the_machine_look_fast(tmp_path):
    whole = [(BEGUN, True), (DONE, True)]
    noise, _ = timed(tmp_path / "noise", whole)
    equal, _ = timed(tmp_path / "equal", whole, token_of=lambda _: 7)
    assert equal > 2 * noise  # the same seconds for far less work


@pytest.mark.parametrize(
    ("events", "teaches"),
    [
        ([(BEGUN, True), (DONE, True)], True),
        ([(BEGUN, True)], False),
        ([(GONE_ON, True), (DONE, True)], False),
        ([(BEGUN, False), (DONE, True)], False),
        ([(BEGUN, True), (DONE, False)], False),
    ],
    ids=["whole", "unfinished", "resumed", "begun beside another", "ended beside another"],
)
def test_only_whole_runs_alone_teach(tmp_path, events, teaches):
    assert timed(tmp_path, events)[1] is teaches


def test_another_strategy_teaches_nothing_of_true_early_exit(tmp_path):
    assert timed(tmp_path, [(BEGUN, True), (DONE, True)], asked(strategy=Strategy("dynamic")))[1] is False
    assert MachineSpeed(tmp_path / "speed.json").factor("smollm2-135m", "dynamic")[1]
