"""Take the README's screenshots from the running app: ``python docs/screenshots.py`` (needs Chromium).

Starts the app, asks a question live on the embedded model, and saves every tab, light and dark, wide and narrow.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parent.parent
# Debian's Chromium in a container: no sandbox of its own, no requests of its own.
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


@contextmanager
def running_app(**environment: str) -> Iterator[str]:
    """The app in a process of its own; its address."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://[\d.]+:\d+", line):
                yield found.group()
                return
        raise RuntimeError("the app ended before it had an address")
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def browser_page(width: int, height: int, **context: Any) -> Iterator[Page]:
    """A page of a browser of its own."""
    with running_browser() as browser:
        yield browser.new_page(viewport={"width": width, "height": height}, **context)


def ask(page: Page, address: str) -> None:
    """Open the page, run its first question to its end, and choose the best layer."""
    page.goto(address)
    page.locator(".hcl-column").first.wait_for()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text(re.compile("saved as run")).wait_for(timeout=120_000)
    page.locator(".hcl-column.best .hcl-choose").click()
    page.locator("#detail .hcl-detail").wait_for()
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1200)


def open_tab(page: Page, name: str) -> None:
    """Open a tab and wait until it has something to show; a narrow page has the last ones in a menu."""
    tab = page.get_by_role("tab", name=name, exact=True).first
    if tab.is_visible():
        tab.click()
    else:
        page.locator("#tabs .overflow-menu > button").first.click()
        page.locator("#tabs .overflow-dropdown button", has_text=name).click()
    if name == "Learn":
        page.get_by_label("In the last third").locator("visible=true").click()
        page.get_by_role("button", name="Show what happened").locator("visible=true").click()
    page.wait_for_timeout(2500)


TABS = {"lens": "Token lens", "compare": "Compare", "dataset": "Data set", "runs": "Runs", "learn": "Learn"}


def main() -> None:
    """Save the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "screenshots")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sizes = {"wide": (1440, 980), "narrow": (390, 1900)}
    with tempfile.TemporaryDirectory() as runs, running_app(HCL_RUNS=runs) as address:
        for scheme in ("light", "dark"):
            for size, (width, height) in sizes.items():
                with browser_page(width, height, color_scheme=scheme, locale="en-GB") as page:
                    ask(page, address)
                    page.screenshot(path=options.out / f"explore-{size}-{scheme}.png")
                    for file, name in TABS.items():
                        open_tab(page, name)
                        page.screenshot(path=options.out / f"{file}-{size}-{scheme}.png")


if __name__ == "__main__":
    main()
