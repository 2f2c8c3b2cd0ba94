"""The depth player in a real browser: it walks, the other parts follow, and it fills a page of its own."""

import re
import xml.etree.ElementTree as ElementTree

import pytest
from test_page import (
    FINITE_ANIMATIONS,
    SHIPPED,
    WARMER,
    address,
    browser,
    columns,
    fits,
    hostile_run,
    runs,
    usual,
    visit,
)

__all__ = ["address", "browser", "hostile_run", "runs", "usual", "visit"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.slow]

QUESTION = f"?run={SHIPPED}&question=great-red-spot-planet"
PLAYER, SLIDER = "#depth .hcl-depth", "#depth input[type=range]"
MARKED = """(layer) => document.querySelector('#curves .hcl-chart').layout.shapes
    .some((shape) => shape.x0 === layer && shape.line.width === 2)"""


def stands_on(page, layer):
    page.locator(f"{PLAYER}[data-layer='{layer}']").wait_for()


def everything_stands_on(page, layer):
    """The player, the mark of the curves, and the columns."""
    stands_on(page, layer)
    page.wait_for_function(MARKED, arg=layer)
    page.locator(f".hcl-column.selected[data-layer='{layer}']").wait_for()


def answer(page):
    return page.locator("#depth .hcl-depth-answers").inner_text().split()


def stop_clock(page):
    """The timers wait for ``page.clock.run_for``: thirty layers take no time. So it is in all pages of the context."""
    page.clock.install(time=0)
    page.clock.pause_at(60_000)


def play_button(page):
    return page.locator("#depth button")


def test_a_play_walks_all_layers_and_chooses_the_last(visit):
    with visit(QUESTION, color_scheme="light") as page:
        columns(page, 30)
        stands_on(page, 30)  # nothing is chosen
        assert page.evaluate("!document.querySelector('.hcl-column.selected')")
        stop_clock(page)
        page.get_by_role("button", name="Play", exact=True).click()
        everything_stands_on(page, 1)
        seen = [answer(page)]
        for layer in range(2, 31):
            page.clock.run_for(700)
            stands_on(page, layer)
            seen.append(answer(page))
        assert ["✕", "Earth"] in seen and ["✓", "Jupiter"] in seen
        assert page.locator("#depth [aria-live]").inner_text() == ""  # nothing is read out on the way
        page.clock.run_for(1000)
        page.get_by_role("button", name="Play", exact=True).wait_for()
        assert page.locator("#depth [aria-live]").inner_text().startswith("Layer 30 of 30: ")
        page.locator("#detail .hcl-detail[data-layer='30']").wait_for()
        everything_stands_on(page, 30)
        page.get_by_role("button", name="Play", exact=True).click()
        stands_on(page, 1)


def test_a_pause_chooses_its_layer_and_play_goes_on_from_there(visit):
    with visit(QUESTION, color_scheme="light") as page:
        columns(page, 30)
        stop_clock(page)
        play_button(page).click()
        page.clock.run_for(1500)
        stands_on(page, 3)
        play_button(page).click()
        page.clock.run_for(200)
        page.locator("#detail .hcl-detail[data-layer='3']").wait_for()
        page.wait_for_function("document.querySelector('#link input').value.includes('layer=3')")
        play_button(page).click()
        page.clock.run_for(750)
        stands_on(page, 4)
        # A layer that is chosen elsewhere ends the walk, and the next one begins anew.
        page.locator(".hcl-column[data-layer='27'] .hcl-choose").click()
        everything_stands_on(page, 27)
        page.clock.run_for(2000)
        stands_on(page, 27)
        play_button(page).click()
        stands_on(page, 1)


def test_keys_alone_walk_the_layers(visit):
    with visit(QUESTION) as page:
        columns(page, 30)
        page.locator(SLIDER).focus()
        page.keyboard.press("Home")
        everything_stands_on(page, 1)
        page.keyboard.press("ArrowRight")
        everything_stands_on(page, 2)
        page.keyboard.press("End")
        everything_stands_on(page, 30)
        page.keyboard.press("ArrowLeft")
        everything_stands_on(page, 29)
        page.locator("#detail .hcl-detail[data-layer='29']").wait_for()
        said = page.get_by_role("slider", name="Exit layer").get_attribute("aria-valuetext")
        assert re.match(r"Layer 29 of 30: .+ \(wrong\)\. \d+ of 50 answers\. ", said)
        page.keyboard.press(" ")
        page.get_by_role("button", name="Pause", exact=True).wait_for()
        page.keyboard.press(" ")
        page.get_by_role("button", name="Play", exact=True).wait_for()


def test_a_balance_leaves_the_player_where_it_is(visit):
    with visit(f"{QUESTION}&layer=27") as page:
        columns(page, 30)
        everything_stands_on(page, 27)
        page.get_by_label("number input for Balance").first.fill("0")
        page.get_by_label("number input for Balance").first.press("Enter")
        page.wait_for_function("document.querySelector('#depth [data-part=present]').href.includes('balance=0')")
        stands_on(page, 27)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (390, 844)])
def test_a_page_to_present_has_the_sentence_the_player_and_the_curve_alone(visit, width, height):
    with visit(f"{QUESTION}&layer=22&present=1", width=width) as page:
        page.set_viewport_size({"width": width, "height": height})
        page.locator("#curves .xtitle").wait_for()
        page.wait_for_function(MARKED, arg=22)
        stands_on(page, 22)
        assert answer(page) == ["✕", "Earth"]
        for part in ("#headline h2", "#curves .hcl-chart", SLIDER):
            assert page.locator(part).is_visible(), part
        for part in ("[role=tab]", ".hcl-title", ".hcl-columns", "#numbers", "#link", "footer", ".hcl-controls"):
            assert page.locator(part).locator("visible=true").count() == 0, part
        assert fits(page)
        if width > 900:  # all of it is in view
            page.wait_for_function(
                "document.querySelector('#curves .main-svg').getBoundingClientRect().bottom <= innerHeight"
            )
            assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        page.keyboard.press("ArrowRight")  # the slider has the focus from the start
        stands_on(page, 23)
        page.get_by_role("link", name="Leave this view").click()
        columns(page, 30)
        everything_stands_on(page, 23)
        assert page.locator(".hcl-title").is_visible()


def test_an_address_that_opens_nothing_shows_the_whole_page(visit):
    with visit("?run=0000000000000000&question=x&present=1") as page:
        page.get_by_role("tab", name="Explore").wait_for()
        page.get_by_text("is not on this machine: it was deleted").wait_for()


@pytest.mark.parametrize("width", [390, 1280])
def test_whatever_is_said_has_room_in_its_place(visit, width):
    with visit(f"?run={WARMER}&question=name-a-planet&layer=1&present=1", width=width) as page:
        stands_on(page, 1)
        page.wait_for_function("document.querySelector('#depth input') === document.activeElement")
        outside = """() => [...document.querySelector('.hcl-depth-answers').children].some((each) => {
            const [place, box] = [each.parentElement.getBoundingClientRect(), each.getBoundingClientRect()];
            return box.top < place.top - 1 || box.bottom > place.bottom + 1 || box.right > place.right + 1;
        })"""
        too_large = []
        for layer in range(2, 31):
            page.keyboard.press("ArrowRight")
            stands_on(page, layer)
            too_large += [layer] if page.evaluate(outside) else []
        assert too_large == []


def test_present_opens_the_layer_that_stands_there(visit):
    with visit(f"{QUESTION}&layer=22") as page:
        columns(page, 30)
        page.locator(SLIDER).focus()
        page.keyboard.press("ArrowRight")
        stands_on(page, 23)
        link = page.get_by_role("link", name="Present").get_attribute("href")
        assert link == f"{QUESTION}&layer=23&present=1"


def test_nothing_moves_for_those_who_want_no_motion(visit):
    with visit(f"{QUESTION}&layer=22", reduced_motion="reduce") as page:
        columns(page, 30)
        stands_on(page, 22)
        page.evaluate(FINITE_ANIMATIONS)
        stop_clock(page)
        play_button(page).click()
        page.clock.run_for(1500)
        stands_on(page, 3)
        moving = (
            "document.getAnimations().some((each) => document.querySelector('#depth').contains(each.effect.target))"
        )
        assert not page.evaluate(moving)


def test_the_animated_picture_is_a_file_without_scripts(visit):
    with visit(QUESTION) as page:
        columns(page, 30)
        with page.expect_download() as saved:
            page.get_by_role("link", name="Animated SVG").click()
        assert saved.value.suggested_filename == f"hcl-explorer-{SHIPPED}.svg"
        picture = ElementTree.parse(saved.value.path()).getroot()
        assert picture.tag.endswith("}svg") and not [each for each in picture.iter() if each.tag.endswith("script")]
        assert "Which planet is known for its Great Red Spot?" in " ".join(picture.itertext())


def test_what_others_wrote_is_text_in_the_player_too(visit, hostile_run):
    with visit(f"?run={hostile_run}&layer=3&present=1") as page:
        stands_on(page, 3)
        assert page.locator("#depth img").count() == 0
        page.keyboard.press("Home")
        page.keyboard.press(" ")
        page.get_by_role("button", name="Pause", exact=True).wait_for()
        assert fits(page)


@pytest.mark.model
def test_the_place_stays_while_a_run_grows(visit):
    with visit("?q=Name%20a%20colour&a=Red&a=Blue&first=27&samples=120&temperature=0.8") as page:
        page.get_by_role("button", name="Run", exact=True).click()
        stands_on(page, 30)
        page.locator(SLIDER).focus()
        page.keyboard.press("Home")
        stands_on(page, 27)
        assert page.get_by_role("link", name="Present").count() == 0  # it has no address yet
        page.locator("#depth .hcl-depth-share", has_text="120 answers").wait_for(timeout=120_000)
        page.get_by_role("link", name="Present").wait_for()
        everything_stands_on(page, 27)
