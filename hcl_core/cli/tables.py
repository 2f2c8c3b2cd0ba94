"""Records as tables and lines of a terminal."""

import math
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from hcl_core.cli.terminal import stdout
from hcl_core.models.head_records import HeadConfig
from hcl_core.models.lens_records import LensTable
from hcl_core.records import Scaling, Weights
from hcl_core.runs import answers
from hcl_core.runs.manifest import Manifest, differing_settings
from hcl_core.scores.best_layers import describe_best
from hcl_core.scores.comparison import COMPARED, RunComparison
from hcl_core.scores.intervals import Difference, Interval, uncertainty
from hcl_core.scores.metrics import OutcomeTable, score_layers
from hcl_core.text import printable


def print_fidelity(config: HeadConfig) -> None:
    """How near each layer comes to the last one, with the shared head and with the fitted one."""
    table = Table("layer", "agreement", "cross-entropy", "with this head", "cross-entropy", box=None)
    for column in table.columns:
        column.justify = "right"
    for exit_layer, (before, after) in enumerate(zip(config.before, config.after, strict=True), 1):
        row = [f"{value:.2f}" for each in (before, after) for value in (each.agreement, each.cross_entropy)]
        table.add_row(str(exit_layer), *row)
    stdout.print(f"{config.model}, {config.num_tokens:,} tokens, {config.texts}; held-out text:", highlight=False)
    stdout.print(table)


def print_lens(table: LensTable) -> None:
    """Layers by tokens, in blocks that fit the width: the top token, its probability, and where it settles."""
    cell_width, settles = 16, table.settles().tolist()
    at_once = max(1, (stdout.width - 8) // (cell_width + 2))
    for start in range(0, len(table.positions), at_once):
        places = range(start, min(start + at_once, len(table.positions)))
        shown = Table("layer", box=None)
        for place in places:
            shown.add_column(token(table.token_texts[place]))
        for layer in range(table.num_hidden_layers):
            row = []
            for place in places:
                text = token(table.top_token_texts[layer][place][0], cell_width - 5)
                text.append(f" {table.top_probabilities[layer, place, 0]:.2f}")
                text.stylize("bold" if layer + 1 >= settles[place] else "dim")
                row.append(text)
            shown.add_row(str(layer + 1), *row)
        shown.add_row("settles", *(str(settles[place]) for place in places))
        stdout.print(shown)
    stdout.print("Bold: the last layer's choice is on top from here on.")


def token(text: str, width: int = 14) -> Text:
    """A token's text with its white space visible, cut to ``width``."""
    visible = printable(text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "␣"))
    return Text(visible if len(visible) <= width else visible[: width - 1] + "…")


def print_scores(manifest: Manifest, outcomes: OutcomeTable, weights: Weights, scaling: Scaling) -> None:
    """A row a layer, and the verdict in words."""
    scores, sure = score_layers(outcomes, weights, scaling), uncertainty(outcomes, weights, scaling)
    headings = ["layer", "hallucination", "creativity", "(ideas)", "HCB", "best", "confidence", "right"]
    columns = headings if stdout.width >= 100 else [each for each in headings if each not in ("(ideas)", "confidence")]
    table = Table(*columns, box=None)
    for column in table.columns:
        column.justify = "right"
    for each, layer in zip(scores, sure.layers, strict=True):
        cells = [
            str(each.exit_layer),
            f"{each.hallucination_rate:.3f} {bounds(layer.hallucination_ci)}",
            f"{each.creativity:.3f}",
            f"{each.creativity_raw:.2f}",
            f"{each.hcb_score:.3f} {bounds(layer.hcb_ci)}",
            f"{layer.p_optimal:.0%}",
            f"{each.confidence:.3f}",
            f"{each.num_correct}/{each.num_samples}",
        ]
        shown = dict(zip(headings, cells, strict=True))
        table.add_row(
            *(shown[name] for name in columns), style="bold" if each.exit_layer == sure.best.optimal_layer else ""
        )
    stdout.print(Text(printable(manifest.describe())))
    stdout.print(table)
    stdout.print("Ranges: 95% intervals. Best: probability that this layer is the best one.", highlight=False)
    if manifest.finished_at is None:
        stdout.print("This run is not complete: give its `run` command again to go on.")
    stdout.print(Text(describe_best(sure.best)))


def print_measures(exit_layers: tuple[int, ...], columns: dict[str, list[float]]) -> None:
    """A row a layer, a column a measure; a dash where there is no number."""
    table = Table("layer", *(name.replace("_", " ") for name in columns), box=None)
    for column in table.columns:
        column.justify = "right"
    for place, layer in enumerate(exit_layers):
        values = [each[place] for each in columns.values()]
        table.add_row(str(layer), *(f"{value:.3f}" if math.isfinite(value) else "-" for value in values))
    stdout.print(table)


_WORDS = {
    "hallucination_rate": "hallucination",
    "creativity_raw": "clusters",
    "creativity": "creativity",
    "hcb_score": "HCB",
}


def print_layer_comparison(first: int, second: int, differences: dict[str, Difference]) -> None:
    """One layer minus another, a row a score."""
    table = Table("score", f"layer {first} - layer {second}", "95% interval", "", box=None)
    for column in table.columns[1:3]:
        column.justify = "right"
    for name, each in differences.items():
        table.add_row(_WORDS[name], f"{each.estimate:+.3f}", signed_bounds(each.interval), _told_apart(each))
    stdout.print(table)


def print_comparison(manifests: Sequence[Manifest], comparison: RunComparison) -> None:
    """First run minus second, a row a layer, and whether the best layer repeats."""
    for number, manifest in zip(("first ", "second"), manifests, strict=True):
        stdout.print(Text(printable(f"{number} {manifest.run_id}: {manifest.describe()}")))
    for name, (mine, theirs) in differing_settings(*manifests).items():
        stdout.print(Text(printable(f"  {name}: {mine} / {theirs}")[:200]))
    table = Table("layer", *(heading for name in COMPARED for heading in (_WORDS[name], "95%")), box=None)
    for column in table.columns:
        column.justify = "right"
    for place, layer in enumerate(comparison.exit_layers):
        cells = [comparison.differences[name][place] for name in COMPARED]
        row = [text for each in cells for text in (f"{each.estimate:+.3f}", signed_bounds(each.interval))]
        table.add_row(str(layer), *row)
    stdout.print(f"First minus second, {comparison.num_questions} questions:", highlight=False)
    stdout.print(table)
    for name, each in comparison.rank_correlation.items():
        correlation = f"{each.estimate:.2f} (drawn: {signed_bounds(each.drawn)})"
        stdout.print(f"Rank correlation of {_WORDS[name]} over layers: {correlation}.", highlight=False)
    first, second = comparison.optimal_layers
    repeats = comparison.p_same_optimal
    same = "" if repeats is None else f"; the same with {repeats:.0%}"
    stdout.print(f"Best layers: {first or 'none'} and {second or 'none'}{same}.", highlight=False)


def _told_apart(difference: Difference) -> str:
    low, high = difference.interval
    return "" if low > 0 or high < 0 else "can't be told apart"


def signed_bounds(interval: Interval) -> str:
    """An interval that may lie below 0."""
    return "{:+.2f} to {:+.2f}".format(*interval)


def bounds(interval: Interval) -> str:
    """An interval in few letters."""
    return "{:.2f}-{:.2f}".format(*interval)


def answer_line(group: answers.LayerAnswers) -> Text:
    """One layer's answers with their counts, on one line."""
    line = Text(f"{group.exit_layer:>4}  {group.num_correct:>3}/{group.num_samples} right  ")
    for number, answer in enumerate(group.answers[:8]):
        sign, style = {"correct": ("✓", "green"), "incorrect": ("✗", "red")}.get(answer.outcome, ("–", "dim"))
        shown = printable(answer.text)[:40] or "(empty)"
        line.append(f"{' · ' if number else ''}{sign} {shown} ×{answer.count}", style=style)
    if len(group.answers) > 8:
        line.append(f" · {len(group.answers) - 8} more", style="dim")
    return line
