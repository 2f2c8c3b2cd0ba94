"""Commands on run folders as files: export, import, delete, restore."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hcl_core.cli.terminal import app, say
from hcl_core.errors import SettingsError
from hcl_core.folders import runs_folder
from hcl_core.judges.person import PersonVerdicts, read_person_verdicts
from hcl_core.pipeline.overrule import overruled_questions
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.registry import load_embedder
from hcl_core.runs import trash
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import check_run_id
from hcl_core.text import printable
from hcl_core.transfer import export as exports
from hcl_core.transfer.packing import pack_run
from hcl_core.transfer.settling import Outcome
from hcl_core.transfer.unpacking import unpack_run


class Format(StrEnum):
    """The formats that a run can be exported in."""

    ZIP = "zip"
    CSV = "csv"
    SCORES = "scores"
    NOTEBOOK = "notebook"


_ENDINGS = {Format.ZIP: "zip", Format.CSV: "csv", Format.SCORES: "scores.csv", Format.NOTEBOOK: "ipynb"}
_BROUGHT_IN: dict[Outcome, str] = {
    "stored": "Saved in {path}",
    "view": (
        "Saved in {path}, as a view of its own: its answers are here with other right answers or another judge, which "
        "stay as they are"
    ),
    "there": "It was here already, in {path}; nothing was stored.",
    "other": (
        "Kept the run that was there, {path}; nothing was stored. It has the same settings and other answers: one of "
        "both is not finished, or was made on another machine. To take the other one, delete this one first."
    ),
}
_CSV_WRITERS = {Format.CSV: exports.export_csv, Format.SCORES: exports.export_scores_csv}


@app.command()
def export(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    file_format: Annotated[
        Format,
        typer.Option("--format", help="The whole run, its answers, its scores by layer, or a Jupyter notebook."),
    ] = Format.ZIP,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: the run's id, in the working folder.")
    ] = None,
    no_bom: Annotated[
        bool, typer.Option("--no-bom", help="CSV without the byte order mark that Excel needs: for scripts.")
    ] = False,
    verdicts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A person's verdicts, as the page keeps them: laid over the judge's, and marked."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a run as one file: for `import` elsewhere, a spreadsheet or a notebook."""
    if no_bom and file_format not in _CSV_WRITERS:
        raise SettingsError("--no-bom goes with --format csv or scores")
    if verdicts and file_format is Format.NOTEBOOK:
        raise SettingsError("--verdicts goes with --format zip, csv or scores")
    folder = RunFolder(run_dir)
    run_id = check_run_id(folder.manifest().id)
    target = out or Path(f"{run_id}.{_ENDINGS[file_format]}")
    if target.exists() and not force:
        raise SettingsError(f"{target} exists already: choose another --out, or replace it with --force")
    given = read_person_verdicts(verdicts, run_id) if verdicts else PersonVerdicts()
    if file_format is Format.ZIP:
        pack_run(folder, target, given)
    elif file_format is Format.NOTEBOOK:
        exports.export_notebook(folder, target)
    else:
        overruled = overruled_questions(folder, given, Embeddings(load_embedder).of)
        _CSV_WRITERS[file_format](folder, target, not no_bom, overruled)
    say(f"Saved as {target}")


@app.command("import")
def import_run(
    source: Annotated[Path, typer.Argument(metavar="PATH", help="A zip file of `export`, or a run folder.")],
) -> None:
    """Import a run from another machine; it is validated first."""
    imported = unpack_run(source, runs_folder())
    say(_BROUGHT_IN[imported.outcome].format(path=imported.folder.path))


@app.command()
def delete(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Move a run to the trash; `restore` takes it back."""
    folder = RunFolder(run_dir)
    manifest = folder.manifest()
    if not yes:
        if not sys.stdin.isatty():
            raise SettingsError("there is no terminal to ask on: give --yes to delete the run")
        question = f"Delete {folder.path} ({manifest.describe()})?"
        if not typer.confirm(printable(question), err=True):
            say("Nothing was deleted.")
            return
    trash.delete_run(folder)
    say(f"Deleted. To undo: python -m hcl_core restore {manifest.id}")


@app.command()
def restore(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="Id of a deleted run.")],
) -> None:
    """Move a deleted run from the trash back to the runs."""
    say(f"Restored in {trash.restore_run(run_id, runs_folder()).path}")
