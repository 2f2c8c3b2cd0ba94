"""The tab Runs in a real browser: a run is named, found by its name, and called as before again."""

import pytest
from playwright.sync_api import expect
from test_page import SHIPPED, WARMER, address, browser, hostile_run, runs, usual, visit  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def choose(page, run_id):
    page.locator("#run-rows").get_by_text(run_id).locator("visible=true").first.click()
    expect(page.locator("#manifest .hcl-asked")).to_contain_text(run_id)


def name_box(page):
    return page.get_by_label("Name", exact=True)


def test_a_run_is_named_found_by_its_name_and_called_as_before_again(visit):  # noqa: F811
    with visit("?tab=runs") as page:
        choose(page, SHIPPED)
        name_box(page).fill("<b>Lesson</b> 3")
        page.get_by_role("textbox", name="Note").fill("for Tuesday")
        page.get_by_role("button", name="Keep name and note").click()
        expect(page.locator("#manifest h2")).to_have_text("<b>Lesson</b> 3")
        expect(page.locator("#run-rows")).to_contain_text("<b>Lesson</b> 3 · SmolLM2-135M, fitted head")
        page.get_by_label("Find a run").fill("lesson tuesday")
        expect(page.locator("#runs-found")).to_contain_text("1 of 5 runs")
        page.get_by_label("Find a run").fill("no such run")
        expect(page.locator("#runs-found")).to_contain_text("No run is like that")
        page.get_by_role("button", name="Name and note as before").click()
        expect(page.locator("#manifest h2")).to_have_text("SmolLM2-135M, fitted head, T 0.6, all 30 layers, 50 answers")
        expect(name_box(page)).to_have_value("")


def test_a_name_that_was_typed_and_not_kept_is_kept_when_another_run_is_chosen(visit):  # noqa: F811
    with visit("?tab=runs") as page:
        choose(page, WARMER)
        name_box(page).fill("Warm")
        choose(page, SHIPPED)
        expect(page.locator("#run-status")).to_contain_text("Name and note of Warm are kept")
        expect(page.locator("#run-rows")).to_contain_text("Warm · SmolLM2-135M")
        expect(name_box(page)).not_to_have_value("Warm")
        page.get_by_role("button", name="Name and note as before").click()
        expect(page.locator("#run-rows")).not_to_contain_text("Warm ·")


def test_the_page_has_no_second_place_for_its_settings(visit):  # noqa: F811
    with visit() as page:
        expect(page.get_by_role("button", name="Settings", exact=True)).to_have_count(0)
