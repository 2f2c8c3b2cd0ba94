"""The models that can be chosen: their names on the list, with marks, and the facts of the chosen one."""

from html import escape

from app.handlers.models import ModelFacts
from app.language import Translator
from app.models_here import Standing
from app.views.base import shown
from hcl_core.models.catalogue import CatalogueModel
from hcl_core.models.footprint import WEIGHT_FORMATS, footprint


def choice_label(model: CatalogueModel, standing: Standing, words: Translator) -> str:
    """Name, depth and size of a model on the list, and what stands in its way; Gradio escapes it."""
    marks = {
        "mark_absent": not standing.is_here,
        "mark_gated": standing.is_gated and not standing.is_here,
        "mark_too_large": standing.is_too_large,
    }
    size = words("mark_size", size=words.number(standing.gigabytes, 1))
    depth = f"{model.num_hidden_layers} {words('model_layers')}"
    return " · ".join((model.name, depth, size, *(words(key) for key, is_so in marks.items() if is_so)))


def model_facts(facts: ModelFacts | None, words: Translator) -> str:
    """Licence and verification of the chosen model in a line, and what stands behind them when it is opened."""
    if facts is None:
        return ""
    known = facts.known
    if known is None:
        short, lines = words("facts_own_short"), [words("facts_own")]
    else:
        seen = known.verified
        kind = "checkpoint" if seen.is_checkpoint else "family"
        short = f"{known.licence} · {words(f'facts_verified_{kind}', date=seen.date)}"
        lines = [
            words("facts_licence", licence=known.licence, source=known.repo_id),
            words(f"facts_test_{kind}", date=seen.date, test=seen.test),
        ]
    lines.append(_sizes(facts, words))
    paragraphs = "".join(f"<p>{shown(line, 600)}</p>" for line in lines if line)
    summary = f"<summary>{escape(short)}</summary>"
    return f'<details class="hcl-facts">{summary}<div><b>{shown(facts.name)}</b>{paragraphs}</div></details>'


def _sizes(facts: ModelFacts, words: Translator) -> str:
    shape = facts.shape
    if shape is None:
        return ""
    millions = shape.num_weights / 1e6
    large = millions >= 1000
    number = words.number(millions / 1000 if large else millions, 1 if large else 0)
    size = footprint(shape, WEIGHT_FORMATS["bfloat16"]).weights / 1e9
    return words.sentences(
        (
            words(
                "facts_sizes",
                layers=shape.num_hidden_layers,
                parameters=words("facts_billions" if large else "facts_millions", number=number),
                size=words.number(size, 1),
            ),
            words(f"facts_engine_{facts.engine}"),
        )
    )
