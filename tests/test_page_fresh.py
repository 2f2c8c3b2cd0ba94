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


@pytest.mark.model
def test_the_address_of_a_run_of_several_updates_names_its_question_alone_at_its_end(visit):
    with visit("?q=Name+a+moon+of+Jupiter.&a=Io&first=29&samples=200&temperature=1.2") as page:
        page.locator(".hcl-prefilled p").wait_for()
        page.wait_for_function("document.body.dataset.followed === 'yes'")
        page.get_by_role("button", name="Run", exact=True).click()
        # A link's sentence says that nothing has run: not while it does.
        page.locator(".hcl-prefilled p").wait_for(state="hidden")
        page.get_by_text(re.compile("saved as run")).wait_for(timeout=120_000)
        page.wait_for_function("location.search.includes('run=') && !location.search.includes('q=')")


def test_a_link_to_a_prompt_names_no_stored_lens(visit):
    with visit("?tab=lens&prompt=The+capital+of+Austria+is") as page:
        page.get_by_text("nothing has been read yet").wait_for()
        assert page.get_by_label("Stored lens").input_value() == ""


def test_with_no_layer_chosen_the_arrow_keys_begin_where_the_player_stands(visit):
    with visit() as page:
        columns(page, 30)
        page.locator("#curves .barlayer .point").nth(29).wait_for(state="attached")
        page.locator("#curves .hcl-chart").focus()
        page.keyboard.press("ArrowLeft")
        page.locator("#detail .hcl-detail[data-layer='29']").wait_for()


@pytest.mark.parametrize(("tab", "headline"), [("lens", "#lens-headline"), ("compare", "#comparison")])
def test_on_a_laptop_the_sentence_of_other_tabs_stands_above_their_chart(visit, tab, headline):
    with visit(f"?tab={tab}", width=1280) as page:
        page.set_viewport_size({"width": 1280, "height": 720})
        page.locator(f"{headline} h2").locator("visible=true").wait_for()
        page.locator(".hcl-chart .nsewdrag").locator("visible=true").first.wait_for()
        assert box(page, headline)["y"] < box(page, ".hcl-chart")["y"]


@pytest.mark.model
def test_the_link_after_stop_opens_the_same_answers_in_a_fresh_browser_and_run_goes_on(visit):
    with visit() as page:
        columns(page, 30)
        open_settings(page)
        set_field(page, "Question", "Name a fruit that grows on a tree.")
        for field, value in (("First layer", 28), ("Answers a layer", 1000), ("Temperature", 1.5)):
            set_field(page, field, value)
        page.get_by_role("button", name="Run", exact=True).click()
        columns(page, 3, timeout=120_000)
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text("Stopped. What came so far stays").wait_for(timeout=60_000)
        link = page.locator("#link input").first.input_value()
    with visit("?" + link.partition("?")[2], color_scheme="light") as page:  # a browser of its own
        columns(page, 3)
        page.locator("#status", has_text="of a run that was stopped").wait_for()
        assert "Name a fruit that grows on a tree." in text_of(page, "#headline .hcl-asked")
        assert "So far" in text_of(page, "#headline .hcl-headline")
        assert page.locator(".hcl-notices").count() == 0
        open_settings(page)
        assert page.get_by_label("Answers a layer", exact=True).first.input_value() == "1000"
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text(re.compile("Going on.*of 3,000 answers")).wait_for(timeout=60_000)
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text("Stopped. What came so far stays").wait_for(timeout=60_000)
        page.wait_for_function("location.search.includes('run=')")
        query = page.url.partition("?")[2]
    with visit(f"?{query}", color_scheme="dark") as page:  # the address, which names the form too
        page.locator("#status", has_text="of a run that was stopped").wait_for()
        assert page.locator(".hcl-notices").count() == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_no_empty_area_stands_below_the_columns_in_sight(visit, width):
    below = """() => {
        const columns = document.querySelector("#answers .hcl-columns"), area = columns.getBoundingClientRect();
        const places = [...columns.children].map((column) => column.getBoundingClientRect());
        const seen = places.filter((place) => place.right > area.left + 1 && place.left < area.right - 1);
        return area.bottom - Math.max(...seen.map((place) => place.bottom));
    }"""
    with visit(width=width) as page:
        columns(page, 30)
        for left in ("columns.scrollWidth", "0", "columns.scrollWidth / 2"):
            page.evaluate(
                f"() => {{ const columns = document.querySelector('#answers .hcl-columns');"
                f"columns.scrollLeft = {left}; }}"
            )
            page.wait_for_timeout(600)
            assert 0 <= page.evaluate(below) < 40
