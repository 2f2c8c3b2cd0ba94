"""Texts of a lesson as HTML."""

from html import escape

from hcl_core.text import printable


def text(value: str) -> str:
    """Escaped, on one line."""
    return escape(printable(value))


def paragraphs(value: str | None) -> str:
    """Escaped, a paragraph for each that an empty line ends."""
    blocks = (value or "").split("\n\n")
    return "".join(f'<p class="text">{text(" ".join(block.split()))}</p>' for block in blocks if block.strip())
