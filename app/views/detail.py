"""Everything about one layer: each sample with its tokens, the verdict and the rule that gave it."""

import math
from collections.abc import Sequence
from html import escape

from app.language import SIGNS, Translator
from app.outcomes import Scored
from app.own_verdicts import id_of
from app.question_view import QuestionView
from app.terms import mark
from app.views.base import shown
from app.views.verdicts import own_mark, row_buttons
from hcl_core.records import Sample, Verdict
from hcl_core.text import printable

# Different texts of a layer; early layers at high temperatures repeat none of a thousand.
MOST_ROWS = 200
_MOST_NUMBERS = 12
_MOST_LETTERS = 20_000
_HEADS = ("verdict", "tokens", "sample_numbers", "confidence", "ended", "rule")


def layer_detail(view: QuestionView, scored: Scored, exit_layer: int, words: Translator) -> str:
    """The chosen layer: its scores, then all of its samples, equal ones together."""
    of_layer = [sample for sample in view.samples if sample.exit_layer == exit_layer]
    rows = _same_texts(of_layer)
    listed = "".join(_row(view, same, words) for same in rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        cut = words("rows_cut", shown=MOST_ROWS, all=words.count(len(rows)))
        listed += f'<tr><td colspan="6" class="hcl-more">{cut}</td></tr>'
    return (
        f'<div class="hcl-detail" data-layer="{exit_layer}"><h3>{words("layer_n", layer=exit_layer)}</h3>'
        f"<p>{_scores(scored, exit_layer, words)}</p>{_notes(view, words)}"
        f"{_table(listed, exit_layer, words)}"
        f"<details><summary>{words('exact_prompt')}</summary>{prompt_box(view.stored.prompt, words)}</details></div>"
    )


def _notes(view: QuestionView, words: Translator) -> str:
    """What decides a sample, and what the shades of its tokens say."""
    settings = view.manifest.settings.sampling
    drawn = words("detail_note", seed=settings.seed, temperature=f"{settings.temperature:g}")
    if not view.token_texts:
        return f'<p class="hcl-note">{drawn}</p><p class="hcl-note">{words("no_token_texts")}</p>'
    shades = "".join(
        f'<span class="hcl-token" style="--p:{share}">{words.number(share, 1)}</span>' for share in (0.1, 0.5, 0.9)
    )
    return f'<p class="hcl-note">{drawn} {words("token_shades")} {shades}</p>'


def _table(rows: str, exit_layer: int, words: Translator) -> str:
    heads = "".join(f'<th scope="col">{words(key)}{mark(key, words)}</th>' for key in _HEADS)
    name = escape(words("samples_of_layer", layer=exit_layer))
    return (
        f'<div class="hcl-rows" tabindex="0" role="region" aria-label="{name}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _scores(scored: Scored, exit_layer: int, words: Translator) -> str:
    pairs = zip(scored.scores, scored.uncertainty.layers, strict=True)
    score, uncertainty = next(pair for pair in pairs if pair[0].exit_layer == exit_layer)
    parts = []
    for field, interval in scored.measures:
        value = getattr(score, field)
        bounds = "" if math.isnan(value) else f" ({words.interval(getattr(uncertainty, interval))})"
        parts.append(f"{words(field)}{mark(field, words)} <b>{words.number(value)}</b>{bounds}")
    best_in = uncertainty.p_optimal if scored.best is not None else math.nan
    parts.append(f"{words('best_in')}{mark('best_in', words)} <b>{words.percent(best_in)}</b>")
    return " · ".join(parts)


def _same_texts(samples: Sequence[Sample]) -> list[list[Sample]]:
    same: dict[tuple[int, ...], list[Sample]] = {}
    for sample in samples:
        same.setdefault(sample.completion_token_ids, []).append(sample)
    return sorted(same.values(), key=lambda each: (-len(each), each[0].sample_idx))


def _row(view: QuestionView, same: list[Sample], words: Translator) -> str:
    first = same[0]
    verdict = view.verdicts[first.key]
    numbers = sorted(sample.sample_idx for sample in same)
    listed = words.joined(map(str, numbers[:_MOST_NUMBERS])) + ("…" if len(numbers) > _MOST_NUMBERS else "")
    outcome = f'<i aria-hidden="true">{SIGNS[verdict.outcome]}</i> {words(verdict.outcome)}'
    return (
        f'<tr class="{verdict.outcome}"><td>{outcome}{_own(first, verdict, words)}</td>'
        f'<td dir="auto">{_tokens(view, first, words)}{_judged_part(first, words)}</td>'
        f'<td title="{words.joined(map(str, numbers[:1000]))}"><b>×{len(same)}</b> <small>{listed}</small></td>'
        f"<td>{words.number(first.confidence)}</td><td>{words('finish_' + first.finish_reason)}</td>"
        f"<td>{_reason(verdict, words)}{_idea(verdict, words)}</td></tr>"
    )


def _own(sample: Sample, verdict: Verdict, words: Translator) -> str:
    """The visitor's verdict on a text, and the buttons that give one."""
    if verdict.outcome == "unjudged" or not sample.answer.strip():
        return ""
    buttons = row_buttons(verdict, id_of(sample.completion_text), id_of(sample.answer), words)
    return f" {own_mark([verdict], words)}{buttons}"


def _reason(verdict: Verdict, words: Translator) -> str:
    """The judge's rule, and what it had decided where the visitor says something."""
    reason = shown(verdict.reason, 160)
    if verdict.judge_outcome is None:
        return reason
    return words("judge_said", outcome=words(verdict.judge_outcome), reason=reason)


def _judged_part(sample: Sample, words: Translator) -> str:
    """The line that is judged, of a text with several."""
    if sample.answer == sample.completion_text.strip():
        return ""
    return f'<small class="hcl-judged">{words("judged_part", answer=shown(sample.answer, 160))}</small>'


def _idea(verdict: Verdict, words: Translator) -> str:
    """The accepted answer that a right one was taken for."""
    if verdict.matched is None:
        return ""
    return f" <small>{words('taken_for', answer=shown(verdict.matched, 120))}</small>"


def _tokens(view: QuestionView, sample: Sample, words: Translator) -> str:
    if not view.token_texts:
        return shown(sample.completion_text, 400)
    pieces = []
    for token_id, logprob in zip(sample.completion_token_ids, sample.token_logprobs, strict=True):
        probability = min(1.0, math.exp(logprob))
        text = view.token_texts.get(token_id, "�").replace("\n", "⏎")
        pieces.append(
            f'<span class="hcl-token" style="--p:{probability:.2f}" title="{words.number(probability, 3)}">'
            f"{escape(printable(text)) or '∅'}</span>"
        )
    return "".join(pieces)


def _kept(text: str) -> str:
    """With its lines, other control characters shown."""
    return "\n".join(printable(line) for line in text.split("\n"))


def prompt_box(prompt: str | None, words: Translator) -> str:
    """The exact text that is sent, its end marked: a space there matters."""
    if prompt is None:
        return f'<p class="hcl-note">{words("prompt_unknown")}</p>'
    text = escape(_kept(prompt if len(prompt) <= _MOST_LETTERS else f"{prompt[:_MOST_LETTERS]} …"))
    return f'<pre class="hcl-prompt" dir="auto" tabindex="0">{text}<i aria-hidden="true">▌</i></pre>'
