"""What is shared of a question, as a visitor saves and copies it in a real browser."""

import pytest
from test_page import SHIPPED, address, browser, hostile_run, runs  # noqa: F401

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def page(browser, address):  # noqa: F811
    context = browser.new_context(accept_downloads=True, viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown = context.new_page()
    shown.goto(f"{address}/?run={SHIPPED}")
    shown.wait_for_selector("#curves .main-svg")
    shown.wait_for_selector("#share .hcl-share")
    yield shown
    context.close()


def saved(page, selector, tmp_path):
    with page.expect_download() as download:
        page.locator(f"#share {selector}").click()
    download.value.save_as(tmp_path / "file")
    return download.value.suggested_filename, (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("is_dark", [False, True])
def test_the_curves_are_saved_as_a_picture_in_the_pages_theme(page, tmp_path, is_dark):
    from PIL import Image

    page.evaluate(f"document.body.classList.toggle('dark', {str(is_dark).lower()})")
    name, content = saved(page, '[data-picture="curves"]', tmp_path)
    assert name == f"{SHIPPED}-curves.png" and content.startswith(b"\x89PNG")
    picture = Image.open(tmp_path / "file").convert("RGBA")
    *colour, opacity = picture.tobytes()[:4]  # of the first pixel
    assert picture.width == 2000 and opacity == 255 and (sum(colour) < 200) == is_dark


@pytest.mark.parametrize(("file", "start"), [("curves.pdf", b"%PDF"), ("page.html", b"<!doctype html>")])
def test_a_link_saves_a_file(page, tmp_path, file, start):
    name, content = saved(page, f'a[href^="share/{file}"]', tmp_path)
    assert name.startswith(SHIPPED) and name.endswith(file) and content.startswith(start)


def test_the_methods_are_copied(page):
    page.locator("#share summary").first.click()
    page.locator("#share details[open] button").click()
    page.locator("#share details[open] button", has_text="Copied").wait_for()
    assert "SmolLM2-135M-Instruct" in page.evaluate("navigator.clipboard.readText()")


def test_an_address_of_nothing_is_refused_in_a_sentence(page, address):  # noqa: F811
    answer = page.request.get(f"{address}/share/curves.svg?run=../..&question=x")
    assert answer.status == 404 and "no longer on this machine" in answer.text()
