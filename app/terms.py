"""Marks on measured words: a small button that says what the word means, by ``assets/glossary.js``."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from app.language import Translator
from hcl_core.glossary import glossary

# Names of columns and controls whose term has another name.
_TERMS = {
    "best_in": "p_optimal",
    "exit_layers": "exit_layer",
    "first_layer": "exit_layer",
    "num_samples": "sample",
    "rule": "judge",
    "sample_numbers": "sample",
    "strategy_name": "strategy",
    "tokens": "token",
}


def term_of(name: str) -> str | None:
    """The key of the glossary for a measure, a column or a setting; ``None`` where it explains none."""
    key = _TERMS.get(name, name)
    return key if key in glossary() else None


def mark(name: str, words: Translator) -> str:
    """A button behind a word; empty where the glossary does not explain it."""
    key = term_of(name)
    if key is None:
        return ""
    asked = escape(glossary(words.language)[key].asked)
    # Hidden where the page's glossary.css is missing, as in an exported file: nothing there could answer.
    return (
        f'<button type="button" class="hcl-term" data-term="{key}" aria-label="{asked}" aria-haspopup="dialog" hidden>'
        "</button>"
    )


def chart_terms(names: Iterable[str], words: Translator) -> list[dict[str, str]]:
    """What ``chart.js`` makes the marks below a chart of: term, question and word of each that is explained."""
    entries = glossary(words.language)
    keys = dict.fromkeys(key for name in names if (key := term_of(name)))
    return [{"term": key, "asked": entries[key].asked, "word": entries[key].term} for key in keys]


def explained(key: str) -> list[str]:
    """Classes of a control whose label gets a mark; raises ``KeyError`` where the glossary has no such term."""
    glossary()[key]
    return ["hcl-explained", f"hcl-term-{key}"]


def explain(parts: Mapping[str, Any], names: Iterable[str]) -> None:
    """The labels of the controls ``names`` get a mark; raises ``KeyError`` where there is no such term."""
    for name in names:
        parts[name].elem_classes = [*(parts[name].elem_classes or []), *explained(_TERMS.get(name, name))]
