"""The token lens: of a shipped lens at once, of any prompt with the model."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from app.figures.lens import SHADES, lens_map
from app.handlers.base import Parts, told, told_while_running
from app.language import Translator
from app.service import Service, StoppedError
from app.views.base import status
from app.views.lens import lens_headline, question_of, top_table
from hcl_core.errors import SettingsError
from hcl_core.folders import precomputed_folder
from hcl_core.models.lens_records import LensTable, read_lens

HEADS = ("linear", "shared")
# Of the model's own greedy answer.
MOST_TOKENS = 40
# Which lens is on screen: a shipped one by question and head, or the visitor's last.
Seen = dict[str, Any]


@lru_cache(maxsize=8)
def shipped_lenses(exit_head: str) -> dict[str, LensTable]:
    """By question id."""
    if exit_head not in HEADS:
        raise SettingsError(f"exit head must be one of {', '.join(HEADS)}; got {exit_head[:40]!r}")
    _, tables = read_lens(precomputed_folder() / f"lens-{exit_head}")
    return {table.question_id: table for table in tables}


def shipped_choices() -> list[tuple[str, str]]:
    """Question and id of the shipped lenses."""
    return [(question_of(table), key) for key, table in shipped_lenses(HEADS[0]).items()]


@told("status")
def show_shipped(words: Translator, question_id: str, exit_head: str, shade: str) -> Parts:
    """A stored lens; no model."""
    table = shipped_lenses(exit_head).get(question_id)
    if table is None:
        raise SettingsError("there is no stored lens of that question: type its prompt and press Look")
    return show(table, shade, words) | {
        "status": status(words("stored_lens")),
        "seen": {"question_id": question_id, "exit_head": exit_head},
        "prompt": table.prompt,
    }


@told_while_running
def look(
    words: Translator,
    service: Service,
    visitor: str,
    model: str,
    exit_head: str,
    prompt: str,
    whole_text: bool,
    num_tokens: float,
    shade: str,
) -> Iterator[Parts]:
    """Every layer's readings of ``prompt`` and the model's greedy answer to it."""
    if not 1 <= (num_tokens or 0) <= MOST_TOKENS:
        raise SettingsError(f"the answer's tokens must be from 1 to {MOST_TOKENS}; got {num_tokens}")
    is_loaded = service.loaded_model() == model
    yield {"status": status(words("looking") if is_loaded else words("loading_model", model=(model or "")[:200]))}
    try:
        table = service.look_through_lens(
            (model or "").strip(), exit_head, prompt or "", bool(whole_text), int(num_tokens), visitor
        )
    except StoppedError:
        yield {"status": status(words("stopped_look"))}
        return
    yield show(table, shade, words) | {"status": status(words("lens_done")), "seen": {"live": True}}


def _seen(service: Service, visitor: str, seen: Seen) -> LensTable:
    return service.live_lens(visitor) if seen.get("live") else shipped_lenses(seen["exit_head"])[seen["question_id"]]


@told("status")
def recolour(words: Translator, service: Service, visitor: str, seen: Seen | None, shade: str) -> Parts:
    """The same readings, shaded by another quantity."""
    return show(_seen(service, visitor, seen), shade, words) if seen else {}


def show(table: LensTable, shade: str, words: Translator) -> Parts:
    """Sentence and heat map."""
    if shade not in SHADES:
        raise SettingsError(f"the shade must be one of {', '.join(SHADES)}; got {shade[:40]!r}")
    return {
        "headline": lens_headline(table, words),
        "chart": lens_map(table, shade, words),
        "cell": "",
    }


@told("status")
def choose_cell(words: Translator, service: Service, visitor: str, seen: Seen | None, layer: Any, place: Any) -> Parts:
    """The most probable tokens of one cell."""
    if not seen:
        return {}
    table = _seen(service, visitor, seen)
    num_layers, num_positions = table.entropy.shape
    if not (
        isinstance(layer, int) and isinstance(place, int) and 1 <= layer <= num_layers and 0 <= place < num_positions
    ):
        raise SettingsError("there is no such cell in this lens")
    return {"cell": top_table(table, layer - 1, place, words)}
