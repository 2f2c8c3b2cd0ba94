"""A public page as a stranger's program meets it: every event called with what no page sends, and hostile requests."""

import json
import os
import re
import subprocess
import sys

import httpx
import pytest

from hcl_core.folders import PROGRAM

pytestmark = pytest.mark.slow

SECRET = "secret-question-4711"
BAD = {
    "nothing": None,
    "a number that no box holds": 10**9,
    "more digits than a number has": 10**400,
    "no number": float("nan"),
    "a long text": SECRET + "x" * 200_000,
    "a list": [],
    "lists in lists": [[[]]],
    "an object": {},
    "markup": f"<img src=x onerror=alert(1)>{SECRET}",
    "a path": "../../etc/passwd",
    "a file of the machine": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    "files of the machine": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}],
    "a judge with an address": "llm:http://127.0.0.1:1/x",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A client of a public page, its configuration, and the file of its log."""
    folder = tmp_path_factory.mktemp("public")
    environment = os.environ | {"HCL_RUNS": str(folder / "runs"), "HCL_LOG": "json", "PYTHONUNBUFFERED": "1"}
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM / "app.py"), "--public"],
            stdout=subprocess.PIPE, stderr=log, text=True, env=environment,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            address = next(found.group() for line in process.stdout if (found := re.search(r"http://[\d.]+:\d+", line)))
            with httpx.Client(base_url=address, timeout=60) as client:
                yield client, client.get("/config").json(), folder / "log"
        finally:
            process.terminate()
            process.wait(10)


def call(client, event, values, session):
    """What a program is told that calls an event with these values."""
    body = json.dumps({"data": values, "fn_index": event["id"], "session_hash": session})
    json_type = {"content-type": "application/json"}
    if not event["queue"]:
        return client.post("/gradio_api/run/predict", content=body, headers=json_type).text
    joined = client.post("/gradio_api/queue/join", content=body, headers=json_type)
    if joined.status_code != 200:
        return joined.text
    told = ""
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            told += line
            if re.search('"msg": ?"(process_completed|close_stream|unexpected_error)"', line):
                break
    return told


@pytest.mark.parametrize("kind", BAD)
def test_every_event_answers_anything_with_a_sentence(page, kind):
    client, config, _ = page
    events = [each for each in config["dependencies"] if each["backend_fn"]]
    assert len(events) > 30
    for event in events:
        told = call(client, event, [BAD[kind]] * len(event["inputs"]), f"{kind}{event['id']}")
        assert told and "Traceback" not in told and "root:x:0" not in told
        # How Gradio tells of an error that nobody foresaw.
        assert '"error":null' not in told.replace(" ", ""), event["id"]


@pytest.mark.parametrize("values", [[], [1] * 99, None, "text", {"a": 1}], ids=["none", "99", "null", "text", "object"])
def test_a_wrong_number_of_values_is_a_sentence(page, values):
    client, config, _ = page
    for event in (each for each in config["dependencies"] if each["backend_fn"] and each["inputs"]):
        told = call(client, event, values, f"wrong{event['id']}")
        assert told and "Traceback" not in told and '"error":null' not in told.replace(" ", ""), event["id"]


@pytest.mark.parametrize("is_queued", [True, False])
def test_a_session_of_a_long_name_is_a_sentence(page, is_queued):
    client, config, _ = page
    event = next(each for each in config["dependencies"] if each["backend_fn"] and each["queue"] is is_queued)
    told = call(client, event, [None] * len(event["inputs"]), "x" * 100_000)
    assert told == '{"detail":"A session_hash has at most 100 letters; got 100,000."}'


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=app.py",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/static/../../../app.py",
        "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/depth.svg?run=../../etc&question=a",
        "/share/page.html?run=..%2f..%2fetc&question=a",
        "/share/..%2f..%2fetc%2fpasswd",
        "/metrics",
    ],
)
def test_nothing_of_the_machine_can_be_fetched(page, path):
    answer = page[0].get(path)
    assert answer.status_code in (400, 403, 404)
    assert "root:x:0" not in answer.text and "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/config", "/theme.css", "/plotly/plotly.min.js", "/favicon.ico"])
def test_what_is_there_has_the_headers_too(page, path):
    answer = page[0].get(path)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff" and "content-security-policy" in answer.headers


def test_a_page_that_is_uploaded_runs_nothing(page):
    client = page[0]
    name = client.post("/gradio_api/upload", files={"files": ("a.html", b"<script>1</script>")}).json()[0]
    answer = client.get(f"/gradio_api/file={name}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "; sandbox" in answer.headers["content-security-policy"]


def test_an_upload_that_is_too_large_is_refused(page):
    answer = page[0].post("/gradio_api/upload", files={"files": ("a.csv", b"x" * 6_000_000)})
    assert answer.status_code == 413


def test_an_event_that_is_too_large_is_refused(page):
    assert page[0].post("/gradio_api/queue/join", content=b"[" * 6_000_000).status_code == 413


def test_after_all_that_the_page_lives_and_its_log_is_objects_without_texts(page):
    client, _, log = page
    assert client.get("/healthz").json()["live"] is True
    text = log.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert any(line.get("message") == "a request was refused" for line in lines)
    assert SECRET not in text and "/etc" not in text and str(PROGRAM) not in text and "127.0.0.1" not in text
    assert [line for line in lines if line["level"] == "ERROR"] == []
