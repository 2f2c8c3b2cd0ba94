"""The commands as a user meets them: what they print, what they leave on disk, and one line for each mistake."""

import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import NUM_LAYERS, FakeEmbedder, make_model, make_tokenizer
from fake_runs import sample_keys, write_derived, write_verdicts

from hcl_core import cli, registry
from hcl_core.judges.alias import AliasJudge
from hcl_core.models.catalogue import CATALOGUE
from hcl_core.pipeline.plausibility import plausibility_stamp
from hcl_core.ports import Judgement
from hcl_core.runs.folder import RunFolder

REPO = Path(__file__).parent.parent
OWN = ["--question", "Name a planet", "--accept", "Mars", "--accept", "Venus"]
SCORE_KEYS = {"judge", "scaling", "id", "run_id", "model", "complete", "layers", "optimal_layer", "verdict"} | {
    "best_set",
    "best_set_probability",
    "equal_layers",
    "expected_hcb",
}
LAYER_KEYS = {
    "hallucination_ci",
    "creativity_raw_ci",
    "creativity_ci",
    "hcb_ci",
    "p_optimal",
    "exit_layer",
    "hallucination_rate",
    "creativity_raw",
    "creativity",
    "hcb_score",
    "confidence",
    "num_correct",
    "num_not_attempted",
    "num_samples",
}


class EvenJudge:
    """An answer of an even number of letters is right: a tiny model's noise gives both kinds."""

    name, stamp = "even", "even 1"

    def judge(self, question, answers):
        return [Judgement("incorrect" if len(answer) % 2 else "correct", "its length") for answer in answers]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny Llama saved as a user would have it, for all tests here."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    make_model("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder as a terminal would; gives exit code, stdout and stderr."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("HCL_RUNS", raising=False)
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(registry, "load_embedder", FakeEmbedder)

    def run(*arguments):
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as caught:
            patch.setattr(logging.root, "handlers", [])  # pytest's would keep the program from setting up its own
            cli.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return caught.value.code, printed.out, printed.err

    return run


@pytest.fixture
def run_tiny(command, tiny):
    def run(*arguments):
        usual = {"--model": tiny, "--samples": 3, "--max-new-tokens": 4}
        missing = [each for name, value in usual.items() if name not in arguments for each in (name, value)]
        return command("run", *missing, *arguments)

    return run


@pytest.fixture(scope="module")
def stored_run(tiny, tmp_path_factory):
    """A run of one question on all layers, some answers right."""
    out = tmp_path_factory.mktemp("runs") / "out"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit, match="0"):
        patch.setattr(registry, "load_judge", lambda *_: EvenJudge())
        patch.setattr(registry, "load_embedder", FakeEmbedder)
        arguments = ["run", "--model", str(tiny), "--samples", "3", "--max-new-tokens", "4", "--out", str(out)]
        cli.main([*arguments, *OWN])
    return out


@pytest.fixture
def finished_run(stored_run, tmp_path, monkeypatch):
    """A copy of that run, to do with as a test likes."""
    monkeypatch.setattr(registry, "load_judge", lambda *_: EvenJudge())
    return shutil.copytree(stored_run, tmp_path / "finished")


def parts(folder):
    return {part.name: (part.read_bytes(), part.stat().st_mtime_ns) for part in (folder / "samples").iterdir()}


# Models.


def test_models_lists_the_whole_catalogue(command):
    code, out, _ = command("models")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == [model.name for model in CATALOGUE]


def test_models_prints_one_line_a_model_whatever_the_width(command):
    _, out, err = command("models")
    assert len(out.splitlines()) == 1 + len(CATALOGUE)
    assert err == ""


def test_models_of_a_family_have_their_memory_and_what_verified_them(command):
    code, out, _ = command("models", "--family", "llama")
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert code == 0 and lines.keys() == {model.name for model in CATALOGUE if model.family == "llama"}
    assert "these weights, 20" in lines["smollm2-135m"] and "the family, on random weights" in lines["smollm2-360m"]
    assert lines["layerskip-llama2-7b"].split()[3:7] == ["27.0", "13.5", "13.5", "7.0"]


def test_a_family_of_no_known_model_is_refused_with_those_there_are(command):
    code, _, err = command("models", "--family", "none")
    assert (code, err.count("\n")) == (2, 1) and "--family must be one of llama, qwen2, qwen3; got 'none'" in err


@pytest.mark.parametrize("model", CATALOGUE, ids=lambda model: model.name)
def test_what_verified_a_model_is_there(model):
    file, _, function = model.verified.test.partition(":")
    assert f"def {function}(" in (Path(__file__).parent.parent / file).read_text()


def test_layerskip_stands_above_all_but_the_usual_model():
    assert [model.is_layerskip for model in CATALOGUE[:9]] == [False, *[True] * 7, False]


def test_help_names_every_command(command):
    code, out, _ = command("--help")
    assert code == 0
    assert all(name in out for name in ("models", "run", "score", "show"))


def test_no_command_prints_the_help(command):
    _, out, _ = command()
    assert "Usage" in out


def test_no_command_is_no_empty_error(command):
    _, _, err = command()
    assert err.strip() != "error:"


# A run, end to end.


def test_run_prints_a_row_for_every_layer(run_tiny, tmp_path):
    code, out, _ = run_tiny(*OWN, "--out", tmp_path / "out")
    assert code == 0
    rows = [line.split()[0] for line in out.splitlines() if line[:6].strip().isdigit()]
    assert rows == [str(layer) for layer in range(1, NUM_LAYERS + 1)]


def test_run_says_where_it_saved(run_tiny, tmp_path):
    _, out, _ = run_tiny(*OWN, "--out", tmp_path / "out")
    assert out.splitlines()[-1] == f"Saved in {tmp_path / 'out'}"


def test_run_is_saved_under_its_id(run_tiny):
    run_tiny(*OWN)
    (folder,) = Path("runs").iterdir()
    assert RunFolder(folder).manifest().id == folder.name


def test_run_stores_the_settings_that_were_given(run_tiny, tmp_path):
    given = ["--layers", "2:4:2", "--temperature", "0.9", "--top-p", "0.8", "--top-k", "7", "--seed", "5"]
    run_tiny(*OWN, *given, "--template", "instruction", "--out", tmp_path / "out")
    settings = RunFolder(tmp_path / "out").manifest().settings
    assert (settings.model, settings.exit_layers, settings.num_samples) == ("tiny-llama", (2, 4), 3)
    sampling = settings.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (0.9, 0.8, 7, 5)
    assert (sampling.max_new_tokens, settings.template.name) == (4, "instruction")


def test_run_stores_every_sample(finished_run):
    keys = {(layer, idx) for layer in range(1, NUM_LAYERS + 1) for idx in range(3)}
    assert {key[1:] for key in sample_keys(RunFolder(finished_run))} == keys


def test_run_asks_the_questions_of_a_file(run_tiny, tmp_path):
    file = tmp_path / "mine.jsonl"
    lines = [{"id": str(number), "question": f"Question {number}?", "answers": ["x"]} for number in range(4)]
    file.write_text("\n".join(map(json.dumps, lines)))
    run_tiny("--questions", file, "--limit", 2, "--layers", "4", "--out", tmp_path / "out")
    manifest = RunFolder(tmp_path / "out").manifest()
    assert (manifest.question_set, manifest.num_questions) == ("mine.jsonl", 2)


def test_run_says_in_one_line_what_it_read_and_refuses_what_it_cannot_if_asked(run_tiny, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("question;answers\nOne?;x\nTwo?;nan\n", encoding="utf-16")
    _, _, err = run_tiny("--questions", file, "--layers", "4", "--out", tmp_path / "out")
    said = (
        "mine.csv: layout question, answers; 1 question; read as UTF-16; 1 skipped: no answer, "
        "and no [] as for an open question (line 3)"
    )
    assert said in err.splitlines()
    assert_one_line_error(run_tiny("--questions", file, "--strict"), "mine.csv, line 3: its answers are empty")


def test_run_asks_the_starter_questions(run_tiny, tmp_path):
    run_tiny("--questions", "starter", "--limit", 1, "--layers", "4", "--out", tmp_path / "out")
    assert RunFolder(tmp_path / "out").manifest().question_set == "starter"


def test_run_of_an_interrupted_one_says_how_to_go_on(run_tiny, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("hcl_core.pipeline.starting.run", stop)
    code, _, err = run_tiny(*OWN)
    assert code == 130
    assert err.splitlines()[-1] == "error: stopped; the same command goes on where it was"


# The same command twice.


def test_second_run_computes_nothing(run_tiny, tmp_path, monkeypatch):
    from hcl_core.decode.engine import TrieDecoder

    def decode(*arguments):
        raise AssertionError("nothing is to be decoded")

    run_tiny(*OWN, "--out", tmp_path / "out")
    monkeypatch.setattr(TrieDecoder, "decode", decode)
    assert run_tiny(*OWN, "--out", tmp_path / "out")[0] == 0


def test_second_run_leaves_the_parts_alone(run_tiny, tmp_path):
    run_tiny(*OWN, "--out", tmp_path / "out")
    before = parts(tmp_path / "out")
    run_tiny(*OWN, "--out", tmp_path / "out")
    assert parts(tmp_path / "out") == before


def test_second_run_prints_the_same(run_tiny, tmp_path):
    first = run_tiny(*OWN, "--out", tmp_path / "out")
    assert run_tiny(*OWN, "--out", tmp_path / "out")[:2] == first[:2]


def test_second_run_finds_the_first_by_its_id(run_tiny):
    run_tiny(*OWN)
    run_tiny(*OWN)
    assert len(list(Path("runs").iterdir())) == 1


def test_run_that_lost_a_part_makes_it_again(run_tiny, tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"question": "One?", "answers": ["x"]}\n{"question": "Two?", "answers": ["y"]}')
    run_tiny("--questions", file, "--out", tmp_path / "out")
    expected = RunFolder(tmp_path / "out").samples()
    (tmp_path / "out" / "samples" / "part-00001.parquet").unlink()
    run_tiny("--questions", file, "--out", tmp_path / "out")
    assert sorted(sample.key for sample in RunFolder(tmp_path / "out").samples()) == sorted(s.key for s in expected)


# Scores.


def scored(command, *arguments):
    code, out, _ = command("score", *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_score_json_has_exactly_these_keys(command, finished_run):
    result = scored(command, finished_run)
    assert result.keys() == SCORE_KEYS
    assert all(layer.keys() == LAYER_KEYS for layer in result["layers"])


def test_score_json_is_all_that_is_printed(command, finished_run):
    code, out, err = command("score", finished_run, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["complete"] is True


def test_score_json_names_the_run(command, finished_run):
    result = scored(command, finished_run)
    manifest = RunFolder(finished_run).manifest()
    assert (result["run_id"], result["model"]) == (manifest.run_id, "tiny-llama")


def test_score_optimal_layer_is_the_likeliest_to_be_best(command, finished_run):
    result = scored(command, finished_run)
    best = max(result["layers"], key=lambda layer: (round(layer["p_optimal"], 9), -layer["exit_layer"]))
    assert result["optimal_layer"] == best["exit_layer"]


def test_score_weighs_as_told(command, finished_run):
    for layer in scored(command, finished_run, "--weights", "0.25,0.75")["layers"]:
        expected = 0.25 * layer["creativity"] + 0.75 * (1 - layer["hallucination_rate"])
        assert layer["hcb_score"] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["verdicts", "clusters", "layer_scores"])
def test_score_makes_a_deleted_file_again_the_same(command, finished_run, name):
    before = scored(command, finished_run)
    (finished_run / f"{name}.parquet").unlink()
    assert scored(command, finished_run) == before


@pytest.fixture
def no_model(monkeypatch):
    def load(*_):
        raise AssertionError("no model is to be loaded")

    monkeypatch.setattr(registry, "load_whole_model", load)


def test_run_measures_plausibility_with_the_model_in_memory(command, run_tiny, tmp_path, no_model):
    code, out, _ = run_tiny(*OWN, "--measures", "plausibility", "--out", tmp_path / "out")
    assert code == 0 and "plausibility" in out
    layers = scored(command, tmp_path / "out", "--measures", "plausibility")["layers"]
    assert all(layer["plausibility"] < 0 for layer in layers)


def test_plausibility_of_the_last_layer_is_its_own_log_probability(command, run_tiny, tmp_path):
    run_tiny(*OWN, "--measures", "plausibility", "--out", tmp_path / "out")
    samples = [each for each in RunFolder(tmp_path / "out").samples() if each.exit_layer == NUM_LAYERS]
    expected = sum(sum(each.token_logprobs) / len(each.token_logprobs) for each in samples) / len(samples)
    last = scored(command, tmp_path / "out", "--measures", "plausibility")["layers"][-1]
    assert last["plausibility"] == pytest.approx(expected, rel=1e-5)


def test_score_loads_the_runs_model_for_a_plausibility_that_is_not_stored(command, finished_run, tiny, monkeypatch):
    options = ("--measures", "plausibility", "--model", tiny)
    first = scored(command, finished_run, *options)
    monkeypatch.setattr(registry, "load_whole_model", None)
    assert scored(command, finished_run, *options) == first


def test_score_takes_no_other_weights(command, finished_run, tmp_path):
    make_model("llama", seed=1).save_pretrained(tmp_path / "other")
    make_tokenizer().save_pretrained(tmp_path / "other")
    result = command("score", finished_run, "--measures", "plausibility", "--model", tmp_path / "other")
    assert_one_line_error(result, "were wanted; here are folder-")


def test_score_says_that_the_runs_model_is_not_here(command, finished_run):
    result = command("score", finished_run, "--measures", "plausibility")
    assert_one_line_error(result, "there is no model 'tiny-llama': give a name")


def test_all_measures_have_plausibility_where_it_is_stored(command, finished_run, tiny, no_model):
    assert "plausibility" not in scored(command, finished_run, "--measures", "all")["layers"][0]
    folder = RunFolder(finished_run)
    keys = sorted(sample_keys(folder))
    stamp = plausibility_stamp(folder.manifest())
    write_derived(folder, "plausibility", keys, stamp, mean_logprob=[-1.5] * len(keys))
    assert scored(command, finished_run, "--measures", "all")["layers"][0]["plausibility"] == -1.5


def test_score_needs_no_language_model(command, finished_run, monkeypatch):
    def load_model(*arguments):
        raise AssertionError("no model is to be loaded")

    monkeypatch.setattr(registry, "load_model", load_model)
    monkeypatch.setattr(registry, "load_replicas", load_model)
    for derived in finished_run.glob("*.parquet"):
        derived.unlink()
    assert command("score", finished_run)[0] == 0


def test_score_prints_a_row_for_every_layer(command, finished_run):
    _, out, _ = command("score", finished_run)
    rows = [line.split()[0] for line in out.splitlines() if line[:6].strip().isdigit()]
    assert rows == [str(layer) for layer in range(1, NUM_LAYERS + 1)]


def test_score_of_a_run_without_samples_has_no_optimal_layer(command, finished_run):
    for part in (finished_run / "samples").iterdir():
        part.unlink()
    folder = RunFolder(finished_run)
    folder.write_manifest(replace(folder.manifest(), finished_at=None))
    result = scored(command, finished_run)
    assert result["optimal_layer"] is None
    assert {layer["hcb_score"] for layer in result["layers"]} == {None}


# Answers.


def test_show_prints_every_layer_of_the_question(command, finished_run):
    code, out, err = command("show", finished_run)
    assert (code, err) == (0, "")
    shown = out[out.index("Name a planet") :].splitlines()[1:]
    assert [line.split()[0] for line in shown] == [str(layer) for layer in range(1, NUM_LAYERS + 1)]


def test_show_counts_the_right_answers(command, finished_run):
    _, out, _ = command("show", finished_run)
    shown = out[out.index("Name a planet") :].splitlines()[1:]
    expected = [f"{layer['num_correct']}/3" for layer in scored(command, finished_run)["layers"]]
    assert [line.split()[1] for line in shown] == expected


def test_show_prints_no_control_characters(command, finished_run):
    _, out, _ = command("show", finished_run)
    assert [letter for letter in out if ord(letter) < 32 and letter != "\n"] == []


def test_show_of_an_unknown_question_is_refused(command, finished_run):
    code, _, err = command("show", finished_run, "--question", "nope")
    assert code == 2
    assert "has no question 'nope'" in err


def test_show_prints_markup_in_a_question_as_it_is(command, run_tiny, tmp_path):
    run_tiny("--question", "Name [bold]one[/] :smile:", "--accept", "x", "--layers", "4", "--out", tmp_path / "out")
    assert "Name [bold]one[/] :smile:" in command("show", tmp_path / "out")[1]


# Mistakes: exit code 2, one line on stderr, nothing on stdout, and no folder.


def assert_one_line_error(result, expected):
    code, out, err = result
    assert code == 2
    assert out == ""
    assert expected in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


MISTAKES = {
    "empty --accept": (["--question", "Name a planet", "--accept", ""], "none of them empty"),
    "empty --question": (["--question", " ", "--accept", "x"], "needs a text"),
    "neither question nor questions": ([], "give either --question"),
    "both question and questions": ([*OWN, "--questions", "starter"], "give either --question"),
    "accept with questions": (["--questions", "starter", "--accept", "x"], "--accept goes with --question"),
    "missing question file": (["--questions", "none.jsonl"], "none.jsonl"),
    "question file with a name of two lines": (["--questions", "two\nlines.jsonl"], "two lines.jsonl"),
    "question file is a folder": (["--questions", "."], "a folder saved by datasets was wanted"),
    "limit of 0": (["--questions", "starter", "--limit", "0"], "--limit"),
    "bad layers": ([*OWN, "--layers", "some"], "layers must be 'all'"),
    "layer too deep": ([*OWN, "--layers", "5"], "exit layer 5 does not exist: this model has layers 1 to 4"),
    "layer range too deep": ([*OWN, "--layers", "2:9"], "this model has layers 1 to 4"),
    "layer 0": ([*OWN, "--layers", "0"], "exit layer 0 does not exist"),
    "negative temperature": ([*OWN, "--temperature", "-1"], "temperature must be between 0"),
    "temperature no number": ([*OWN, "--temperature", "hot"], "--temperature"),
    "temperature nan": ([*OWN, "--temperature", "nan"], "temperature must be"),
    "top_p above 1": ([*OWN, "--top-p", "1.5"], "top_p must be above 0 and at most 1"),
    "top_p of 0": ([*OWN, "--top-p", "0"], "top_p must be above 0"),
    "negative top_k": ([*OWN, "--top-k", "-1"], "top_k must be"),
    "no new tokens": ([*OWN, "--max-new-tokens", "0"], "max_new_tokens must be between 1"),
    "negative seed": ([*OWN, "--seed", "-1"], "seed must be"),
    "no samples": ([*OWN, "--samples", "0"], "samples must be between 1"),
    "too many samples": ([*OWN, "--samples", "10001"], "samples must be between 1 and 10000"),
    "unknown template": ([*OWN, "--template", "poem"], "template must be one of"),
    "chat template that the model lacks": ([*OWN, "--template", "chat"], "no chat template"),
    "missing template file": ([*OWN, "--template-file", "none.txt"], "cannot read the template file"),
    "unknown exit head": ([*OWN, "--exit-head", "magic"], "got 'magic'"),
    "unknown dtype": ([*OWN, "--dtype", "int4"], "dtype must be auto"),
    "unknown device": ([*OWN, "--device", "toaster"], "device must be auto"),
    "absent device": ([*OWN, "--device", "cuda:99"], "device cuda:99 is not here"),
    "too long a question": (["--question", "Why? " * 200, "--accept", "x"], "error: question 'Why? Why? Why? Why? "),
    "too long an answer": ([*OWN, "--max-new-tokens", "500"], "exceed this model's window of 512"),
    "unknown option": ([*OWN, "--sample", "3"], "No such option"),
    "option without its value": ([*OWN, "--layers"], "--layers"),
    "model folder that is not there": ([*OWN, "--model", "./none"], "there is no model folder"),
    "GGUF file that is not there": (
        [*OWN, "--model", "some/where/none.gguf"],
        "there is no file 'some/where/none.gguf'",
    ),
    "weights that are not there": ([*OWN, "--model", "./none.safetensors"], "there is no file './none.safetensors'"),
    "model without a name": ([*OWN, "--model", ""], "a model needs a name; got an empty one"),
    "question that is no text": (["--question", "Name a \udcff", "--accept", "x"], "question"),
    "answer that is no text": (["--question", "Name a planet", "--accept", "\udcff"], "answer"),
}


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_one_line_and_exit_code_2(run_tiny, tmp_path, arguments, expected):
    assert_one_line_error(run_tiny("--out", tmp_path / "out", *arguments), expected)


@pytest.mark.parametrize("arguments", [arguments for arguments, _ in MISTAKES.values()], ids=MISTAKES.keys())
def test_mistake_leaves_no_folder(run_tiny, tmp_path, arguments):
    with_folder = run_tiny("--out", tmp_path / "out", *arguments)
    without = run_tiny(*arguments)
    assert (with_folder[0], without[0]) == (2, 2)
    assert not (tmp_path / "out").exists()
    assert list(Path().iterdir()) == []


WITHOUT_MODEL = ["no samples", "too many samples", "unknown exit head", "unknown template", "top_p of 0", "bad layers"]


@pytest.mark.parametrize("name", WITHOUT_MODEL)
def test_mistake_is_found_before_the_model_is_loaded(run_tiny, monkeypatch, name):
    def load_model(*arguments):
        raise AssertionError("loaded for nothing")

    monkeypatch.setattr(registry, "load_replicas", load_model)
    assert run_tiny(*MISTAKES[name][0])[0] == 2


BAD_FILES = {
    "bad JSON": (b"{\n", "bad.jsonl, line 1: not JSON"),
    "missing answers": (
        b'{"question": "a", "answers": ["b"]}\n{"question": "x"}\n',
        "bad.jsonl, line 2: answers missing",
    ),
    "no text": (b'{"question": "\x81"}\n', "bad.jsonl, line 1: not UTF-8"),
    "empty": (b"", "bad.jsonl: no question"),
}


@pytest.mark.parametrize(("content", "expected"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_malformed_question_file_is_one_line(run_tiny, tmp_path, content, expected):
    file = tmp_path / "bad.jsonl"
    file.write_bytes(content)
    assert_one_line_error(run_tiny("--questions", file, "--strict"), expected)


def test_unknown_command_is_one_line(command):
    assert_one_line_error(command("sing"), "No such command 'sing'")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-17", "there is no model 'gpt-17': give a name"),
        ("nobody/nothing", "nobody/nothing is not on this machine"),
        ("smolm2-135m", "there is no model 'smolm2-135m'; did you mean smollm2-135m?"),
        ("gpt2", "there is no model 'gpt2'; did you mean openai-community/gpt2?"),
        ("GPT-2", "there is no model 'GPT-2'; did you mean openai-community/gpt2?"),
    ],
)
def test_unknown_model_offline_is_one_line(command, name, expected):
    assert_one_line_error(command("run", "--model", name, *OWN), expected)


def test_unknown_model_offline_in_a_process_of_its_own(tmp_path):
    # Without pytest's streams and handlers in between.
    arguments = [sys.executable, "-m", "hcl_core", "run", "--model", "nobody/nothing", *OWN]
    environment = os.environ | {"PYTHONPATH": str(REPO), "HF_HUB_OFFLINE": "1", "HCL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert_one_line_error((done.returncode, done.stdout, done.stderr), "nobody/nothing is not on this machine")


def test_stored_run_has_right_and_wrong_answers(stored_run):
    outcomes = RunFolder(stored_run).verdict_table().column("outcome").to_pylist()
    assert {"correct", "incorrect"} == set(outcomes)


def test_out_with_another_run_is_one_line(run_tiny, finished_run):
    assert_one_line_error(run_tiny(*OWN, "--out", finished_run, "--seed", 1), "holds another run")


def test_out_with_another_run_leaves_it_alone(run_tiny, finished_run):
    before, manifest = parts(finished_run), RunFolder(finished_run).manifest()
    run_tiny(*OWN, "--out", finished_run, "--seed", 1)
    assert (parts(finished_run), RunFolder(finished_run).manifest()) == (before, manifest)


def test_out_with_other_files_is_one_line(run_tiny, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert_one_line_error(run_tiny(*OWN, "--out", tmp_path / "full"), "is not empty and holds no run")


def test_out_that_is_a_file_is_one_line(run_tiny, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert_one_line_error(run_tiny(*OWN, "--out", tmp_path / "file"), "file")


@pytest.mark.parametrize("weights", ["0.5", "0.5,0.6", "a,b", "0.5,0.5,0", "-1,2", "nan,nan", "", "0.5;0.5"])
def test_bad_weights_are_one_line(command, finished_run, weights):
    assert_one_line_error(command("score", finished_run, "--weights", weights), "weights must be two numbers")


@pytest.mark.parametrize("name", ["score", "show"])
def test_folder_without_a_run_is_one_line(command, tmp_path, name):
    assert_one_line_error(command(name, tmp_path), "holds no run")


@pytest.mark.parametrize("name", ["score", "show"])
def test_folder_that_is_not_there_is_one_line(command, tmp_path, name):
    assert_one_line_error(command(name, tmp_path / "none"), "holds no run")


@pytest.mark.parametrize("name", ["score", "show"])
def test_missing_folder_argument_is_one_line(command, name):
    assert_one_line_error(command(name), "Missing argument 'DIR'")


@pytest.mark.parametrize("name", ["score", "show"])
@pytest.mark.parametrize("damaged", ["manifest.json", "questions.jsonl"])
def test_damaged_run_is_one_line(command, finished_run, name, damaged):
    (finished_run / damaged).write_bytes(b"junk")
    assert_one_line_error(command(name, finished_run), "cannot be read")


@pytest.mark.parametrize("damaged", ["manifest.json", "questions.jsonl"])
def test_emptied_run_is_one_line(command, finished_run, damaged):
    (finished_run / damaged).write_bytes(b"")
    assert_one_line_error(command("score", finished_run), "cannot be read")


MODEL_DAMAGE = {
    "no config": ("config.json", None, "has no config.json"),
    "config that is no JSON": ("config.json", b"{", "broken"),
    "another architecture": ("config.json", b'{"model_type": "t5"}', "'t5' is no language model"),
    "an architecture unknown to transformers": (
        "config.json",
        b'{"model_type": "new"}',
        "'new' is not one that the installed transformers",
    ),
    "no weights": ("model.safetensors", None, "broken has no complete safetensors weights"),
    "weights that are a Git LFS pointer": (
        "model.safetensors",
        b"version https://git-lfs.github.com/spec/v1\n",
        "broken",
    ),
    "empty weights": ("model.safetensors", b"", "broken"),
    "no tokenizer": ("tokenizer.json", None, "broken"),
}


@pytest.mark.parametrize(("file", "content", "expected"), MODEL_DAMAGE.values(), ids=MODEL_DAMAGE.keys())
def test_damaged_model_folder_is_one_line(command, tiny, tmp_path, file, content, expected):
    folder = tmp_path / "broken"
    shutil.copytree(tiny, folder)
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    assert_one_line_error(command("run", "--model", folder, *OWN, "--samples", 1, "--max-new-tokens", 2), expected)


def test_model_folder_with_weights_cut_off_is_one_line(command, tiny, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(tiny, folder)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    assert_one_line_error(command("run", "--model", folder, *OWN, "--samples", 1, "--max-new-tokens", 2), "broken")


@pytest.mark.parametrize("name", ["score", "show"])
def test_samples_cut_off_are_left_out_and_named(command, finished_run, name):
    part = finished_run / "samples" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-30])
    code, out, err = command(name, finished_run)
    assert (code, "This run is not complete" in out) == (0, True)
    assert f"{part} is left out".replace(" ", "") in "".join(err.split())


# Another judge.


def test_run_takes_the_judge_that_is_named(run_tiny, tmp_path):
    code, _, _ = run_tiny(
        "--question", "Name a city.", "--accept", "Rome", "--judge", "paper", "--out", tmp_path / "own"
    )
    assert code == 0 and RunFolder(tmp_path / "own").manifest().judge == "paper"
    assert RunFolder(tmp_path / "own").stamps()[0].startswith("paper 1; run ")


def test_run_again_with_another_judge_is_a_run_of_its_own(run_tiny):
    asked = ("--question", "Name a city.", "--accept", "Rome")
    run_tiny(*asked)
    run_tiny(*asked, "--judge", "paper")
    folders = [RunFolder(path) for path in Path("runs").iterdir()]
    assert sorted(folder.manifest().judge for folder in folders) == ["alias", "paper"]
    assert parts(folders[0].path) == parts(folders[1].path)


def test_score_of_a_run_that_is_being_written_keeps_nothing(command, run_tiny, tmp_path):
    run_tiny("--question", "Name a city.", "--accept", "Rome", "--out", tmp_path / "own")
    folder = RunFolder(tmp_path / "own")
    with folder.writing():
        code, out, err = command("score", tmp_path / "own", "--judge", "paper", "--json")
    assert code == 0 and json.loads(out)["judge"] == "paper"
    assert folder.manifest().judge == "alias" and folder.stamps()[0].startswith(f"{AliasJudge.stamp}; run ")


def test_score_judges_anew_and_keeps_both(command, run_tiny, tmp_path):
    run_tiny("--question", "Name a city.", "--accept", "Rome", "--out", tmp_path / "own")
    assert json.loads(command("score", tmp_path / "own", "--json")[1])["judge"] == "alias"
    for _ in range(2):
        assert json.loads(command("score", tmp_path / "own", "--json", "--judge", "paper")[1])["judge"] == "paper"
    assert json.loads(command("score", tmp_path / "own", "--json")[1])["judge"] == "alias"
    (view,) = Path("runs").iterdir()
    assert json.loads(command("score", view, "--json")[1])["judge"] == "paper"


def test_verdicts_of_an_older_version_of_a_judge_are_made_again(command, run_tiny, tmp_path):
    run_tiny("--question", "Name a city.", "--accept", "Rome", "--out", tmp_path / "own")
    folder = RunFolder(tmp_path / "own")
    write_verdicts(folder, [], "alias 1")
    assert command("score", tmp_path / "own", "--json")[0] == 0
    assert folder.stamps()[0].startswith(f"{AliasJudge.stamp}; run ") and len(folder.verdict_table()) == 12


@pytest.mark.parametrize("judge", ["best", "llm:"])
def test_score_with_an_unknown_judge_changes_nothing(command, run_tiny, tmp_path, judge):
    run_tiny("--question", "Name a city.", "--accept", "Rome", "--out", tmp_path / "own")
    before = (tmp_path / "own" / "manifest.json").read_bytes()
    code, out, err = command("score", tmp_path / "own", "--judge", judge)
    assert (code, out) == (2, "") and "judge must be one of" in err
    assert (tmp_path / "own" / "manifest.json").read_bytes() == before


def test_options_of_a_set_need_a_set(command):
    code, _, err = command("run", "--question", "Name a city.", "--accept", "Rome", "--shuffle-seed", "1")
    assert code == 2 and "go with --questions" in err


def test_verdicts_of_another_run_are_not_believed(command, run_tiny, tmp_path):
    for name, seed in (("one", 0), ("other", 1)):
        run_tiny("--question", "Name a city.", "--accept", "Rome", "--seed", seed, "--out", tmp_path / name)
    expected = command("score", tmp_path / "one", "--json")[1]
    for file in ("verdicts.parquet", "clusters.parquet"):
        shutil.copy(tmp_path / "other" / file, tmp_path / "one" / file)
    assert command("score", tmp_path / "one", "--json")[1] == expected
    assert RunFolder(tmp_path / "one").stamps()[0].endswith(RunFolder(tmp_path / "one").manifest().run_id)


def test_a_finished_run_that_lost_samples_is_no_result(command, run_tiny, tmp_path):
    run_tiny("--question", "Name a city.", "--accept", "Rome", "--out", tmp_path / "own")
    shutil.rmtree(tmp_path / "own" / "samples")
    code, out, err = command("score", tmp_path / "own")
    assert (code, out) == (2, "") and "has 0 of 12 samples: give its `run` command again" in err
    assert run_tiny("--question", "Name a city.", "--accept", "Rome", "--out", tmp_path / "own")[0] == 0
    assert command("score", tmp_path / "own")[0] == 0


def test_a_run_judged_by_a_grader_asks_it_only_when_told(command, run_tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    run_tiny("--question", "Name a city.", "--accept", "Rome", "--out", tmp_path / "own")
    manifest = tmp_path / "own" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"judge": "alias"', '"judge": "llm:grader"'))
    code, out, err = command("score", tmp_path / "own")
    assert (code, out) == (2, "") and "give --judge llm:grader to ask that model again" in err


@pytest.mark.parametrize("name", ["[/nope]", "[bold]x", "~nobody-at-all/x", "x" * 5000])
def test_hostile_names_are_one_line(command, name):
    for option in ("--model", "--questions"):
        rest = ("--question", "Name a city.", "--accept", "Rome") if option == "--model" else ()
        code, out, err = command("run", option, name, *rest)
        assert (code, out) == (2, "") and err.count("error: ") == 1 and len(err) < 1_500


def test_score_prints_no_control_characters_of_a_manifest(command, run_tiny, tmp_path):
    run_tiny("--question", "Name a city.", "--accept", "Rome", "--out", tmp_path / "own")
    manifest = tmp_path / "own" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"model": "tiny-llama"', '"model": "\\u001b]0;x\\u0007[bold]"'))
    for arguments in (("score", tmp_path / "own"), ("compare", tmp_path / "own", "--layers", "1,2")):
        code, out, _ = command(*arguments)
        assert code == 0 and "[bold]" in out and not set("\x1b\x07") & set(out)
