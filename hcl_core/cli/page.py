"""The command that opens the page."""

import importlib.util
import sys

import typer

from hcl_core.cli.terminal import app
from hcl_core.folders import PROGRAM

# The page reads its options itself, --help among them.
_AS_GIVEN = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(add_help_option=False, context_settings=_AS_GIVEN)
def page(context: typer.Context) -> None:
    """Open the page in the browser; takes the options of app.py, which --help lists."""
    sys.argv = ["hcl page", *context.args]
    sys.path.insert(0, str(PROGRAM))  # as Python does for a program: its package `app` is there
    spec = importlib.util.spec_from_file_location("hcl_page", PROGRAM / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
