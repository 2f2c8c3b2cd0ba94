"""The page in Chinese, whichever variety a browser asks for: Gradio itself knows ``zh-CN`` and ``zh-TW`` alone."""

import pytest
from test_page import address, browser, columns, hostile_run, runs, text_of, usual, visit

__all__ = ["address", "browser", "hostile_run", "runs", "usual", "visit"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("locale", ["zh-CN", "zh-TW", "zh"])
def test_the_page_speaks_simplified_chinese_and_says_that_a_machine_made_it(visit, locale):
    with visit(locale=locale) as page:
        columns(page, 30)
        assert "层" in text_of(page, "#headline .hcl-headline")  # a sentence of the server
        assert page.get_by_role("tab", name="探索").count() == 1  # a label, translated in the browser
        assert page.get_by_text("机器翻译，尚无人校对。").is_visible()
        assert page.evaluate("document.documentElement.lang") == "zh-CN"
        words = text_of(page, "body")
        assert "__i18n__" not in words and "hcl_word" not in words
