"""A page whose model computes in another process, which is lent a GPU for one task at a time."""

import contextvars
import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_decoder, make_lm
from spaces_stub import Spaces
from test_handlers import EQUAL, VISITOR, LetterEmbedder, by, form

from app.handlers import explore, shown_question
from app.jobs import StoppedError
from app.language import Translator
from app.messages import Problem
from app.service import Service
from app.zerogpu import MOST_SECONDS, LentGpu, is_zero_gpu
from hcl_core import registry
from hcl_core.decode.apart import do_task
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.errors import ContextTooLongError, GpuError, SettingsError
from hcl_core.pipeline.apart import ApartDecoder, ApartLikelihood
from hcl_core.ports import DecodeRequest
from hcl_core.records import Question, Sample, SamplingSettings, StoredQuestion
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import EARLY_EXIT, Strategy
from hcl_core.tasks import DecodeTask, LensTask

REPO = Path(__file__).parent.parent
TEMPLATE = PromptTemplate("file", "Q: {question}\nA:")
NAME = "smollm2-135m"
SAMPLING = SamplingSettings(temperature=1.0, max_new_tokens=6)
WAVES = [[(layer, index) for layer in (1, 3, 4) for index in indices] for indices in (range(4), range(4, 12))]


def requests(num=3, sampling=SAMPLING):
    questions = [Question(f"q{number}", f"Name planet {number}", ("Mars", "Venus")) for number in range(num)]
    return [DecodeRequest(StoredQuestion(each, TEMPLATE.render(each.text)), sampling, WAVES) for each in questions]


def samples_of(steps):
    """By question, each wave's samples by their keys."""
    waves: dict[str, list[dict[object, object]]] = {}
    running: dict[DecodeRequest, list[Sample]] = {}
    for request, progress in steps:
        running.setdefault(request, []).extend(progress.finished)
        if progress.wave_done:
            waves.setdefault(request.stored.question.id, []).append({each.key: each for each in running.pop(request)})
    assert not any(running.values())
    return waves


class Here:
    """Does tasks in this process, and remembers them."""

    def __init__(self, lm):
        self._lm, self.tasks = lm, []

    def __call__(self, task, num_tokens):
        self.tasks.append((task, num_tokens))
        yield from do_task(self._lm, task)


def apart(lm, most_tokens=10**6, strategy=EARLY_EXIT, check=lambda: None):
    compute = Here(lm)
    return ApartDecoder(make_decoder(lm), compute, ("shared", TEMPLATE, strategy), most_tokens, check), compute


@pytest.fixture(scope="module")
def lm():
    return make_lm()


# 3 questions of 3 layers x 12 answers x 6 tokens; the smaller wave has 72 of a question's 216 tokens.
@pytest.mark.parametrize(("most_tokens", "sizes"), [(10**6, [648]), (300, [216] * 3), (1, [72, 144] * 3)])
def test_answers_are_the_same_to_the_bit_however_they_are_split(lm, most_tokens, sizes):
    decoder, compute = apart(lm, most_tokens)
    assert samples_of(decoder.decode_many(requests())) == samples_of(make_decoder(lm).decode_many(requests()))
    assert [num_tokens for _, num_tokens in compute.tasks] == sizes


def test_no_more_questions_at_once_than_asked_for(lm):
    decoder, compute = apart(lm)
    list(decoder.decode_many(requests(), at_once=2))
    assert [len(task.questions) for task, _ in compute.tasks] == [2, 1]


@pytest.mark.parametrize("strategy", ["self_speculative:2", "dynamic"])
def test_every_strategy_is_computed_apart(lm, strategy):
    decoder, _ = apart(lm, strategy=Strategy.parse(strategy))
    here = registry.make_decoder(lm, "shared", TEMPLATE, strategy=Strategy.parse(strategy))
    assert samples_of(decoder.decode_many(requests(1))) == samples_of(here.decode_many(requests(1)))


def test_an_error_keeps_its_class_and_its_words(lm):
    decoder, _ = apart(lm)
    with pytest.raises(ContextTooLongError, match="exceed this model's window of 512"):
        list(decoder.decode_many(requests(1, SamplingSettings(max_new_tokens=4000))))


def test_answers_are_read_apart_as_they_are_here(lm):
    stored, completions = requests(1)[0].stored, [(5, 6, 7), (5, 9)]
    means = ApartLikelihood(Here(lm), TEMPLATE).mean_logprobs(stored, completions)
    np.testing.assert_array_equal(means, registry.whole_model(lm, TEMPLATE).mean_logprobs(stored, completions))


def test_no_task_begins_that_nobody_wants(lm):
    def refuse():
        raise StoppedError

    decoder, compute = apart(lm, check=refuse)
    with pytest.raises(StoppedError):
        next(decoder.decode_many(requests()))
    assert not compute.tasks


def test_tasks_are_small_and_can_be_sent():
    task = DecodeTask("auto", TEMPLATE, EARLY_EXIT, SAMPLING, (requests(1)[0].stored,), (tuple(map(tuple, WAVES)),))
    for each in (task, LensTask("auto", "x", 1, False)):
        assert pickle.loads(pickle.dumps(each)) == each and len(pickle.dumps(each)) < 2_000


# The page, with a stand-in for the package.


@pytest.fixture
def spaces(monkeypatch):
    stub = Spaces()
    monkeypatch.setitem(sys.modules, "spaces", stub)
    return stub


@pytest.fixture
def lent(monkeypatch, tmp_path, spaces):
    """With a tiny model in the place of SmolLM2."""
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("HCL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(explore, "INTERVAL", 0)
    monkeypatch.setattr(explore, "PAUSE", 0)
    monkeypatch.setattr(
        registry, "load_model", lambda name, dtype="auto", device="auto": (make_lm(), Checkpoint(name, "t", tmp_path))
    )
    monkeypatch.setattr(registry, "load_embedder", LetterEmbedder)
    return LentGpu.of_settings(f"{NAME}, ")


@pytest.fixture
def page(lent):
    return Service(gpu=lent)


def run(page, **changes):
    return explore.run(by(page), form(model=NAME, **changes), EQUAL)


def results_of(updates):
    return [update.result for update in updates if update.result]


def test_zero_gpu_is_known_as_spaces_knows_it():
    assert is_zero_gpu({"SPACES_ZERO_GPU": "true"}) and is_zero_gpu({"SPACES_ZERO_GPU": "1"})
    assert not is_zero_gpu({}) and not is_zero_gpu({"SPACES_ZERO_GPU": "0"})


def test_the_answers_of_another_process_are_those_of_this_one(page, spaces, tmp_path, monkeypatch):
    away = results_of(run(page))
    assert [len(result.view.samples) for result in away] == [32, 96, 96]  # each wave as it is finished, then the end
    assert spaces.processes and os.getpid() not in spaces.processes
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "others"))
    here = results_of(run(Service()))[-1]
    assert away[-1].view.samples == here.view.samples
    assert away[-1].view.manifest.run_id == here.view.manifest.run_id


def test_seconds_are_foretold_and_never_more_than_the_most(page, spaces, lent, monkeypatch):
    monkeypatch.setattr(lent.speed, "learn", lambda *_: None)  # the tiny model is faster than anything foretold
    list(run(page))
    list(run(page, num_samples=60, max_new_tokens=100, temperature=1.4))
    few, *many = spaces.seconds
    assert 10 < few < min(many) and max(many) <= MOST_SECONDS


def test_open_questions_are_read_on_the_gpu_too(page, spaces):
    result = results_of(run(page, accepted=""))[-1]
    assert len(spaces.processes) > 1 and not np.isnan(result.view.outcomes.table.plausibilities).any()


def test_the_lens_is_computed_on_the_gpu(page, spaces):
    *_, table = page.read_layers(NAME, "shared", "Name a planet", False, 4, VISITOR)
    lm = make_lm()
    head = registry.load_exit_head("shared", lm)
    here = registry.read_layers_along_answer(lm, head, "prompt", "Name a planet", max_new_tokens=4, whole_text=False)
    np.testing.assert_allclose(table.entropy, here.entropy, atol=1e-5)
    assert len(spaces.processes) == 1


def test_who_asks_is_known_where_the_gpu_is_asked_for(page, lent, monkeypatch):
    asks = contextvars.ContextVar("asks", default="nobody")
    asked_by, lent_by = [], lent._lent
    monkeypatch.setattr(lent, "_lent", lambda *given: asked_by.append(asks.get()) or lent_by(*given))
    asks.set("a visitor")
    list(run(page))
    assert set(asked_by) == {"a visitor"}


def test_stop_ends_the_task(page, spaces):
    updates = run(page, num_samples=400, max_new_tokens=40)
    while next(updates).result is None:
        pass
    page.jobs.stop(VISITOR)
    with pytest.raises(StoppedError):
        list(updates)
    assert spaces.stopped.wait(20)


def test_spent_time_is_answered_with_a_stored_run_and_a_sentence(page, spaces):
    spaces.refuse = ("ZeroGPU quota exceeded", "You have exceeded your quota. Try again in 1:23:45. ")
    stored = shown_question.show(by(page), shown_question.ShownQuestion("0be6b1cadd189061", "name-a-planet"), EQUAL)
    question = stored.view.stored.question.text
    *before, last = run(page, question=question)
    assert not results_of(before)
    assert last.status == Problem(
        "your GPU time is spent for now: try again in 1:23:45 (hours, minutes, seconds); "
        "a stored run of this question is shown"
    )
    assert Translator("de").error(last.status.text) == (
        "Ihre GPU-Zeit ist vorerst aufgebraucht: in 1:23:45 (Stunden, Minuten, Sekunden) wieder versuchen; "
        "gezeigt wird ein gespeicherter Lauf dieser Frage"
    )
    assert last.result.view.stored.question.text == question and last.result.view.is_complete
    assert last.result.view.manifest.settings.model == NAME and not last.result.shown.is_live


def test_without_a_stored_run_the_sentence_is_all(page, spaces):
    spaces.refuse = ("ZeroGPU queue timeout", "No GPU was available after 60s")
    with pytest.raises(GpuError, match="no GPU was free within a minute: try again in a while$"):
        list(run(page, question="Nobody has asked this?"))


def test_when_the_time_is_up_whole_waves_stay_and_run_goes_on_with_them(page, spaces):
    changes = {"num_samples": 40, "max_new_tokens": 12, "question": "Nobody has asked this?"}
    spaces.most_yields = 16
    shown = []
    with pytest.raises(GpuError, match="the GPU's time was up"):
        shown += results_of(run(page, **changes))
    (stored,) = [each for each in page.all_runs() if not each.is_shipped]
    num_stored = sum(1 for _ in stored.folder.samples())
    assert 0 < num_stored < 160
    spaces.most_yields = None
    first, *_, last = results_of(run(page, **changes))
    assert len(first.view.samples) == num_stored and len(last.view.samples) == 160


@pytest.mark.parametrize("title", ["ZeroGPU pending credits exceeded", "ZeroGPU illegal duration"])
def test_every_refusal_has_a_sentence(page, spaces, title):
    spaces.refuse = (title, "")
    with pytest.raises(GpuError):
        list(run(page, question="Nobody has asked this?"))


def test_other_errors_are_not_hidden(page, spaces):
    spaces.refuse = ("ZeroGPU worker error", "KeyError")
    with pytest.raises(Exception, match="KeyError") as raised:
        list(run(page))
    assert not isinstance(raised.value, GpuError)


def test_only_models_that_were_placed_are_offered_and_taken(page):
    assert [model.name for model in page.offered_models()] == [NAME]
    with pytest.raises(SettingsError, match=f"a GPU for {NAME} alone"):
        list(explore.run(by(page), form(model="tiny"), EQUAL))


def test_models_are_named_by_the_catalogue(spaces):
    with pytest.raises(SettingsError, match="HCL_ZEROGPU_MODELS must name models that `models` lists; got 'nothing'"):
        LentGpu.of_settings(f"{NAME},nothing")


# The package itself, as far as it goes without a GPU.

PLACED = """
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = [(429, {"left": 0, "wait": 3600}), (503, {}), (200, {
    "idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-none", "allowToken": "a"})]
asked = []

class Lender(BaseHTTPRequestHandler):  # refuses, refuses, and then lends a GPU that is not there
    def do_POST(self):
        path, _, query = self.path.partition("?")
        asked.append(path)
        code, answer = ANSWERS.pop(0) if path == "/schedule" else (200, {})
        told.setdefault("queries", []).append(query)
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass

told = {}
lender = ThreadingHTTPServer(("127.0.0.1", 0), Lender)
threading.Thread(target=lender.serve_forever, daemon=True).start()
os.environ["SPACES_ZERO_DEVICE_API_URL"] = f"http://127.0.0.1:{lender.server_port}"

from app.zerogpu import LentGpu
assert "torch" not in sys.modules
gpu = LentGpu.of_settings("smollm2-135m")
lm = gpu._placed["smollm2-135m"].on_gpu
page_lm, _ = gpu.load("smollm2-135m", "auto")
told |= {"devices": [lm.device_name, page_lm.device_name], "dtypes": [lm.dtype_name, page_lm.dtype_name]}
told["errors"] = []

def ask():  # in a thread, as the page does
    from hcl_core import registry
    from hcl_core.tasks import LensTask
    told["head"] = registry.load_exit_head("auto", page_lm).name
    while ANSWERS:
        try:
            gpu.look("smollm2-135m", LensTask("auto", "Name a planet", 1, False))
        except Exception as error:
            told["errors"].append([type(error).__name__, getattr(error, "title", ""), str(error)])

thread = threading.Thread(target=ask)
thread.start()
thread.join()
import spaces
told["asked"] = asked
told["packed"], told["weights"] = spaces.zero.torch.pack(), lm.shape.num_weights
print(json.dumps(told))
"""


@pytest.mark.model
@pytest.mark.slow
def test_spaces_itself_takes_the_placed_weights_and_is_asked_for_a_gpu(tmp_path):
    if importlib.util.find_spec("spaces") is None:
        pytest.skip("needs the package spaces: `make spaces` has it")
    environment = os.environ | {
        "SPACES_ZERO_GPU": "true",
        "ZEROGPU_OFFLOAD_DIR": str(tmp_path / "packed"),
    }
    done = subprocess.run(
        [sys.executable, "-c", PLACED], cwd=REPO, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["devices"] == ["cuda:0", "cpu"] and told["dtypes"] == ["bfloat16"] * 2
    assert told["head"] == "linear"
    spent, busy, (kind, title, _) = told["errors"]
    assert spent[::2] == ["GpuError", "the GPU time of this page or of yours is spent for now: try again later"]
    assert busy[::2] == ["GpuError", "no GPU was free within a minute: try again in a while"]
    # The task reached a forked process, which found no GPU.
    assert (kind, title) == ("Error", "ZeroGPU worker error")
    assert told["asked"] == ["/schedule", "/schedule", "/schedule", "/allow", "/release"]
    assert all("durationSeconds=" in query for query in told["queries"][:3])
    # All weights, 2 bytes each, and the few numbers of the rotary embedding.
    assert 0 <= told["packed"] - 2 * told["weights"] < 1_000
