"""``python -m hcl_core`` and ``hcl``: the doors of the page, for the terminal. Parses, calls, formats; nothing else.

``terminal`` has the program and its two consoles; ``models``, ``heads``, ``runs``, ``files``, ``repair``, ``judges``,
``memory``, ``speed``, ``sweep``, ``sweep_results``, ``neighbours``, ``deploy``, ``push`` and ``page`` the commands;
``tables``, ``progress`` what they print.
"""

from hcl_core.cli import (  # noqa: F401  (each brings its commands)
    deploy,
    files,
    heads,
    judges,
    memory,
    models,
    neighbours,
    page,
    push,
    repair,
    runs,
    speed,
    sweep,
    sweep_results,
)
from hcl_core.cli.terminal import app, main

__all__ = ["app", "main"]
