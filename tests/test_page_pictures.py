"""The page looks as it did when somebody looked at it: states of it against stored pictures.

After a change that is meant, ``HCL_PICTURES=renew pytest tests/test_page_pictures.py`` stores them anew; look at each.
Pictures are compared small, since letters are drawn differently from machine to machine; what moves, appears or changes
its colour is seen.
"""

import io
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_page import (
    FINITE_ANIMATIONS,
    address,
    browser,
    columns,
    hostile_run,
    open_tab,
    runs,
    usual,
    watched_page,
)

__all__ = ["address", "browser", "hostile_run", "runs", "usual"]  # fixtures

FOLDER = Path(__file__).parent / "pictures"
RENEWS = os.environ.get("HCL_PICTURES") == "renew"
STORED_WIDTH, COMPARED_WIDTH = 640, 80
# Of 255, for a colour of a small picture: how much the mean may differ, and how much a place may, but for few.
MOST_MEAN, MOST_PLACE, MOST_PLACES = 3.0, 40.0, 0.01
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass(frozen=True)
class State:
    """A state of the page.

    Attributes:
        name: Of its picture.
        query: Of the address.
        size: Of the window.
        settings: Of the browser.
        tab: That is opened.
        button: That is pressed.
        stale: Why the results are not those of the form, once that is shown.
    """

    name: str
    query: str = ""
    size: tuple[int, int] = (1440, 900)
    scheme: str = "light"
    tab: str = ""
    button: str = ""
    stale: str = ""


STATES = (
    State("explore"),
    State("explore-laptop-dark", size=(1280, 720), scheme="dark"),
    State("explore-laptop-large", size=(1280, 720), button="Large type"),
    State("explore-phone", size=(390, 844)),
    State("explore-settings", button="All settings"),
    State("explore-layer", query="?run=0be6b1cadd189061&question=name-a-planet&layer=27"),
    State("explore-own-question", query="?q=Name%20a%20star&a=Sun&a=Vega"),
    State("explore-dead-link", query="?run=deadbeefdeadbeef"),
    State("present", query="?present=1", size=(1280, 720)),
    State("lens", tab="Token lens"),
    State("compare", tab="Compare"),
    State("dataset", tab="Data set"),
    State("learn", tab="Learn"),
    State("learn-phone-dark", tab="Learn", size=(390, 844), scheme="dark"),
)


# What axe reads, each in both themes: without those that are another one in dark, and with those of which a picture so
# small shows little.
READ_STATES = (
    *(state for state in STATES if state.scheme == "light"),
    State("explore-popover", button="What is HCB?"),
    State("explore-stale", query="?run=0be6b1cadd189061&q=Name%20a%20star&a=Sun", stale="question"),
)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_a_state_looks_as_in_its_picture(address, browser, state):
    with shown(address, browser, state) as page:
        seen = picture_of(page)
    stored = FOLDER / f"{state.name}.png"
    if RENEWS:
        FOLDER.mkdir(exist_ok=True)
        small = seen.resize((STORED_WIDTH, round(seen.height * STORED_WIDTH / seen.width)), Image.Resampling.LANCZOS)
        small.quantize(64).save(stored, optimize=True)
        return
    wanted, found = (compared(picture, seen.size) for picture in (Image.open(stored), seen))
    differences = np.abs(wanted - found).max(axis=2)
    assert differences.mean() <= MOST_MEAN
    assert (differences > MOST_PLACE).mean() <= MOST_PLACES


@pytest.mark.parametrize("state", READ_STATES, ids=lambda state: state.name)
def test_axe_finds_nothing_serious_in_a_state(address, browser, state):
    from axe_playwright_python.sync_playwright import Axe

    found = []
    with shown(address, browser, state) as page:
        page.wait_for_function("document.title !== ''")  # Gradio sets it once its scripts have begun
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            is_dark = "dark => document.body.classList.contains('dark') === dark"
            page.wait_for_function(is_dark, arg=scheme == "dark")
            page.evaluate(FINITE_ANIMATIONS)
            for each in Axe().run(page).response["violations"]:
                if each["impact"] in ("serious", "critical"):
                    found.append((scheme, each["id"], [node["html"][:200] for node in each["nodes"][:5]]))
    assert found == []


@contextmanager
def shown(address, browser, state):
    """A page in a state of it."""
    context = browser.new_context(locale="en-GB", color_scheme=state.scheme, reduced_motion="reduce")
    with watched_page(address, context, state.size[0]) as (page, problems):
        page.set_viewport_size({"width": state.size[0], "height": state.size[1]})
        page.goto(address + state.query)
        if not state.query.startswith("?q="):
            columns(page, 30)
        if state.tab:
            open_tab(page, state.tab)
        if state.button:
            page.get_by_role("button", name=state.button).first.click()
        if state.stale:
            page.wait_for_function("why => document.body.dataset.staleExplore === why", arg=state.stale)
        yield page
        assert problems == []
    context.close()


def picture_of(page):
    """What a visitor sees, once nothing moves any more."""
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement?.blur()")
    page.evaluate("document.fonts.ready")
    before = None
    for _ in range(20):  # two pictures in a row that are equal
        seen = page.screenshot(animations="disabled", caret="hide")
        if seen == before:
            break
        before = seen
        page.wait_for_timeout(300)
    return Image.open(io.BytesIO(seen)).convert("RGB")


def compared(picture, size):
    """The picture as numbers, ``[height, width, 3]``, so small that letters are shades."""
    small = (COMPARED_WIDTH, round(size[1] * COMPARED_WIDTH / size[0]))
    return np.asarray(picture.convert("RGB").resize(small, Image.Resampling.BOX), dtype=np.float64)
