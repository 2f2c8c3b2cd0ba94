"""What a first visitor met in a real browser: sentences in sight, and numbers that follow what was done."""

# ruff: noqa: F401, F811 (fixtures are imported and are arguments)

import re

import pytest
from test_page import address, browser, columns, hostile_run, open_settings, runs, set_field, text_of, usual, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def box(page, selector):
    return page.locator(selector).locator("visible=true").first.bounding_box()


@pytest.mark.parametrize("query", ["", "?run=deadbeefdeadbeef"])
def test_notes_above_results_leave_room_for_the_list_of_runs(visit, query):
    with visit(query, width=1440) as page:
        columns(page, 30)
        if not query:
            page.wait_for_function("document.body.dataset.followed === 'yes'")
            set_field(page, "Question", "Name a moon.")
        note = box(page, ".hcl-notices" if query else "#headline [data-when='question']")
        assert note["width"] > 500 and note["x"] + note["width"] <= box(page, "#stored-run")["x"]


@pytest.mark.model
def test_the_estimate_follows_what_a_run_has_taken(visit):
    with visit() as page:
        columns(page, 30)
        assert "Loading the model comes before it" in text_of(page, "#estimate")
        open_settings(page)
        set_field(page, "First layer", 29)
        set_field(page, "Answers a layer", 8)
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text(re.compile("saved as run")).wait_for(timeout=120_000)
        page.wait_for_function("!document.querySelector('#estimate').innerText.includes('Loading')")
