"""An exported notebook on another machine: it carries its run, and nbconvert's page of it has the figure."""

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from fake_runs import Sitting
from test_page import browser  # noqa: F401

import hcl_core
from hcl_core.errors import RunFolderError
from hcl_core.records import Question
from hcl_core.transfer import export
from hcl_core.transfer.export import export_notebook
from hcl_core.transfer.packing import pack_run

REPO = Path(__file__).parent.parent
HOSTILE = Question(
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script> {0} ``` $x$",
    ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "costs $5 or $6"),
)

pytestmark = pytest.mark.slow


def run_elsewhere(notebook: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Execute the notebook and make a page of it in ``folder``, where nothing of this machine's runs is found.

    The program is there as an installed one is: by its name alone.
    """
    folder.mkdir(exist_ok=True)
    places = {"PYTHONPATH": str(REPO), "HOME": str(folder), "HCL_RUNS": str(folder / "none"), "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", notebook.name]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HCL_", "JUPYTER"))}
    shutil.move(notebook, folder)
    return subprocess.run(command, cwd=folder, env=environment | places, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    """The page of the notebook of a run that is made to do harm, which is deleted before the notebook runs."""
    made = tmp_path_factory.mktemp("made")
    sitting = Sitting(made / "run", [HOSTILE])
    sitting.finish()
    run = sitting.folder
    export_notebook(run, made / "run.ipynb")
    shutil.rmtree(run.path)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = run_elsewhere(made / "run.ipynb", elsewhere)
    assert done.returncode == 0, done.stderr
    return elsewhere / "run.html"


@pytest.mark.browser
def test_its_page_shows_the_figure_and_runs_nothing_of_what_others_wrote(hostile_page, browser):  # noqa: F811
    context = browser.new_context(offline=True)
    problems = []
    shown = context.new_page()
    shown.on("dialog", lambda dialog: problems.append(dialog.message))
    # nbconvert's pages load require.js where there is a network; Plotly must not take that for its own loader.
    shown.add_init_script("window.define = () => {}; window.define.amd = true; window.require = () => {};")
    shown.goto(hostile_page.as_uri())
    shown.wait_for_selector(".js-plotly-plot .main-svg")
    legend = shown.locator(".js-plotly-plot .legendtext").all_text_contents()
    cells = shown.locator("table.dataframe td").all_inner_texts()
    harmful = shown.locator("img[src=x], .jp-RenderedHTMLCommon td script, .jp-RenderedHTMLCommon td img").count()
    context.close()
    assert {"Hallucination", "Creativity", "HCB"} <= set(legend)
    assert set(HOSTILE.accepted_answers) <= set(cells)
    assert not harmful and not problems


def test_it_leaves_nothing_behind(hostile_page):
    visible = {path.name for path in hostile_page.parent.iterdir() if not path.name.startswith(".")}
    assert visible == {"run.ipynb", "run.html"}


def test_a_run_that_is_too_large_is_asked_for_and_found_beside_it(finished_copy, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_CARRIED_BYTES", 10)
    name = f"{finished_copy.manifest().id}.zip"
    for beside in (False, True):
        export_notebook(finished_copy, tmp_path / "run.ipynb")
        cells = nbformat.read(tmp_path / "run.ipynb", as_version=4).cells
        assert name in cells[0].source and "RUN" not in cells[1].source
        monkeypatch.chdir(tmp_path)
        if beside:
            pack_run(finished_copy, tmp_path / name)
            names: dict[str, object] = {}
            exec(cells[1].source, names)
            assert isinstance(names["run"], hcl_core.Run) and len(names["run"].answers) == 2 * 4 * 6
        else:
            with pytest.raises(RunFolderError, match=name):
                exec(cells[1].source, {})


def test_a_zip_of_a_run_opens_as_the_run_and_is_checked_first(finished, tmp_path):
    run = hcl_core.open_run(finished.path)
    opened = hcl_core.open_run(run.save(tmp_path / "run.zip"))
    pd.testing.assert_frame_equal(opened.answers, run.answers)
    (tmp_path / "bad.zip").write_bytes(b"PK")
    with pytest.raises(RunFolderError, match=r"bad\.zip"):
        hcl_core.open_run(tmp_path / "bad.zip")


def test_what_is_carried_is_the_zip_of_the_run(tmp_path):
    run = Sitting(tmp_path / "run")
    run.finish()
    pack_run(run.folder, tmp_path / "run.zip")
    export_notebook(run.folder, tmp_path / "run.ipynb")
    names: dict[str, str] = {}
    exec(nbformat.read(tmp_path / "run.ipynb", as_version=4).cells[1].source, names)
    assert base64.b64decode(names["RUN"]) == (tmp_path / "run.zip").read_bytes()
