"""The list of models, the facts of the chosen one and exit heads that come and go, in a real browser."""

import json
from contextlib import contextmanager

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from test_page import browser, watched_page

from docs.screenshots import running_app
from hcl_core.folders import cache_folder, shipped_heads_folder
from hcl_core.models.catalogue import CATALOGUE

__all__ = ["browser"]  # fixture
SHIPPED = shipped_heads_folder() / "smollm2-135m.safetensors"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page with heads of its own; the models that were unpacked for others are not unpacked anew."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "cache").mkdir()
    for name in ("models", "hashes"):
        (cache_folder() / name).mkdir(exist_ok=True)
        (folder / "cache" / name).symlink_to(cache_folder() / name)
    with running_app(HCL_RUNS=str(folder / "runs"), HCL_CACHE=str(folder / "cache")) as url:
        yield url


@contextmanager
def opened(address, browser, locale="en-GB", width=1280, query=""):
    context = browser.new_context(locale=locale)
    with watched_page(address, context, width) as (page, problems):
        page.goto(f"{address}/{query}")
        page.locator("#headline h2").wait_for()
        page.locator(".hcl-drawer-switch").click()
        yield page
        assert problems == []
    context.close()


def model_box(page):
    return page.locator("#set-model input")


def choose_file(page, file):
    with page.expect_file_chooser() as chooser:
        page.locator("#head-fit button:visible").last.click()
    chooser.value.set_files(file)


def wait_for(page, element, text):
    page.wait_for_function(
        "([where, text]) => document.querySelector(where)?.innerText.includes(text)", arg=[element, text]
    )


@pytest.mark.parametrize(
    ("locale", "chosen", "marks"),
    [
        ("en-GB", "smollm2-135m · 30 layers · 0.3\u00a0GB", "too large for this machine"),
        ("de-DE", "smollm2-135m · 30 Schichten · 0,3\u00a0GB", "zu groß für diesen Rechner"),
        ("zh-CN", "smollm2-135m · 30 层 · 0.3\u00a0GB", "超出本机内存"),
    ],
)
def test_each_model_of_the_list_is_marked_before_run_is_pressed(address, browser, locale, chosen, marks):
    with opened(address, browser, locale) as page:
        page.wait_for_function("text => document.querySelector('#set-model input').value === text", arg=chosen)
        model_box(page).click()
        choices = page.locator("#set-model [role=option]")
        assert choices.count() == len(CATALOGUE)
        (largest,) = [text for text in choices.all_inner_texts() if "llama2-70b" in text]
        assert marks in largest


def test_the_value_of_a_marked_choice_is_its_name_and_another_can_be_typed(address, browser):
    with opened(address, browser, query="?q=Name%20a%20star&a=Sun&model=smollm2-360m") as page:
        page.wait_for_function(
            "document.querySelector('#set-model input').value.startsWith('smollm2-360m · 32 layers')"
        )
        wait_for(page, "#chips", "smollm2-360m")
        assert "·" not in page.locator("#chips [data-opens=model]").inner_text()
        wait_for(page, "#model-facts", "family verified")
        for typed, facts, estimate in (
            ("smollm2-135m", "Apache-2.0 · verified", "15 layers"),
            ("somebody/else", "licence not known here", "its size is not known before"),
        ):
            model_box(page).fill(typed)
            page.keyboard.press("Tab")
            wait_for(page, "#model-facts", facts)
            wait_for(page, "#estimate", estimate)
        assert model_box(page).input_value() == "somebody/else"
        wait_for(page, "#head-note", "How long it takes is not known yet")


def test_the_facts_open_and_name_licence_and_test(address, browser):
    with opened(address, browser, width=390) as page:
        facts = page.locator("#model-facts")
        assert "tests/test_engine.py" not in facts.inner_text()
        facts.locator("summary").click()
        assert "Licence: Apache-2.0" in facts.inner_text() and "tests/test_engine.py" in facts.inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_head_is_saved_refused_asked_about_and_taken(address, browser, tmp_path):
    other, wrong = tmp_path / "other.safetensors", tmp_path / "head.pt"
    with safe_open(SHIPPED, "np") as file:
        ((key, record),) = file.metadata().items()
    save_file(load_file(SHIPPED), other, {key: json.dumps(json.loads(record) | {"num_tokens": 50_017})})
    wrong.write_bytes(b"\x80\x04N.")
    with opened(address, browser) as page:
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the head").click()
        assert download.value.path().read_bytes() == SHIPPED.read_bytes()
        with page.expect_download() as download:
            page.get_by_role("link", name="its card").click()
        assert "A linear exit head for `smollm2-135m`" in download.value.path().read_text(encoding="utf-8")
        choose_file(page, wrong)
        wait_for(page, "#head-status", "which holds numbers alone; got head.pt")
        choose_file(page, other)
        page.get_by_role("button", name="Keep the old one").click(timeout=90_000)
        wait_for(page, "#head-status", "Nothing has changed")
        choose_file(page, other)
        page.get_by_role("button", name="Take the new one").click(timeout=90_000)
        wait_for(page, "#head-status", "The head is here")
        wait_for(page, "#head-note", "50,017 tokens")
        page.wait_for_function("!document.querySelector('#estimate').innerText.includes('Loading the model')")
        assert not page.get_by_role("button", name="Take the new one").is_visible()
