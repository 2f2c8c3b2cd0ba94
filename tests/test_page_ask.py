"""The bar that asks, in a real browser: what stands where, chips, the list of questions, keys, and the drawer."""

# ruff: noqa: F401, F811 (fixtures are imported and are arguments)

import re
from contextlib import contextmanager

import pytest
from test_page import (
    address,
    browser,
    changes,
    columns,
    hostile_run,
    open_settings,
    runs,
    set_field,
    text_of,
    usual,
    visit,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def top(page, selector):
    return page.locator(selector).bounding_box()["y"]


def bottom(page, selector):
    box = page.locator(selector).bounding_box()
    return box["y"] + box["height"]


def ideas(page):
    return [text.removesuffix("×").strip() for text in page.locator("#ideas li").all_inner_texts()]


def has_ideas(page, number):
    page.wait_for_function(f"document.querySelectorAll('#ideas li').length === {number}")


@contextmanager
def slow_server(page):
    """The server hears of what happens in the block at its end."""
    held, events = [], "**/gradio_api/run/**"
    page.route(events, lambda request: held.append(request))
    yield
    page.wait_for_timeout(300)  # what the page sends a little later, such as a search
    page.unroute(events)  # which lets them go
    assert held


def test_the_question_is_on_top_and_its_result_in_view_on_a_laptop(visit):
    with visit() as page:
        page.set_viewport_size({"width": 1280, "height": 720})
        columns(page, 30)
        parts = ("#question", "#status", "#ideas", "#chips", "#headline", "#curves")
        tops = [top(page, part) for part in parts]
        assert tops == sorted(tops)
        assert bottom(page, "#run") < 200 and bottom(page, "#curves .xy .nsewdrag") < 720
        # Scrolled far down, the question and Run are still there.
        page.locator("#link").scroll_into_view_if_needed()
        page.wait_for_function("scrollY > 200")
        assert top(page, "#run") >= 0 and bottom(page, "#run") < 100


def test_run_is_in_view_in_large_type_and_the_tabs_grow_too(visit):
    with visit(color_scheme="light") as page:
        page.set_viewport_size({"width": 1280, "height": 720})
        columns(page, 30)
        size = "parseFloat(getComputedStyle(document.querySelector('#tabs button[role=tab]')).fontSize)"
        before = page.evaluate(size)
        page.get_by_role("button", name="Large type").click()
        page.wait_for_function(f"{size} > 1.2 * {before}")
        assert bottom(page, "#run") < 300
        page.wait_for_function("document.querySelector('#curves').getBoundingClientRect().height < 500")


def test_the_sentence_is_on_the_first_screen_of_a_phone(visit):
    with visit(width=390, has_touch=True, is_mobile=True) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        columns(page, 30)
        lines = "document.querySelector('#question textarea')"
        page.wait_for_function(f"{lines}.clientHeight >= {lines}.scrollHeight")
        assert bottom(page, "#run") < 250 and bottom(page, "#headline h2") < 844
        # A tap on the chart chooses a layer.
        page.locator("#curves .nsewdrag").first.tap()
        page.locator("#detail h3").wait_for()


def test_right_answers_are_chips_that_can_be_taken_away_and_added(visit):
    with visit() as page:
        columns(page, 30)
        has_ideas(page, 8)
        page.get_by_role("button", name="Remove Venus").click()
        has_ideas(page, 7)
        page.locator("#add-idea").fill("Pluto | 134340 Pluto")
        page.locator("#add-idea").press("Enter")
        has_ideas(page, 8)
        assert ideas(page)[-1] == "Pluto | 134340 Pluto" and "Venus" not in ideas(page)
        # The last one is mended: it comes back into the field.
        page.locator("#add-idea").press("Backspace")
        has_ideas(page, 7)
        assert page.locator("#add-idea").input_value() == "Pluto | 134340 Pluto"


def test_what_is_typed_stays_when_the_chips_of_the_question_before_go_late(visit):
    with visit() as page:
        columns(page, 30)
        has_ideas(page, 8)
        with slow_server(page):
            set_field(page, "Question", "Name a moon of a planet")
            page.locator("#add-idea").click()
            page.keyboard.type("Io")
        has_ideas(page, 0)
        page.keyboard.press("Enter")
        has_ideas(page, 1)
        page.keyboard.type("Europa")  # in the same field, which keeps the focus
        page.keyboard.press("Enter")
        has_ideas(page, 2)
        assert ideas(page) == ["Io", "Europa"]


def test_a_question_that_keys_have_reached_stays_so_when_the_list_comes_again(visit):
    with visit() as page:
        columns(page, 30)
        page.keyboard.press("/")
        page.keyboard.insert_text("country")  # one search, of which none is under way later
        page.get_by_role("option", name="Baltic").first.wait_for()
        reached = "document.querySelector('#found [aria-selected=true]')"
        with slow_server(page):
            page.keyboard.insert_text(" baltic")
            while "Baltic" not in page.evaluate(f"{reached}?.innerText || ''"):
                page.keyboard.press("ArrowDown")
            place = page.evaluate(f"{reached}.id")
        page.wait_for_function("document.querySelector('#found [role=option]').innerText.includes('Baltic')")
        assert page.evaluate(f"{reached}.innerText.includes('Baltic') && {reached}.id") != place
        before = text_of(page, "#headline .hcl-headline")
        page.keyboard.press("Enter")
        changes(page, "#headline .hcl-headline", before)


def test_the_list_is_that_of_the_last_letters_however_slow_the_server(visit):
    with visit() as page:
        columns(page, 30)
        page.keyboard.press("/")
        with slow_server(page):
            for letters in ("b", "alt", "ic"):
                page.keyboard.type(letters)
                page.wait_for_timeout(150)  # a search is sent, or waits for its turn
        page.wait_for_function("document.querySelectorAll('#found [role=option]').length === 1")
        assert "Baltic" in text_of(page, "#found [role=option]")


def test_the_layer_in_detail_is_the_last_chosen_one_however_slow_the_server(visit):
    with visit() as page:
        columns(page, 30)
        with slow_server(page):
            for layer in (24, 26):
                page.locator(f".hcl-column[data-layer='{layer}'] .hcl-choose").click()
                page.wait_for_timeout(150)
            page.locator("#curves .hcl-chart").focus()
            page.keyboard.press("ArrowRight")
        page.locator("#detail .hcl-detail[data-layer='27']").wait_for()
        page.locator(".hcl-column[data-layer='28'] .hcl-choose").click()
        page.locator("#detail .hcl-detail[data-layer='28']").wait_for()


def test_keys_alone_find_a_question_in_the_list(visit):
    with visit() as page:
        columns(page, 30)
        before = text_of(page, "#headline .hcl-headline")
        page.keyboard.press("/")
        page.keyboard.type("baltic")
        # The list of the whole word: in those of its first letters, other questions stand above this one.
        page.wait_for_function("document.querySelectorAll('#found [role=option]').length === 1")
        assert "Baltic" in text_of(page, "#found [role=option]")
        has_ideas(page, 0)  # those of the planets are none of this question
        page.keyboard.press("ArrowDown")
        assert page.locator("#found [aria-selected=true]").count() == 1
        page.keyboard.press("Enter")
        changes(page, "#headline .hcl-headline", before)
        page.wait_for_function("document.querySelector('#question textarea').value.includes('Baltic')")
        page.locator("#found").wait_for(state="hidden")
        page.keyboard.press("ArrowDown")
        page.get_by_role("option", name="Name a planet").first.wait_for()
        page.keyboard.press("Escape")
        page.locator("#found").wait_for(state="hidden")


def test_a_slash_that_is_typed_elsewhere_stays_there(visit):
    with visit() as page:
        columns(page, 30)
        page.locator("#add-idea").click()
        page.keyboard.type("a/b")
        assert page.locator("#add-idea").input_value() == "a/b"


def test_a_chip_opens_the_drawer_at_its_control_and_the_drawer_stays_open(visit):
    with visit(locale="en-GB", color_scheme="light") as page:
        columns(page, 30)
        assert page.locator("#drawer").is_hidden()
        page.locator("#chips [data-opens=temperature]").click()
        page.wait_for_function("document.activeElement.closest('#set-temperature')")
        page.locator("#set-temperature input").fill("0.9")
        page.locator("#set-temperature input").press("Tab")
        page.locator("#chips [data-opens=temperature] b", has_text="0.9").wait_for()
        page.reload()
        page.locator("#drawer").wait_for()
        page.get_by_role("button", name="All settings").click()
        page.locator("#drawer").wait_for(state="hidden")


def test_an_empty_question_is_a_plain_sentence_of_the_pages_language(visit):
    with visit(locale="de-DE") as page:
        columns(page, 30)
        page.keyboard.press("/")
        page.keyboard.press("Delete")
        page.keyboard.press("Enter")
        page.locator("#status [role=alert]").wait_for()
        assert "Noch steht hier keine Frage" in text_of(page, "#status")


@pytest.mark.model
def test_enter_runs_and_escape_stops(visit):
    with visit() as page:
        columns(page, 30)
        open_settings(page)
        page.get_by_label("Answers a layer", exact=True).fill("1000")
        page.get_by_label("Question", exact=True).focus()
        page.keyboard.press("Enter")
        page.get_by_text(re.compile("of 15,000 answers")).wait_for(timeout=120_000)
        columns(page, 15)
        before = page.evaluate("scrollY")
        page.keyboard.press("Escape")
        page.get_by_text("Stopped. What came so far stays").wait_for(timeout=60_000)
        assert page.evaluate("scrollY") == before
