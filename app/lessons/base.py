"""Texts of a lesson as HTML."""

from html import escape

from hcl_core.text import one_line, printable


def text(value: str) -> str:
    """Escaped, on one line."""
    return escape(printable(value))


def paragraphs(value: str | None) -> str:
    """Escaped, a paragraph for each that an empty line ends."""
    blocks = (value or "").split("\n\n")
    return "".join(f'<p class="text">{text(one_line(block))}</p>' for block in blocks if block.strip())
