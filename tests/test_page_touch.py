"""By touch alone, and on again after a stop, in a real browser."""

# ruff: noqa: F401, F811 (fixtures are imported and are arguments)

import re

import pytest
from test_page import address, browser, columns, hostile_run, runs, text_of, usual, visit

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CARD = ".hcl-column[data-layer='24'] .hcl-card.incorrect[data-answer]"
STOPPED = "Stopped. What came so far stays"


def ran(page):
    return page.get_by_text(re.compile("saved as run"))


@pytest.mark.model
def test_a_finger_runs_a_question_and_the_bar_says_before_that_it_is_open(visit):
    with visit("?q=Name+a+river.&first=29&samples=8", width=390, has_touch=True, is_mobile=True) as page:
        page.locator(".hcl-ideas em").wait_for()
        assert text_of(page, ".hcl-ideas em") == "No right answers: an open question"
        page.get_by_role("button", name="Run", exact=True).tap()
        ran(page).wait_for(timeout=120_000)
        columns(page, 2)


def test_a_finger_judges_an_answer_after_reading_what_that_holds_for(visit):
    with visit(width=390, has_touch=True, is_mobile=True) as page:
        columns(page, 30)
        card = page.locator(CARD).first
        card.tap()
        button = card.get_by_role("button", name="Right too")
        assert re.search(r"\(for (this|\d+) wordings? in all layers, \d+ answers\)", button.get_attribute("aria-label"))
        button.tap()
        page.locator("#verdicts [role=status]").wait_for()
        # The mark on the card stands below the buttons, not under them.
        mark = page.locator(".hcl-column[data-layer='24'] .hcl-own").first
        mark.wait_for()
        buttons = page.locator(".hcl-card:has(.hcl-own) .hcl-judge").first
        assert buttons.count() == 0 or not overlap(mark.bounding_box(), buttons.bounding_box())
        page.locator("#verdicts").get_by_role("button", name="Undo all").tap()
        page.get_by_text("Is the judge wrong?").wait_for()


def overlap(first, second):
    return all(
        first[at] < second[at] + second[size] and second[at] < first[at] + first[size]
        for at, size in (("x", "width"), ("y", "height"))
    )


def test_the_visitors_verdicts_are_said_to_count_in_explore_alone(visit):
    with visit() as page:
        columns(page, 30)
        page.locator(CARD).first.hover()
        page.locator(CARD).first.get_by_role("button", name="Right too").click()
        page.locator("#verdicts [role=status]").wait_for()
        mark = page.locator(".hcl-card:has(.hcl-judge) .hcl-own").first
        mark.wait_for()
        page.locator(".hcl-card:has(.hcl-own):has(.hcl-judge)").first.hover()
        buttons = page.locator(".hcl-card:has(.hcl-own) .hcl-judge").locator("visible=true").first
        assert not overlap(mark.bounding_box(), buttons.bounding_box())
        page.get_by_role("tab", name="Compare").click()
        page.locator("#comparison", has_text="Here the judge alone counts").wait_for()
        page.get_by_role("tab", name="Explore").click()
        page.locator("#verdicts").get_by_role("button", name="Undo all").click()
        page.get_by_text("Is the judge wrong?").wait_for()


@pytest.mark.model
def test_a_run_that_was_stopped_goes_on_after_a_reload(visit):
    query = "?q=Name+a+sea.&a=Red+Sea&first=28&samples=160&temperature=1.5"
    with visit(query) as page:
        page.locator(".hcl-prefilled p").wait_for()
        page.wait_for_function("document.body.dataset.followed === 'yes'")
        page.get_by_role("button", name="Run", exact=True).click()
        columns(page, 3, timeout=120_000)
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text(STOPPED).wait_for(timeout=60_000)
        page.goto(page.url.split("?")[0] + "?tab=runs")
        there = page.locator("#run-rows .body-cell", has_text=re.compile(r"^\s*\d[\d,]* of 480\s*$")).first
        present = int(there.inner_text().split(" of ")[0].replace(",", ""))
        assert 0 < present < 480
        page.goto(page.url.split("?")[0] + query)
        page.locator(".hcl-prefilled p").wait_for()
        page.wait_for_function("document.body.dataset.followed === 'yes'")
        page.get_by_role("button", name="Run", exact=True).click()
        progress = "/([\\d,]+) of 480 answers/.exec(document.querySelector('#status').innerText)"
        done = page.wait_for_function(f"{progress} && {progress}[1].replace(',', '')", timeout=60_000).json_value()
        assert int(done) >= present
        ran(page).wait_for(timeout=240_000)


@pytest.mark.parametrize("locale", ["de-DE", "en-GB"])
def test_on_a_telephone_the_legend_of_compare_is_as_wide_as_its_chart(visit, locale):
    with visit("?tab=compare", width=390, locale=locale, has_touch=True, is_mobile=True) as page:
        legend = page.locator("#compared .legend .bg")
        legend.wait_for(state="attached")
        chart, names = page.locator("#compared .hcl-chart").bounding_box(), legend.bounding_box()
        assert names["x"] + names["width"] <= chart["x"] + chart["width"] + 1
        last = [
            box["x"] + box["width"]
            for each in page.locator("#compared .legendtext").all()
            if (box := each.bounding_box())
        ]
        assert last and max(last) <= chart["x"] + chart["width"]
        name, switch = (
            page.locator(".hcl-title h1").bounding_box(),
            page.locator(".hcl-title > button").first.bounding_box(),
        )
        assert name["x"] + name["width"] + 8 <= switch["x"]


def test_on_a_telephone_fields_beside_each_other_stand_on_one_line(visit):
    with visit("?tab=dataset", width=390, has_touch=True, is_mobile=True) as page:
        fields = page.locator(".hcl-fields input").locator("visible=true")
        fields.nth(2).wait_for()
        ends = {round(box["y"] + box["height"]) for each in fields.all() if (box := each.bounding_box())}
        assert fields.count() == 3 and len(ends) == 1


@pytest.mark.parametrize("locale", ["en-GB", "de-DE", "zh-CN"])
def test_on_a_telephone_the_field_that_finds_a_run_says_in_full_what_it_takes(visit, locale):
    with visit("?tab=runs", width=390, locale=locale, has_touch=True, is_mobile=True) as page:
        field = page.locator(".hcl-run-filter :is(input, textarea)[placeholder]:visible").first
        field.wait_for()
        needed, there = field.evaluate(
            """(field) => {
                const style = getComputedStyle(field), pen = document.createElement("canvas").getContext("2d");
                pen.font = style.font;
                const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
                return [pen.measureText(field.placeholder).width, field.clientWidth - padding];
            }"""
        )
        assert 0 < needed <= there
