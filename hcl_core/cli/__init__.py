"""``python -m hcl_core``: the same doors as the page, for the terminal. Parses, calls, formats; nothing else.

``terminal`` has the program and its two consoles; ``models``, ``runs``, ``files``, ``repair``, ``judges``, ``memory``,
``speed`` and ``deploy`` the commands; ``tables`` and ``progress`` what they print.
"""

from hcl_core.cli import deploy, files, judges, memory, models, repair, runs, speed  # noqa: F401  (each brings its commands)
from hcl_core.cli.terminal import app, main

__all__ = ["app", "main"]
