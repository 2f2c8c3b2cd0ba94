"""The walkthrough in a real browser: a guess before the answer, formulas on demand, and the way on to Explore."""

import pytest
from test_page import address, browser, fits, hostile_run, open_tab, runs, usual, visit

__all__ = ["address", "browser", "hostile_run", "runs", "usual", "visit"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def shown(page, selector):
    return page.locator(selector).locator("visible=true")


def go_to(page, step):
    page.locator(f'.hcl-stepper [data-step="{step}"]').click()
    page.wait_for_function(f"document.querySelector('.hcl-stepper [aria-current]')?.dataset.step === '{step}'")


def test_a_step_asks_for_a_guess_and_then_marks_the_right_option(visit):
    with visit() as page:
        open_tab(page, "Learn")
        reveal = page.get_by_role("button", name="Show what happened").locator("visible=true")
        assert reveal.is_disabled() and shown(page, "#learn .plotly").count() == 0
        page.get_by_label("After the first few layers").locator("visible=true").click()
        page.wait_for_function("!document.querySelector('.hcl-reveal button').disabled")
        reveal.click()
        shown(page, "#learn .heatmaplayer").wait_for()
        assert "In the last third" in shown(page, ".hcl-options .correct").inner_text()
        assert "your guess" in shown(page, ".hcl-options .incorrect").inner_text()
        page.locator('.hcl-stepper [data-step="1"].wrong').wait_for()
        page.get_by_role("button", name="Next").locator("visible=true").click()
        page.locator('.hcl-stepper [data-step="2"][aria-current="step"]').wait_for()


def test_the_last_step_has_the_score_and_leads_to_the_question_field(visit):
    with visit() as page:
        open_tab(page, "Learn")
        page.get_by_role("button", name="Show it without a guess").locator("visible=true").click()
        page.locator('.hcl-stepper [data-step="1"].shown').wait_for()
        go_to(page, 8)
        page.locator("#learn-score b", has_text="0 of 7").wait_for()
        page.get_by_role("button", name="Ask my own question").click()
        page.wait_for_function("document.activeElement.closest('#question') !== null")


def test_formulas_are_shown_on_demand_and_remembered(visit):
    with visit(locale="en-GB") as page:
        open_tab(page, "Learn")
        assert shown(page, ".hcl-formula").count() == 0
        page.get_by_role("button", name="Formulas").click()
        shown(page, ".hcl-formula .katex").first.wait_for()
        page.reload()
        page.locator("#headline h2").wait_for(state="attached")
        open_tab(page, "Learn")
        shown(page, ".hcl-formula .katex").first.wait_for()


def test_steps_are_opened_by_keys_and_fit_a_telephone(visit):
    with visit(width=390) as page:
        open_tab(page, "Learn")
        page.locator('.hcl-stepper [data-step="1"]').focus()
        page.keyboard.press("End")
        page.get_by_role("button", name="Ask my own question").wait_for()
        page.wait_for_function("document.activeElement.dataset.step === '8'")
        page.keyboard.press("ArrowLeft")
        page.get_by_role("heading", name="Why the published curves are flat").wait_for()
        assert fits(page)
