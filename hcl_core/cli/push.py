"""The command that makes a data set of a run: push."""

import os
from pathlib import Path
from typing import Annotated

import typer

from hcl_core.cli.terminal import app, say
from hcl_core.runs.folder import RunFolder
from hcl_core.text import counted
from hcl_core.transfer import data_set


@app.command()
def push(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run.")],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="As hf://datasets/owner/name.")],
    public: Annotated[
        bool, typer.Option("--public", help="A new data set is open to everybody; else private.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be uploaded, with the card, and upload nothing.")
    ] = False,
) -> None:
    """Upload a run to a data set of the Hub, with the token in HF_TOKEN; docs/push.md says more."""
    folder = RunFolder(run_dir)
    data_set.repo_of(address)
    files = data_set.data_set_files(folder)
    if dry_run:
        for file in files:
            say(f"{file.num_bytes:>12,}  {file.path}")
    total = sum(file.num_bytes for file in files)
    say(f"{counted(len(files), 'file')}, {total:,} bytes ({total / 2**20:.1f} MiB)")
    if dry_run:
        card = files[0].content
        assert isinstance(card, bytes)
        say(f"\n{card.decode()}")
        return
    say(f"Uploaded to {data_set.push(folder, address, os.environ, public=public)}")
