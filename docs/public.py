"""The table of ``docs/public.md``: ``python -m docs.public``.

It comes from the fields and the docstring of ``app.settings.PageSettings``. ``--check`` changes nothing and fails when
the text's table is another.
"""

import inspect
import re
from pathlib import Path

from app.settings import PageSettings
from docs.writing import parse_check, write

TEXT = Path(__file__).with_name("public.md")
_ATTRIBUTE = re.compile(r"^(\w+): (.+)$")


def main() -> None:
    """Write the table, or check it."""
    write(TEXT, tables(), parse_check(__doc__))


def tables() -> dict[str, str]:
    """The table by the name of the text's block."""
    described = descriptions()
    lines = ["| variable | without it | what it says |", "|---|---|---|"]
    for name, field in PageSettings.model_fields.items():
        variable = f"{PageSettings.model_config['env_prefix']}{name.upper()}"
        lines.append(f"| `{variable}` | {_shown(field.default)} | {described[name]} |")
    return {"settings": "\n".join(lines) + "\n"}


def descriptions() -> dict[str, str]:
    """What the docstring says of each field, as Markdown."""
    docstring = inspect.getdoc(PageSettings) or ""
    found: dict[str, str] = {}
    name = ""
    for line in docstring.partition("Attributes:\n")[2].splitlines():
        if not line.startswith(" "):
            break
        if not line.startswith(" " * 8) and (match := _ATTRIBUTE.match(line.strip())):
            name, found[match[1]] = match[1], match[2]
        else:
            found[name] += f" {line.strip()}"
    return {name: text.replace("``", "`") for name, text in found.items()}


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}".lower() or "–"


if __name__ == "__main__":
    main()
