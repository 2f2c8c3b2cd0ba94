"""The lm-evaluation-harness at an exit layer: at the last one, its scores are those of its own `hf` model."""

import json
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lm_eval", reason="needs the lm-evaluation-harness: pip install '.[lm-eval]'")

from conftest import NUM_LAYERS, run_command
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager

from hcl_core.errors import SettingsError
from hcl_core.neighbours.harness import HclLM

CHOICES = [
    {"question": "The sun is a", "choices": ["star", "planet", "moon"], "answer": 0},
    {"question": "The moon goes around the", "choices": ["sea", "earth"], "answer": 1},
    {"question": "Water is made of hydrogen and", "choices": ["oxygen", "iron", "gold", "oxygen gas"], "answer": 0},
]
SUMS = [{"question": f"What is {one} and {one}?", "answer": str(2 * one)} for one in (1, 2, 4)]
TEXTS = [{"text": "Bees make honey.\n\nThey live in hives."}, {"text": "a"}, {"text": "Paris is in France. " * 12}]
TASKS: dict[str, tuple[list[Any], str]] = {
    "tiny_choice": (
        CHOICES,
        "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: choices\ndoc_to_target: answer\n",
    ),
    "tiny_writing": (
        SUMS,
        "output_type: generate_until\ndoc_to_text: 'Q: {{question}}\n\n  A:'\ndoc_to_target: answer\n"
        "metric_list:\n  - metric: exact_match\ngeneration_kwargs:\n  until: ['.', '\\n\\n']\n  max_gen_toks: 12\n",
    ),
    "tiny_text": (
        TEXTS,
        "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{text}}'\n"
        "metric_list:\n  - metric: bits_per_byte\n",
    ),
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    """A folder of tasks whose rows are files beside them."""
    folder = tmp_path_factory.mktemp("tasks")
    for name, (rows, text) in TASKS.items():
        file = folder / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        head = f"task: {name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {file}\n"
        (folder / f"{name}.yaml").write_text(head + "test_split: test\n" + text)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)


def evaluate(tasks, program, **arguments):
    """Scores of each task, and of each request of each row what the model said."""
    done = simple_evaluate(
        model=program,
        model_args=arguments,
        tasks=list(TASKS),
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        batch_size=2,
        bootstrap_iters=0,
        log_samples=True,
    )
    said = {
        name: [row["resps"] for row in sorted(rows, key=lambda row: row["doc_id"])]
        for name, rows in done["samples"].items()
    }
    scores = {
        (name, metric): value
        for name, of_task in done["results"].items()
        for metric, value in of_task.items()
        if isinstance(value, float) and "stderr" not in metric
    }
    return scores, said


def assert_same(ours, theirs):
    (scores, said), (hf_scores, hf_said) = ours, theirs
    assert scores.keys() == hf_scores.keys() and len(scores) >= 4
    for name, value in scores.items():
        assert value == pytest.approx(hf_scores[name], rel=1e-4), name
    assert said["tiny_writing"] == hf_said["tiny_writing"]
    for row, hf_row in zip(said["tiny_choice"], hf_said["tiny_choice"], strict=True):
        for ((total, is_greedy),), ((hf_total, hf_is_greedy),) in zip(row, hf_row, strict=True):
            assert total == pytest.approx(hf_total, abs=1e-3) and is_greedy == hf_is_greedy
    np.testing.assert_allclose(
        np.array(said["tiny_text"], float).ravel(), np.array(hf_said["tiny_text"], float).ravel(), rtol=1e-4
    )


def test_the_last_layer_scores_as_the_harness_s_own_model(tasks, tiny_folder):
    ours = evaluate(tasks, "hcl", model=str(tiny_folder))
    assert_same(ours, evaluate(tasks, "hf", pretrained=str(tiny_folder), dtype="float32", device="cpu"))


@pytest.mark.slow
@pytest.mark.model
def test_the_last_layer_of_smollm2_does_too(tasks, smollm2):
    ours = evaluate(tasks, "hcl", model="smollm2-135m", exit_layer=30)
    path = smollm2.peer.name_or_path
    assert_same(ours, evaluate(tasks, "hf", pretrained=path, dtype="float32", device="cpu"))
    assert ours[1]["tiny_writing"] != evaluate(tasks, "hcl", model="smollm2-135m", exit_layer=20)[1]["tiny_writing"]


def written(lm, context, **settings):
    return lm.generate_until([Instance("generate_until", {}, (context, settings), 0)], disable_tqdm=True)[0]


def test_each_layer_reads_and_writes_for_itself(tiny_folder):
    said = set()
    for exit_layer in range(1, NUM_LAYERS + 1):
        lm = HclLM(str(tiny_folder), exit_layer)
        pair = Instance("loglikelihood", {}, ("ab", "cd"), 0)
        ((total, _),) = lm.loglikelihood([pair], disable_tqdm=True)
        said.add((round(total, 4), written(lm, "ab", max_gen_toks=8)))
        assert lm.get_model_info()["exit_layer"] == exit_layer
    assert len(said) == NUM_LAYERS


def test_a_greedy_continuation_is_called_greedy_and_another_is_not(tiny_folder):
    lm = HclLM(str(tiny_folder), 3)
    context = lm.tok_encode("The")
    (token,) = lm.tok_encode(written(lm, "The", max_gen_toks=1), add_special_tokens=False)
    asked = [(None, context, [token]), (None, context, [token + 1])]
    assert [is_greedy for _, is_greedy in lm._loglikelihood_tokens(asked, disable_tqdm=True)] == [True, False]


def test_a_long_continuation_is_as_probable_in_one_pass_as_token_by_token(tiny_folder, monkeypatch):
    lm = HclLM(str(tiny_folder), 2)
    asked = [(None, [0, 9], [30 + place % 7 for place in range(80)]), (None, [0, 9], [30, 31])]
    in_one_pass = lm._loglikelihood_tokens(asked, disable_tqdm=True)
    monkeypatch.setattr("hcl_core.decode.likelihood._MOST_IN_TRIE", 100)
    in_a_trie = lm._loglikelihood_tokens(asked, disable_tqdm=True)
    np.testing.assert_allclose([total for total, _ in in_one_pass], [total for total, _ in in_a_trie], rtol=1e-5)


def test_a_stop_text_ends_a_continuation_though_it_spans_tokens(tiny_folder):
    lm = HclLM(str(tiny_folder))
    whole = written(lm, "ab", max_gen_toks=20)
    assert written(lm, "ab", max_gen_toks=20, until=[whole[4:7]]) == whole[: whole.index(whole[4:7])]


def test_a_context_that_is_too_long_loses_its_beginning(tiny_folder):
    lm = HclLM(str(tiny_folder))
    long = "xy" * 400
    assert written(lm, long, max_gen_toks=8) == written(lm, long[-504:], max_gen_toks=8)


def test_repeats_are_different_draws_and_the_same_again(tiny_folder):
    lm = HclLM(str(tiny_folder), seed=3)
    settings = {"do_sample": True, "temperature": 1.0, "max_gen_toks": 8}
    requests = [Instance("generate_until", {}, ("ab", settings), 0)] * 6
    drawn = lm.generate_until(requests, disable_tqdm=True)
    assert len(set(drawn)) > 1 and drawn == lm.generate_until(requests, disable_tqdm=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"exit_layer": 5}, "exit layer 5 is not from 1 to 4"),
        ({"exit_layer": "two"}, "exit_layer must be a whole number"),
        ({"layer": 3}, "unknown: layer; known are model, exit_layer"),
        ({"max_length": 9_999}, "max_length must be a whole number from 2 to 512"),
        ({"batch_size": "many"}, "batch_size must be auto or a whole number"),
    ],
)
def test_a_wrong_argument_is_named(tiny_folder, arguments, sentence):
    with pytest.raises(SettingsError, match=sentence):
        HclLM(str(tiny_folder), **arguments)


def test_a_setting_that_would_be_ignored_is_refused(tiny_folder):
    with pytest.raises(SettingsError, match="unknown: num_beams"):
        written(HclLM(str(tiny_folder)), "ab", num_beams=4)


def test_the_command_runs_the_harness_which_has_the_model(capsys, monkeypatch):
    # The harness's own start reads thousands of tasks; what is ours is the registry, the arguments and the errors.
    seen = []

    def cli_evaluate():
        seen.append(sys.argv)
        get_model("hcl").create_from_arg_string("model=nowhere")

    monkeypatch.setattr("lm_eval.__main__.cli_evaluate", cli_evaluate)
    monkeypatch.setattr(sys, "argv", ["hcl"])
    code, _, err = run_command(capsys, "lm-eval", "run", "--model", "hcl", "--tasks", "x", "--help")
    assert seen == [["lm_eval", "run", "--model", "hcl", "--tasks", "x", "--help"]]
    assert code == 2 and err.startswith("error: ") and "nowhere" in err and len(err.strip().splitlines()) == 1
