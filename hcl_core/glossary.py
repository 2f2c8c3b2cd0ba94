"""The program's terms with their definitions: ``assets/glossary/<language>.json``. The docs and the page share them."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hcl_core.folders import PROGRAM

_FOLDER = PROGRAM / "assets" / "glossary"
_FALLBACK = "en"


@dataclass(frozen=True, slots=True)
class Entry:
    """One term.

    Attributes:
        term: As texts write it.
        asked: The question that the definition answers.
        definition: One to three plain sentences.
        formula: How it is computed, in words; empty where nothing is.
        step: Of the tab Learn, where more is said; ``None`` for a term of the program alone.
    """

    term: str
    asked: str
    definition: str
    formula: str = ""
    step: int | None = None


@cache
def glossary(language: str = _FALLBACK) -> dict[str, Entry]:
    """The entries by key, in reading order; the keys are the same in all languages, and so are the steps.

    Args:
        language: A code such as ``"de"``; English where there is no such file.
    """
    languages = {file.stem: file for file in _FOLDER.glob("*.json")}
    fallback = _read(languages[_FALLBACK])
    entries = _read(languages.get(language, languages[_FALLBACK]))
    return {key: Entry(**entry | {"step": fallback[key].get("step")}) for key, entry in entries.items()}


def _read(file: Path) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return entries
