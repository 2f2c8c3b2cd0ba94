"""What is known of a model's exit head: what it was fitted on, and how well it reads each layer."""

import math
from html import escape
from urllib.parse import quote

from app.handlers.head import HeadOfModel
from app.language import Translator
from app.views.base import shown, without_paths
from hcl_core.models.head_records import HeadConfig


def head_note(head: HeadOfModel, words: Translator) -> str:
    """Which head is there, or what a fit would take; and a table of how well it reads."""
    name = shown(head.model)
    if head.config is not None:
        text = words("head_here", model=head.model, tokens=words.count(head.config.num_tokens))
        return f'<p class="hcl-head-note">{escape(text)}{_links(head, words)}</p>{_quality(head.config, words)}'
    if head.is_trained_for_exit:
        return f'<p class="hcl-head-note">{escape(words("head_not_needed", model=head.model))}</p>'
    if not name:
        return ""
    text = words("head_missing", model=head.model)
    if head.problem:
        text = words.sentences((text, words("head_impossible", why=without_paths(words.error(head.problem)))))
    if head.is_offered:
        size = "" if head.num_bytes is None else words("head_size", size=words.number(head.num_bytes / 1e6, 0))
        minutes = "" if head.num_bytes is not None else words("head_time_unknown")
        if head.foretold is not None:
            low, high = max(1, round(head.foretold.low / 60)), math.ceil(head.foretold.high / 60)
            minutes = words("head_minutes", low=words.count(low), high=words.count(max(low + 1, high)))
        text = words.sentences((text, words("head_offer", tokens=words.count(head.num_tokens)), minutes, size))
    return f'<p class="hcl-head-note">{escape(text)}</p>'


def _links(head: HeadOfModel, words: Translator) -> str:
    """The files of the head, to save; empty where this page gives out none."""
    if head.file is None or head.num_bytes is None:
        return ""
    size = words("head_file", size=words.number(head.num_bytes / 1e6, 0))
    names = {"exit_head.safetensors": size, "README.md": words("head_card")}
    return "".join(
        f' <a href="head/{quote(head.file)}/{name}" download>{escape(text)}</a>' for name, text in names.items()
    )


def _quality(config: HeadConfig, words: Translator) -> str:
    """Agreement with the last layer, as bars, and cross-entropy, by layer; of text that was held out of the fit."""
    rows = []
    for layer, (before, after) in enumerate(zip(config.before, config.after, strict=True), 1):
        bar = f'<td class="bar"><u style="width:{100 * after.agreement:.0f}%"></u>{words.percent(after.agreement)}</td>'
        rows.append(
            f"<tr><th scope=row>{layer}</th><td>{words.percent(before.agreement)}</td>{bar}"
            f"<td>{words.number(before.cross_entropy, 2)}</td><td>{words.number(after.cross_entropy, 2)}</td></tr>"
        )
    heads = "".join(
        f"<th scope=col>{escape(words(key))}</th>"
        for key in ("head_layer", "head_agreement_before", "head_agreement", "head_entropy_before", "head_entropy")
    )
    return (
        f'<details class="hcl-head-quality"><summary>{escape(words("head_quality"))}</summary>'
        f"<p>{escape(words('head_quality_says'))}</p>"
        f'<div class="hcl-scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )
