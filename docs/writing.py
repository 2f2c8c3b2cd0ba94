"""How the texts here get their numbers and pictures."""

from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go


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
