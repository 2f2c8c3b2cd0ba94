"""A public page under load and faults: ``python -m bench.soak`` (``make soak``), 45 minutes; or one part by its name.

The app runs in a process of its own; visitors are sessions over HTTP (``bench.visitors``) in this one, on the same
cores. Prints what ``docs/reliability.md`` says; a part that does not hold makes the exit code 1.
"""

import argparse
import asyncio
import hashlib
import random
import re
import statistics
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from app.library import questions_of, stored_runs
from bench.machine import describe
from bench.visitors import ROOT, Asked, Visitor, Visitors, page_process, visiting

# Seconds that a visitor looks at something.
THOUGHT = (3.0, 5.0)
# One address stands for all visitors here, as in a class behind one router.
MANY = {"HCL_PUBLIC": "1"}
QUESTION = "Which planet has rings? Case {}."
_CASE = re.compile(r"has rings\? Case ([0-9a-f]{10})")


@dataclass(slots=True)
class Times:
    """Seconds that answers took, by what was asked for, and what failed."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    async def of(self, what: str, work: Awaitable[str]) -> str:
        """What ``work`` brings; an error is noted, and brings nothing."""
        began = time.perf_counter()
        try:
            text = await work
        except httpx.HTTPError as error:
            self.failures.append(f"{what}: {type(error).__name__} {error}"[:200])
            return ""
        self.seconds.setdefault(what, []).append(time.perf_counter() - began)
        return text

    def table(self) -> str:
        """A row for each kind."""
        rows = ["| | times | median, s | 95%, s | longest, s |", "|---|---|---|---|---|"]
        for what, seconds in self.seconds.items():
            shown = (statistics.median(seconds), p95(seconds), max(seconds))
            rows.append(f"| {what} | {len(seconds)} | {' | '.join(f'{each:.2f}' for each in shown)} |")
        return "\n".join([*rows, f"\n{len(self.failures)} errors {self.failures[:3] or ''}"])


def p95(seconds: Sequence[float]) -> float:
    """The time that 95 of 100 do not exceed."""
    return float(np.quantile(seconds, 0.95))


async def browse(visitors: Visitors, times: Times, until: float) -> None:
    """One visitor who opens stored questions and layers, and thinks between them."""
    runs, visitor = stored_runs(with_own=False), visitors()
    await asyncio.sleep(random.uniform(0, THOUGHT[1]))
    await times.of("the page opens", visitor.open())
    while time.monotonic() < until:
        await asyncio.sleep(random.uniform(*THOUGHT))
        run = random.choice(runs)
        if random.random() < 0.6:
            question = random.choice(questions_of(run)).question.id
            await times.of("a stored question", visitor.show(run.manifest.run_id, question))
        else:
            await times.of("a layer", visitor.choose(random.choice(run.manifest.settings.exit_layers)))
    await visitor.leave()


async def browsing(address: str, process: psutil.Process, minutes: float) -> bool:
    """50 visitors who look at stored runs."""
    holds = True
    for since in ("the page has just started", "after these minutes"):
        times, until = Times(), time.monotonic() + 60 * minutes
        before = process.cpu_times()
        async with visiting(address) as visitors:
            await asyncio.gather(*(browse(visitors, times, until) for _ in range(50)))
        after = process.cpu_times()
        used = after.user + after.system - before.user - before.system
        print(f"\n{since}\n\n{times.table()}\nprocessor: {used / (60 * minutes):.0%} of one core", flush=True)
        holds = holds and not times.failures and p95(times.seconds["a stored question"]) < 1
    return holds


def case_of(number: int) -> str:
    """Letters that a question can be known by, and that no model would write."""
    return hashlib.blake2b(str(number).encode(), digest_size=5).hexdigest()


def live(number: int, **changed: object) -> dict[str, object]:
    """A question that nobody else has, and few layers."""
    asked = {"question": QUESTION.format(case_of(number)), "accepted": "Saturn\nJupiter\nUranus\nNeptune"}
    return asked | {"first_layer": 20, "last_layer": 30, "every": 2, "num_samples": 8} | changed


async def equal(address: str, process: psutil.Process, minutes: float) -> bool:
    """50 visitors who ask the same live question within ten seconds."""

    async def one(visitors: Visitors, wait: float) -> Asked:
        visitor = visitors()
        await visitor.open()
        await asyncio.sleep(wait)
        asked = await visitor.ask(live(0, num_samples=24, first_layer=2))
        await visitor.leave()
        return asked

    async with visiting(address) as visitors:
        asked = await asyncio.gather(*(one(visitors, 10 * number / 50) for number in range(50)))
    saved = {line.rpartition(" ")[2] for each in asked for line in each.said if "saved as run" in line}
    done, latest = sum(each.is_done and each.first is not None for each in asked), max(each.seconds for each in asked)
    print(f"{done} of 50 have their answers, the last one after {latest:.1f} s; runs: {len(saved)}")
    return done == 50 and len(saved) <= 1


async def different(address: str, process: psutil.Process, minutes: float) -> bool:
    """Ten visitors with ten questions, one after another and then at once, with other seeds."""

    async def one(visitors: Visitors, number: int, seed: int) -> Asked:
        visitor = visitors()
        await visitor.open()
        asked = await visitor.ask(live(number, seed=seed, num_samples=24, first_layer=2))
        await visitor.leave()
        return asked

    async with visiting(address) as visitors:
        began = time.perf_counter()
        for number in range(10):
            await one(visitors, number, 1)
        in_turn, began = time.perf_counter() - began, time.perf_counter()
        asked = await asyncio.gather(*(one(visitors, number, 2) for number in range(10)))
        at_once = time.perf_counter() - began
    firsts = [each.first for each in asked if each.first is not None]
    done = sum(each.is_done for each in asked)
    print(
        f"one after another {in_turn:.1f} s, at once {at_once:.1f} s ({in_turn / at_once:.2f} times as fast); "
        f"{done} done; first answers after {min(firsts):.1f} to {max(firsts):.1f} s; "
        f"done after {min(each.seconds for each in asked):.1f} to {max(each.seconds for each in asked):.1f} s"
    )
    return done == 10 and 2 * at_once <= in_turn


async def mixed(address: str, process: psutil.Process, minutes: float) -> bool:
    """Visitors who browse, run, stop, close the tab in the middle, and send rubbish; memory over time."""
    times, until = Times(), time.monotonic() + 60 * minutes
    seen_others: list[str] = []
    outcomes, numbers = {"done": 0, "stopped": 0, "left": 0, "refused": 0}, iter(range(1_000_000))
    codes: dict[int, int] = {}

    async def runs_things(visitors: Visitors) -> None:
        while time.monotonic() < until:
            visitor, number, what = visitors(), next(numbers), random.random()
            temperature, samples = random.choice((0.6, 1.0, 1.4)), random.choice((8, 24))
            await times.of("the page opens", visitor.open())
            stop_after = random.uniform(0.5, 4) if what < 0.2 else None
            task = asyncio.create_task(
                visitor.ask(live(number, temperature=temperature, num_samples=samples), stop_after)
            )
            if what > 0.8:
                await asyncio.sleep(random.uniform(0.5, 4))
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                outcomes["left"] += 1
            else:
                try:
                    asked = await task
                except httpx.HTTPError as error:
                    times.failures.append(f"run: {type(error).__name__} {error}"[:200])
                    continue
                seen_others.extend({*_CASE.findall(asked.text)} - {case_of(number)})
                kind = "stopped" if stop_after is not None else "done" if asked.first is not None else "refused"
                outcomes[kind] += 1
                times.seconds.setdefault("a live run", []).append(asked.seconds)
            await visitor.leave()

    async def sends_rubbish(visitors: Visitors) -> None:
        while time.monotonic() < until:
            await asyncio.sleep(2)
            number = random.randrange(len(visitors.events.config["dependencies"]))
            values: list[object] = [
                random.choice((None, 10**9, float("1e308"), "x" * 10_000, [], {}, -1)) for _ in range(30)
            ]
            call = {"data": values[: random.randrange(30)], "fn_index": number, "session_hash": rubbish()}
            path = random.choice(("run/predict", "queue/join", "run/nothing"))
            answer = await visitors.client.post(f"/gradio_api/{path}", json=call)
            codes[answer.status_code] = codes.get(answer.status_code, 0) + 1
            if "Traceback" in answer.text:
                times.failures.append(f"a trace: {answer.text[:100]}")

    memory: list[tuple[float, float]] = []

    async def watch() -> None:
        began = time.monotonic()
        while time.monotonic() < until:
            memory.append(((time.monotonic() - began) / 60, process.memory_info().rss / 2**30))
            await asyncio.sleep(5)

    async with visiting(address) as visitors:
        await asyncio.gather(
            watch(),
            sends_rubbish(visitors),
            *(browse(visitors, times, until) for _ in range(12)),
            *(runs_things(visitors) for _ in range(4)),
        )
        began = time.perf_counter()
        visitor = visitors()
        await visitor.open()
        last = await visitor.ask(live(next(numbers)))
        await visitor.leave()
    plateau, end = (
        statistics.median(size for when, size in memory if low <= 3 * when / minutes < low + 1) for low in (1, 2)
    )
    sizes = ", ".join(f"{when:.0f} min {size:.2f}" for when, size in memory[:: max(1, len(memory) // 12)])
    print(times.table())
    print(f"\nruns: {outcomes}; answers to rubbish by status: {codes}; sights of other questions: {len(seen_others)}")
    print(f"memory, GB: {sizes}; highest {max(size for _, size in memory):.2f}")
    print(f"second third {plateau:.2f} GB, last third {end:.2f} GB ({end / plateau - 1:+.1%})")
    print(f"a run afterwards: {'done' if last.first else 'not done'} in {time.perf_counter() - began:.1f} s")
    return not times.failures and not seen_others and last.first is not None and end < 1.1 * plateau


def rubbish() -> str:
    """A session that there is not."""
    return "".join(random.choices(string.printable, k=12))


def killed() -> bool:
    """``kill -9`` while runs are under way; what was finished is there and verifies after a new start."""

    async def ask_many(address: str, process: psutil.Process) -> list[str]:
        saved: list[str] = []

        async def one(visitors: Visitors, number: int) -> None:
            visitor = visitors()
            await visitor.open()
            try:
                asked = await visitor.ask(live(number))
                saved.extend(line.rpartition(" ")[2] for line in asked.said if "saved as run" in line)
            except httpx.HTTPError:
                return

        async with visiting(address) as visitors:
            tasks = [asyncio.create_task(one(visitors, number)) for number in range(12)]
            while len(set(saved)) < 4:
                await asyncio.sleep(0.1)
            process.kill()
            await asyncio.wait(tasks, timeout=20)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return sorted(set(saved))

    with tempfile.TemporaryDirectory() as runs:
        with page_process(HCL_RUNS=runs, **MANY) as (address, process):
            saved = asyncio.run(ask_many(address, process))
        with page_process(HCL_RUNS=runs, **MANY) as (address, _):
            answered = httpx.get(f"{address}/").status_code
        bad = [run for run in saved if verify(Path(runs) / run) != 0]
        others = {each.name for each in Path(runs).iterdir() if each.is_dir() and each.name[0] != "."} - set(saved)
    print(f"{len(saved)} runs were finished and {len(others)} begun; {len(bad)} of the finished are not whole")
    print(f"the page answers {answered}")
    return not bad and answered == 200


def verify(folder: Path) -> int:
    """Exit code of ``python -m hcl_core verify``."""
    return subprocess.run(
        [sys.executable, "-m", "hcl_core", "verify", str(folder)], cwd=ROOT, stdout=subprocess.DEVNULL
    ).returncode


PARTS: dict[str, tuple[Callable[[str, psutil.Process, float], Coroutine[Any, Any, bool]], float]] = {
    "browsing": (browsing, 3),
    "equal": (equal, 0),
    "different": (different, 0),
    "mixed": (mixed, 30),
}


def main() -> int:
    """Do the parts in turn, each with a page of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "killed", []], help="default: all")
    parser.add_argument("--minutes", type=float, help="of a part, instead of 3 for browsing and 30 for mixed")
    options = parser.parse_args()
    random.seed(0)
    print(describe("gradio"))
    failed = []
    for name in options.parts or [*PARTS, "killed"]:
        print(f"\n## {name}: {(killed if name == 'killed' else PARTS[name][0]).__doc__}", flush=True)
        if name == "killed":
            holds = killed()
        else:
            part, minutes = PARTS[name]
            with tempfile.TemporaryDirectory() as runs, page_process(HCL_RUNS=runs, **MANY) as (address, process):
                if part in (equal, different):
                    asyncio.run(warm_up(address))
                holds = asyncio.run(part(address, process, options.minutes or minutes))
        failed += [] if holds else [name]
        print("holds" if holds else "DOES NOT HOLD", flush=True)
    return 1 if failed else 0


async def warm_up(address: str) -> None:
    """A run that loads the model."""
    async with visiting(address) as visitors:
        visitor: Visitor = visitors()
        await visitor.open()
        await visitor.ask(live(99))
        await visitor.leave()


if __name__ == "__main__":
    sys.exit(main())
