"""What a visitor sees who is turned away, in a real browser."""

# ruff: noqa: F401, F811 (fixtures are imported and are arguments)

import pytest
from test_page import address, browser, hostile_run, runs, text_of, usual, watched_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_run_is_alive_again_after_the_server_took_no_more(address, usual):
    with watched_page(address, usual, 1280) as (page, problems):
        page.goto(address)
        page.locator("#headline h2").wait_for(state="attached")
        page.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "Queue is full."}))
        page.locator("#run").click()
        page.locator("#status", has_text="could not take this").wait_for()
        page.wait_for_function("!document.querySelector('#run').disabled && document.querySelector('#stop').disabled")
        assert "Waiting" not in text_of(page, "#status")
        assert all("503" in problem for problem in problems)  # the browser's own line for the refusal
