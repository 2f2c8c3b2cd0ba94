"""How fast the page answers: ``python -m bench.page`` (needs Chromium; the server's part without it).

Cost grows with layers x different answers for the columns, with layers for the charts, and with questions x layers x
1,000 resampled runs for the balance of a whole set.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from app import library, question_view
from app.handlers import dataset, shown_question
from app.handlers.dataset import ShownSet
from app.handlers.shown_question import ShownQuestion
from app.language import Translator
from app.render import Parts
from app.render import dataset as render_set
from app.render import explore as render
from app.service import Service
from app.visit import Balance, Visit

RUN, QUESTION = "a9a4b3a8654fe9da", "name-a-planet"
SHOWN, SHOWN_SET = ShownQuestion(RUN, QUESTION), ShownSet(RUN)
EQUAL, OTHER = Balance(), Balance(20)
WORDS = Translator("en")
REPEATS, VISITS = 15, 3
# From the script's first line of drawing to a frame on the screen, for what the server sent.
RENDER = """async ([answers]) => {
  const host = document.querySelector('#answers .hcl-columns').parentElement;
  const times = [];
  for (let number = 0; number < 9; number += 1) {
    const began = performance.now();
    host.innerHTML = answers;
    host.getBoundingClientRect();
    const chart = document.querySelector('#curves .hcl-chart');
    await Plotly.react(chart, structuredClone(chart.data), structuredClone(chart.layout));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    times.push(performance.now() - began);
  }
  return times.sort((a, b) => a - b)[4];
}"""


# What a visit may cost: the first one, with nothing in the browser's cache, and the next one.
BUDGETS = {
    "first paint, ms": (1_000, 1_000),
    "stored answers on screen, ms": (4_000, 4_000),
    "transferred, kB": (2_600, 650),
    "longest task, ms": (1_500, 1_500),
    "all long tasks, ms": (3_000, 3_000),
}
# A long task keeps the page from answering for more than 50 ms.
WATCH = """
  window.longTasks = [];
  new PerformanceObserver((list) => list.getEntries().forEach((task) => longTasks.push(task.duration)))
    .observe({type: 'longtask', buffered: true});
"""
COST = """() => {
  const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  return [
    performance.getEntriesByName('first-contentful-paint')[0].startTime,
    performance.now(),
    entries.reduce((sum, entry) => sum + entry.transferSize, 0) / 1000,
    Math.max(0, ...longTasks),
    longTasks.reduce((sum, duration) => sum + duration, 0),
  ];
}"""


def milliseconds(work: Callable[[], Any], before: Callable[[], None] = lambda: None) -> float:
    """Median over repeats."""
    times = []
    for _ in range(REPEATS):
        before()
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def forget() -> None:
    """What is stored is read anew."""
    for cached in (library.outcomes_of, library.table_of, library.questions_of):
        cached.cache_clear()
    redraw()


def redraw() -> None:
    """The question is counted and drawn anew."""
    for cached in (question_view._read, render._kept):
        cached.cache_clear()


def open_question(visit: Visit) -> Parts:
    """A stored question, as the page is sent it."""
    return render.stored_parts(shown_question.show(visit, SHOWN, EQUAL), WORDS)


def server() -> None:
    """Print the server's times and the size of an update."""
    visit = Visit(WORDS, Service(), "")
    parts = open_question(visit)
    kept = milliseconds(lambda: open_question(visit))
    opened = milliseconds(lambda: open_question(visit), redraw)
    cold = milliseconds(lambda: open_question(visit), forget)
    weighed = milliseconds(lambda: render.weighed_parts(shown_question.show(visit, SHOWN, OTHER), WORDS))
    whole = milliseconds(lambda: render_set.weighed_parts(dataset.show(visit, SHOWN_SET, OTHER), WORDS))
    detail = milliseconds(lambda: render.layer_parts(shown_question.choose_layer(visit, SHOWN, 24, EQUAL), WORDS))
    size = len(json.dumps(parts, default=str)) / 1000
    print(f"a question of 30 layers x 50 answers opens in {opened:.0f} ms, {cold:.0f} ms if its run was not open")
    print(f"one that somebody has looked at before: {kept:.1f} ms")
    print(f"other weights: {weighed:.0f} ms for a question, {whole:.0f} ms for a set of 174")
    print(f"a chosen layer: {detail:.0f} ms; a whole update: {size:.0f} kB")


def browser() -> None:
    """Print the times to a useful page and to draw an update."""
    from docs.screenshots import browser_page, running_app

    answers = open_question(Visit(WORDS, Service(), ""))["answers"]
    with tempfile.TemporaryDirectory() as runs, browser_page(1440, 1000) as page:
        for number in range(1, 4):
            started = time.perf_counter()
            with running_app(HCL_RUNS=runs) as address:
                served = time.perf_counter() - started
                page.goto(address, wait_until="commit")
                page.wait_for_function("document.querySelectorAll('.hcl-column').length === 30")
                seen = time.perf_counter() - started
                print(f"start {number}: served after {served:.2f} s, stored answers on screen after {seen:.2f} s")
                if number == 3:
                    page.locator("#curves .scatterlayer").wait_for()
                    print(f"30 layers x 50 answers are drawn in {page.evaluate(RENDER, [answers]):.0f} ms")


def visits() -> bool:
    """Print what two visits of one browser cost, the medians of repeats; whether all is within its budget."""
    from docs.screenshots import running_app, running_browser

    costs: tuple[list[list[float]], list[list[float]]] = ([], [])
    with tempfile.TemporaryDirectory() as runs, running_app(HCL_RUNS=runs) as address, running_browser() as chromium:
        for _ in range(VISITS):
            context = chromium.new_context(viewport={"width": 1440, "height": 900})
            context.add_init_script(WATCH)
            for cost in costs:
                page = context.new_page()
                page.goto(address, wait_until="commit")
                page.wait_for_function("document.querySelectorAll('.hcl-column').length === 30")
                cost.append(page.evaluate(COST))
                page.close()
            context.close()
    is_within = True
    for (name, budgets), *values in zip(BUDGETS.items(), *(zip(*cost, strict=True) for cost in costs), strict=True):
        medians = [statistics.median(value) for value in values]
        over = any(median > budget for median, budget in zip(medians, budgets, strict=True))
        is_within &= not over
        shown = " and ".join(f"{median:,.0f} of {budget:,}" for median, budget in zip(medians, budgets, strict=True))
        print(f"{name}: {shown} at the first visit and the next{', OVER' if over else ''}")
    return is_within


def main() -> None:
    """Server first: the browser's app shares the cores. The exit status is 1 where a visit is over its budget."""
    os.environ.setdefault("HCL_RUNS", tempfile.mkdtemp())
    server()
    browser()
    sys.exit(0 if visits() else 1)


if __name__ == "__main__":
    main()
