"""Start gradio in half the time. Imports nothing of it itself. ``python -m bench.startup`` measures it."""

from contextlib import AbstractContextManager
from unittest.mock import patch


def no_stub_files() -> AbstractContextManager[object]:
    """Keep gradio from writing a ``.pyi`` beside every component's source, ours included, meanwhile.

    It does so at each import, which is about half of it, and fails where the program's folder is read-only. It skips
    components whose source file is unknown, so that is what it is told
    (``gradio.component_meta.create_or_modify_pyi``).
    """
    return patch("inspect.getfile", side_effect=OSError("no stub files are wanted"))


def one_application() -> AbstractContextManager[object]:
    """Keep gradio from making a web application at each step of building a page, meanwhile.

    ``Blocks.__exit__`` and ``queue`` each make a whole one; ``launch`` makes another, the only one that is served.
    """
    return patch("gradio.blocks.App.create_app", return_value=None)
