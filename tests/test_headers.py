"""Every answer says what browsers may do with it, and the page runs within that."""

import base64
import hashlib
import re

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from app.body_limit import MOST_BYTES, BodyLimit
from app.closed_routes import ClosedRoutes
from app.headers import SafeHeaders
from app.kept_page import KeptPage
from app.own_hosts import OwnHosts, guarded

PAGE = "<script>one()</script><p onclick='no()'><script type=module src=two.js></script><script>\nthree()</script>"


async def page(_):
    return HTMLResponse(PAGE)


async def fail(_):
    raise RuntimeError


def served(environment, *routes):
    app = Starlette(routes=[Route("/", page), Route("/fail", fail), *routes])
    return TestClient(SafeHeaders(app, environment), raise_server_exceptions=False)


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/missing", 404), ("/fail", 500)])
def test_every_answer_has_the_headers_those_of_errors_too(path, status):
    answer = served({}).get(path)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "camera=()" in answer.headers["permissions-policy"]
    assert answer.headers["content-security-policy"].endswith("; frame-ancestors 'self'")


def test_a_page_may_run_the_scripts_that_stand_in_it_and_no_others():
    answer = served({}).get("/")
    assert answer.text == PAGE
    hashes = re.findall(r"'sha256-([^']+)'", answer.headers["content-security-policy"])
    assert hashes == [base64.b64encode(hashlib.sha256(code).digest()).decode() for code in (b"one()", b"\nthree()")]
    assert "script-src 'self' 'unsafe-eval' 'sha256-" in answer.headers["content-security-policy"]


def test_scripts_that_the_page_inserts_in_the_browser_are_allowed_too():
    policy = (
        TestClient(SafeHeaders(Starlette(routes=[Route("/", page)]), {}, ["four()"]))
        .get("/")
        .headers["content-security-policy"]
    )
    assert f"'sha256-{base64.b64encode(hashlib.sha256(b'four()').digest()).decode()}'" in policy


def test_a_file_runs_nothing_even_if_it_says_that_it_is_a_page():
    policy = served({}, Route("/gradio_api/file", page)).get("/gradio_api/file").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "; sandbox" in policy and "script-src" not in policy


def test_a_policy_of_an_answers_own_stays():
    async def own(_):
        return Response("", headers={"Content-Security-Policy": "default-src 'none'"})

    policies = served({}, Route("/own", own)).get("/own").headers.get_list("content-security-policy")
    assert policies == ["default-src 'none'"]


def test_a_space_can_be_shown_in_a_frame_of_the_hub():
    policy = served({"SPACE_ID": "me/hcl"}).get("/").headers["content-security-policy"]
    assert policy.endswith("frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space")


def test_a_page_that_is_kept_is_not_read_again_and_one_that_a_browser_has_keeps_its_policy():
    kept = SafeHeaders(KeptPage(served({}).app), {})
    client = TestClient(kept)
    first = client.get("/")
    assert "'sha256-" in first.headers["content-security-policy"]
    assert client.get("/").headers["content-security-policy"] == first.headers["content-security-policy"]
    again = client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304 and "content-security-policy" not in again.headers


async def hello(_):
    return PlainTextResponse("hello")


@pytest.fixture(scope="module")
def local():
    routes = [Route("/", hello, methods=["GET", "POST"])]
    app = Starlette(routes=routes, lifespan=guarded(OwnHosts.of_page(False, (), {}), (), (BodyLimit, ClosedRoutes)))
    with TestClient(app, base_url="http://127.0.0.1:7860") as opened:
        yield opened


@pytest.mark.parametrize(
    ("site", "status"), [(None, 200), ("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)]
)
def test_a_post_of_another_site_is_refused_also_without_an_origin(local, site, status):
    assert local.post("/", headers={"sec-fetch-site": site} if site else {}).status_code == status


def test_a_link_from_another_site_is_followed(local):
    assert local.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/deep_link?session_hash=a",
        "/gradio_api/vibe-code",
        "/gradio_api/proxy=http://127.0.0.1:1",
        "/gradio_api/dev/reload",
        "/monitoring/summary",
        "/openapi.json",
    ],
)
def test_routes_that_the_page_does_not_use_are_not_there(local, path):
    assert local.get(path).status_code == 404
    assert local.get(path).text == "There is no such page."


def test_a_request_that_is_no_upload_has_a_limit(local):
    assert local.post("/", content=b"x" * MOST_BYTES).status_code == 200
    refused = local.post("/", content=b"x" * (MOST_BYTES + 1))
    assert (refused.status_code, refused.text) == (413, "This request has 5,000,001 bytes; the page takes 5,000,000.")


def test_a_request_of_unknown_length_is_refused(local):
    assert local.post("/", content=iter([b"x"])).status_code == 411


def test_an_upload_has_the_limit_of_files(local):
    assert local.post("/gradio_api/upload", content=b"x" * (MOST_BYTES + 1)).status_code == 404
