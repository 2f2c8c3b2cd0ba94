"""The program's terms with their definitions: ``assets/glossary/<language>.json``. The docs and the page share them."""

import json
from dataclasses import dataclass
from functools import cache

from hcl_core.folders import PROGRAM

_FOLDER = PROGRAM / "assets" / "glossary"
_FALLBACK = "en"


@dataclass(frozen=True, slots=True)
class Entry:
    """One term.

    Attributes:
        term: As texts write it.
        definition: One to three sentences; Markdown code spans alone.
    """

    term: str
    definition: str


@cache
def glossary(language: str = _FALLBACK) -> dict[str, Entry]:
    """The entries by key, in reading order; the keys are the same in all languages.

    Args:
        language: A code such as ``"de"``; English where there is no such file.
    """
    languages = {file.stem: file for file in _FOLDER.glob("*.json")}
    file = languages.get(language, languages[_FALLBACK])
    return {key: Entry(**entry) for key, entry in json.loads(file.read_text(encoding="utf-8")).items()}
