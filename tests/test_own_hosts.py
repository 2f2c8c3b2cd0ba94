"""A page answers only to its own hosts and origins: the rule, the middleware, and a real server."""

import os
import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from app.own_hosts import OwnHosts, guarded, host_name, is_loopback

LOCAL = OwnHosts.of_page(False, (), {})
PUBLIC = OwnHosts.of_page(True, ("hcl.example",), {"SPACE_HOST": "me-hcl.hf.space, own.example"})
ONE_MORE = OwnHosts.of_page(False, ("Proxy.Example",), {"SPACE_HOST": "me-hcl.hf.space"})


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:7860", "localhost"),
        ("localhost.", "localhost"),
        ("127.0.0.1:7860", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::1]:7860", "[::1]"),
        ("", None),
        (".", None),
        ("::1", None),
        ("localhost:", None),
        ("localhost:78600000", None),
        ("localhost@evil.example", None),
        ("evil.example#localhost", None),
        ("localhost, evil.example", None),
        ("localhost/evil", None),
        ("lοcalhost", None),  # a Greek letter
    ],
)
def test_a_host_header_is_read_as_a_name_and_a_port(header, name):
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.nip.io", False),
        ("2130706433", False),
    ],
)
def test_loopback_is_this_machine_alone(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:1", "[::1]:7860", "127.0.0.2"])
@pytest.mark.parametrize(
    "origin", [None, "http://127.0.0.1:7860", "http://localhost", "HTTP://LOCALHOST:99", "http://[::1]:7860"]
)
def test_a_local_page_answers_to_local_hosts_and_origins(host, origin):
    assert LOCAL.allow([host], [] if origin is None else [origin])


@pytest.mark.parametrize(
    ("hosts", "origins"),
    [
        (["evil.example"], []),
        (["evil.example:7860"], ["http://evil.example:7860"]),
        (["127.0.0.1:7860"], ["http://evil.example"]),
        (["127.0.0.1:7860"], ["http://127.0.0.1.evil.example"]),
        (["127.0.0.1:7860"], ["http://localhost@evil.example"]),
        (["127.0.0.1:7860"], ["null"]),
        (["127.0.0.1:7860"], [""]),
        (["127.0.0.1:7860"], ["file://"]),
        (["127.0.0.1:7860"], ["chrome-extension://localhost"]),
        (["127.0.0.1:7860"], ["http://localhost", "http://evil.example"]),
        (["127.0.0.1:7860", "evil.example"], []),
        (["0.0.0.0:7860"], []),
        (["192.168.1.5:7860"], []),
        (["me-hcl.hf.space"], []),
        ([], []),
        ([""], []),
    ],
)
def test_a_local_page_refuses_everything_else(hosts, origins):
    assert not LOCAL.allow(hosts, origins)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("hcl.example", "https://hcl.example"),
        ("HCL.example:443", "https://hcl.example"),
        ("me-hcl.hf.space", "https://me-hcl.hf.space"),
        ("own.example", "https://me-hcl.hf.space"),
        ("192.168.1.5:7860", "http://192.168.1.5:7860"),
        ("[2001:db8::1]:7860", "http://[2001:db8::1]:7860"),
        ("127.0.0.1:7860", "https://hcl.example"),  # behind a proxy that keeps no Host
        ("10.1.2.3:7860", None),  # a health check
        (socket.gethostname(), None),
    ],
)
def test_a_public_page_answers_to_its_names_and_to_addresses(host, origin):
    assert PUBLIC.allow([host], [] if origin is None else [origin])


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", None),
        ("evil.hf.space", None),
        ("hcl.example", "https://evil.example"),
        ("hcl.example", "http://localhost:3000"),
        ("192.168.1.5:7860", "http://192.168.1.6:7860"),
        ("hcl.example", "null"),
    ],
)
def test_a_public_page_refuses_other_names_and_origins(host, origin):
    assert not PUBLIC.allow([host], [] if origin is None else [origin])


def test_a_further_host_can_be_allowed_whatever_its_case():
    assert ONE_MORE.allow(["127.0.0.1:7860"], ["https://proxy.example"])
    assert ONE_MORE.allow(["PROXY.example"], [])


async def _hello(_):
    return PlainTextResponse("hello")


async def _talk(websocket):
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


@pytest.fixture
def client():
    app = Starlette(routes=[Route("/", _hello), WebSocketRoute("/talk", _talk)], lifespan=guarded(LOCAL))
    with TestClient(app, base_url="http://127.0.0.1:7860") as opened:
        yield opened


def test_the_middleware_lets_own_requests_and_web_sockets_pass(client):
    assert client.get("/").text == "hello"
    with client.websocket_connect("ws://127.0.0.1:7860/talk") as socket_:
        assert socket_.receive_text() == "hello"


def test_the_middleware_refuses_a_web_socket_of_a_foreign_origin(client):
    from starlette.testclient import WebSocketDenialResponse

    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("ws://127.0.0.1:7860/talk", headers={"origin": "http://evil.example"}),
    ):
        pass
    assert refused.value.status_code == 403


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    from docs.screenshots import running_app

    with running_app(HCL_RUNS=str(tmp_path_factory.mktemp("runs"))) as url:
        yield url


FOREIGN = [
    {"host": "evil.example"},
    {"host": "evil.example", "origin": "http://evil.example"},
    {"origin": "http://evil.example"},
    {"origin": "null"},
]
CALLS = [
    ("GET", "/"),
    ("GET", "/config"),
    ("GET", "/gradio_api/info"),
    ("GET", "/gradio_api/file=/etc/hostname"),
    ("GET", "/gradio_api/queue/data?session_hash=a"),
    ("GET", "/gradio_api/heartbeat/a"),
    ("GET", "/plotly/plotly.min.js"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/run/predict"),
    ("POST", "/gradio_api/upload"),
    ("OPTIONS", "/gradio_api/upload"),
]


@pytest.mark.slow
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), CALLS)
def test_the_server_refuses_foreign_requests_in_one_sentence(address, method, path, headers):
    preflight = {"access-control-request-method": "POST"} if method == "OPTIONS" else {}
    answer = httpx.request(method, address + path, headers=headers | preflight)
    assert answer.status_code == 403
    assert answer.text.count(".") == 1
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.slow
def test_the_server_takes_a_file_of_a_program_and_of_its_own_page(address):
    for headers in ({}, {"origin": address}):
        answer = httpx.post(f"{address}/gradio_api/upload", files={"files": b"text"}, headers=headers)
        assert answer.status_code == 200


@pytest.mark.slow
def test_programs_on_the_same_machine_can_call_the_page(address):
    from gradio_client import Client

    assert "/lens" in Client(address, verbose=False).view_api(return_format="dict")["named_endpoints"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/theme.css", "/gradio_api/openapi.json"])
def test_the_page_does_not_say_where_it_is_installed_or_for_whom(address, path):
    import sys

    from hcl_core.folders import PROGRAM

    text = httpx.get(address + path).text
    found = [each for each in (str(PROGRAM), sys.prefix, os.path.expanduser("~") + "/") if each in text]
    assert not found


@pytest.mark.slow
def test_the_charts_library_is_served_by_the_page_itself(address):
    assert "plotly/plotly.min.js" in httpx.get(address).text
    assert httpx.get(f"{address}/plotly/plotly.min.js").text.startswith("/**\n* plotly.js")
