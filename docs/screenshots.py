"""Take the README's screenshots from the running app: ``python docs/screenshots.py`` (needs Chromium).

Starts the app, asks a question live on the embedded model, compares two shipped runs, and saves both tabs, light and
dark, wide and narrow.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

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
def browser_page(width: int, height: int, **context: str) -> Iterator[Page]:
    """A page of Debian's Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": width, "height": height}, **context)  # type: ignore[arg-type]
        try:
            yield page
        finally:
            browser.close()


def ask(page: Page, address: str, question: str | None = None) -> None:
    """Open the page and run a starter question to its end."""
    page.goto(address)
    page.get_by_role("button", name="Run").wait_for()
    if question:
        page.get_by_label("Starter question").click()
        page.get_by_role("option", name=question).click()
    page.get_by_role("button", name="Run").click()
    page.get_by_text(re.compile("saved as run")).wait_for(timeout=120_000)
    page.wait_for_timeout(800)


def main() -> None:
    """Save the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "assets" / "screenshots")
    parser.add_argument("--question", default=None)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    sizes = {"wide": (1440, 980), "narrow": (390, 1900)}
    with running_app() as address:
        for scheme in ("light", "dark"):
            for name, (width, height) in sizes.items():
                with browser_page(width, height, color_scheme=scheme) as page:
                    ask(page, address, options.question)
                    page.screenshot(path=options.out / f"explore-{name}-{scheme}.png")
                    page.get_by_role("tab", name="Compare").click()
                    page.locator("#comparison h2").wait_for(timeout=60_000)
                    page.wait_for_timeout(1200)
                    page.screenshot(path=options.out / f"compare-{name}-{scheme}.png")


if __name__ == "__main__":
    main()
