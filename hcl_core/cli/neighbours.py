"""The command that runs another evaluation program with this one's models: lm-eval."""

import importlib
import importlib.util
import sys

import typer

from hcl_core.cli.terminal import app
from hcl_core.errors import SettingsError

# Its own help, and options of its own that this program does not know.
_OF_THE_HARNESS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command("lm-eval", context_settings=_OF_THE_HARNESS, add_help_option=False)
def lm_eval(context: typer.Context) -> None:
    """Run the lm-evaluation-harness, which then has the model hcl; docs/neighbours.md says more."""
    if importlib.util.find_spec("lm_eval") is None:
        raise SettingsError("this needs the lm-evaluation-harness: pip install 'hcl-explorer[lm-eval]'")
    importlib.import_module("hcl_core.neighbours.harness")
    sys.argv = ["lm_eval", *context.args]
    importlib.import_module("lm_eval.__main__").cli_evaluate()
