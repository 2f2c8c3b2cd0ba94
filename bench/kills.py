"""A sweep that is killed with SIGKILL at random moments: ``python -m bench.kills`` (50 times), some minutes.

A tiny random model, made here. One kill of five comes while the program starts; the others come within ``--window``
seconds after it has opened the sweep: while it loads the model, decodes or stores. After each, every part that is
stored is checked. In the end the same command finishes the sweep, `verify` checks every file, and the samples are
compared with those of a sweep that nobody killed. Exits with 1 where they differ, or a part is damaged.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from bench.machine import describe
from bench.random_models import random_model, set_spread, word_tokenizer
from hcl_core.models.shapes import ModelShape
from hcl_core.runs.folder import RunFolder
from hcl_core.settings.prompts import load_template

_SHAPE = ModelShape(4, 64, 128, 4, 2, 16, 400)
_TOPICS = ("a number", "a planet", "a river", "a colour", "a tree", "a city", "a bird", "a metal")


def main() -> None:
    """Kill, finish, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--questions", type=int, default=100, help="of each of the four cells")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--window", type=float, help="default: twice the sweep's work, divided among the kills")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_sweep(folder, options.questions)
        whole, killed = folder / "whole", folder / "killed"
        start = run(folder, "sweep", "sweep.yaml", "--dry-run")
        run(folder, "sweep", "sweep.yaml", "--out", "whole")
        work = time.time() - min(file.stat().st_mtime for file in whole.glob("*/questions.jsonl"))
        print(f"{describe()}; {len(samples(whole)):,} samples in {work:.0f} s after a start of {start:.0f} s")
        moments = random.Random(options.seed)
        num_ended = 0
        grown: list[int] = []
        for number in range(options.kills):
            before = len(samples(killed))
            is_start = number % 5 == 4
            longest = start if is_start else options.window or 2 * work / options.kills
            num_ended += kill(folder, moments.uniform(0, longest), is_start)
            grown.append(len(samples(killed)) - before)
        print(
            f"{options.kills} kills, {num_ended} of them too late: the command had ended; "
            f"{sum(map(bool, grown))} after new samples were stored, {sum(grown):,} samples in all"
        )
        run(folder, "sweep", "sweep.yaml", "--out", "killed")
        run(folder, "verify", "killed")
        are_equal = samples(killed) == samples(whole)
        print("verify: every part is whole; samples are", "equal" if are_equal else "NOT equal")
    sys.exit(not are_equal)


def write_sweep(folder: Path, num_questions: int) -> None:
    """Model, questions and the sweep's file."""
    names = [f"Name {topic} that goes with {number}" for number in range(num_questions) for topic in _TOPICS]
    questions = names[:num_questions]
    model = random_model(_SHAPE, torch.float32, "cpu")
    set_spread(model, 4)
    model.save_pretrained(folder / "model")
    word_tokenizer([load_template().render(each) for each in questions]).save_pretrained(folder / "model")
    rows = [json.dumps({"question": each, "answers": ["Honey", "Autumn"]}) for each in questions]
    (folder / "questions.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "sweep.yaml").write_text(
        "models: [./model]\nquestions: [questions.jsonl]\nexit_heads: [shared]\ntemperatures: [0.5, 1.0]\n"
        "seeds: [0, 1]\nsamples: 20\nmax_new_tokens: 12\n",
        encoding="utf-8",
    )


def run(folder: Path, *arguments: str) -> float:
    """Seconds that a command takes; ends the measurement where it fails."""
    began = time.perf_counter()
    done = subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - began


def kill(folder: Path, after_seconds: float, from_start: bool) -> bool:
    """Kill the sweep so long after its start, or after it has opened its folder; whether it had ended."""
    nowhere, opened = subprocess.DEVNULL, time_of(folder / "killed" / "sweep.json")
    process = subprocess.Popen(
        command("sweep", "sweep.yaml", "--out", "killed"), cwd=folder, stdout=nowhere, stderr=nowhere
    )
    while not from_start and process.poll() is None and time_of(folder / "killed" / "sweep.json") == opened:
        time.sleep(0.002)  # it is written each time that a sweep is opened
    try:
        process.wait(after_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    if process.returncode:
        sys.exit(f"the sweep ended with {process.returncode}")
    return True


def time_of(file: Path) -> int | None:
    """Of its last change; ``None`` where there is none."""
    return file.stat().st_mtime_ns if file.exists() else None


def command(*arguments: str) -> list[str]:
    """A command of this tree's program, whatever the working folder is."""
    root = str(Path(__file__).parent.parent)
    code = f"import sys; sys.path.insert(0, {root!r}); from hcl_core.cli import main; main(sys.argv[1:])"
    return [sys.executable, "-c", code, *arguments]


def samples(sweep: Path) -> dict[tuple[str, object], object]:
    """Of all runs, by run and key; ends the measurement where a stored part is damaged."""
    found: dict[tuple[str, object], object] = {}
    for manifest in sorted(sweep.glob("*/manifest.json")):
        folder = RunFolder(manifest.parent)
        if bad := folder.bad_parts():
            sys.exit(f"{bad[0].file} is damaged")
        found |= {(folder.path.name, each.key): each for each in folder.samples()}
    return found


if __name__ == "__main__":
    main()
