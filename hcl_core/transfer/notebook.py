"""A Jupyter notebook that carries a run and shows it: its cells, and the file."""

import base64
import re

from hcl_core.runs.manifest import Manifest
from hcl_core.text import printable

_HEADER = """\
# Run {run_id}

{described}

Scores of every exit layer, their intervals, and the answers behind them. {where}

It needs HCL Explorer, `pip install .` in its folder, and Jupyter, or to run it as a page:

    pip install nbconvert ipykernel
    jupyter nbconvert --execute --to html NOTEBOOK.ipynb"""

_CARRIED = "The run is in the next cell: the notebook needs nothing beside it."
_BESIDE = (
    "The run is too large to be carried: its zip file, `{run_id}.zip`, or its folder has to be beside the notebook."
)

# On one line, which takes the least room where a program shows it all the same.
_RUN = """\
# The run: the zip file that `hcl import` takes, as base64.
RUN = '{encoded}'"""

# Ids are put in as Python literals (!r), whatever letters they have.
_OPEN_CARRIED = """\
import base64
from pathlib import Path
from tempfile import TemporaryDirectory

import hcl_core

with TemporaryDirectory() as folder:
    file = Path(folder) / "run.zip"
    file.write_bytes(base64.b64decode(RUN))
    run = hcl_core.open_run(file)
print(run.manifest.describe())"""

_OPEN_BESIDE = """\
from pathlib import Path

import hcl_core
from hcl_core.folders import precomputed_folder, runs_folder

# Beside the notebook; else among the runs of HCL Explorer on this machine.
places = [Path({zip_name!r}), *(folder / {run_id!r} for folder in (Path(), runs_folder(), precomputed_folder()))]
run = hcl_core.open_run(next((place for place in places if place.exists()), places[0]))
print(run.manifest.describe())"""

_SCORES = """\
run = run.weighed(creativity=0.5)  # the rest is the weight of accuracy
scores = run.scores.set_index("exit_layer")
scores"""

# As HTML that has Plotly's script in it: every notebook and nbconvert's page draw it, without a network too.
_FIGURE = """\
from IPython.display import HTML

print(run.verdict)
figure = run.plot()
HTML(figure.to_html(full_html=False, include_plotlyjs=True, include_mathjax=False))"""

_ANSWERS = """\
import pandas as pd

pd.set_option("display.html.use_mathjax", False)  # a dollar sign of an answer is none of mathematics
answers = run.answers
answers = answers[answers["question_id"] == {question_id!r}]
of_kind = answers.groupby(["exit_layer", "answer", "outcome"], observed=True).size().rename("count").reset_index()
of_kind.sort_values(["exit_layer", "count"], ascending=[True, False], kind="stable")"""


def notebook_text(manifest: Manifest, question_id: str, packed: bytes | None) -> str:
    """The text of the notebook's file, always the same for the same run.

    Args:
        manifest: Manifest of the run.
        question_id: Id of the question whose answers the last cell shows.
        packed: The run as a zip file, see ``packing.pack_run``; ``None``: it has to be beside the notebook.
    """
    import nbformat  # here, because loading it takes longer than most commands

    run_id = manifest.id
    where = _CARRIED if packed is not None else _BESIDE.format(run_id=printable(run_id))
    header = _HEADER.format(run_id=printable(run_id), described=_as_data(manifest.describe()), where=where)
    cells = [nbformat.v4.new_markdown_cell(header)]
    if packed is None:
        code = [_OPEN_BESIDE.format(zip_name=f"{run_id}.zip", run_id=run_id)]
    else:
        source = _RUN.format(encoded=base64.b64encode(packed).decode("ascii"))
        cells.append(nbformat.v4.new_code_cell(source, metadata={"jupyter": {"source_hidden": True}}))
        code = [_OPEN_CARRIED]
    code += [_SCORES, _FIGURE, _ANSWERS.format(question_id=question_id)]
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
