"""A Jupyter notebook that reads a run: its cells, and the file."""

import json
import re

from hcl_core.judges.names import NO_JUDGE
from hcl_core.runs.manifest import Manifest
from hcl_core.text import printable

# Ids are put in as Python literals (!r), whatever letters they have.
_OPEN = """\
import os
import sys
from pathlib import Path

# The folder of HCL Explorer, whose packages must be installed, unless the notebook runs in that folder.
sys.path.append(os.environ.get("HCL_EXPLORER", "."))

from hcl_core.folders import precomputed_folder, runs_folder
from hcl_core.runs import RunFolder

# The run's folder as its zip has it, beside the notebook; else among the runs of HCL Explorer on this machine.
places = [Path(), runs_folder(), precomputed_folder()]
folder = RunFolder(next((place / {run_id!r} for place in places if (place / {run_id!r}).is_dir()), Path({run_id!r})))
manifest = folder.manifest()
manifest.describe()"""

_SCORES = """\
from dataclasses import asdict

import pandas as pd

from hcl_core.scores.metrics import score_layers
from hcl_core.records import Weights
from hcl_core.pipeline.stored import read_outcomes

outcomes = read_outcomes(folder)  # None where the run has to be judged again: python -m hcl_core score DIR
weights = Weights(creativity=0.5, accuracy=0.5)
layer_scores = score_layers(outcomes, weights)
scores = pd.DataFrame([asdict(each) for each in layer_scores]).set_index("exit_layer")
scores"""

_INTERVALS = """\
from hcl_core.scores.best_layers import describe_best
from hcl_core.scores.intervals import uncertainty

sure = uncertainty(outcomes, weights)
print(describe_best(sure.best))
intervals = pd.DataFrame([asdict(each) for each in sure.layers]).set_index("exit_layer")
intervals"""

# Open questions have no share of wrong answers.
_OPEN_SCORES = _SCORES.replace("asdict(each)", "of_kind(asdict(each), is_open=True)").replace(
    "import Weights", "import Weights, of_kind"
)
_OPEN_INTERVALS = """\
from hcl_core.scores.best_layers import describe_best
from hcl_core.scores.intervals import uncertainty

sure = uncertainty(outcomes, weights)
has_best = sure.best.optimal_layer is not None
print(describe_best(sure.best) if has_best else "No layer is the best: plausibility is not known, or 0.")
intervals = pd.DataFrame([of_kind(asdict(each), is_open=True) for each in sure.layers]).set_index("exit_layer")
intervals"""

_FIGURE = """\
import plotly.graph_objects as go

figure = go.Figure()
for name, label in {curves}.items():
    figure.add_scatter(x=scores.index, y=scores[name], name=label, mode="lines+markers")
figure.update_layout(xaxis_title="exit layer", yaxis_range=[0, 1])
figure"""

_CURVES = {"hallucination_rate": "hallucination", "creativity": "creativity", "hcb_score": "HCB"}
_OPEN_CURVES = {"token_plausibility": "plausibility", "creativity": "creativity", "hcb_score": "balance"}

_ANSWERS = """\
from hcl_core.runs.answers import group_answers

question_id = {question_id!r}
answers = pd.DataFrame(
    [
        {{"exit_layer": layer.exit_layer}} | asdict(answer)
        for layer in group_answers(folder, question_id)
        for answer in layer.answers
    ]
)
answers"""


def notebook_text(manifest: Manifest, question_id: str) -> str:
    """The text of the notebook's file, always the same for the same run.

    Args:
        manifest: Manifest of the run.
        question_id: Id of the question whose answers the last cell shows.
    """
    import nbformat  # here, because loading it takes longer than most commands

    header = (
        f"# Run {printable(manifest.id)}\n\n{_as_data(manifest.describe())}\n\n"
        "Scores of every exit layer, their intervals, and the answers behind them. The run is only read."
    )
    cells = [nbformat.v4.new_markdown_cell(header)]
    is_open = manifest.judge == NO_JUDGE
    curves = json.dumps(_OPEN_CURVES if is_open else _CURVES)
    code = [
        _OPEN.format(run_id=manifest.id),
        *((_OPEN_SCORES, _OPEN_INTERVALS) if is_open else (_SCORES, _INTERVALS)),
        _FIGURE.replace("{curves}", curves),
        _ANSWERS.format(question_id=question_id),
    ]
    cells += [nbformat.v4.new_code_cell(source) for source in code]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # nbformat draws a random one
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.validate(notebook)
    return f"{nbformat.writes(notebook)}\n"


def _as_data(text: str) -> str:
    """``text`` as a code block, in which Markdown, HTML and formulas have no effect."""
    line = printable(text)
    fence = "`" * (1 + max(2, *(len(run) for run in re.findall("`*", line))))
    return f"{fence}text\n{line}\n{fence}"
