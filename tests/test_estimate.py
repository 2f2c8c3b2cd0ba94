"""The time of a run, told before it: scaled from the stored run most like it, as a range."""

from dataclasses import replace

import pytest
from test_runs import SETTINGS, make_manifest

from app.estimate import estimate_seconds
from hcl_core.pipeline.request import RunRequest
from hcl_core.records import Question, SamplingSettings
from hcl_core.settings.layers import LayerRange
from hcl_core.settings.prompts import load_template

LAYERS = (1, 3, 4)


def made(seconds=10.0, model="smollm2-135m", temperature=0.6, num_samples=4, exit_head="shared", **others):
    sampling = replace(SETTINGS.sampling, temperature=temperature)
    settings = replace(SETTINGS, model=model, sampling=sampling, num_samples=num_samples, exit_head=exit_head)
    return replace(make_manifest(settings), decode_seconds=seconds, finished_at="now", **others)


def asked(num_questions=2, num_samples=4, model="smollm2-135m", temperature=0.6, exit_head="shared"):
    questions = tuple(Question(str(number), "Is it?", ("yes",)) for number in range(num_questions))
    sampling = SamplingSettings(temperature=temperature, max_new_tokens=8)
    return RunRequest(model, questions, "set", LayerRange(1, 1), num_samples, sampling, load_template(), exit_head)


def middle(span):
    return (span[0] * span[1]) ** 0.5


def test_the_same_run_again_takes_about_as_long():
    low, high = estimate_seconds(asked(), LAYERS, [made()])
    assert low < 10 < high and middle((low, high)) == pytest.approx(10)


@pytest.mark.parametrize(
    ("request_", "layers", "wanted"),
    [(asked(num_questions=6), LAYERS, 30), (asked(), (1, 3, 4, 8), 20), (asked(), (4,), 5)],
    ids=["questions", "deeper", "fewer layers"],
)
def test_it_grows_with_questions_and_with_the_depth_of_the_layers(request_, layers, wanted):
    assert middle(estimate_seconds(request_, layers, [made()])) == pytest.approx(wanted)


def test_more_answers_cost_between_their_root_and_their_number():
    low, high = estimate_seconds(asked(num_samples=64), LAYERS, [made()])
    assert (low * 1.5, high / 1.5) == pytest.approx((40, 160))


def test_the_run_most_like_it_is_taken():
    others = [made(1, temperature=1.0), made(2, exit_head="linear"), made(3, model="layerskip-llama3.2-1b"), made(10)]
    assert middle(estimate_seconds(asked(), LAYERS, others)) == pytest.approx(10)


def test_a_larger_catalogue_model_is_scaled_by_its_size_and_less_sure():
    low, high = estimate_seconds(asked(model="layerskip-llama2-7b"), LAYERS, [made()])
    assert middle((low, high)) == pytest.approx(10 * 6738 / 135) and high / low == pytest.approx(9)


@pytest.mark.parametrize(
    "manifests",
    [[], [made(0)], [replace(made(), finished_at=None)], [made(model="own")]],
    ids=["none", "no time", "unfinished", "unknown"],
)
def test_nothing_is_said_without_a_run_to_go_by(manifests):
    assert estimate_seconds(asked(), LAYERS, manifests) is None


def test_nothing_is_said_of_a_model_of_unknown_size():
    assert estimate_seconds(asked(model="own"), LAYERS, [made()]) is None
