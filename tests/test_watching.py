"""What an owner sees of the page: health, numbers and log, and nothing that visitors or models wrote."""

import json
import logging
import sys
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.jobs import StoppedError
from app.live import LiveEvent, Ready
from app.logs import JsonLines, log_as
from app.service import Service
from app.settings import PageSettings
from app.watching import counts
from app.watching.health import health_route
from app.watching.metrics import metrics_routes
from hcl_core import pipeline
from hcl_core.errors import SettingsError

SECRET = "secret-question-4711"


def value_of(name, **labels):
    return counts.REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def grown():
    """How much a number has grown since the test began."""
    before = {
        (each.name, tuple(each.labels.items())): each.value
        for family in counts.REGISTRY.collect()
        for each in family.samples
    }
    return lambda name, **labels: value_of(name, **labels) - before.get((name, tuple(labels.items())), 0.0)


def wave(num_answers):
    made = object.__new__(pipeline.WaveDone)
    object.__setattr__(made, "samples", (None,) * num_answers)
    return LiveEvent(made, None)


def finish():
    return LiveEvent(object.__new__(pipeline.Finished), None)


def test_a_run_is_counted_and_its_events_pass(grown):
    events = [Ready(), wave(3), wave(4), finish()]
    assert list(counts.counted(each for each in events)) == events
    assert (grown("hcl_waves_total"), grown("hcl_answers_total")) == (2, 7)
    assert grown("hcl_runs_total", outcome="finished") == grown("hcl_run_seconds_count") == 1


@pytest.mark.parametrize(
    ("error", "outcome"), [(SettingsError(SECRET), "refused"), (StoppedError(), "stopped"), (KeyError(), "failed")]
)
def test_how_a_run_ends_is_counted(grown, error, outcome):
    def events():
        yield wave(1)
        raise error

    with pytest.raises(type(error)):
        list(counts.counted(events()))
    assert grown("hcl_runs_total", outcome=outcome) == 1


def test_a_run_that_is_left_is_closed_and_counted_as_stopped(grown):
    is_closed = []

    def events():
        try:
            yield wave(1)
        finally:
            is_closed.append(True)

    watched = counts.counted(events())
    next(watched)
    watched.close()
    assert is_closed == [True]
    assert grown("hcl_runs_total", outcome="stopped") == 1


def test_refusals_are_counted_by_kind_without_their_texts(grown):
    counts.count_refusal(SettingsError(SECRET))
    assert grown("hcl_refusals_total", kind="SettingsError") == 1


def test_errors_of_the_log_are_counted_and_warnings_are_not(grown):
    logger = logging.Logger("test")
    logger.addHandler(counts.CountErrors())
    logger.warning("a")
    logger.error("b")
    assert grown("hcl_errors_total") == 1


def test_an_open_page_is_a_visitor_until_it_is_left(grown):
    seen = []

    async def beats():
        seen.append(grown("hcl_visitors"))
        yield b"beat"

    async def heartbeat(_):
        return StreamingResponse(beats())

    app = counts.CountRequests(Starlette(routes=[Route("/gradio_api/heartbeat/{session}", heartbeat)]))
    client = TestClient(app)
    client.get("/gradio_api/heartbeat/a")
    client.get("/missing")
    assert (seen, grown("hcl_visitors"), grown("hcl_visits_total")) == ([1], 0, 1)
    assert grown("hcl_http_answers_total", status="404") == 1


@pytest.fixture(scope="module")
def client():
    service = Service()
    return TestClient(Starlette(routes=[health_route(service), *metrics_routes(service, True)]))


def test_health_is_json_and_needs_no_model(client):
    answer = client.get("/healthz")
    assert answer.json() == {"live": True, "model_loaded": False, "models": 0, "queue": 0}
    assert answer.headers["cache-control"] == "no-store"


def test_the_numbers_are_as_prometheus_reads_them(client):
    families = {each.name for each in text_string_to_metric_families(client.get("/metrics").text)}
    assert families >= {
        "hcl_runs", "hcl_waves", "hcl_answers", "hcl_run_seconds", "hcl_queue_length", "hcl_refusals", "hcl_errors",
        "hcl_visitors", "hcl_models_loaded", "process_resident_memory_bytes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "is_on"),
    [({}, True), ({"public": True}, False), ({"public": True, "metrics": True}, True), ({"metrics": False}, False)],
)
def test_a_public_page_keeps_its_numbers_to_itself_unless_told(settings, is_on):
    assert PageSettings(**settings).has_metrics is is_on
    assert bool(metrics_routes(None, is_on)) is is_on


def record_of(name, message, values=(), error=None, **more):
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord(name, logging.ERROR, f"/home/{SECRET}/file.py", 7, message, values, info)
    record.__dict__.update(more)
    return record


def raised():
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        return error


def test_an_entry_of_the_log_is_an_object_without_values_messages_of_errors_and_paths():
    text = JsonLines().format(record_of("app.x", "what failed: %s", (SECRET,), raised()))
    entry = json.loads(text)
    assert SECRET not in text and "/" not in text.partition('"trace"')[2]
    assert (entry["level"], entry["message"], entry["error"]) == ("ERROR", "what failed: %s", "ValueError")
    assert entry["trace"] == [f"test_watching.py:{raised.__code__.co_firstlineno + 2} raised"]


def test_what_other_libraries_say_is_left_out():
    text = JsonLines().format(record_of("gradio", f"could not read {SECRET}", numbers={"a": SECRET}))
    assert SECRET not in text and json.loads(text)["logger"] == "gradio"


def test_numbers_of_our_own_are_in_the_entry():
    entry = json.loads(JsonLines().format(record_of("app.x", "a run has ended", numbers={"answers": 3})))
    assert entry["answers"] == 3


def test_the_log_of_runs_and_refusals_holds_no_text(monkeypatch, capsys):
    root, own = logging.getLogger(), logging.getLogger("app")
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(own, "level", own.level)
    monkeypatch.setattr(logging, "captureWarnings", lambda _: None)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    log_as("json")

    def events():
        yield wave(2)
        raise SettingsError(SECRET)

    with pytest.raises(SettingsError):
        list(counts.counted(events()))
    counts.count_refusal(SettingsError(SECRET))
    thread = threading.Thread(target=lambda: int(SECRET))
    thread.start()
    thread.join()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    expected = ["a run has ended", "a request was refused", "an error ended a thread or a clean-up"]
    assert [each["message"] for each in lines] == expected and lines[2]["error"] == "ValueError"
    assert SECRET not in json.dumps(lines) and lines[0]["outcome"] == "refused" and lines[1]["kind"] == "SettingsError"
