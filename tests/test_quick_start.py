"""The page starts with gradio's start-up patched, and without the patches where they do not fit."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILD = """
from app import quick_start
{change}
with quick_start.no_stub_files():
    from app.page import build
    from app.service import Service
with quick_start.one_application():
    page = build(Service())
print(page.app is not None, len(page.fns) > 20)
"""


@pytest.mark.parametrize(
    ("change", "has_made_applications"),
    [
        ("", False),
        ("quick_start.version = lambda name: '99.0'", True),
        ("quick_start.patch = lambda target, **_: getattr(quick_start, target)", True),
    ],
    ids=["this gradio", "another gradio", "a name that is gone"],
)
def test_the_page_is_built_whether_or_not_gradio_can_be_patched(change, has_made_applications):
    code = BUILD.format(change=change)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == [str(has_made_applications), "True"]
