"""``python -m hcl_core`` and ``hcl``: the doors of the page, for the terminal. Parses, calls, formats; nothing else.

``terminal`` has the program and its two consoles; ``models``, ``runs``, ``files``, ``repair``, ``judges``, ``memory``,
``speed``, ``deploy`` and ``page`` the commands; ``tables`` and ``progress`` what they print.
"""

from hcl_core.cli import deploy, files, judges, memory, models, page, repair, runs, speed  # noqa: F401  (each brings its commands)
from hcl_core.cli.terminal import app, main

__all__ = ["app", "main"]
