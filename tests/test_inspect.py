"""Inspect at an exit layer: at the last one, its scores are those of `transformers`' own greedy answers."""

import pytest

pytest.importorskip("inspect_ai", reason="needs Inspect, in an environment without gradio[mcp]: docs/neighbours.md")

from conftest import NUM_LAYERS
from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

import hcl_core.neighbours.inspect_provider  # noqa: F401  (an installed program is found by its entry point)
from hcl_core.errors import SettingsError

CAPITALS = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Atlantis": "nowhere"}
CONFIG = GenerateConfig(temperature=0, max_tokens=16)


def capitals(model, log_dir):
    """The accuracy, and the answers in order."""
    rows = [Sample(input=f"What is the capital of {land}?", target=city) for land, city in CAPITALS.items()]
    (log,) = evaluate(
        Task(dataset=rows, solver=generate(), scorer=includes()), model, log_dir=str(log_dir), display="none"
    )
    assert log.status == "success", log.error
    return log.results.scores[0].metrics["accuracy"].value, [each.output.completion for each in log.samples]


@pytest.mark.slow
@pytest.mark.model
def test_the_last_layer_scores_as_the_whole_model(smollm2, tmp_path):
    ours = capitals(get_model("hcl/smollm2-135m", config=CONFIG, memoize=False), tmp_path)
    whole = get_model(
        "hf/whole", config=CONFIG, memoize=False, model_path=smollm2.peer.name_or_path, device="cpu", do_sample=False
    )
    assert ours == capitals(whole, tmp_path)
    assert 0 < ours[0] < 1
    early = get_model("hcl/smollm2-135m", config=CONFIG, memoize=False, exit_layer=4)
    assert capitals(early, tmp_path) != ours


@pytest.fixture
def tiny_chat(tiny_folder):
    """The tiny model with a chat template."""
    (tiny_folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    )
    return tiny_folder


def answer(folder, text="Hello", config=None, **arguments):
    import anyio

    model = get_model("hcl/tiny", memoize=False, model_path=str(folder), **arguments)
    return anyio.run(lambda: model.generate(text, config=config or GenerateConfig(temperature=0, max_tokens=8)))


def test_each_layer_answers_for_itself_and_is_named(tiny_chat):
    answers = [answer(tiny_chat, exit_layer=layer) for layer in range(1, NUM_LAYERS + 1)]
    assert [each.metadata["exit_layer"] for each in answers] == [1, 2, 3, 4]
    assert len({each.completion for each in answers}) > 1
    assert all(each.usage.output_tokens <= 8 for each in answers)


def test_a_stop_text_ends_an_answer(tiny_chat):
    whole = answer(tiny_chat).completion
    stopped = answer(tiny_chat, config=GenerateConfig(temperature=0, max_tokens=8, stop_seqs=[whole[3:5]]))
    assert stopped.completion == whole[: whole.index(whole[3:5])] and stopped.stop_reason == "stop"


def test_the_seed_decides_what_is_drawn(tiny_chat):
    drawn = [
        answer(tiny_chat, config=GenerateConfig(temperature=1, max_tokens=8, seed=seed)).completion
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [({"exit_layer": 9}, "exit layer 9 is not from 1 to 4"), ({"layer": 3}, "unknown: layer; known are exit_layer")],
)
def test_a_wrong_argument_is_named(tiny_chat, arguments, sentence):
    with pytest.raises(SettingsError, match=sentence):
        answer(tiny_chat, **arguments)


def test_a_setting_that_would_be_ignored_is_refused(tiny_chat):
    with pytest.raises(SettingsError, match="unknown: frequency_penalty"):
        answer(tiny_chat, config=GenerateConfig(frequency_penalty=1.0))


def test_a_model_without_a_chat_template_is_refused(tiny_folder):
    with pytest.raises(SettingsError, match="has no chat template"):
        answer(tiny_folder)
