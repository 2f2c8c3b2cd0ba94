"""Stored runs as rows, a run's manifest, and the link that opens it again."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import urlencode

from app.language import Translator
from app.library import StoredRun
from app.terms import mark
from app.views.base import setting, shown
from hcl_core.judges.names import NO_JUDGE
from hcl_core.settings.layers import format_layers

COLUMNS = (
    "run",
    "kind",
    "model",
    "exit_head",
    "temperature",
    "layers",
    "answers",
    "num_questions",
    "question_set",
    "judge",
    "made",
)


def run_rows(runs: Sequence[StoredRun], words: Translator) -> list[list[object]]:
    """One row a run, as ``COLUMNS`` names them; plain text, which the table escapes."""
    return [_row(run, words) for run in runs]


def _row(run: StoredRun, words: Translator) -> list[object]:
    manifest, settings = run.manifest, run.manifest.settings
    kind = "shipped" if run.is_shipped else "own"
    return [
        manifest.run_id,
        words(kind if manifest.finished_at else "unfinished"),
        settings.model[:80],
        settings.exit_head,
        settings.sampling.temperature,
        format_layers(settings.exit_layers),
        settings.num_samples,
        manifest.num_questions,
        manifest.question_set[:80],
        words("open_kind") if manifest.judge == NO_JUDGE else manifest.judge[:40],
        manifest.created_at[:16].replace("T", " "),
    ]


def manifest_view(run: StoredRun, words: Translator, note: str = "") -> str:
    """Everything that was asked for, what made it and when; ``note`` says what is to be known of the run."""
    manifest = run.manifest
    asked = manifest.all_settings | {
        "device": manifest.device,
        "decode_seconds": round(float(manifest.decode_seconds), 1),
        "created_at": manifest.created_at,
        "finished_at": manifest.finished_at or words("unfinished"),
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
    }
    asked["exit_layers"] = format_layers(manifest.settings.exit_layers)
    rows = "".join(
        f'<tr><th scope="row">{shown(name.replace("_", " "))}{mark(name, words)}</th>'
        f"<td>{setting(name, value, words, 400)}</td></tr>"
        for name, value in asked.items()
    )
    settings = f'<div class="hcl-scroll"><table class="hcl-settings"><tbody>{rows}</tbody></table></div>'
    below = f'<p class="hcl-note">{escape(note)}</p>' if note else ""
    return (
        f'<div class="hcl-headline"><p class="hcl-asked">{words("run_n", run=manifest.run_id)}</p>'
        f"<h2>{shown(run.describe(), 200)}</h2>{below}</div>"
        f"<details><summary>{words('manifest')}</summary>{settings}</details>"
    )


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
