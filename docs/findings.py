"""The numbers and figures of ``docs/findings.md``, from the shipped runs alone: ``python -m docs.findings``.

``--check`` changes nothing and fails when the text's numbers are not those of the runs.
"""

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from scipy.stats import spearmanr

from docs.writing import draw, parse_check, write
from hcl_core.folders import precomputed_folder
from hcl_core.pipeline.stored import read_outcomes
from hcl_core.records import LayerScore, Weights
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.best_layers import describe_best
from hcl_core.scores.intervals import Uncertainty, uncertainty
from hcl_core.scores.metrics import score_layers
from hcl_core.scores.published import PublishedCurve, published_curves

TEXT = Path(__file__).with_name("findings.md")
FIGURE = Path(__file__).parent.parent / "assets" / "findings"
SHOWN_LAYERS = (1, 5, 10, 15, 20, 22, 24, 26, 27, 28, 29, 30)
HEADS = {"linear": "fitted head", "shared": "the model's own head"}
COLOURS = {0.6: "#0072b2", 1.0: "#d55e00"}  # Okabe and Ito's blue and vermilion

Finding = tuple[Manifest, list[LayerScore], Uncertainty]


def main() -> None:
    """Write the tables and figures, or check the tables."""
    only_check = parse_check(__doc__)
    findings = read_findings()
    write(TEXT, tables(findings), only_check)
    if only_check:
        return
    by_head: dict[str, list[Finding]] = {}
    for finding in findings:
        by_head.setdefault(finding[0].settings.exit_head, []).append(finding)
    draw({FIGURE / f"{head}.png": _figure(some) for head, some in by_head.items()})


def read_findings() -> list[Finding]:
    """Scores and intervals of every shipped run, the linear head's first, by temperature."""
    findings = []
    for path in precomputed_folder().iterdir():
        if (path / "questions.jsonl").is_file():
            table = read_outcomes(RunFolder(path))
            assert table is not None, f"{path} has no verdicts"
            findings.append((RunFolder(path).manifest(), score_layers(table, Weights()), uncertainty(table, Weights())))
    return sorted(findings, key=lambda each: (each[0].settings.exit_head, each[0].settings.sampling.temperature))


def tables(findings: list[Finding]) -> dict[str, str]:
    """The tables by the name of the text's block."""
    blocks = {"runs": _runs(findings), "published": _published(findings)}
    for manifest, scores, sure in findings:
        settings = manifest.settings
        name = f"{settings.exit_head}-{settings.sampling.temperature:g}"
        blocks[name] = _layers(scores, sure)
    return blocks


def _layers(scores: list[LayerScore], sure: Uncertainty) -> str:
    lines = ["| layer | wrong | different right ideas | HCB | probability of being the best |", "|---|---|---|---|---|"]
    for each, layer in zip(scores, sure.layers, strict=True):
        if each.exit_layer in SHOWN_LAYERS:
            wrong = f"{each.hallucination_rate:.3f} ({_range(layer.hallucination_ci)})"
            ideas = f"{each.creativity_raw:.2f} ({_range(layer.creativity_raw_ci)})"
            hcb = f"{each.hcb_score:.2f} ({_range(layer.hcb_ci)})"
            lines.append(f"| {each.exit_layer} | {wrong} | {ideas} | {hcb} | {layer.p_optimal:.0%} |")
    return "\n".join(lines) + "\n"


def _range(interval: tuple[float, float]) -> str:
    return "{:.2f} to {:.2f}".format(*interval)


def _runs(findings: list[Finding]) -> str:
    lines = ["| run | head | T | answers a question and layer | verdict |", "|---|---|---|---|---|"]
    for manifest, _, sure in findings:
        settings = manifest.settings
        verdict = describe_best(sure.best)
        run = f"`precomputed/{manifest.run_id}`"
        head = f"{HEADS[settings.exit_head]} (`{settings.exit_head}`)"
        lines.append(f"| {run} | {head} | {settings.sampling.temperature:g} | {settings.num_samples} | {verdict} |")
    return "\n".join(lines) + "\n"


def _published(findings: list[Finding]) -> str:
    lines = [
        "| curves | range of hallucination over layers | rank correlation of the balance at T 0.6 and 1.0 |",
        "|---|---|---|",
    ]
    by_model: dict[str, list[PublishedCurve]] = {}
    curves = published_curves().curves
    for curve in curves:
        by_model.setdefault(curve.model, []).append(curve)
    for model, its_curves in by_model.items():
        cool, warm = (np.array(curve.final_score, dtype=float) for curve in its_curves)
        known = ~np.isnan(cool) & ~np.isnan(warm)
        rates = [rate for curve in its_curves for rate in curve.hallucination_rate if rate is not None]
        spread = f"{min(rates):.3f} to {max(rates):.3f}" if rates else "not given"
        lines.append(f"| {model} (published) | {spread} | {spearmanr(cool[known], warm[known]).statistic:.2f} |")
    for head, its_name in HEADS.items():
        by_temperature = [scores for manifest, scores, _ in findings if manifest.settings.exit_head == head]
        rates = [each.hallucination_rate for scores in by_temperature for each in scores]
        cool, warm = (np.array([each.hcb_score for each in scores]) for scores in by_temperature)
        spread = f"{min(rates):.3f} to {max(rates):.3f}"
        lines.append(f"| SmolLM2-135M, {its_name} (ours) | {spread} | {spearmanr(cool, warm).statistic:.2f} |")
    return "\n".join(lines) + "\n"


def _figure(findings: list[Finding]) -> go.Figure:
    """One head's: the three curves over depth with their intervals."""
    from plotly.subplots import make_subplots

    panels = (
        ("Hallucination: share wrong", "hallucination_rate", "hallucination_ci"),
        ("Creativity: right ideas a question", "creativity_raw", "creativity_raw_ci"),
        ("HCB at equal weights", "hcb_score", "hcb_ci"),
    )
    figure = make_subplots(rows=1, cols=3, subplot_titles=[title for title, _, _ in panels], horizontal_spacing=0.06)
    for manifest, scores, sure in findings:
        temperature = manifest.settings.sampling.temperature
        colour, layers = COLOURS[temperature], [each.exit_layer for each in scores]
        dash = "solid" if temperature < 1 else "dot"
        for column, (_, name, interval) in enumerate(panels, 1):
            lows, highs = zip(*(getattr(each, interval) for each in sure.layers), strict=True)
            band = {"x": [*layers, *layers[::-1]], "y": [*highs, *lows[::-1]], "fill": "toself", "hoverinfo": "skip"}
            figure.add_scatter(
                **band, opacity=0.25, fillcolor=colour, line_width=0, showlegend=False, col=column, row=1
            )
            line = {"x": layers, "y": [getattr(each, name) for each in scores], "name": f"T {temperature:g}"}
            figure.add_scatter(**line, line={"color": colour, "dash": dash}, showlegend=column == 1, col=column, row=1)
    figure.update_layout(
        template="plotly_white",
        width=1100,
        height=380,
        margin={"l": 40, "r": 20, "t": 50, "b": 45},
        legend={"x": 0.02, "y": 0.08},
        font={"family": "system-ui, sans-serif", "size": 13},
    )
    figure.update_xaxes(title_text="exit layer")
    return figure


if __name__ == "__main__":
    main()
