"""Seconds until the page is served, and until the embedded model is loaded: ``python -m bench.startup``."""

import re
import subprocess
import sys
import time
import urllib.request

REPEATS = 3
LOAD = """
import time
started = time.perf_counter()
from hcl_core.decode.model import loading
imported = time.perf_counter()
loading.load_model("smollm2-135m")
print(f"libraries {imported - started:.2f} s, model {time.perf_counter() - imported:.2f} s")
"""


def main() -> None:
    """Print the time of each start."""
    for number in range(1, REPEATS + 1):
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-u", "app.py"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        address = next(found.group() for line in process.stdout if (found := re.search(r"http://[\d.]+:\d+", line)))
        with urllib.request.urlopen(address) as page:
            size = len(page.read())
        print(f"start {number}: a page of {size / 1000:.0f} kB after {time.perf_counter() - started:.2f} s")
        process.terminate()
        process.wait()
    for number in range(1, REPEATS + 1):
        done = subprocess.run([sys.executable, "-c", LOAD], stdout=subprocess.PIPE, text=True, check=True)
        print(f"load {number}: {done.stdout.strip()}")


if __name__ == "__main__":
    main()
