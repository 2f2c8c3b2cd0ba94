"""Stored runs as rows, a run's manifest, and the link that opens it again."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import urlencode

from app import library
from app.language import Translator
from app.library import StoredRun
from app.run_names import asked_of, made_at, run_names, settings_in_words
from app.views.base import setting, setting_name, shown
from hcl_core.settings.layers import format_layers
from hcl_core.text import printable

COLUMNS = ("run", "asked", "made", "num_samples", "kind", "run_id")


def run_rows(runs: Sequence[StoredRun], words: Translator) -> list[list[object]]:
    """One row a run, as ``COLUMNS`` names them; plain text, which the table escapes."""
    return [_row(run, name, words) for run, name in zip(runs, run_names(runs, words, "beside"), strict=True)]


def rows_shown(rows: Sequence[Sequence[object]], runs: Sequence[StoredRun], words: Translator) -> list[list[str]]:
    """The same as people read them: how many answers there are, and of how many where a run is not finished."""
    place = COLUMNS.index("num_samples")
    shown = [list(map(str, row)) for row in rows]
    for texts, row, run in zip(shown, rows, runs, strict=True):
        wanted = words.count(run.manifest.num_total_samples)
        present = words.count(int(str(row[place])))
        texts[place] = wanted if run.manifest.finished_at else words("samples_of", present=present, all=wanted)
    return shown


def _row(run: StoredRun, name: str, words: Translator) -> list[object]:
    manifest = run.manifest
    kind = "shipped" if run.is_shipped else "own"
    return [
        name,
        asked_of(run, words),
        made_at(manifest),
        manifest.num_total_samples if manifest.finished_at else library.num_present(run),
        words(kind if manifest.finished_at else "unfinished"),
        manifest.id,
    ]


def manifest_view(run: StoredRun, words: Translator, note: str = "") -> str:
    """Everything that was asked for, what made it and when; ``note`` says what is to be known of the run."""
    manifest = run.manifest
    asked = manifest.all_settings | {
        "device": manifest.device,
        "decode_seconds": round(float(manifest.decode_seconds), 1),
        "created_at": manifest.created_at,
        "finished_at": manifest.finished_at or words("unfinished"),
        "versions": words.joined(f"{name} {version}" for name, version in manifest.versions.items()),
    }
    asked["exit_layers"] = format_layers(manifest.settings.exit_layers)
    rows = "".join(
        f'<tr><th scope="row">{setting_name(name, words)}</th><td>{setting(name, value, words, 400)}</td></tr>'
        for name, value in asked.items()
    )
    settings = f'<div class="hcl-scroll"><table class="hcl-settings"><tbody>{rows}</tbody></table></div>'
    in_words = settings_in_words(manifest, words)
    above = f"{asked_of(run, words)} · {words('run_n', run=manifest.id)}"
    below = f"<p>{shown(in_words, 400)}</p>" if run.title.name else ""
    if run.title.note:
        below += f'<p class="hcl-own-note" dir="auto">{_lines(run.title.note)}</p>'
    below += f'<p class="hcl-note">{escape(note)}</p>' if note else ""
    return (
        f'<div class="hcl-headline"><p class="hcl-asked" dir="auto">{shown(above, 300)}</p>'
        f'<h2 dir="auto">{shown(run.title.name or in_words, 200)}</h2>{below}</div>'
        f"<details><summary>{words('manifest')}</summary>{settings}</details>"
    )


def _lines(text: str) -> str:
    return "<br>".join(escape(printable(line)) for line in text.splitlines())


def link_box(query: Mapping[str, object], words: Translator) -> str:
    """A field with the address that opens this view again; ``link.js`` puts the page's own address before it.

    Args:
        query: Parameters, a list for one that stands there many times; empty ones are left out.
        words: The page's.
    """
    parameters = {name: value for name, value in query.items() if value not in (None, "", [])}
    text = escape("?" + urlencode(parameters, doseq=True, safe=",", errors="replace"))
    return (
        f'<div class="hcl-link"><label>{words("link_to_this")} '
        f'<input readonly value="{text}" data-query="{text}"></label>'
        f'<button type="button" data-done="{escape(words("copied"))}">{words("copy")}</button></div>'
    )
