"""Commands on damaged run folders: verify, repair."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from hcl_core.cli.terminal import app, say
from hcl_core.folders import precomputed_folder, runs_folder
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import is_run_id
from hcl_core.runs.repair import repair_run
from hcl_core.runs.verify import verify_run
from hcl_core.sweeps.folder import SweepFolder
from hcl_core.text import counted

_RUN = Annotated[str, typer.Argument(metavar="DIR|RUN_ID", help="A run folder, or the id of a stored run.")]


@app.command()
def verify(run: _RUN) -> None:
    """Read and check every file of a run, or of all runs of a sweep; a line for each problem.

    Exit code 0: none, 1: some, 2: no run there.
    """
    if (sweep := SweepFolder(Path(run))).exists:
        _verify_sweep(sweep)
        return
    folder = _find(run)
    _end_with(verify_run(folder))
    manifest, num_samples = folder.manifest(), len(folder.sample_table(["sample_idx"]))
    say(
        f"{folder.path}: no problem found; {num_samples:,} of "
        f"{counted(manifest.num_total_samples, 'sample')} {'is' if num_samples == 1 else 'are'} there"
    )


def _verify_sweep(sweep: SweepFolder) -> None:
    """Check the run of every cell; each line begins with the run's name."""
    runs = dict.fromkeys(cell.run_id for cell in sweep.read().cells if cell.run_id is not None)
    folders = [RunFolder(sweep.path / name) for name in runs if (sweep.path / name).is_dir()]
    problems = [
        f"{folder.path.name}/{problem}" for folder in folders if folder.exists for problem in verify_run(folder)
    ]
    _end_with(problems)
    say(f"{sweep.path}: no problem found in {counted(len(folders), 'run')}")


@app.command()
def repair(run: _RUN) -> None:
    """Move damaged files of a run to its folder set_aside. Exit code 0: it can be read, 1: problems are left."""
    folder = _find(run)
    for path in repair_run(folder):
        say(f"Moved to {path}")
    _end_with(verify_run(folder))
    num_missing = folder.manifest().num_total_samples - len(folder.sample_table(["sample_idx"]))
    missing = f"; missing: {counted(num_missing, 'sample')}, which the same `run` command makes" if num_missing else ""
    say(f"{folder.path} can be read{missing}")


def _end_with(problems: Sequence[object]) -> None:
    """Say each of the problems and leave with exit code 1, if there are any."""
    for problem in problems:
        say(str(problem))
    if problems:
        raise typer.Exit(1)


def _find(run: str) -> RunFolder:
    """The run in the folder ``run``, else the stored run of that id."""
    if is_run_id(run) and not Path(run).exists():
        for root in (runs_folder(), precomputed_folder()):
            if RunFolder(root / run).exists:
                return RunFolder(root / run)
    return RunFolder(Path(run))
