"""The token lens in a real browser: its colours, the chosen cell, and what another lens leaves of it."""

import pytest
from test_page import address, browser, changes, hostile_run, open_tab, runs, text_of, usual, visit

__all__ = ["address", "browser", "hostile_run", "runs", "usual", "visit"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.slow]
OUTLINES = "document.querySelector('#lens .hcl-chart').layout.shapes.filter((shape) => shape.type === 'rect').length"


def choose_a_cell(page):
    page.locator("#lens .hcl-chart").focus()
    page.keyboard.press("ArrowUp")
    page.locator("#lens-cell tbody tr").first.wait_for()
    page.wait_for_function(f"{OUTLINES} === 1")


def test_another_measure_keeps_the_chosen_cell_and_has_a_scale_of_its_own(visit):
    with visit() as page:
        open_tab(page, "Token lens")
        choose_a_cell(page)
        before = text_of(page, "#lens-scale")
        page.get_by_label("entropy", exact=True).locator("visible=true").click()
        changes(page, "#lens-scale", before)
        assert "entropy" in text_of(page, "#lens-scale")
        assert page.locator("#lens-cell tbody tr").count() == 10 and page.evaluate(OUTLINES) == 1


def test_another_lens_has_no_cell_chosen(visit):
    with visit() as page:
        open_tab(page, "Token lens")
        choose_a_cell(page)
        page.get_by_label("the model’s own", exact=True).locator("visible=true").click()
        page.wait_for_function(f"{OUTLINES} === 0")
        assert page.locator("#lens-cell tbody").count() == 0


def test_a_cell_is_chosen_by_touch(visit):
    with visit(width=390, has_touch=True, is_mobile=True) as page:
        open_tab(page, "Token lens")
        page.locator("#lens .nsewdrag").tap()
        page.locator("#lens-cell tbody tr").first.wait_for()
        top = page.locator("#lens-cell").bounding_box()["y"]
        assert top < page.viewport_size["height"]


def test_a_short_answer_fills_the_width(visit):
    with visit(width=1440) as page:
        open_tab(page, "Token lens")
        width = page.locator("#lens .nsewdrag").bounding_box()["width"]
        panel = page.locator(".hcl-panel:has(#lens)").bounding_box()["width"]
        assert width > 0.8 * panel


@pytest.mark.model
def test_a_prompt_of_one_s_own_leaves_nothing_of_the_stored_lens(visit):
    with visit() as page:
        open_tab(page, "Token lens")
        choose_a_cell(page)
        page.get_by_label("Prompt, exactly as sent").fill("The capital of France is")
        page.get_by_role("button", name="Look").click()
        page.get_by_text("Read in one pass").wait_for(timeout=120_000)
        page.wait_for_function(f"{OUTLINES} === 0")
        assert page.get_by_label("Stored lens").input_value() == ""
