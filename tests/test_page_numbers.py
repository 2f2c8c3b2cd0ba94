"""A number out of range, in a real browser: the page says in its own words what was wanted, and nothing runs."""

# ruff: noqa: F401, F811 (fixtures are imported and are arguments)

import pytest
from test_page import address, browser, columns, hostile_run, open_settings, runs, set_field, text_of, usual, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("Last layer", 99, "Last layer must be a number from 1 to 30; got 99"),
        ("Temperature", 99, "Temperature must be a number from 0 to 10; got 99"),
        ("Answers a layer", "", "Answers a layer is empty"),
        ("Seed", "2.5", "Seed must be a whole number; got 2.5"),
        ("First layer", 31, "First layer must be a number from 1 to 30; got 31"),
    ],
)
def test_run_says_which_number_is_out_of_range(visit, field, value, said):
    with visit() as page:
        columns(page, 30)
        open_settings(page)
        set_field(page, field, value)
        page.get_by_role("button", name="Run", exact=True).click()
        page.locator("#status", has_text=said).wait_for()
        page.get_by_role("button", name="Run", exact=True).and_(page.locator(":enabled")).wait_for()
        assert page.locator(".toast-body").count() == 0


def test_a_slider_out_of_range_says_so(visit):
    with visit() as page:
        columns(page, 30)
        box = page.locator("input[type=number][aria-label*='Balance']").locator("visible=true").first
        box.fill("150")
        box.press("Enter")
        page.wait_for_timeout(1500)
        assert page.locator(".toast-body").count() == 0
