"""The program that draws the curves again from the scores as CSV, for whoever wants to change the figure."""

from app.outcomes import Scored

_CODE = """\
import matplotlib.pyplot as plt
import pandas as pd

scores = pd.read_csv({file!r}, index_col="exit_layer")
figure, axes = plt.subplots(figsize=(6.5, 3))
for name, interval, colour, marker in {curves}:
    axes.plot(scores.index, scores[name], color=colour, marker=marker, markersize=4, label=name)
    axes.fill_between(scores.index, scores[interval + "_low"], scores[interval + "_high"], color=colour, alpha=0.16)
axes.set(xlabel="exit layer", ylim=(-0.03, 1.03))
axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
figure.savefig("figure.pdf", bbox_inches="tight")
"""
_STYLES = {
    "hallucination_rate": ("#c24e00", "s"),
    "token_plausibility": ("#a44076", "^"),
    "creativity": ("#0068a6", "D"),
    "hcb_score": ("#1b1f27", "o"),
}


def figure_code(scored: Scored, file: str) -> str:
    """Python for matplotlib and pandas; ``file`` is the name of the CSV of the scores."""
    rows = ",\n    ".join(repr((name, interval, *_STYLES[name])) for name, interval in scored.measures)
    return _CODE.format(file=file, curves=f"[\n    {rows},\n]")
