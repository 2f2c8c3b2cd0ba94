"""A visitor judges answers in a real browser: by mouse, by keys, and again after a reload."""

import pytest
from test_page import address, browser, columns, hostile_run, usual, visit  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of its own: verdicts stay in it."""
    return tmp_path_factory.mktemp("judged")


CARD = ".hcl-column[data-layer='24'] .hcl-card.incorrect[data-answer]"


def test_an_answer_is_called_right_and_taken_back(visit):  # noqa: F811
    with visit() as page:
        columns(page, 30)
        count = page.locator(".hcl-column[data-layer='24'] .hcl-choose span")
        before = count.inner_text()
        page.locator(CARD).first.hover()
        page.locator(CARD).first.get_by_role("button", name="Right too").click()
        page.locator("#verdicts [role=status]").wait_for()
        assert "You overruled the judge" in page.locator("#verdicts").inner_text()
        assert count.inner_text() != before
        page.locator(".hcl-own.overruled").first.wait_for()
        page.reload()
        page.locator("#verdicts [role=status]").wait_for()
        assert count.inner_text() != before
        page.locator("#verdicts").get_by_role("button", name="As the judge said").click()
        page.wait_for_function(
            "before => document.querySelector(\".hcl-column[data-layer='24'] .hcl-choose span\").innerText === before",
            arg=before,
        )
        page.locator("#verdicts").get_by_role("button", name="Undo all").click()
        page.get_by_text("Is the judge wrong?").wait_for()
        assert count.inner_text() == before


def test_keys_alone_judge_an_answer_and_keep_their_place(visit):  # noqa: F811
    with visit() as page:
        columns(page, 30)
        page.locator(CARD).first.focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.dataset.do") == "right"
        page.keyboard.press("Enter")
        page.locator("#verdicts [role=status]").wait_for()
        page.wait_for_function("document.activeElement.dataset.do === 'right'")
        assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
        page.keyboard.press("Enter")
        page.get_by_text("Is the judge wrong?").wait_for()
