"""The page in a real browser: a visitor's whole path, by mouse and by keys alone, wide and narrow, light and dark."""

import json
import os
import re
import shutil
from contextlib import contextmanager

import pytest
from conftest import FakeEmbedder
from test_runs import SETTINGS, make_manifest
from test_views import HOSTILE

SHIPPED, WARMER = "0be6b1cadd189061", "a9a4b3a8654fe9da"
TABS = ("Explore", "Token lens", "Compare", "Data set", "Runs", "Learn")
pytestmark = [pytest.mark.browser, pytest.mark.slow]


def write_hostile_run(runs):
    """A finished run whose question, prompt, answers and tokens are made to do harm; its id."""
    from dataclasses import replace

    from hcl_core.judges.alias import AliasJudge
    from hcl_core.pipeline.scorer import Embeddings
    from hcl_core.pipeline.stored import rescore
    from hcl_core.records import Question, Sample, StoredQuestion
    from hcl_core.runs.folder import RunFolder

    # A run's questions and answers are JSON and Arrow texts, which hold every letter but half a pair.
    texts = [*HOSTILE, "مرحبا ‮dlrow", "😀👩‍👩‍👧"]
    question = Question("<img src=x onerror=alert(1)>", " ".join(HOSTILE)[:9_000], tuple(texts))
    settings = replace(SETTINGS, num_samples=len(texts), model="<script>alert(1)</script>")
    manifest = replace(make_manifest(settings, [question]), question_set="<b>set</b>")
    stored = StoredQuestion(question, f"Q: {question.text}\nA:")
    manifest = replace(manifest, run_id=settings.run_id([stored]), finished_at=manifest.created_at)
    folder = RunFolder(runs / manifest.run_id)
    folder.create(manifest, [stored])
    samples = [
        Sample(question.id, layer, number, " ".join(text.split()), text, (number,), (-0.5,), "length")
        for layer in settings.exit_layers
        for number, text in enumerate(texts)
    ]
    folder.append_samples(samples)
    folder.add_token_texts(dict(enumerate(texts)))
    rescore(folder, AliasJudge(), Embeddings(FakeEmbedder))
    return manifest.run_id


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def hostile_run(runs):
    return write_hostile_run(runs)


@pytest.fixture(scope="module")
def address(runs, hostile_run):
    from docs.screenshots import running_app

    with running_app(HCL_RUNS=str(runs)) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all visits: its start takes a second."""
    if shutil.which("chromium") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must install chromium")
        pytest.skip("needs Chromium")
    from docs.screenshots import running_browser

    with running_browser() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def usual(browser):
    """What most visitors share: their browser has the page's scripts from the visit before."""
    return browser.new_context(locale="en-GB")


@contextmanager
def watched_page(address, context, width):
    """A page, and whatever is wrong with it: errors in the console, requests that leave the machine."""
    problems = []
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append("a dialog opened"))
    page.on("request", lambda r: r.url.startswith((address, "data:", "blob:")) or problems.append(r.url))
    page.set_default_timeout(30_000)
    try:
        yield page, problems
    finally:
        page.close()


@pytest.fixture
def visit(address, browser, usual):
    """Opens the page, and fails the test where something is wrong with it.

    With settings of a visitor's own (``locale``, ``color_scheme``, ...), nothing is kept of other visits.
    """

    @contextmanager
    def opened(query="", width=1280, **settings):
        context = browser.new_context(**{"locale": "en-GB"} | settings) if settings else usual
        with watched_page(address, context, width) as (page, problems):
            page.goto(f"{address}/{query}")
            page.locator("#headline h2").wait_for(state="attached")
            yield page
            assert problems == []

    return opened


FINITE_ANIMATIONS = """Promise.allSettled(document.getAnimations()
    .filter((each) => each.effect.getComputedTiming().endTime < Infinity)
    .map((each) => each.finished)).then(() => true)"""


@pytest.fixture(scope="module")
def first_visit(address, usual):
    """The page as it opens, with stored answers; for tests that change nothing on it that another one looks at."""
    with watched_page(address, usual, 1280) as (page, problems):
        page.goto(address)
        columns(page, 30)
        yield page
        assert problems == []


# What stands on a tab once it shows something.
SHOWN = {
    "Explore": "#curves .barlayer .point",
    "Token lens": "#lens .heatmaplayer",
    "Compare": "#compared .scatterlayer .trace",
    "Data set": "#set-curves .barlayer .point",
    "Runs": "#run-curves .barlayer .point",
    "Learn": "#learn .hcl-guess",
}


def open_tab(page, name):
    """Opens a tab, from the menu of those that do not fit too, and waits until it shows something."""
    tab = page.get_by_role("tab", name=name, exact=True)
    if not tab.first.is_visible():
        page.locator("#tabs .overflow-menu > button").first.click()
        page.locator("#tabs .overflow-dropdown button", has_text=name).click()
    else:
        tab.first.click()
    page.locator(SHOWN[name]).locator("visible=true").first.wait_for()


def set_field(page, label, value):
    page.get_by_label(label, exact=True).first.fill(str(value))


def open_settings(page):
    """Opens the drawer, which an earlier visit of the same browser may have left open."""
    if page.locator("#drawer").is_hidden():
        page.get_by_role("button", name="All settings").click()
    page.locator("#drawer").wait_for()


def text_of(page, selector):
    return page.locator(selector).inner_text()


def changes(page, selector, before):
    page.wait_for_function(
        "([selector, before]) => document.querySelector(selector).innerText !== before", arg=[selector, before]
    )


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def columns(page, number, timeout=60_000):
    """Waits for the answers of so many layers, and for the chart, which the browser draws on its own time."""
    page.wait_for_function(
        f"document.querySelectorAll('.hcl-column').length === {number} && document.querySelector('#curves .xtitle')",
        timeout=timeout,
    )


def test_a_first_visit_has_stored_answers_that_can_be_balanced(visit):
    with visit() as page:
        columns(page, 30)
        page.locator("#curves .barlayer .point").nth(29).wait_for(state="attached")
        assert page.locator("#curves .barlayer .point").count() == 30
        before = text_of(page, "#headline .hcl-headline")
        marked = "document.querySelector('.hcl-column.best').dataset.layer"
        best = page.evaluate(marked)
        page.get_by_label("number input for Balance").first.fill("0")
        page.get_by_label("number input for Balance").first.press("Enter")
        changes(page, "#headline .hcl-headline", before)
        page.wait_for_function(f"{marked} !== {json.dumps(best)}")
        assert page.locator(".hcl-column.best").count() == 1


def test_a_question_is_found_and_its_stored_answers_are_shown(visit):
    with visit() as page:
        before = text_of(page, "#headline .hcl-headline")
        set_field(page, "Question", "baltic")
        page.get_by_role("option", name="Baltic").first.click()
        changes(page, "#headline .hcl-headline", before)
        assert "Baltic" in text_of(page, "#headline .hcl-headline")
        page.locator("#ideas li", has_text="Sweden").wait_for(state="attached")


def test_a_layer_is_chosen_everywhere_and_shows_its_samples(visit):
    with visit() as page:
        columns(page, 30)
        page.locator("#curves .nsewdrag").first.click()
        page.locator("#detail h3").wait_for()
        layer = page.locator("#detail .hcl-detail").get_attribute("data-layer")
        assert page.locator(".hcl-column.selected").get_attribute("data-layer") == layer
        assert f"layer={layer}" in page.locator("#link input").input_value()
        assert page.locator("#detail .hcl-token").count() > 3
        # Another layer, by its column: the chart's mark moves along.
        page.locator(".hcl-column[data-layer='27'] .hcl-choose").click()
        page.locator("#detail .hcl-detail[data-layer='27']").wait_for()
        shapes = "document.querySelector('#curves .hcl-chart').layout.shapes"
        page.wait_for_function(f"{shapes}.some((shape) => shape.x0 === 27 && shape.line.width === 2)")


def test_a_meaning_is_followed_through_the_layers(first_visit):
    page = first_visit
    page.locator(".hcl-column[data-layer='30'] .hcl-card").first.hover()
    lit = page.evaluate("[...document.querySelectorAll('.hcl-card.echo')].map((card) => card.dataset.meaning)")
    assert len(lit) > 3 and len(set(lit)) == 1
    assert re.search(r"layers \d+ to 30", text_of(page, ".hcl-followed"))


def test_columns_are_thinned_and_the_best_and_the_last_stay(first_visit):
    page = first_visit
    page.get_by_role("button", name="1 in 5").click()
    shown = page.evaluate("[...document.querySelectorAll('.hcl-column:not([hidden])')].map((c) => +c.dataset.layer)")
    best = page.locator(".hcl-column.best").get_attribute("data-layer")
    assert set(shown) == {5, 10, 15, 20, 25, 30, int(best)}


def test_the_river_and_the_numbers_stand_beside_the_columns(first_visit):
    page = first_visit
    page.get_by_role("tab", name="Answer river").click()
    page.wait_for_function("document.querySelectorAll('#river .scatterlayer .trace').length >= 5")
    page.get_by_role("tab", name="Numbers").click()
    assert page.locator("#numbers tbody tr").count() == 30
    page.get_by_role("tab", name="Side by side").click()


def test_further_curves_can_be_added(first_visit):
    page = first_visit
    page.get_by_label("Further curves").click()
    page.get_by_role("option", name="Confidence").click()
    page.wait_for_function("document.querySelector('#curves .legend').textContent.includes('Confidence')")


@pytest.mark.parametrize("width", [1280, 380])
def test_two_runs_are_compared_in_a_tab_of_their_own(visit, width):
    with visit(width=width) as page:
        open_tab(page, "Compare")
        page.wait_for_function("document.querySelectorAll('#compared .scatterlayer .trace').length === 6")
        before = text_of(page, "#comparison")
        page.get_by_label("Hallucination", exact=True).click()
        changes(page, "#comparison", before)
        assert fits(page)


def test_a_link_opens_the_same_view_again(visit):
    with visit() as page:
        columns(page, 30)
        page.locator(".hcl-column[data-layer='26'] .hcl-choose").click()
        page.locator("#detail .hcl-detail[data-layer='26']").wait_for()
        before = text_of(page, "#headline .hcl-headline")
        page.get_by_label("number input for Balance").first.fill("0")
        page.get_by_label("number input for Balance").first.press("Enter")
        changes(page, "#headline .hcl-headline", before)
        page.wait_for_function("document.querySelector('#link input').value.includes('balance=0')")
        link, wanted = page.locator("#link input").input_value(), text_of(page, "#headline .hcl-headline")
    with visit(link[link.index("?") :]) as page:
        page.locator("#detail .hcl-detail[data-layer='26']").wait_for()
        assert text_of(page, "#headline .hcl-headline") == wanted
        page.locator(".hcl-column.selected[data-layer='26']").wait_for()
        assert page.get_by_label("number input for Balance").first.input_value() == "0"


def test_a_link_fills_the_form_in(visit):
    with visit("?q=Name%20a%20%3Cb%3Estar%3C/b%3E&a=Sun&a=Vega&temperature=0.3&last=20") as page:
        assert page.get_by_label("Question", exact=True).input_value() == "Name a <b>star</b>"
        assert page.locator("#ideas li").all_inner_texts() == ["Sun\n×", "Vega\n×"]
        open_settings(page)
        assert page.get_by_label("Temperature", exact=True).input_value() == "0.3"
        assert "Press Run" in text_of(page, "#status")


def tab_fits(page, name):
    """Whether nothing of the tab is wider than the window, once its charts are as wide as their boxes."""
    open_tab(page, name)
    page.wait_for_function(
        """[...document.querySelectorAll('.hcl-chart')].filter((box) => box.offsetParent && box.data).every((box) =>
           Math.abs(box.querySelector('.main-svg').getBoundingClientRect().width - box.clientWidth) < 2)"""
    )
    return fits(page)


@pytest.mark.parametrize("width", [380, 1920])
def test_every_tab_fits_from_a_telephone_to_a_projector(visit, width):
    with visit(width=width, color_scheme="light") as page:
        too_wide = [name for name in TABS if not tab_fits(page, name)]
        if width == 1920:
            page.get_by_role("button", name="Large type").click()
            too_wide += [f"{name}, large" for name in TABS if not tab_fits(page, name)]
        assert too_wide == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_tab(visit, scheme):
    from axe_playwright_python.sync_playwright import Axe

    with visit(color_scheme=scheme) as page:
        columns(page, 30)
        page.locator(".hcl-column[data-layer='26'] .hcl-choose").click()
        page.locator("#detail .hcl-rows").wait_for()
        found = []
        for name in TABS:
            open_tab(page, name)
            if name == "Learn":
                page.get_by_label("In the last third").locator("visible=true").click()
                page.get_by_role("button", name="Show what happened").locator("visible=true").click()
                page.locator(".hcl-revealed").wait_for()
            # A colour in the middle of its transition is no colour that a reader is left with.
            page.evaluate(FINITE_ANIMATIONS)
            for each in Axe().run(page).response["violations"]:
                if each["impact"] in ("serious", "critical"):
                    found.append((name, each["id"], each["nodes"][0]["html"][:200]))
        assert found == []


def test_dark_and_large_are_kept_for_the_next_visit(visit):
    with visit(color_scheme="light") as page:
        columns(page, 30)
        style = "getComputedStyle(document.querySelector('#curves .xtitle'))"
        ink = f"{style}.fontSize + {style}.fill"
        before = page.evaluate(ink)
        page.get_by_role("button", name="Dark colours").click()
        page.get_by_role("button", name="Large type").click()
        page.wait_for_function(f"({ink}) !== {json.dumps(before)}")
        page.reload()
        columns(page, 30)
        assert page.evaluate("document.body.className").count("dark") == 1
        assert page.get_by_role("button", name="Large type").get_attribute("aria-pressed") == "true"


def test_keys_alone_choose_a_layer_on_the_chart_and_among_the_answers(visit):
    with visit() as page:
        columns(page, 30)
        page.locator("#curves .barlayer .point").nth(29).wait_for(state="attached")
        page.locator("#curves .hcl-chart").focus()
        page.keyboard.press("End")
        page.locator("#detail .hcl-detail[data-layer='30']").wait_for()
        page.keyboard.press("ArrowLeft")
        page.locator("#detail .hcl-detail[data-layer='29']").wait_for()
        # From the chart on, by Tab to the answers: one stop, and arrows inside.
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.matches('.hcl-choose')"):
                break
        where = "document.activeElement.closest('.hcl-column').dataset.layer"
        at = int(page.evaluate(where))
        page.keyboard.press("ArrowLeft")
        assert page.evaluate(where) == str(at - 1)
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.matches('.hcl-card')")
        assert page.locator(".hcl-card.echo").count() >= 1
        page.keyboard.press("Enter")
        page.locator(f"#detail .hcl-detail[data-layer='{at - 1}']").wait_for()


def test_keys_alone_reach_run_from_the_top_of_the_page(visit):
    with visit() as page:
        columns(page, 30)
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText") == "Run":
                break
        assert page.evaluate("document.activeElement.innerText") == "Run"
        style = "getComputedStyle(document.activeElement)"
        assert page.evaluate(f"{style}.outlineStyle !== 'none' || {style}.boxShadow !== 'none'")


def test_the_page_speaks_german_to_a_german_browser(visit):
    with visit(locale="de-DE") as page:
        columns(page, 30)
        assert (
            "Schicht" in text_of(page, "#headline .hcl-headline")
            and page.get_by_role("tab", name="Erkunden").count() == 1
        )
        words = text_of(page, "body")
        assert "__i18n__" not in words and "hcl_word" not in words
        for english in ("Answers a layer", "Right answers", "Further curves", "Token lens", "Stored answers of"):
            assert english not in words


def test_the_page_speaks_the_first_of_a_browsers_languages_that_it_has(address, browser):
    context = browser.new_context(locale="fr", extra_http_headers={"Accept-Language": "fr, de;q=0.9"})
    context.add_init_script("Object.defineProperty(navigator, 'languages', {value: ['fr', 'de']})")
    with watched_page(address, context, 1440) as (page, problems):
        page.goto(address)
        columns(page, 30)
        assert "Schicht" in text_of(page, "#headline .hcl-headline")  # a sentence of the server
        assert page.get_by_role("tab", name="Erkunden").count() == 1  # a label, translated in the browser
        assert page.evaluate("document.documentElement.lang") == "de"
        assert problems == []
    context.close()


def test_a_token_lens_is_shown_and_a_cell_has_its_ten_tokens(visit):
    with visit() as page:
        open_tab(page, "Token lens")
        page.locator("#lens .hcl-chart").focus()
        page.keyboard.press("ArrowUp")
        page.locator("#lens-cell tbody tr").first.wait_for()
        assert page.locator("#lens-cell tbody tr").count() == 10
        before = text_of(page, "#lens-headline")
        page.get_by_label("the model’s own", exact=True).locator("visible=true").click()
        changes(page, "#lens-headline", before)


def test_a_row_of_the_set_opens_its_question_in_explore(visit):
    with visit() as page:
        open_tab(page, "Data set")
        page.locator("#set-rows").get_by_text("dwarf planet").locator("visible=true").first.click()
        page.wait_for_function("document.querySelector('#headline').innerText.includes('dwarf')")
        assert page.get_by_role("tab", name="Explore").get_attribute("aria-selected") == "true"


def test_a_run_is_exported_deleted_and_brought_back(visit, runs, hostile_run):
    with visit() as page:
        open_tab(page, "Runs")
        page.locator("#run-rows").get_by_text(hostile_run).locator("visible=true").first.click()
        page.wait_for_function(f"document.querySelector('#manifest').innerText.includes('{hostile_run}')")
        page.get_by_role("button", name="Make the file").click()
        page.get_by_text(re.compile("Ready: .* MB")).wait_for()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save the chart as PNG").click()
        assert saved.value.suggested_filename == "hcl-run.png"
        page.get_by_role("button", name="Delete …").click()
        page.get_by_role("button", name="Keep it").click()
        assert (runs / hostile_run).is_dir()
        page.get_by_role("button", name="Delete …").click()
        page.get_by_role("button", name="Delete it").click()
        page.get_by_text("is in the trash").wait_for()
        assert not (runs / hostile_run).exists()
        page.get_by_role("button", name="Undo the deletion").click()
        page.get_by_text(f"Run {hostile_run} is back").wait_for()
        assert (runs / hostile_run).is_dir()


def test_a_step_of_the_walkthrough_shows_its_chart_after_a_guess(visit):
    with visit() as page:
        open_tab(page, "Learn")
        assert page.locator("#learn .plotly").locator("visible=true").count() == 0
        page.get_by_label("In the last third").locator("visible=true").click()
        page.get_by_role("button", name="Show what happened").locator("visible=true").click()
        page.get_by_text("You guessed right.").wait_for()
        page.locator("#learn .heatmaplayer").wait_for()
        page.get_by_role("button", name="Next").locator("visible=true").click()
        page.get_by_role("heading", name="Stopping early").wait_for()


# Tab of the address, a chart that is drawn of what others wrote, and where their text stands.
WRITTEN = {
    "Explore": ("", "#curves .barlayer .point", "#headline"),
    "Data set": ("tab=dataset&", "#set-curves .barlayer .point", "#set-rows"),
    "Runs": ("tab=runs&", "#run-curves .barlayer .point", "#manifest"),
    "Compare": ("tab=compare&", "#compared .scatterlayer .trace", "#comparison"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_others_wrote_is_shown_as_text_and_harmless(visit, hostile_run, name):
    tab, chart, place = WRITTEN[name]
    with visit(f"?{tab}run={hostile_run}&runs={hostile_run},{SHIPPED}&layer=3") as page:
        page.locator(chart).locator("visible=true").first.wait_for()
        page.locator(place).get_by_text("<script>alert(1)</script>").locator("visible=true").first.wait_for()
        if name == "Explore":
            assert page.locator("#detail .hcl-token").count() >= 10
            page.locator("#curves .nsewdrag").first.hover()
            page.locator("#curves .hoverlayer .hovertext, #curves .hoverlayer .legend").first.wait_for()
            page.get_by_role("tab", name="Answer river").click()
            page.locator("#river .nsewdrag").first.hover()
            page.locator("#river .hoverlayer .hovertext, #river .hoverlayer .legend").first.wait_for()
        assert page.locator("img[onerror], img[src='x']").count() == 0
        assert page.evaluate(
            "[...document.querySelectorAll('script')].every((s) => !s.textContent.includes('alert(1)'))"
        )
        assert fits(page)


@pytest.mark.model
def test_a_visitor_runs_a_question_of_their_own(visit):
    with visit() as page:
        set_field(page, "Question", "What is the capital of <b>France</b>?")
        for idea in ("Paris", "Lutetia"):
            page.locator("#add-idea").fill(idea)
            page.locator("#add-idea").press("Enter")
        open_settings(page)
        set_field(page, "First layer", 27)
        set_field(page, "Answers a layer", 12)
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text(re.compile("saved as run")).wait_for(timeout=120_000)
        columns(page, 4)
        # Three curves and their intervals.
        page.wait_for_function("document.querySelectorAll('#curves .scatterlayer .trace').length === 6")
        assert "<b>France</b>" in text_of(page, "#headline .hcl-headline")
        page.locator(".hcl-column[data-layer='30'] .hcl-choose").click()
        page.locator("#detail .hcl-token").first.wait_for()
        assert fits(page)


@pytest.mark.model
def test_stop_keeps_what_came_and_run_goes_on(visit):
    with visit(width=380, color_scheme="dark") as page:
        columns(page, 30)
        open_settings(page)
        set_field(page, "First layer", 28)
        set_field(page, "Answers a layer", 1000)
        set_field(page, "Temperature", 1.5)
        page.get_by_role("button", name="Run", exact=True).click()
        columns(page, 3, timeout=120_000)
        # While it runs, the page answers: what came so far is weighed anew.
        before = text_of(page, "#headline .hcl-headline")
        page.get_by_label("number input for Balance").first.fill("0")
        page.get_by_label("number input for Balance").first.press("Enter")
        changes(page, "#headline .hcl-headline", before)
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text("Stopped. What came so far stays").wait_for(timeout=60_000)
        assert "So far" in text_of(page, "#headline .hcl-headline")
        columns(page, 3)
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text(re.compile("of 3,000 answers")).wait_for(timeout=60_000)
        page.get_by_role("button", name="Stop", exact=True).click()
        page.get_by_text("Stopped. What came so far stays").wait_for(timeout=60_000)


@pytest.mark.model
def test_a_set_is_run_live(visit):
    with visit() as page:
        open_settings(page)
        set_field(page, "First layer", 28)
        set_field(page, "Answers a layer", 4)
        open_tab(page, "Data set")
        set_field(page, "Questions", 3)
        page.get_by_role("button", name="Run the set").click()
        page.get_by_text("All questions are answered").wait_for(timeout=120_000)
        assert "3 of 3 questions of starter" in text_of(page, "#set-headline")


@pytest.mark.model
def test_any_prompt_is_read_through_the_lens(visit):
    with visit() as page:
        open_tab(page, "Token lens")
        page.get_by_label("Prompt, exactly as sent").fill("<b>The capital of France is")
        page.get_by_role("button", name="Look").click()
        page.get_by_text("Read in one pass").wait_for(timeout=120_000)
        assert "<b>The capital of France is" in text_of(page, "#lens-headline")
