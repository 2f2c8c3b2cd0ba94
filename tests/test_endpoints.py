"""The page for programs: what endpoints return, refuse and cost, over HTTP and as tools.

``python -m pytest tests/test_endpoints.py --renew-endpoints`` stores the schema anew.
"""

import ast
import asyncio
import inspect
import json
import re
import shlex
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from conftest import make_lm
from gradio_client import Client
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from starlette.middleware import Middleware

from app.endpoints import calls
from app.endpoints.agents import give_json
from app.endpoints.errors import CODES, code_of, told
from app.endpoints.named_calls import NamedCalls
from app.jobs import StoppedError
from app.language import Translator
from app.page import build
from app.service import Service
from app.settings import PageSettings
from app.views.program_code import (
    ADDRESS,
    LensCall,
    compare_programs,
    lens_python_code,
    lens_shell_code,
    python_code,
    run_programs,
    shell_code,
)
from app.views.share import lens_programs
from app.visit import Visit
from hcl_core import errors, registry
from hcl_core.decode.model.checkpoints import Checkpoint
from hcl_core.errors import HclError, LimitError, RunFolderError, SettingsError

SCHEMA = Path(__file__).parent / "data" / "endpoints.json"
TEXT = Path(__file__).parent.parent / "docs" / "programs.md"
SHIPPED, WARMER = "0be6b1cadd189061", "a9a4b3a8654fe9da"
ASKED: dict[str, Any] = {
    "question": "Name a planet", "accept": ["Mars", "Venus | Morning star"], "model": "tiny", "layers": "1:4",
    "samples": 24, "max_new_tokens": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Every model is a tiny one."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("endpoints")
        patch.setenv("HCL_RUNS", str(folder / "runs"))
        patch.setattr(registry, "load_replicas", lambda name, *_: ((make_lm(),), Checkpoint(name, "tiny", folder)))
        yield


@pytest.fixture(scope="module")
def visit(tiny):
    return Visit(Translator("en"), Service(), "program")


@pytest.fixture(scope="module")
def page(tiny):
    return build(Service())


@pytest.fixture(scope="module")
def address(page):
    settings = {"prevent_thread_lock": True, "quiet": True, "show_error": False}
    middleware = {"middleware": [Middleware(NamedCalls)]}
    _, url, _ = page.launch(**settings, mcp_server=True, app_kwargs=middleware)
    give_json(page)
    yield url.rstrip("/")
    page.close(verbose=False)


@pytest.fixture(scope="module")
def client(address):
    return Client(address, verbose=False)


def test_a_run_brings_every_wave_and_ends_complete(visit):
    results = list(calls.run(visit, **ASKED))
    assert [(each["num_answers"], each["complete"]) for each in results] == [(32, False), (96, False), (96, True)]
    last = results[-1]
    assert [row["exit_layer"] for row in last["scores"]] == [1, 2, 3, 4]
    names = {"hallucination_rate", "hallucination_ci_low", "hallucination_ci_high", "creativity", "hcb_ci_high"}
    assert names <= last["scores"][0].keys()
    assert sum(row["count"] for row in last["answers"]) == 96
    assert last["accept"] == ASKED["accept"]
    json.dumps(last, allow_nan=False)


def test_a_program_leaves_nothing_in_the_visitors_memory(visit):
    list(calls.run(visit, **ASKED))
    assert not visit.service._live
    calls.lens(visit, "abc", "tiny", max_new_tokens=1)
    assert not visit.service.lenses._last


def test_a_results_settings_make_the_same_run_again(visit):
    *_, first = calls.run(visit, **ASKED)
    *_, again = calls.run(visit, first["question"], first["accept"], **first["settings"])
    assert again["run_id"] == first["run_id"] and again["answers"] == first["answers"]


def test_a_stored_run_is_what_was_run(visit):
    *_, ran = calls.run(visit, **ASKED)
    stored = calls.get_run(visit, ran["run_id"], samples=True)
    assert all(stored[name] == ran[name] for name in ("scores", "answers", "verdict", "settings", "exit_head"))
    assert len(stored["samples"]) == 96 and stored["questions"][0]["text"] == "Name a planet"
    assert ran["run_id"] in [row["run_id"] for row in calls.runs(visit, question="planet")["runs"]]


def test_a_question_of_a_set_and_the_whole_set_are_read(visit):
    whole, one = calls.get_run(visit, SHIPPED), calls.get_run(visit, SHIPPED, "name-a-planet")
    assert whole["num_questions"] == one["num_questions"] == len(whole["questions"]) > 100
    assert whole["answers"] == [] and one["answers"] and len(one["questions"]) == 1
    assert whole["scores"] != one["scores"]


def test_another_weight_changes_the_balance_alone(visit):
    creative = calls.score(visit, SHIPPED, "name-a-planet", 1.0)["scores"]
    accurate = calls.score(visit, SHIPPED, "name-a-planet", 0.0)["scores"]
    assert [row["hcb_score"] for row in creative] == pytest.approx([row["creativity"] for row in creative])
    assert [row["hcb_score"] for row in accurate] == pytest.approx([1 - row["hallucination_rate"] for row in accurate])


def test_two_runs_are_compared_by_layer(visit):
    compared = calls.compare(visit, SHIPPED, WARMER)
    assert compared["settings_that_differ"] == {"temperature": [0.6, 1.0]}
    row = compared["layers"][-1]
    assert row["hcb_score_low"] <= row["hcb_score"] <= row["hcb_score_high"]


def test_a_lens_has_a_row_for_each_layer_and_token(visit):
    looked = calls.lens(visit, "abc", "tiny", max_new_tokens=3)
    assert len(looked["cells"]) == 4 * len(looked["tokens"])
    assert looked["settles"] and all(1 <= layer <= 4 for layer in looked["settles"])


@pytest.mark.parametrize(
    "call",
    [
        lambda visit: list(calls.run(visit, "")),
        lambda visit: list(calls.run(visit, "a", layers="9:1")),
        lambda visit: list(calls.run(visit, "a", exit_head="none")),
        lambda visit: calls.lens(visit, "abc", max_new_tokens=41),
        lambda visit: calls.runs(visit, 0),
        lambda visit: calls.score(visit, SHIPPED, creativity_weight=2),
    ],
)
def test_a_mistake_is_an_error(visit, call):
    with pytest.raises(SettingsError):
        call(visit)


@pytest.mark.parametrize("run_id", ["", "../..", "0" * 16])
def test_a_run_that_is_none_is_an_error(visit, run_id):
    with pytest.raises(RunFolderError):
        calls.get_run(visit, run_id)


def test_a_public_page_limits_programs_as_it_limits_visitors(tiny, monkeypatch):
    monkeypatch.setattr(registry, "is_available", lambda model: True)
    public = Visit(Translator("en"), Service(PageSettings(public=True)), "program")
    with pytest.raises(LimitError, match="this public page allows 120,000"):
        list(calls.run(public, "a", ["b"], samples=200))
    with pytest.raises(SettingsError, match="only the models of its list"):
        list(calls.run(public, "a", ["b"], model="/etc"))
    with pytest.raises(SettingsError, match="has no llm judge"):
        monkeypatch.setenv("HCL_JUDGE_URL", "http://x")
        monkeypatch.setattr("hcl_core.pipeline.request.check_judge", lambda name: None)
        list(calls.run(public, "a", ["b"], judge="llm:x"))
    assert calls.status(public)["limits"]["tokens_a_run"] == 120_000


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("call", [calls.run, calls.lens], ids=lambda each: each.__name__)
def test_a_public_page_takes_no_exit_head_by_its_file_and_says_not_whether_it_is_there(
    tiny, monkeypatch, tmp_path, call, is_there
):
    monkeypatch.setattr(registry, "is_available", lambda model: True)
    file = tmp_path / "head.safetensors"
    if is_there:
        file.write_bytes(b"")
    public = Visit(Translator("en"), Service(PageSettings(public=True)), "program")
    with pytest.raises(SettingsError, match="only the exit heads auto, linear, shared: run the program yourself"):
        list(call(public, "a", exit_head=str(file)))


def test_every_error_has_a_code_of_its_own():
    kinds = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, HclError)]
    assert set(kinds) <= CODES.keys() and len(set(CODES.values())) == len(CODES)
    assert code_of(LimitError("x")) == "limit" and code_of(ZeroDivisionError()) == "internal"


def test_an_error_of_the_program_itself_says_nothing_of_it():
    assert told(ZeroDivisionError("secret"), Translator("en")).startswith("internal: ")
    assert "secret" not in told(ZeroDivisionError("secret"), Translator("en"))
    assert told(StoppedError(), Translator("en")).startswith("stopped: ")


def test_the_schema_is_the_stored_one(page, request):
    named = page.get_api_info()["named_endpoints"]
    shown = json.dumps(named, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if request.config.getoption("--renew-endpoints"):
        SCHEMA.write_text(shown, encoding="utf-8")
    assert json.loads(shown) == json.loads(SCHEMA.read_text(encoding="utf-8"))


def test_the_text_names_every_endpoint_parameter_and_code():
    text = TEXT.read_text(encoding="utf-8")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for name, endpoint in schema.items():
        section = text.partition(f"### `{name[1:]}`")[2].partition("\n### ")[0]
        assert section, name
        missing = [p["parameter_name"] for p in endpoint["parameters"] if f"`{p['parameter_name']}`" not in section]
        assert not missing, name
    assert [code for code in CODES.values() if f"`{code}`" not in text] == []


def test_programs_get_records_and_errors_over_http(client):
    ran = client.predict(**ASKED, api_name="/run")
    assert ran["complete"] and ran == client.predict(**ASKED, api_name="/run")
    waves = list(client.submit(**ASKED | {"seed": 1}, api_name="/run"))
    assert [each["complete"] for each in waves] == [False] * (len(waves) - 1) + [True] and len(waves) > 1
    for wrong in ({"samples": "x"}, {"layers": "9:1"}, {"temperature": 99}):
        with pytest.raises(AppError, match=r"^setting: "):
            client.predict(**ASKED | wrong, api_name="/run")
    with pytest.raises(AppError, match=r"^run_not_found: "):
        client.predict("0" * 16, api_name="/get_run")


def test_plain_http_names_its_parameters(address):
    path = f"{address}/gradio_api/call/v2"
    event = httpx.post(f"{path}/get_run", json={"run_id": SHIPPED, "question_id": "name-a-planet"}).json()["event_id"]
    told = httpx.get(f"{path}/get_run/{event}", timeout=60).text
    (record,) = json.loads(re.search(r"event: complete\ndata: (.*)", told)[1])
    assert record["questions"][0]["id"] == "name-a-planet"
    unknown = httpx.post(f"{path}/get_run", json={"run": SHIPPED})
    assert unknown.status_code == 422 and "`run` is not" in unknown.json()["error"]
    assert httpx.post(f"{path}/nothing", json={}).status_code == 404


def test_the_texts_python_runs(address, capsys, monkeypatch):
    code = re.search(r"```python\n(.*?)```", TEXT.read_text(encoding="utf-8"), re.S)[1]
    assert "http://127.0.0.1:7860" in code
    small = code.replace("http://127.0.0.1:7860", address).replace('layers="16:30"', 'layers="2:4"')
    exec(compile(small, "programs.md", "exec"), {})
    assert "setting: " in capsys.readouterr().out


def test_the_code_beside_a_result_gets_it_and_runs_it_again(address, client, capsys):
    asked = client.predict(
        "Name a moon.", ["Titan"], layers="2:4", samples=4, max_new_tokens=4, model="tiny", api_name="/run"
    )
    (question,) = client.predict(asked["run_id"], api_name="/get_run")["questions"]
    exec(compile(python_code(asked["run_id"], question["id"]).replace(ADDRESS, address), "copied.py", "exec"), {})
    told = capsys.readouterr().out
    assert "optimal_layer" in told and "\n3 " in told and "12 of 12" in told
    if shutil.which("curl"):
        code = shell_code(asked["run_id"], question["id"]).replace(ADDRESS, address)
        told = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=60).stdout
        assert "event: complete" in told and "Name a moon." in told


def test_the_code_beside_a_run_and_a_comparison_gets_them(address, capsys):
    for programs, key in (
        (run_programs("0be6b1cadd189061"), "optimal_layer"),
        (compare_programs("0be6b1cadd189061", "a9a4b3a8654fe9da"), "exit_layer"),
    ):
        python, shell = (each.replace(ADDRESS, address) for each in programs)
        exec(compile(python, "copied.py", "exec"), {})
        assert key in capsys.readouterr().out
        if shutil.which("curl"):
            told = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60).stdout
            assert "event: complete" in told and key in told


@pytest.mark.parametrize("hostile", ["a'b", "$(touch x)", '"; ls', "{0}", "`id`"])
def test_copied_code_quotes_what_is_in_it(hostile):
    (call,) = [line for line in python_code(hostile, hostile).splitlines() if "predict" in line]
    called: Any = ast.parse(call.partition(" = ")[2], mode="eval").body
    assert [each.value for each in called.args] == [hostile, hostile]
    words = shlex.split(shell_code(hostile, hostile).splitlines()[1].partition("-d ")[2])
    assert json.loads(words[0]) == {"run_id": hostile, "question_id": hostile}


@pytest.mark.parametrize(
    "hostile", ["a'b\n", "$(touch x)", '"; ls {{page}}', "{0} </pre><script>alert(1)</script>", "`id`"]
)
def test_copied_code_of_a_lens_quotes_what_is_in_it(hostile):
    call = LensCall(hostile, hostile, "auto", 3, True)
    block = lens_python_code(call)
    called = [each for each in ast.walk(ast.parse(block)) if isinstance(each, ast.Call) and len(each.keywords) > 3]
    given = {each.arg: ast.literal_eval(each.value) for each in called[0].keywords}
    assert given == asdict(call) | {"api_name": "/lens"}
    words = shlex.split(lens_shell_code(call).partition("-d ")[2])
    assert json.loads(words[0]) == asdict(call)
    assert "<script>" not in lens_programs(call, Translator("en"))


def test_copied_python_of_a_lens_gets_the_lens(address, visit, capsys):
    call = LensCall("The sky is", "tiny", "shared", 2, False)
    exec(lens_python_code(call).replace(ADDRESS, address), {})
    settles = calls.lens(visit, "The sky is", "tiny", "shared", 2)["settles"]
    assert [
        int(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines() if "settles" in line
    ] == settles


def test_agents_have_the_endpoints_as_tools_whose_results_are_json(address, visit):
    async def ask():
        async with (
            streamablehttp_client(f"{address}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = {tool.name: tool for tool in (await session.list_tools()).tools}
            found = await session.call_tool("hcl_get_run", {"run_id": SHIPPED, "question_id": "name-a-planet"})
            ran = await session.call_tool("hcl_run", ASKED)
            wrong = await session.call_tool("hcl_run", ASKED | {"layers": "9:1"})
            return tools, found, ran, wrong

    tools, found, ran, wrong = asyncio.run(ask())
    assert set(tools) == {f"hcl_{call.__name__}" for call in calls.ENDPOINTS}
    described = tools["hcl_run"].inputSchema["properties"]
    assert all(each["description"] for each in described.values()) and tools["hcl_run"].description.startswith("Ask ")
    (text,) = found.content
    assert not found.isError and json.loads(text.text) == calls.get_run(visit, SHIPPED, "name-a-planet")
    assert not ran.isError and json.loads(ran.content[0].text)["complete"] is True
    assert wrong.isError and "setting: layers must be" in wrong.content[0].text


def test_a_page_has_no_tools_unless_its_owner_asks_for_them(tiny, monkeypatch):
    monkeypatch.setenv("GRADIO_MCP_SERVER", "True")
    with build(Service()) as shut:
        _, url, _ = shut.launch(prevent_thread_lock=True, quiet=True, mcp_server=False)
        give_json(shut)
        assert httpx.post(f"{url}gradio_api/mcp/", json={}).status_code in (404, 405)
        shut.close(verbose=False)


def test_the_pages_own_events_are_no_api(page):
    assert isinstance(page, gr.Blocks)
    assert {fn.api_name for fn in page.fns.values() if fn.api_visibility != "private"} == {
        call.__name__ for call in calls.ENDPOINTS
    }
