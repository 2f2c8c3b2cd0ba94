"""The page in a real browser under its own Content-Security-Policy."""

import re

import pytest
from test_page import browser  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.slow]
# What stands on each tab once it has opened.
_SHOWN = {
    "Token lens": ".main-svg",
    "Compare": ".main-svg",
    "Data set": ".main-svg",
    "Runs": "table",
    "Learn": "[role=tabpanel]",
    "Explore": ".hcl-column",
}
_WATCH = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.refused.push([event.violatedDirective, event.blockedURI, event.sample]);
});
"""
_SMUGGLED = """
() => new Promise((done) => {
  window.smuggled = false;
  const box = document.createElement("div");
  box.innerHTML = '<img src="missing" onerror="window.smuggled = true">';
  box.firstChild.addEventListener("error", () => setTimeout(() => done(window.smuggled)));
  document.body.append(box);
})
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    from docs.screenshots import running_app

    with running_app(HCL_RUNS=str(tmp_path_factory.mktemp("runs")), HCL_PUBLIC="1") as url:
        yield url


@pytest.fixture
def asked():
    """Addresses that the page has asked for."""
    return []


@pytest.fixture
def visit(browser, address, asked):  # noqa: F811
    with browser.new_context(locale="en-GB", viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        page.add_init_script(_WATCH)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.locator(".hcl-column").first.wait_for()
        page.locator(".hcl-chart .main-svg").first.wait_for()
        yield page


def test_nothing_that_the_page_does_is_refused_and_nothing_comes_from_elsewhere(visit, address, asked):
    for name in _SHOWN:
        visit.get_by_role("tab", name=name, exact=True).click()
        visit.locator(_SHOWN[name]).locator("visible=true").first.wait_for()
    assert visit.evaluate("window.refused") == []
    assert [url for url in asked if not re.match(f"{re.escape(address)}|data:|blob:", url)] == []


def test_a_handler_that_is_smuggled_into_the_page_does_not_run(visit):
    assert visit.evaluate(_SMUGGLED) is False
    assert [directive for directive, *_ in visit.evaluate("window.refused")] == ["script-src-attr"]
