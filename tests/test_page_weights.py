"""The page of a Space without a model, in a real browser."""

import pytest
from fake_space import Space
from test_page import browser  # noqa: F401  # a fixture

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Space with no weights and an empty index."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "links").mkdir()
    with Space(folder) as space:
        space.wait_for("could not be fetched")
        yield space


@pytest.mark.parametrize(
    ("locale", "says", "buttons"),
    [
        (
            "en-GB",
            "No model is on this machine, so nothing new can be run",
            {"Token lens": "Look", "Data set": "Run the set"},
        ),
        (
            "de-DE",
            "Auf diesem Rechner ist kein Modell, also lässt sich nichts Neues starten",
            {"Token-Linse": "Ansehen", "Datensatz": "Fragensatz starten"},
        ),
    ],
    ids=["en", "de"],
)
def test_stored_runs_open_and_nothing_that_needs_a_model_can_be_pressed(bare, browser, locale, says, buttons):  # noqa: F811
    from playwright.sync_api import expect

    page = browser.new_page(locale=locale)
    page.goto(f"http://127.0.0.1:{bare.port}")
    page.locator(".hcl-column").first.wait_for()
    expect(page.locator("#weights-note")).to_contain_text(says)
    expect(page.locator("#run")).to_be_disabled()
    for tab, button in buttons.items():
        page.get_by_role("tab", name=tab, exact=True).first.click()
        expect(page.get_by_role("button", name=button, exact=True)).to_be_disabled()
    page.close()
