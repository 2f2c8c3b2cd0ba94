"""Sweeps on a cluster: the samples are those of one machine, whatever is lost on the way."""

import importlib.util
import json
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import psutil
import pytest
from conftest import make_model, make_tokenizer, run_command

from hcl_core.cluster import ray_cluster
from hcl_core.cluster.node import NodeWorker, computing_versions
from hcl_core.cluster.part_store import PartStore
from hcl_core.cluster.ray_cluster import ClusterSettings, cluster_workers
from hcl_core.cluster.worker import Weights, Worker
from hcl_core.cluster.workers import Call, Workers
from hcl_core.errors import HclError, SettingsError
from hcl_core.pipeline.request import RunRequest
from hcl_core.quiet import STOPPED
from hcl_core.records import Question, SamplingSettings
from hcl_core.runs.tables import samples_of
from hcl_core.settings.layers import parse_layer_choice
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import EARLY_EXIT
from hcl_core.sweeps.folder import SweepFolder
from hcl_core.sweeps.plan import read_plan
from hcl_core.sweeps.running import ClusterEngine, Failed, LocalEngine, Step, run_sweep
from hcl_core.tasks import DecodeTask, ReadTask
from hcl_core.tasks import Failed as FailedTask

TEMPLATE = PromptTemplate("file", "Q: {question}\nA:")
SAMPLING = SamplingSettings(max_new_tokens=6)
QUESTIONS = tuple(Question(f"q{number}", f"Name a number above {number}", ("a", "e")) for number in range(3))
WAVE = tuple((layer, index) for layer in (2, 4) for index in range(5))


def parts(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.glob("*/samples/*.parquet")}


# Workers without Ray.


@pytest.fixture
def asked(tiny_folder):
    """A worker's maker, the weights, what a worker says of a run, and a task of it."""
    request = RunRequest(
        str(tiny_folder), QUESTIONS, "own", parse_layer_choice("2:4:2"), 5, SAMPLING, TEMPLATE, "shared"
    )

    def make(parts=None):
        return Worker("cpu", False, parts)

    weights = Weights(str(tiny_folder), "auto")
    side = make().describe(weights, request)
    task = DecodeTask("shared", TEMPLATE, EARLY_EXIT, SAMPLING, side.questions, ((WAVE,),) * 3)
    return make, weights, side, task


def decode(worker, weights, side, task):
    return worker.decode(weights, side.settings.run_id(side.questions), side.settings.exit_head_hash, task)


def test_answers_in_the_part_store_are_not_computed_again(asked, tmp_path, monkeypatch):
    make, weights, side, task = asked
    address = (tmp_path / "parts").as_uri()
    first = decode(make(address), weights, side, task)
    damaged, *others = sorted((tmp_path / "parts").rglob("*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-30])
    worker, given = make(address), []
    decoder = worker._decoder(task, worker._load(weights)[0])
    whole = decoder.decode_many
    monkeypatch.setattr(decoder, "decode_many", lambda requests: whole(given.append(each) or each for each in requests))
    again = decode(worker, weights, side, task)
    assert len(others) == 2 and len(given) == 1
    assert [samples_of(wave) for (wave,) in again.waves] == [samples_of(wave) for (wave,) in first.waves]
    assert again.token_texts == first.token_texts and "<s>" in first.token_texts.values()


def test_a_worker_returns_a_users_mistakes(asked, tmp_path):
    make, weights, side, task = asked
    other = make().decode(weights, side.settings.run_id(side.questions), "another head", task)
    assert isinstance(other, FailedTask) and "another exit head" in other.text
    missing = make().read(Weights(str(tmp_path / "nowhere"), "auto"), ReadTask(TEMPLATE, side.questions[0], ((1,),)))
    assert isinstance(missing, FailedTask) and missing.kind == "ModelNotFoundError"
    lacking = make().describe(Weights("llama-3.1-8b-nowhere", "auto"), None)
    assert isinstance(lacking, FailedTask)


def test_a_part_store_keeps_a_part_under_the_samples_that_it_has(asked):
    make, weights, side, task = asked
    table = decode(make(), weights, side, task).waves[0][0]
    store, run_id = PartStore("memory://parts"), "0" * 16
    assert store.read(run_id, "q0", WAVE) is None
    store.write(run_id, "q0", WAVE, table)
    assert store.read(run_id, "q0", WAVE).equals(table)
    store.write(run_id, "q0", WAVE[:-1], table)  # not what the key says
    assert store.read(run_id, "q0", WAVE[:-1]) is None


def test_an_address_that_cannot_be_opened_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for address in ("nosuch://bucket/folder", "s3://bucket/folder"):
        with pytest.raises(SettingsError, match="address that fsspec can open"):
            PartStore(address)


class FakeRay:
    """A cluster in this process. Workers answer in the order of their calls; some calls end their worker.

    Workers are on the nodes of ``versions`` in turn, which have these versions of packages, or raise that error.
    """

    class RayError(Exception):
        pass

    class ActorLost(RayError):
        pass

    def __init__(self, is_fatal, versions=({},)):
        lost = dict.fromkeys(("RayActorError", "ObjectLostError", "OutOfMemoryError"), self.ActorLost)
        self.exceptions = SimpleNamespace(RayError=self.RayError, **lost)
        self.is_fatal, self.killed, self.most_under_way = is_fatal, [], 0
        self.versions, self.num_made = versions, 0

    def make(self):
        node, self.num_made = self.num_made % len(self.versions), self.num_made + 1
        return SimpleNamespace(
            node=node,
            versions=SimpleNamespace(remote=lambda: ("versions", node, object())),
            square=SimpleNamespace(remote=lambda number: (number, node, object())),
        )

    def num_places(self, refused):
        return sum(str(node) not in refused for node in range(len(self.versions)))

    def wait(self, references, timeout):
        self.most_under_way = max(self.most_under_way, len(references))
        return references[-1:], references[:-1]

    def get(self, reference):
        if reference[0] == "versions":
            told = self.versions[reference[1]]
            if isinstance(told, Exception):
                raise told
            return str(reference[1]), computing_versions() | told
        if self.is_fatal(reference[0]):
            raise self.ActorLost
        return reference[0] ** 2

    def kill(self, worker):
        self.killed.append(worker)


def test_what_lost_workers_were_asked_goes_to_others():
    chances = iter([True, False, False, True])
    ray = FakeRay(lambda number: number in (3, 5) and next(chances, False))
    workers = Workers(ray, ray.make, lambda refused: 2)
    calls = [Call("square", (number,)) for number in range(40)]
    done = [call for call in workers.map(iter(calls)) if call is not None]
    assert sorted(call.answer() for call in done) == [number**2 for number in range(40)]
    assert len(ray.killed) >= 1 and ray.most_under_way == 2
    assert workers.ask(Call("square", (7,))) == 49


def test_a_question_that_ends_its_workers_is_given_up():
    ray = FakeRay(lambda number: number == 3)
    workers = Workers(ray, ray.make, lambda refused: 2)
    with pytest.raises(HclError, match="3 workers of the cluster were lost at the same questions"):
        for call in workers.map(Call("square", (number,)) for number in range(10)):
            if call is not None:
                call.answer()
    assert len(ray.killed) == 3


def squares(workers, numbers):
    return sorted(call.answer() for call in workers.map(Call("square", (each,)) for each in numbers) if call)


def test_a_node_with_other_versions_is_left_out_and_named_and_the_others_answer(caplog):
    ray = FakeRay(lambda number: False, [{}, {"Python": "3.9", "torch": "1.0"}, {}])
    workers = Workers(ray, ray.make, ray.num_places)
    workers.wait_for(2)
    assert squares(workers, range(20)) == [number**2 for number in range(20)]
    said = [record.getMessage() for record in caplog.records if "not used" in record.getMessage()]
    python, torch = (f"{name} {there} (here {computing_versions()[name]})" for name, there in ray.versions[1].items())
    assert said == [f"a node of the cluster is not used: it has {python}, {torch}"]
    assert ray.num_made == 3  # the refused one keeps its place: no other is put there
    workers.close()
    assert len(ray.killed) == 3


def test_where_every_node_has_other_versions_each_cell_says_which_and_what_to_do():
    ray = FakeRay(lambda number: False, [{"HCL Explorer": "0.0.9"}, {"HCL Explorer": "none"}])
    workers = Workers(ray, ray.make, ray.num_places)
    for _ in range(2):
        with pytest.raises(SettingsError, match="HCL Explorer (0.0.9|none) .here .*: install the same versions on all"):
            workers.ask(Call("square", (7,)))


def test_a_node_on_which_no_worker_starts_is_left_to_the_others(caplog):
    cause = FakeRay.ActorLost("Traceback\nModuleNotFoundError: No module named 'x'")
    ray = FakeRay(lambda number: False, [{}, cause])
    workers = Workers(ray, ray.make, lambda refused: 2)
    workers.wait_for(1)
    assert squares(workers, range(200)) == [number**2 for number in range(200)]
    alone = FakeRay(lambda number: False, [cause])
    with pytest.raises(
        HclError, match="do not start .*No module named 'x'.*: install the same versions of Python, Ray"
    ):
        workers = Workers(alone, alone.make, alone.num_places)
        workers.ask(Call("square", (7,)))


def test_what_a_worker_raises_is_asked_of_another_and_then_said_in_one_line(monkeypatch):
    ray = FakeRay(lambda number: False, [{}, {}])
    sound, asked = ray.get, []

    def get(reference):
        if reference[0] == 3:
            asked.append(reference[1])
            raise ray.RayError("Traceback\n  File\nTypeError: __init__() got an unexpected keyword argument 'site'")
        return sound(reference)

    monkeypatch.setattr(ray, "get", get)
    workers = Workers(ray, ray.make, ray.num_places)
    workers.wait_for(2)
    with pytest.raises(HclError, match="unexpected keyword argument 'site'.: check that all nodes have") as caught:
        squares(workers, range(10))
    assert "\n" not in str(caught.value)
    assert len(asked) == 3 and set(asked) == {0, 1}


def test_a_worker_that_lacks_what_its_task_needs_returns_a_users_mistake():
    lacking = NodeWorker("cpu", False, "nosuch://bucket").describe(Weights("m", "auto"), None)
    assert isinstance(lacking, FailedTask) and "--parts" in lacking.text


def test_settings_of_a_cluster_are_checked(capsys, monkeypatch, tmp_path):
    for wrong in ({"device": "mps"}, {"workers": 0}, {"worker_size": 0}, {"parts": "nosuch://x"}):
        with pytest.raises(SettingsError):
            ClusterSettings(**wrong)
    code, _, told = run_command(capsys, "sweep", tmp_path / "s.yaml", "--address", "auto")
    assert code == 2 and "go with --engine ray" in told
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match="requirements-cluster.txt"), cluster_workers(ClusterSettings()):
        pass


# Ray itself, on this machine.


@pytest.fixture
def ray_token(monkeypatch):
    """Ray takes a token that stands in no file of whoever runs the tests."""
    if importlib.util.find_spec("ray") is None:  # not imported here: it reads these variables when it is
        pytest.skip("needs requirements-cluster.txt")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A sweep's file, and its parts on one machine."""
    folder = tmp_path_factory.mktemp("sweep")
    make_model("llama").save_pretrained(folder / "tiny")
    make_tokenizer().save_pretrained(folder / "tiny")
    questions, file = folder / "q.jsonl", folder / "sweep.yaml"
    lines = [json.dumps({"question": f"Name a number above {number}", "answers": ["a", "e"]}) for number in range(24)]
    questions.write_text("\n".join(lines), encoding="utf-8")
    file.write_text(
        f"models: [{folder / 'tiny'}]\nquestions: [{questions}]\nexit_heads: [shared]\ntemperatures: [1.5]\n"
        "samples: 24\nmax_new_tokens: 16\n",
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HCL_RUNS", str(folder / "runs"))
        for _ in run_sweep(SweepFolder(folder / "whole"), read_plan(file), engine=LocalEngine("cpu")):
            pass
        yield file, parts(folder / "whole")


def worker_processes(raylet):
    """The processes of one node that have a worker."""
    return [each for each in raylet.children(recursive=True) if each.name().startswith("ray::NodeWorker")]


@pytest.mark.slow
def test_a_lost_worker_and_a_lost_node_change_nothing(undisturbed, tmp_path, capsys, ray_token, monkeypatch):
    for name, value in (ray_cluster._ALWAYS | ray_cluster._LOCAL).items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    spec, expected = undisturbed
    disturbed = tmp_path / "disturbed"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1, include_dashboard=False) for _ in range(2)]
        raylets = [psutil.Process(node.all_processes["raylet"][0].process.pid) for node in nodes]
        lost: list[int] = []
        with cluster_workers(ClusterSettings(cluster.address)) as workers:
            for event in run_sweep(SweepFolder(disturbed), read_plan(spec, None), engine=ClusterEngine(workers)):
                assert not isinstance(event, Failed), event
                is_under_way = isinstance(event, Step) and 0 < event.progress.num_done < event.progress.cell.num_wanted
                if is_under_way and not lost and len(parts(disturbed)) >= 1:
                    lost += [each.kill() or each.pid for each in worker_processes(raylets[0])]
                elif is_under_way and len(lost) == 1 and len(parts(disturbed)) >= 4:
                    lost += [each.pid for each in worker_processes(raylets[1])]
                    cluster.remove_node(nodes[1], allow_graceful=False)
    finally:
        cluster.shutdown()
    assert len(lost) == 2
    assert parts(disturbed) == expected and len(expected) == 24
    assert run_command(capsys, "verify", disturbed)[0] == 0


@pytest.mark.slow
def test_a_node_of_ray_with_another_torch_gets_no_questions(undisturbed, tmp_path, ray_token, monkeypatch, caplog):
    for name, value in (ray_cluster._ALWAYS | ray_cluster._LOCAL).items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    other = tmp_path / "other" / "torch-1.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 1.0\n", encoding="utf-8")
    spec, expected = undisturbed
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1, include_dashboard=False, env_vars={"PYTHONPATH": str(other.parent)})
        with cluster_workers(ClusterSettings(cluster.address)) as workers:
            events = list(run_sweep(SweepFolder(tmp_path / "none"), read_plan(spec), engine=ClusterEngine(workers)))
            (failed,) = [event for event in events if isinstance(event, Failed)]
            said, todo = str(failed.error).split(", and there is no other: ")
            assert said == f"a node of the cluster has torch 1.0 (here {computing_versions()['torch']})"
            assert todo == "install the same versions on all nodes"
            cluster.add_node(num_cpus=1, include_dashboard=False)
            for event in run_sweep(SweepFolder(tmp_path / "mixed"), read_plan(spec), engine=ClusterEngine(workers)):
                assert not isinstance(event, Failed), event
    finally:
        cluster.shutdown()
    assert parts(tmp_path / "mixed") == expected
    assert [each.getMessage() for each in caplog.records if "is not used: it has torch 1.0" in each.getMessage()]


@pytest.mark.slow
def test_a_sweep_on_this_machine_is_private_stops_and_goes_on(undisturbed, tmp_path, capsys, ray_token):
    spec, expected = undisturbed
    stopped, shared = tmp_path / "stopped", tmp_path / "parts"
    command = [sys.executable, "-m", "hcl_core", "sweep", str(spec), "--out", str(stopped), "--engine", "ray"]
    with (tmp_path / "log").open("wb") as log:
        # Tests that run in the background of a shell ignore Ctrl-C, and a process would inherit that.
        heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen([*command, "--parts", str(shared)], stdout=log, stderr=log, preexec_fn=heeds)
        started = psutil.Process(process.pid)
        while process.poll() is None and not parts(stopped):
            time.sleep(0.02)
        started.suspend()  # it must not be done before it is told to stop
        children = started.children(recursive=True)
        listening = {
            each.laddr.ip.removeprefix("::ffff:")
            for child in (started, *children)
            for each in child.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN
        }
        process.send_signal(signal.SIGINT)
        started.resume()
        assert process.wait(60) == STOPPED, (tmp_path / "log").read_text()
    assert listening == {"127.0.0.1"}
    assert 1 <= len(parts(stopped)) < 24 and len(list(shared.rglob("*.parquet"))) >= len(parts(stopped))
    assert not [child for child in psutil.wait_procs(children, timeout=20)[1] if child.status() != "zombie"]
    assert run_command(capsys, "status", stopped)[0] == 0
    assert run_command(capsys, "sweep", spec, "--out", stopped)[0] == 0  # one machine goes on with it
    assert parts(stopped) == expected
