"""The smallest session of ``docs/python.md``, from import to plot, in a fresh process: ``python -m bench.session``.

The processor's seconds are those of the session alone, also where other programs run beside it.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_TEXT = Path(__file__).parents[1] / "docs" / "python.md"


def main() -> None:
    """Run the first block of the text and ``run.plot()`` three times, each with no run stored; print the seconds."""
    block = re.search(r"```python\n(.*?)```", _TEXT.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    code = f"{block[1]}\nrun.plot().to_html()\n"
    for _ in range(3):
        with tempfile.TemporaryDirectory() as runs:
            begin, before = time.perf_counter(), _processor_seconds()
            subprocess.run(
                [sys.executable, "-c", code], env=os.environ | {"HCL_RUNS": runs}, check=True, stdout=subprocess.DEVNULL
            )
            seconds = time.perf_counter() - begin
            print(f"{seconds:.1f} s, of the processor {_processor_seconds() - before:.1f} s")


def _processor_seconds() -> float:
    """Of all sessions that have ended."""
    used = os.times()
    return used.children_user + used.children_system


if __name__ == "__main__":
    main()
