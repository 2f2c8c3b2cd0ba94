"""The command that makes a Space of the program: deploy."""

import os
from typing import Annotated

import typer

from hcl_core.cli.terminal import app, say
from hcl_core.errors import SettingsError
from hcl_core.text import counted
from hcl_core.transfer.space import changed_files, space_files, upload


@app.command()
def deploy(
    repo: Annotated[str | None, typer.Argument(metavar="REPO", help="Id of the Space, such as owner/name.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be uploaded, and upload nothing.")
    ] = False,
    zerogpu: Annotated[bool, typer.Option("--zerogpu", help="With the Python and torch of a ZeroGPU Space.")] = False,
    torch_index: Annotated[
        str | None,
        typer.Option(metavar="URL", help="PyTorch's index of CPU builds: a CPU Space is then a third of the size."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="A new Space is private.")] = False,
) -> None:
    """Upload the program to a Space of the Hub, with the token in HF_TOKEN; docs/spaces.md says more."""
    files = space_files(zerogpu, torch_index)
    if dry_run:
        for file in files:
            say(f"{file.num_bytes:>12,}  {file.path}")
    changed = changed_files(files)
    if changed:
        say(f"Not as in the last commit: {', '.join(changed)}")
    total = sum(file.num_bytes for file in files)
    say(f"{counted(len(files), 'file')}, {total:,} bytes ({total / 2**20:.1f} MiB)")
    if dry_run:
        return
    if repo is None:
        raise SettingsError("give the id of the Space, such as owner/name, or --dry-run to see what it would get")
    say(f"Uploaded to {upload(repo, files, os.environ, private)}")
