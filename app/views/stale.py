"""Whose results these are, where the form asks for something else by now; ``assets/stale.js`` shows which sentence."""

import json
from collections.abc import Mapping, Sequence
from html import escape

from app.language import Translator
from app.views.base import shown


def stale_notes(
    identity: Sequence[str],
    text: str,
    words: Translator,
    asked: Mapping[str, object] | None = None,
    is_stored: bool = True,
) -> str:
    """Sentences above results; each is hidden until it is true.

    Args:
        identity: Which results: ids of the run, and of its question where they are of one.
        text: What they are of, for people.
        words: The page's.
        asked: Values of the form's controls that these results are of; ``None`` where the form is not beside them.
        is_stored: Whether the ids alone name them in an address.
    """
    results = json.dumps({"identity": " ".join(identity), "asked": asked, "is_stored": is_stored})
    keys = ("running",) if asked is None else ("running", "question", "settings")
    of = shown(text, 160)
    notes = "".join(f'<p data-when="{key}">{words(f"stale_{key}", of=of)}</p>' for key in keys)
    return f'<div class="hcl-stale" role="status" data-results="{escape(results)}">{notes}</div>'
