"""Start gradio in half the time. Imports nothing of it itself. ``python -m bench.startup`` measures it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from typing import Any
from unittest.mock import patch

# The release whose source these patches were read in. With any other, gradio starts unpatched and takes longer.
_KNOWN_GRADIO = "6.31.0"


@contextmanager
def no_stub_files() -> Iterator[None]:
    """Keep gradio from writing a ``.pyi`` beside every component's source, ours included, meanwhile.

    It does so at each import, which is about half of it, and fails where the program's folder is read-only. It skips
    components whose source file is unknown, so that is what it is told
    (``gradio.component_meta.create_or_modify_pyi``).
    """
    with _patched("inspect.getfile", side_effect=OSError("no stub files are wanted")):
        yield


@contextmanager
def one_application() -> Iterator[None]:
    """Keep gradio from making a web application at each step of building a page, meanwhile.

    ``Blocks.__exit__`` and ``queue`` each make a whole one; ``launch`` makes another, the only one that is served.
    """
    with _patched("gradio.blocks.App.create_app", return_value=None):
        yield


@contextmanager
def _patched(target: str, **replacement: Any) -> Iterator[None]:
    """``unittest.mock.patch``, but only in the gradio that is known, and without an error where it is not possible."""
    with ExitStack() as patches:
        if version("gradio") == _KNOWN_GRADIO:
            with suppress(AttributeError, ImportError):
                patches.enter_context(patch(target, **replacement))
        yield
