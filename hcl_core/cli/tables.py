"""Records as tables and lines in the terminal."""

import math
from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from hcl_core.cli.terminal import stdout
from hcl_core.models.head_records import HeadConfig
from hcl_core.models.lens_records import LensTable
from hcl_core.records import Scaling, Weights
from hcl_core.runs import answers
from hcl_core.runs.manifest import Manifest, differing_settings
from hcl_core.scores.best_layers import BestLayers, describe_best
from hcl_core.scores.comparison import RunComparison
from hcl_core.scores.intervals import Difference, Interval, uncertainty
from hcl_core.scores.metrics import OutcomeTable, score_layers
from hcl_core.text import counted, printable

# Stands for a number that is not defined.
_DASH = "-"
_OPEN_NOTE = (
    "No answer is right or wrong here: plausibility says how probable the whole model finds it. Ideas are told apart "
    "by meaning, and count the more, the more plausible they are."
)


def print_fidelity(config: HeadConfig) -> None:
    """How closely each layer agrees with the last one, with the shared head and with the fitted one."""
    table = Table("layer", "agreement", "cross-entropy", "with this head", "cross-entropy", box=None)
    for column in table.columns:
        column.justify = "right"
    for exit_layer, (before, after) in enumerate(zip(config.before, config.after, strict=True), 1):
        row = [f"{value:.2f}" for head in (before, after) for value in (head.agreement, head.cross_entropy)]
        table.add_row(str(exit_layer), *row)
    stdout.print(f"{config.model}, {config.num_tokens:,} tokens, {config.texts}; held-out text:", highlight=False)
    stdout.print(table)


def print_lens(table: LensTable) -> None:
    """Layers by tokens, as many tokens a table as fit the width: top token, probability, and where it settles."""
    cell_width, settles = 16, table.settles().tolist()
    num_columns = max(1, (stdout.width - 8) // (cell_width + 2))
    for start in range(0, len(table.positions), num_columns):
        columns = range(start, min(start + num_columns, len(table.positions)))
        printed = Table("layer", box=None)
        for index in columns:
            printed.add_column(token(table.token_texts[index]))
        for layer in range(table.num_hidden_layers):
            row = []
            for index in columns:
                text = token(table.top_token_texts[layer][index][0], cell_width - 5)
                text.append(f" {table.top_probabilities[layer, index, 0]:.2f}")
                text.stylize("bold" if 0 < settles[index] <= layer + 1 else "dim")
                row.append(text)
            printed.add_row(str(layer + 1), *row)
        printed.add_row("settles", *(str(settles[index] or "-") for index in columns))
        stdout.print(printed)
    stdout.print("Bold: the last layer's choice is on top from here on.")


def token(text: str, width: int = 14) -> Text:
    """A token's text with its white space visible, cut to ``width``."""
    visible = printable(text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "␣"))
    return Text(visible if len(visible) <= width else visible[: width - 1] + "…")


def print_scores(manifest: Manifest, outcomes: OutcomeTable, weights: Weights, scaling: Scaling) -> None:
    """A row a layer, and the verdict in words."""
    scores, sure = score_layers(outcomes, weights, scaling), uncertainty(outcomes, weights, scaling)
    first, last = ("plausibility", "attempted") if outcomes.is_open else ("hallucination", "right")
    headings = ["layer", first, "creativity", "(ideas)", "HCB", "best", "confidence", last]
    left_out = () if stdout.width >= 100 else ("(ideas)", "confidence")
    columns = [heading for heading in headings if heading not in left_out]
    table = Table(*columns, box=None)
    for column in table.columns:
        column.justify = "right"
    is_balanced = (outcomes.outcomes >= 0).any()
    has_dash = False
    for score, layer in zip(scores, sure.layers, strict=True):
        judged = (score.hallucination_rate, layer.hallucination_ci, score.num_correct)
        unjudged = (score.token_plausibility, layer.plausibility_ci, score.num_attempted)
        value, interval, count = unjudged if outcomes.is_open else judged
        cells = [
            str(score.exit_layer),
            number(value, bounds(interval)),
            number(score.creativity) if is_balanced else _DASH,
            number(score.creativity_raw, digits=2),
            number(score.hcb_score, bounds(layer.hcb_ci)) if is_balanced else _DASH,
            _DASH if sure.best.optimal_layer is None else f"{layer.p_optimal:.0%}",
            number(score.confidence),
            f"{count}/{score.num_samples}",
        ]
        by_heading = dict(zip(headings, cells, strict=True))
        has_dash |= any(by_heading[name] == _DASH for name in columns)
        is_best = score.exit_layer == sure.best.optimal_layer
        table.add_row(*(by_heading[name] for name in columns), style="bold" if is_best else "")
    stdout.print(Text(printable(manifest.describe())))
    stdout.print(table)
    stdout.print("Ranges: 95% intervals. Best: probability that this layer is the best one.", highlight=False)
    if has_dash:
        stdout.print(f"A dash: not defined, for {_why_undefined(outcomes)}.", highlight=False)
    if manifest.finished_at is None:
        stdout.print("This run is not complete: give its `run` command again to go on.")
    if manifest.strategy.name == "self_speculative":
        stdout.print("The whole model verified every token: all layers give its answers, at different speeds.")
    else:
        stdout.print(Text(_describe_open(outcomes, sure.best) if outcomes.is_open else describe_best(sure.best)))


def number(value: float, range_text: str = "", digits: int = 3) -> str:
    """A score with its interval; a dash where it is not defined."""
    return f"{value:.{digits}f} {range_text}".strip() if math.isfinite(value) else _DASH


def _why_undefined(outcomes: OutcomeTable) -> str:
    """Why scores of some or all layers are not defined."""
    if not (outcomes.outcomes >= 0).any():
        return "no answer was attempted" if outcomes.is_open else "no answer is right"
    if not outcomes.has_creativity.any():
        return "no question has more than one accepted idea, and creativity needs two"
    return "the plausibility of the answers is not known" if outcomes.is_open else "there are no answers"


def _describe_open(outcomes: OutcomeTable, best: BestLayers) -> str:
    """Which layer is the best for open questions, and what that means."""
    if best.optimal_layer is not None:
        return f"{describe_best(best)}\n{_OPEN_NOTE}"
    if (outcomes.outcomes >= 0).any():
        return "Plausibility is not known, so no layer is the best: `score DIR --measures plausibility` computes it."
    return "No layer attempted an answer: nothing to balance."


def print_measures(exit_layers: tuple[int, ...], columns: dict[str, list[float]]) -> None:
    """A row a layer, a column a measure; a dash where there is no number."""
    table = Table("layer", *(name.replace("_", " ") for name in columns), box=None)
    for column in table.columns:
        column.justify = "right"
    for index, layer in enumerate(exit_layers):
        values = [column[index] for column in columns.values()]
        table.add_row(str(layer), *(number(value) for value in values))
    stdout.print(table)


_WORDS = {
    "hallucination_rate": "hallucination",
    "token_plausibility": "plausibility",
    "creativity_raw": "ideas",
    "creativity": "creativity",
    "hcb_score": "HCB",
}


def print_layer_comparison(first: int, second: int, differences: dict[str, Difference]) -> None:
    """One layer minus another, a row a score."""
    table = Table("score", f"layer {first} - layer {second}", "95% interval", "", box=None)
    for column in table.columns[1:3]:
        column.justify = "right"
    for name, difference in differences.items():
        table.add_row(_WORDS[name], *_signed(difference), _told_apart(difference))
    stdout.print(table)
    _say_why_undefined(differences.values())


def print_comparison(manifests: Sequence[Manifest], comparison: RunComparison) -> None:
    """First run minus second, a row a layer, and whether the best layer repeats."""
    for number, manifest in zip(("first ", "second"), manifests, strict=True):
        stdout.print(Text(printable(f"{number} {manifest.id}: {manifest.describe()}")))
    for name, (first_value, second_value) in differing_settings(*manifests).items():
        stdout.print(Text(printable(f"  {name}: {first_value} / {second_value}")[:200]))
    names = tuple(comparison.differences)
    table = Table("layer", *(heading for name in names for heading in (_WORDS[name], "95%")), box=None)
    for column in table.columns:
        column.justify = "right"
    for index, layer in enumerate(comparison.exit_layers):
        differences = [comparison.differences[name][index] for name in names]
        table.add_row(str(layer), *(text for each in differences for text in _signed(each)))
    stdout.print(f"First minus second, {counted(comparison.num_questions, 'question')}:", highlight=False)
    stdout.print(table)
    _say_why_undefined(each for name in names for each in comparison.differences[name])
    unranked = [_WORDS[name] for name, each in comparison.rank_correlation.items() if math.isnan(each.estimate)]
    for name, correlation in comparison.rank_correlation.items():
        if math.isfinite(correlation.estimate):
            drawn = f" (drawn: {signed_bounds(correlation.drawn)})" if math.isfinite(correlation.drawn[0]) else ""
            stdout.print(
                f"Rank correlation of {_WORDS[name]} over layers: {correlation.estimate:.2f}{drawn}.", highlight=False
            )
    if unranked:
        why = "it takes three layers, and scores that are defined and not all equal"
        stdout.print(f"No rank correlation of {', '.join(unranked)} over layers: {why}.", highlight=False)
    first, second = comparison.optimal_layers
    repeats = comparison.p_same_optimal
    same = "" if repeats is None else f"; the same with {repeats:.0%}"
    stdout.print(f"Best layers: {first or 'none'} and {second or 'none'}{same}.", highlight=False)


def _say_why_undefined(differences: Iterable[Difference]) -> None:
    if any(math.isnan(each.estimate) for each in differences):
        why = "no question has more than one accepted idea, no answer is right, or there are none"
        stdout.print(f"A dash: not defined in both, for {why}.", highlight=False)


def _signed(difference: Difference) -> tuple[str, str]:
    """The difference and its interval; dashes where a score is not defined."""
    if math.isnan(difference.estimate):
        return _DASH, _DASH
    return f"{difference.estimate:+.3f}", signed_bounds(difference.interval)


def _told_apart(difference: Difference) -> str:
    """A remark for an interval that holds 0, and for scores that are not defined."""
    if math.isnan(difference.estimate):
        return "not defined"
    low, high = difference.interval
    return "" if low > 0 or high < 0 else "can't be told apart"


def signed_bounds(interval: Interval) -> str:
    """An interval with the signs of its bounds."""
    return "{:+.2f} to {:+.2f}".format(*interval)


def bounds(interval: Interval) -> str:
    """An interval of numbers from 0, as ``0.12-0.34``."""
    return "{:.2f}-{:.2f}".format(*interval)


def unreadable_note(count: int) -> str:
    """What to know of ``count`` answers in another script."""
    are = "is" if count == 1 else "are"
    return (
        f"{counted(count, 'answer')} here {are} in a script that the sentence embedder does not know (it reads "
        "English): only answers with the same words are surely one idea."
    )


_SIGNS = {"correct": ("✓", "green"), "incorrect": ("✗", "red"), "unjudged": ("•", "cyan")}


def answer_line(layer: answers.LayerAnswers) -> Text:
    """One layer's answers with their counts, on one line."""
    count = (
        f"{layer.num_attempted:>3}/{layer.num_samples} attempted"
        if layer.is_open
        else (f"{layer.num_correct:>3}/{layer.num_samples} right")
    )
    line = Text(f"{layer.exit_layer:>4}  {count}  ")
    for number, answer in enumerate(layer.answers[:8]):
        sign, style = _SIGNS.get(answer.outcome, ("–", "dim"))
        shown = printable(answer.text)[:40] or "(empty)"
        line.append(f"{' · ' if number else ''}{sign} {shown} ×{answer.count}", style=style)
    if len(layer.answers) > 8:
        line.append(f" · {len(layer.answers) - 8} more", style="dim")
    return line
