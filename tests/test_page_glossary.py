"""What measured words mean, said where they stand: by mouse, by keys and by touch, and the way into Learn and back."""

import re

import pytest
from test_page import address, browser, columns, hostile_run, open_tab, runs, usual, visit

from hcl_core.glossary import glossary

__all__ = ["address", "browser", "hostile_run", "runs", "usual", "visit"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.slow]
BOX = ".hcl-term-box:popover-open"
HCB = "#headline h2 .hcl-term"


def focus_is_on(page, selector):
    page.wait_for_function("selector => document.activeElement.matches(selector)", arg=selector)


def test_a_click_says_what_a_word_means_and_a_click_beside_it_closes(visit):
    with visit() as page:
        columns(page, 30)
        page.locator(HCB).click()
        box = page.locator(BOX)
        assert glossary("en")["hcb_score"].definition in box.inner_text()
        assert page.get_by_role("dialog", name="HCB").count() == 1
        page.mouse.click(5, 5)
        box.wait_for(state="hidden")
        focus_is_on(page, HCB)
        page.locator(HCB).click()
        box.wait_for()
        page.locator(HCB).click()
        box.wait_for(state="hidden")


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_key_opens_and_escape_returns(visit, key):
    with visit() as page:
        columns(page, 30)
        page.get_by_role("button", name="What is HCB?").first.focus()
        page.keyboard.press(key)
        page.locator(BOX).wait_for()
        page.keyboard.press("Escape")
        page.locator(BOX).wait_for(state="hidden")
        focus_is_on(page, HCB)


def test_a_touch_opens_on_a_telephone_and_the_box_is_inside_the_window(visit):
    with visit(width=390, has_touch=True) as page:
        columns(page, 30)
        for mark in (HCB, "#curves [data-term='p_optimal']"):
            page.locator(mark).tap()
            page.locator(BOX).wait_for()
            place = page.locator(BOX).bounding_box()
            assert place["x"] >= 0 and place["x"] + place["width"] <= 390
            page.keyboard.press("Escape")


def test_more_opens_the_step_of_learn_and_back_returns(visit):
    with visit() as page:
        columns(page, 30)
        page.locator("#curves [data-term='creativity']").click()
        page.get_by_role("button", name="More in Learn").click()
        page.get_by_role("heading", name="When are two answers the same idea?").wait_for()
        focus_is_on(page, ".hcl-term-back")
        page.get_by_role("button", name="Back to Explore").click()
        focus_is_on(page, "#curves [data-term='creativity']")
        assert page.get_by_role("tab", name="Explore").get_attribute("aria-selected") == "true"


def test_labels_of_controls_have_marks_and_keep_their_names(visit):
    with visit() as page:
        open_tab(page, "Token lens")
        page.get_by_label("Tokens at most", exact=True).locator("visible=true").wait_for()
        control = page.locator(".hcl-term-exit_head").locator("visible=true")
        control.get_by_role("button", name="What is an exit head?").click()
        assert "fitted" in page.locator(BOX).inner_text()


def test_the_settings_of_explore_are_explained(visit):
    with visit() as page:
        page.locator(".hcl-term-temperature .hcl-term").wait_for(state="attached")
        wanted = {"exit_layer", "sample", "temperature", "hcb_score", "scaling"}
        page.wait_for_function(
            """wanted => wanted.every((term) => document.querySelector(`.hcl-explained [data-term="${term}"]`))""",
            arg=sorted(wanted),
        )
        assert page.get_by_label("Temperature", exact=True).count() >= 1


def test_every_term_that_stands_on_the_page_is_explained_in_german(visit):
    with visit(locale="de-DE") as page:
        columns(page, 30)
        marks = page.locator(".hcl-term[data-term]").locator("visible=true")
        assert marks.count() > 8
        names = {each.get_attribute("aria-label") for each in marks.all()}
        assert names <= {each.asked for each in glossary("de").values()}
        page.locator(HCB).click()
        assert glossary("de")["hcb_score"].definition in page.locator(BOX).inner_text()
        assert re.search("Mehr unter", page.locator(BOX).inner_text())


def test_a_mark_is_made_again_where_an_update_took_it_away(visit):
    with visit() as page:
        columns(page, 30)
        page.locator(HCB).click()
        page.locator(BOX).wait_for()
        # As an update of a run does it.
        page.evaluate("document.querySelector('#headline h2').innerHTML += ''")
        page.keyboard.press("Escape")
        focus_is_on(page, HCB)
