"""How the texts here get their tables, numbers and pictures."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go

ROOT = Path(__file__).parent.parent


def parse_check(description: str | None) -> bool:
    """Reads the command line of a script of this folder: whether ``--check`` is given."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the text is out of date")
    return bool(parser.parse_args().check)


def write(file: Path, blocks: Mapping[str, str], only_check: bool) -> None:
    """Fill ``blocks`` into a text of this folder.

    Args:
        file: The text. The script that fills it bears the same name.
        blocks: As ``fill_in`` takes them.
        only_check: Write nothing, and end the process with an error if the text would change.
    """
    text = file.read_text(encoding="utf-8")
    written = fill_in(text, blocks)
    if not only_check:
        file.write_text(written, encoding="utf-8")
    elif written != text:
        sys.exit(f"{file.relative_to(ROOT)} is out of date: python -m docs.{file.stem}")


def fill_in(text: str, blocks: Mapping[str, str]) -> str:
    """``text`` with what stands between ``<!-- name -->`` and ``<!-- end -->`` replaced by each of ``blocks``."""
    for name, block in blocks.items():
        mark = f"<!-- {name} -->\n"
        start = text.index(mark) + len(mark)
        text = text[:start] + block + text[text.index("<!-- end -->", start) :]
    return text


def draw(figures: Mapping[Path, go.Figure]) -> None:
    """Each figure as a PNG of its own size, rendered by an installed Chromium."""
    from plotly.offline import get_plotlyjs

    from docs.screenshots import browser_page

    for path, figure in figures.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with browser_page(int(figure.layout.width), int(figure.layout.height), device_scale_factor=2) as page:
            page.set_content(f"<body style='margin:0'><script>{get_plotlyjs()}</script><div id='f'></div>")
            page.evaluate("f => Plotly.newPlot('f', f.data, f.layout)", figure.to_plotly_json())
            page.locator("#f").screenshot(path=str(path))
