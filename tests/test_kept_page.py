"""The page's HTML is made once for all who ask alike."""

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app.kept_page import KeptPage


@pytest.fixture
def made():
    """How often the page was made, and a browser that asks for it."""
    asked = []

    def page(request):
        asked.append(request.url.query)
        return HTMLResponse(f"<p>{request.headers['host']}</p>", headers={"x-own": "1"})

    def fails(request):
        asked.append("failed")
        return PlainTextResponse("no", status_code=503)

    app = Starlette(routes=[Route("/", page), Route("/other", page), Route("/fails", fails)])
    return asked, TestClient(KeptPage(app))


def test_it_is_made_once_whatever_the_address_asks_for(made):
    asked, browser = made
    first, second = browser.get("/?run=1"), browser.get("/?run=2")
    assert first.text == second.text == "<p>testserver</p>" and asked == ["run=1"]
    assert first.headers["x-own"] == second.headers["x-own"] == "1"
    assert second.headers["content-length"] == str(len(second.content))


def test_a_browser_that_has_it_is_sent_nothing(made):
    _, browser = made
    etag = browser.get("/").headers["etag"]
    again = browser.get("/", headers={"if-none-match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert browser.get("/", headers={"if-none-match": '"of another page"'}).text == "<p>testserver</p>"


def test_another_name_or_packing_is_another_page(made):
    asked, browser = made
    assert browser.get("/", headers={"host": "localhost"}).text == "<p>localhost</p>"
    browser.get("/")
    browser.get("/", headers={"accept-encoding": "br"})
    browser.get("/", headers={"x-forwarded-proto": "https"})
    assert len(asked) == 4


def test_other_addresses_methods_and_links_of_gradio_s_go_through(made):
    asked, browser = made
    for _ in range(2):
        browser.get("/other"), browser.get("/?deep_link=1"), browser.head("/")
    assert len(asked) == 6


def test_many_names_fill_no_memory(made):
    asked, browser = made
    middleware = browser.app
    for number in range(50):
        browser.get("/", headers={"host": f"name{number}"})
    assert len(middleware._kept) == 16 and len(asked) == 50


def test_a_failure_is_not_kept():
    number = iter(range(3))
    app = Starlette(
        routes=[Route("/", lambda _: PlainTextResponse("no", status_code=503 if not next(number) else 200))]
    )
    browser = TestClient(KeptPage(app))
    assert [browser.get("/").status_code for _ in range(3)] == [503, 200, 200]
