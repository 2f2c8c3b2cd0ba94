"""Commands that give a fitted exit head to others, and take one from them: export-head, import-head."""

from pathlib import Path
from typing import Annotated

import typer

from hcl_core import registry
from hcl_core.cli.terminal import DTYPE_HELP, app, loading, say, stderr
from hcl_core.errors import SettingsError
from hcl_core.models.catalogue import DEFAULT_MODEL


@app.command("export-head")
def export_head(
    head: Annotated[str, typer.Argument(help="A model that a head was fitted for, or the file of a head.")],
    out: Annotated[Path, typer.Option(help="A new folder for the head's file and its card.")],
) -> None:
    """Write a fitted exit head as a file with a card, for other people or the Hub."""
    if not head.strip():
        raise SettingsError("give the model that a head was fitted for, or the file of a head; got an empty name")
    say(f"Exported to {registry.export_head(head, out)}")


@app.command("import-head")
def import_head(
    file: Annotated[Path, typer.Argument(help="A head's .safetensors file, or the folder of `export-head`.")],
    model: Annotated[str, typer.Option(help="Catalogue name, Hub id or local folder.")] = DEFAULT_MODEL.name,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a head that is there.")] = False,
    dtype: Annotated[str, typer.Option(help=DTYPE_HELP)] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Check an exit head that somebody else fitted against a model, and keep it where auto finds it."""
    if not file.exists():
        raise SettingsError(f"there is no exit head {str(file)!r}")
    with stderr.status(loading(model)):
        lm, _ = registry.load_model(model, dtype, device)
        kept, trial = registry.import_head(file, lm, replace=replace)
    say(
        f"At layers {trial.first_layer} to {trial.last_layer} it names the last layer's word in {trial.agreement:.0%} "
        f"of {trial.num_positions} places ({trial.expected:.0%} by its own record)."
    )
    say(f"Saved as {kept}")
