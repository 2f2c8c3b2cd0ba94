"""A class of fifty browsers on one laptop: ``taskset -c 0,1 python -m bench.classroom``.

The program serves the sample lesson in a process of its own. Each client is a thread that does what the page of a
student does: loads page, style sheet and script, joins, asks for news, which the server answers once there is some,
predicts within some seconds of a question, and sees the reveal; one more client is the teacher and one the projector.
Printed are the times of each kind of request, and from the reveal until each student had it. The exit status is 1 where
a request failed, was lost, or its p95 is a second or more.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from bench.machine import describe
from docs.screenshots import ROOT

LESSON = ROOT / "assets" / "lessons" / "depth.en.yaml"
STEPS, THINKING_SECONDS, SECONDS_TO_LOOK = 3, 4.0, 4.0
# Of the pages, after an answer (assets/class/class.js).
STUDENT_PAUSE, WATCHER_PAUSE = 0.1, 0.7
MOST_SECONDS = 1.0
WAITING = ("news", "projector", "teacher's news")


class Times:
    """Seconds of requests by kind, and what went wrong."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.problems: list[str] = []

    def add(self, kind: str, seconds: float) -> None:
        """One request took so long."""
        with self._lock:
            self.seconds[kind].append(seconds)

    def ask(self, client: httpx.Client, kind: str, path: str, **sent: Any) -> httpx.Response:
        """Send a request, a POST where there is something to send, and time it."""
        started = time.perf_counter()
        answer = client.request("POST" if "json" in sent else "GET", path, **sent)
        self.add(kind, time.perf_counter() - started)
        if answer.status_code != 200:
            with self._lock:
                self.problems.append(f"{kind}: {answer.status_code} {answer.text[:100]}")
        return answer

    def failed(self, error: Exception) -> None:
        """A client ended early."""
        with self._lock:
            self.problems.append(repr(error)[:200])


class Lesson:
    """When the teacher revealed each step."""

    def __init__(self) -> None:
        self.revealed: dict[int, float] = {}
        self.is_over = threading.Event()
        self.predicted = threading.Semaphore(0)


@contextmanager
def served_class() -> Iterator[tuple[str, str]]:
    """The address of the page, and the path of the teacher's link."""
    with tempfile.TemporaryDirectory() as runs:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), "--class", str(LESSON)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "HCL_RUNS": runs},
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"(http://[^/]+)(/class/teacher/\S+)", line):
                    yield found[1], found[2]
                    return
            raise RuntimeError("the program ended before it had a class")
        finally:
            process.terminate()
            process.wait(10)


def student(number: int, address: str, times: Times, lesson: Lesson) -> None:
    """One browser, from the page to the last reveal."""
    chance = random.Random(number)
    try:
        with httpx.Client(base_url=address, timeout=20) as client:
            for path in ("/class", "/class/assets/class.css", "/class/assets/class.js"):
                times.ask(client, "page", path)
            client.headers["X-Class-Student"] = times.ask(client, "join", "/class/join", json=None).json()["token"]
            seen, done = "", 0
            while done < STEPS and not lesson.is_over.is_set():
                state = times.ask(client, "news", f"/class/state?wait&seen={seen}").json()
                seen = state["version"]
                if "<form" in state.get("html", ""):
                    time.sleep(chance.uniform(0, THINKING_SECONDS))
                    for question in (0, 1):
                        value = chance.randrange(3) if question or done == 1 else chance.randrange(1, 31)
                        value = max(value, 1)
                        sent = {"step": done, "question": question, "value": value}
                        times.ask(client, "predict", "/class/predict", json=sent)
                    lesson.predicted.release()
                elif 'class="truth"' in state.get("html", ""):
                    times.add("reveal seen after", time.perf_counter() - lesson.revealed[done])
                    done += 1
                time.sleep(STUDENT_PAUSE * chance.uniform(0.8, 1.2))
            if done < STEPS:
                times.problems.append(f"student {number} saw {done} of {STEPS} reveals")
    except Exception as error:
        times.failed(error)


def watcher(path: str, kind: str, address: str, times: Times, lesson: Lesson) -> None:
    """The teacher's page or the projector, which count along."""
    seen = ""
    try:
        with httpx.Client(base_url=address, timeout=20) as client:
            while not lesson.is_over.is_set():
                seen = times.ask(client, kind, f"{path}/state?wait&seen={seen}").json()["version"]
                time.sleep(WATCHER_PAUSE)
    except Exception as error:
        times.failed(error)


def teach(address: str, link: str, num_students: int, times: Times, lesson: Lesson) -> None:
    """Go through the lesson; a step is revealed once all have predicted."""
    with httpx.Client(base_url=address, timeout=20) as client:
        for step in range(STEPS):
            times.ask(client, "teacher", f"{link}/do", json={"do": "go", "at": step})
            for _ in range(num_students):
                if not lesson.predicted.acquire(timeout=60):
                    times.problems.append(f"step {step + 1}: a prediction never came")
                    break
            lesson.revealed[step] = time.perf_counter()
            times.ask(client, "teacher", f"{link}/do", json={"do": "reveal", "at": step})
            time.sleep(SECONDS_TO_LOOK)
        rows = times.ask(client, "teacher", f"{link}/predictions.csv").text.count("\n") - 1
        if rows != 2 * STEPS * num_students:
            times.problems.append(f"the CSV has {rows} predictions of {2 * STEPS * num_students}")


def main() -> None:
    """Print the times of a whole lesson."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=50)
    options = parser.parse_args()
    times, lesson = Times(), Lesson()
    with served_class() as (address, link):
        threads = [
            threading.Thread(target=student, args=(number, address, times, lesson))
            for number in range(options.students)
        ]
        for path, kind in ((link, "teacher's news"), ("/class/show", "projector")):
            threads.append(threading.Thread(target=watcher, args=(path, kind, address, times, lesson)))
        for thread in threads:
            thread.start()
        teach(address, link, options.students, times, lesson)
        time.sleep(SECONDS_TO_LOOK)
        lesson.is_over.set()
        for thread in threads:
            thread.join()
    is_slow = False
    print(f"{describe()}; {options.students} students\n\n| request | number | median, ms | p95, ms | longest, ms |")
    print("|---|---|---|---|---|")
    for kind, seconds in times.seconds.items():
        ordered = sorted(1000 * each for each in seconds)
        p95 = ordered[int(0.95 * (len(ordered) - 1))]
        # A question for news waits until there is some.
        is_slow |= kind not in WAITING and p95 >= 1000 * MOST_SECONDS
        print(f"| {kind} | {len(ordered)} | {ordered[len(ordered) // 2]:.0f} | {p95:.0f} | {ordered[-1]:.0f} |")
    for problem in times.problems[:20]:
        print(f"PROBLEM: {problem}")
    sys.exit(1 if is_slow or times.problems else 0)


if __name__ == "__main__":
    main()
