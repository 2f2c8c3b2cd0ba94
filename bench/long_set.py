"""A run over a long set of questions: ``python -m bench.long_set FILE`` (1,000 questions), about a quarter of an hour.

The command `run` in a process of its own, as a user starts it; its resident memory is read every second. Prints
seconds, memory at each tenth of the time, and what the run takes on disk. Stopped, it goes on where it was; the seconds
are then those of the rest.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench.machine import describe
from hcl_core.runs.folder import RunFolder


def main() -> None:
    """Run, watch, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="of questions, as `run --questions` takes it")
    parser.add_argument("--questions", type=int, default=1_000)
    parser.add_argument("--layers", default="5::5", help="six of SmolLM2's thirty")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--max-new-tokens", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    options = parser.parse_args()
    asked = ["--questions", options.file, "--limit", options.questions, "--layers", options.layers]
    asked += ["--samples", options.samples, "--max-new-tokens", options.max_new_tokens, "--out", options.out]
    num_before = num_answers(options.out)
    began, process = time.perf_counter(), subprocess.Popen([sys.executable, "-m", "hcl_core", "run", *map(str, asked)])
    watched, memory = psutil.Process(process.pid), []
    while process.poll() is None:
        memory.append(watched.memory_info().rss / 1e9)
        time.sleep(1)
    seconds = time.perf_counter() - began
    if process.returncode:
        sys.exit(process.returncode)
    files = [file for file in options.out.rglob("*") if file.is_file()]
    num_new = num_answers(options.out) - num_before
    print(f"{describe()}; {options.questions} questions, layers {options.layers}, {options.samples} answers a layer")
    print(f"{num_new} answers in {seconds:.0f} s, {num_before} were there before")
    tenths = [memory[len(memory) * tenth // 10] for tenth in range(1, 10)] + [memory[-1]]
    print(f"memory at each tenth of the time, GB: {' '.join(f'{each:.2f}' for each in tenths)}")
    print(f"on disk: {sum(file.stat().st_size for file in files) / 1e6:.2f} MB in {len(files)} files")


def num_answers(folder: Path) -> int:
    """That the run's folder has; none where there is no run."""
    return sum(len(batch) for batch in RunFolder(folder).sample_batches(["sample_idx"])) if folder.exists() else 0


if __name__ == "__main__":
    main()
