"""The address follows the view in a real browser; results of something else than the form asks for are grey."""

# ruff: noqa: F401, F811 (fixtures are imported and are arguments)

import re

import pytest
from test_page import (
    SHIPPED,
    address,
    browser,
    columns,
    hostile_run,
    open_settings,
    open_tab,
    runs,
    set_field,
    text_of,
    usual,
    visit,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]
OWN, IDEAS = "Name a <b>moon</b> & 1+1=2, ok?", "Io | Jupiter I\nEuropa"


def address_has(page, *parts):
    """Waits until the address has all ``parts``."""
    for part in parts:
        page.wait_for_function("part => location.search.includes(part)", arg=part)


def address_lacks(page, *parts):
    for part in parts:
        page.wait_for_function("part => !location.search.includes(part)", arg=part)


def is_opened(page):
    """Waits until the page follows what the visitor does: a change before is taken for the opening's."""
    columns(page, 30)
    page.wait_for_function("document.body.dataset.followed === 'yes'")


def becomes_stale(page, why):
    page.wait_for_function("why => document.body.dataset.staleExplore === why", arg=why)


def add_ideas(page):
    for idea in IDEAS.splitlines():
        page.locator("#add-idea").fill(idea)
        page.locator("#add-idea").press("Enter")


def field(page, label):
    return page.get_by_label(label, exact=True).first


def test_results_are_grey_while_the_form_asks_for_something_else(visit):
    with visit() as page:
        is_opened(page)
        becomes_stale(page, "")
        note = page.locator("#headline .hcl-stale [data-when='question']")
        assert not note.is_visible()
        before = field(page, "Question").input_value()
        set_field(page, "Question", OWN)
        note.wait_for()
        assert f"These are the answers to “{before}”" in note.inner_text()
        page.wait_for_function("getComputedStyle(document.querySelector('#curves')).filter === 'grayscale(1)'")
        set_field(page, "Question", f" {before} ")  # the same question
        note.wait_for(state="hidden")
        page.wait_for_function("getComputedStyle(document.querySelector('#curves')).filter === 'none'")
        open_settings(page)
        set_field(page, "Temperature", 1.5)
        page.locator("#headline .hcl-stale [data-when='settings']").wait_for()
        set_field(page, "Temperature", 0.6)
        becomes_stale(page, "")


def test_reload_keeps_a_question_of_ones_own_and_its_settings(visit):
    with visit() as page:
        is_opened(page)
        set_field(page, "Question", OWN)
        add_ideas(page)
        open_settings(page)
        set_field(page, "Temperature", 1.5)
        address_has(page, "q=", "a=", "temperature=1.5", f"run={SHIPPED}")
        page.reload()
        columns(page, 30)
        becomes_stale(page, "question")
        assert field(page, "Question").input_value() == OWN
        assert page.locator("#accepted textarea").input_value() == IDEAS
        assert field(page, "Temperature").input_value() == "1.5"


def test_back_and_forward_restore_the_view_without_a_reload(visit):
    with visit("?run=a9a4b3a8654fe9da&question=baltic-sea-country") as page:
        is_opened(page)
        page.evaluate("window.isSamePage = true")
        page.locator(".hcl-column[data-layer='27'] .hcl-choose").click()
        address_has(page, "layer=27")
        open_tab(page, "Compare")
        address_has(page, "tab=compare", "runs=")
        page.get_by_label("Hallucination", exact=True).click()
        address_has(page, "measure=hallucination_rate")
        open_tab(page, "Learn")
        address_has(page, "tab=learn")
        page.get_by_role("button", name="Next").locator("visible=true").click()
        address_has(page, "step=2")
        page.go_back()
        address_lacks(page, "step=2")
        page.go_back()
        page.locator("#compared .scatterlayer .trace").locator("visible=true").first.wait_for()
        assert page.get_by_label("Hallucination", exact=True).is_checked()
        page.go_back()
        page.locator("#detail .hcl-detail[data-layer='27']").locator("visible=true").wait_for()
        assert "Baltic" in text_of(page, "#headline .hcl-headline")
        page.go_forward()
        page.locator("#comparison h2").locator("visible=true").wait_for()
        assert page.evaluate("window.isSamePage")


def test_another_question_is_a_step_and_another_layer_none(visit):
    with visit() as page:
        is_opened(page)
        length = page.evaluate("history.length")
        page.locator(".hcl-column[data-layer='26'] .hcl-choose").click()
        address_has(page, "layer=26")
        assert page.evaluate("history.length") == length
        page.get_by_label("Question", exact=True).click()
        page.get_by_role("option", name="dwarf planet").first.click()
        page.wait_for_function("document.querySelector('#headline').innerText.includes('dwarf')")
        page.wait_for_function("length => history.length === length + 1", arg=length)
        page.go_back()
        page.wait_for_function("document.querySelector('#headline').innerText.includes('solar system')")
        page.locator(".hcl-column.selected[data-layer='26']").wait_for()
        page.wait_for_function("document.body.dataset.staleExplore === ''")


def test_a_lens_has_an_address_that_opens_it_again(visit):
    with visit() as page:
        is_opened(page)
        open_tab(page, "Token lens")
        page.get_by_label("the model’s own", exact=True).locator("visible=true").click()
        page.get_by_label("Entropy", exact=False).locator("visible=true").first.click()
        page.locator("#lens .hcl-chart").focus()
        page.keyboard.press("ArrowUp")
        page.locator("#lens-cell tbody tr").first.wait_for()
        address_has(page, "tab=lens", "lens_head=shared", "shade=entropy", "cell=")
        wanted, cell = text_of(page, "#lens-headline .hcl-headline"), text_of(page, "#lens-cell h3")
        page.reload()
        page.locator("#lens-cell tbody tr").first.wait_for()
        assert (text_of(page, "#lens-headline .hcl-headline"), text_of(page, "#lens-cell h3")) == (wanted, cell)
        shapes = "document.querySelector('#lens .hcl-chart').layout?.shapes"
        page.wait_for_function(f"{shapes}.some((each) => each.line.width === 2 && each.x1 - each.x0 === 1)")


@pytest.mark.parametrize(("model", "depth"), [("qwen3-0.6b", 28), ("smollm2-360m", 32)])
def test_a_link_with_a_model_of_other_depth_is_refused_nothing(visit, model, depth):
    with visit(f"?model={model}") as page:  # a refused request would be an error in the console
        page.wait_for_function("document.body.dataset.followed === 'yes'")
        layers = f"{depth // 2 + 1} to {depth}"
        page.locator("#chips [data-opens=first_layer] b", has_text=layers).wait_for()
        page.locator("#estimate", has_text=f"{depth // 2} layers").wait_for()
        assert "does not exist" not in text_of(page, "#headline")
        address_has(page, f"model={model}")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_dead_link_says_in_the_results_what_is_not_here(visit, width):
    with visit("?run=deadbeefdeadbeef&layer=99&temperature=abc", width=width) as page:
        columns(page, 30)
        notices = page.locator("#headline .hcl-notices")
        said = notices.inner_text()
        assert re.search("“deadbeefdeadbeef” is not on this machine", said) and "temperature=abc" in said
        assert "Shown instead: Name a planet" in said
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_comparison_of_what_is_not_here_says_so_above_what_is(visit):
    with visit(f"?tab=compare&runs=gone,{SHIPPED},published-0") as page:
        page.locator("#compared .scatterlayer .trace").locator("visible=true").first.wait_for()
        page.locator("#comparison h2").locator("visible=true").wait_for()
        notice = page.get_by_text("“gone” cannot be compared")
        notice.wait_for()
        page.get_by_label("Hallucination", exact=True).click()
        notice.wait_for(state="detached")


@pytest.mark.model
def test_old_results_are_grey_from_run_until_the_first_answers_and_the_run_gets_an_address(visit):
    with visit() as page:
        is_opened(page)
        set_field(page, "Question", OWN)
        add_ideas(page)
        open_settings(page)
        set_field(page, "First layer", 29)
        set_field(page, "Answers a layer", 8)
        becomes_stale(page, "question")
        page.get_by_role("button", name="Run", exact=True).click()
        becomes_stale(page, "running")
        columns(page, 2, timeout=120_000)
        becomes_stale(page, "")
        page.get_by_text(re.compile("saved as run")).wait_for(timeout=60_000)
        address_lacks(page, SHIPPED, "q=")  # the run's id names the question
        address_has(page, "run=", "first=29", "samples=8")
        page.reload()
        columns(page, 2)
        becomes_stale(page, "")
        assert field(page, "Question").input_value() == OWN


@pytest.mark.model
def test_stop_before_the_first_answers_says_that_there_are_none(visit):
    with visit() as page:
        is_opened(page)
        open_settings(page)
        set_field(page, "Answers a layer", 1000)
        set_field(page, "Question", OWN)
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text("Stopped before the first answers came").wait_for(timeout=60_000)
        becomes_stale(page, "question")


def test_further_curves_are_in_the_address_and_drawn_after_a_reload(visit):
    is_drawn = "document.querySelector('#curves .hcl-chart')?.data?.some((trace) => trace.name === 'Confidence')"
    with visit("?more=confidence") as page:
        is_opened(page)
        page.wait_for_function(is_drawn)
        page.locator(".hcl-column[data-layer='27'] .hcl-choose").click()
        address_has(page, "layer=27", "more=confidence")
        page.reload()
        page.wait_for_function(is_drawn)
