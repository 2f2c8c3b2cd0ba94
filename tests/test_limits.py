"""What one caller of a page may have: places, seconds of the models, bytes; and whose request it is."""

import asyncio
import re
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from gradio.queueing import EventQueue, Queue
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from test_estimate import asked
from test_handlers import VISITOR, form, loads, service  # noqa: F401

from app.addresses import caller_address
from app.event_queue import SharedQueue
from app.limits import check_public_request, check_seconds
from app.live import LiveEvent
from app.places import Caller, Places, RunClock, SecondsBook
from app.service import Service
from app.settings import PageSettings
from app.uploads import UploadLimit
from hcl_core import registry
from hcl_core.decode.engine import EngineDecoder
from hcl_core.errors import LimitError
from hcl_core.folders import runs_folder
from hcl_core.pipeline.estimate import Foretold, MachineSpeed, foretell
from hcl_core.runs.folder import RunFolder
from hcl_core.settings.strategies import Strategy

SMALL = PageSettings(public=True, most_places=5, most_places_an_address=3, most_places_a_visitor=2)


class Clock:
    """Seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


# Places.


def taken(places, *callers):
    """A stack that holds a place for each caller."""
    stack = ExitStack()
    for caller in callers:
        stack.enter_context(places.take(Caller(*caller)))
    return stack


def test_a_visitor_has_so_many_places_and_gets_one_back_that_is_left():
    places = Places(SMALL)
    with taken(places, ("a", "1"), ("a", "1")):
        with pytest.raises(LimitError, match=r"^2 of your runs .* allows 2 at once: wait until one ends, or stop one$"):
            taken(places, ("a", "1"))
        taken(places, ("b", "1")).close()
    taken(places, ("a", "1"), ("a", "1")).close()
    assert places.num_taken == 0


def test_one_address_cannot_take_all_places_with_however_many_visitors():
    places = Places(SMALL)
    with taken(places, ("a", "1"), ("b", "1"), ("c", "1")):
        with pytest.raises(LimitError, match="3 runs and looks from your network address .* allows 3 at once"):
            taken(places, ("d", "1"))
        with (
            taken(places, ("e", "2"), ("f", "3")),
            pytest.raises(LimitError, match="^5 runs .* this page has 5 places"),
        ):
            taken(places, ("g", "4"))
    assert places.num_taken == 0


def test_on_a_page_of_ones_own_the_places_in_all_are_the_only_limit():
    places = Places(SMALL.model_copy(update={"public": False}))
    with taken(places, *[("a", "1")] * 5), pytest.raises(LimitError, match="this page has 5 places"):
        taken(places, ("a", "1"))


def test_the_usual_places_hold_a_class_behind_one_router_and_leave_some_to_others():
    settings = PageSettings()
    assert 50 < settings.most_places_an_address <= settings.most_places - 30


# Seconds.


def spend(book, caller, foretold, seconds):
    with book.account(Caller(*caller), foretold) as account:
        account.taken = seconds


@pytest.mark.parametrize(
    ("later", "whose"), [(("a", "2"), "your runs"), (("b", "1"), "runs from your network address")]
)
def test_what_was_had_counts_for_an_hour_for_visitor_and_address(later, whose):
    clock = Clock()
    book = SecondsBook(PageSettings(public=True, most_seconds_a_visitor=100, most_seconds_an_address=100), clock)
    spend(book, ("a", "1"), 30, 80)
    clock.now = 3_599
    with pytest.raises(LimitError, match=f"^{whose} have had 80 s .* needs about 21 s; this public page allows 100 s"):
        spend(book, later, 21, 0)
    spend(book, later, 20, 0)
    clock.now = 3_601
    spend(book, later, 21, 0)


def test_what_is_under_way_counts_as_foretold():
    book = SecondsBook(PageSettings(public=True, most_seconds_a_visitor=100))
    with book.account(Caller("a"), 60), pytest.raises(LimitError, match="have had 60 s"):
        spend(book, ("a", ""), 41, 0)
    with book.account(Caller("b"), 60) as account:
        account.taken = 10
    spend(book, ("b", ""), 90, 0)


def test_what_ended_before_it_began_costs_nothing():
    book = SecondsBook(PageSettings(public=True, most_seconds_a_visitor=100))
    for _ in range(3):
        with book.account(Caller("a"), 90):
            pass


def test_nobody_counts_the_owners_seconds():
    book = SecondsBook(PageSettings(public=False, most_seconds_a_visitor=1, most_seconds_an_address=1))
    spend(book, ("a", "1"), 60, 600)
    spend(book, ("a", "1"), 60, 600)


def test_a_run_beside_others_is_charged_its_part_of_the_time():
    clock, others = Clock(), [1]
    run_clock = RunClock(25, lambda: others[0], clock)
    clock.now = 100  # before its first step it waited
    run_clock.check()
    clock.now, others[0] = 140, 4
    run_clock.check()
    assert run_clock.seconds == 10
    clock.now, others[0] = 155, 1
    run_clock.check()
    clock.now = 156
    with pytest.raises(LimitError, match="stopped after 26 s .* gives 25 s to a run: whole waves of answers stay"):
        run_clock.check()


def test_a_run_that_would_take_too_long_is_not_begun():
    settings = PageSettings(most_seconds_a_run=60)
    check_seconds(None, settings)
    check_seconds(Foretold(30, 120, True), settings)
    with pytest.raises(LimitError, match="would take about 80 s; this public page allows 60 s: ask for fewer layers"):
        check_seconds(Foretold(40, 160, False), settings)


@pytest.fixture
def public_service(service):  # noqa: F811
    """A public page with the tiny model of ``service``, under the name of the catalogue's small one."""
    return lambda **limits: Service(PageSettings(public=True, **limits))


@pytest.fixture
def here(monkeypatch):
    """The catalogue's small model counts as here; what is loaded for it is the tiny one."""
    monkeypatch.setattr(registry, "is_available", lambda model: model.name == "smollm2-135m")


def request_of(**changes):
    asked_for = {"model": "smollm2-135m", "first_layer": 1, "last_layer": 4, "every": 1} | changes
    return form(**asked_for).request()


def test_a_run_is_stopped_at_its_limit_with_the_waves_that_it_has(public_service, here, monkeypatch, tmp_path):
    checks: list[float] = []

    def check(self):
        checks.append(self._most)
        if len(checks) == limit:
            raise LimitError("time is up")

    limit = 0
    monkeypatch.setattr(RunClock, "check", check)
    list(public_service(most_seconds_a_run=70).run(request_of(), VISITOR))
    assert set(checks) == {70}
    # The same again elsewhere: three quarters of its steps are after the first wave, and before the end of the second.
    limit = len(checks) * 3 // 4
    checks.clear()
    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "other"))
    with pytest.raises(LimitError, match="time is up"):
        list(public_service(most_seconds_a_run=70).run(request_of(), VISITOR))
    (folder,) = (RunFolder(path) for path in runs_folder().iterdir())
    assert len(folder.samples()) == 32 and folder.manifest().finished_at is None


def test_a_public_run_of_too_many_seconds_loads_no_model(public_service, here, monkeypatch):
    monkeypatch.setattr(registry, "load_replicas", lambda *_: pytest.fail("loaded"))
    page = public_service()
    monkeypatch.setattr(page, "foretell", lambda *_: Foretold(200, 200, True))
    with pytest.raises(LimitError, match="would take about 200 s; this public page allows 120 s"):
        next(page.run(request_of(), VISITOR))


def test_a_visitor_at_their_limit_is_told_so_and_a_joiner_pays_nothing(public_service, here, monkeypatch):
    page = public_service(most_seconds_a_visitor=100)
    monkeypatch.setattr(page, "foretell", lambda *_: Foretold(60, 60, True))
    first = page.run(request_of(), "first")
    next(live for live in first if isinstance(live, LiveEvent))
    with pytest.raises(LimitError, match="your runs have had 60 s"):
        list(page.run(request_of(seed=1), "first", "run_set"))
    assert list(page.run(request_of(), "second"))
    assert list(page.run(request_of(seed=1), "second"))  # joining cost nothing
    first.close()


def test_a_place_is_given_back_whatever_ends_the_run(service, monkeypatch):  # noqa: F811
    list(service.run(form().request(), "a"))
    stopped = service.run(form(seed=1).request(), "a")
    next(stopped)
    stopped.close()
    monkeypatch.setattr(EngineDecoder, "policy", lambda *_: pytest.fail("decoded"))
    with pytest.raises(RuntimeError, match="scheduler's thread failed"):
        list(service.run(form(seed=2).request(), "a"))
    assert service.places.num_taken == 0


def test_tokens_and_letters_of_a_run_are_limited_and_its_layers_told(here):
    settings = PageSettings(public=True)
    assert check_public_request(asked(), settings) == (10, 16)
    with pytest.raises(LimitError, match=r"^1 questions × 2 layers × 2000 answers × 40 tokens is 160,000; .* 120,000"):
        check_public_request(replace(asked(max_new_tokens=40), num_samples=2_000), settings)


def test_what_the_tokens_allow_self_speculation_is_refused_for_its_time(here, tmp_path):
    layers = tuple(range(1, 31))
    early = replace(asked(max_new_tokens=40, temperature=1.0), num_samples=100)
    speed = MachineSpeed(tmp_path / "speed.json")
    speed.learn("smollm2-135m", 2.0, 1.0)  # half as fast as the machine of reference
    check_seconds(foretell(early, layers, 8, speed), PageSettings())
    drafting = replace(early, strategy=Strategy.parse("self_speculative"))
    with pytest.raises(LimitError, match="this public page allows 120 s"):
        check_seconds(foretell(drafting, layers, 8, speed), PageSettings())


# Addresses.


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "address"),
    [
        ("10.0.0.1", ["1.1.1.1"], 0, "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1"], 1, "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1, 10.0.0.2"], 2, "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1"], 2, "10.0.0.1"),
        ("10.0.0.1", [], 1, "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, somebody"], 1, "10.0.0.1"),
        ("::ffff:1.2.3.4", [], 0, "1.2.3.4"),
        ("2001:db8::1", [], 0, "2001:db8::/64"),
        ("2001:db8::ffff:2", [], 0, "2001:db8::/64"),
        ("testclient", [], 0, "testclient"),
        ("", [], 1, ""),
    ],
)
def test_a_forwarded_address_is_read_only_from_trusted_proxies(peer, forwarded, proxies, address):
    assert caller_address(peer, forwarded, proxies) == address


def test_proxies_make_a_page_public():
    assert PageSettings(proxies=1).is_public and not PageSettings().is_public


# Events.


class FakeEvent:
    """Of the queue; only its request matters."""

    def __init__(self, address):
        self.request = request_from(address)


def request_from(address):
    return Request({"type": "http", "client": (address, 1), "headers": []})


def push(queue, address):
    return asyncio.run(queue.push(None, request_from(address), None))


@pytest.mark.parametrize("is_public", [True, False])
def test_one_address_gets_a_part_of_the_queue_on_a_public_page(monkeypatch, is_public):
    async def take(*_):
        return True, "taken", "success"

    monkeypatch.setattr(Queue, "push", take)
    plain = Queue(True, 1, 1, 9, blocks=None, default_concurrency_limit=1)
    queue = SharedQueue(plain, PageSettings(public=is_public, most_events_an_address=2))
    lanes = {"model": ["1.1.1.1", "2.2.2.2"], "embedder": ["1.1.1.1"]}
    for name, addresses in lanes.items():
        lane: Any = EventQueue(name, 1)
        lane.queue = [FakeEvent(address) for address in addresses]
        queue.event_queue_per_concurrency_id[name] = lane
    assert push(queue, "2.2.2.2") == (True, "taken", "success")
    success, sentence, state = push(queue, "1.1.1.1")
    assert success is not is_public and state == ("queue_full" if is_public else "success")
    assert not is_public or sentence.startswith("2 events from your network address wait, and 2 may")


# Uploads.


async def received(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


def upload_page(clock, **limits):
    limited = Middleware(UploadLimit, settings=PageSettings(public=True, proxies=1, **limits), clock=clock)
    paths = ("/gradio_api/upload", "/gradio_api/queue/join")
    return TestClient(
        Starlette(routes=[Route(path, received, methods=["POST"]) for path in paths], middleware=[limited])
    )


def test_an_address_uploads_so_many_bytes_an_hour():
    clock = Clock()
    page = upload_page(clock, most_bytes_an_address=100_000, most_bytes_uploaded=150_000)

    def send(size, address, path="/gradio_api/upload"):
        return page.post(path, content=b"x" * size, headers={"x-forwarded-for": address})

    assert send(60_000, "1.1.1.1").text == "60000"
    refused = send(41_000, "1.1.1.1")
    said = "has 41,000 bytes, and 60,000 bytes have come from your network address"
    assert refused.status_code == 413 and said in refused.text
    assert re.search(r"takes 100,000: wait, or run", refused.text)
    assert send(40_000, "1.1.1.1").text == "40000" and send(50_000, "2.2.2.2").text == "50000"
    assert "150,000 bytes have come from all visitors" in send(1, "3.3.3.3").text
    assert send(999, "1.1.1.1", "/gradio_api/queue/join").text == "999"
    clock.now = 3_601
    assert send(60_000, "1.1.1.1").text == "60000"


def test_tiny_uploads_count_what_they_take_of_a_disk():
    page = upload_page(Clock(), most_bytes_an_address=20_000)
    answers = [page.post("/gradio_api/upload", content=b"x", headers={"x-forwarded-for": "1.1.1.1"}) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 413]


def test_an_upload_of_unknown_size_is_not_read():
    page = upload_page(Clock())
    assert page.post("/gradio_api/upload", content=iter([b"x"])).status_code == 411
