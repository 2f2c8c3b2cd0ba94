"""The page's handlers on a tiny model, and its whole path in a real browser."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_lm

from hcl_core.decode.checkpoints import Checkpoint

ROOT = Path(__file__).parent.parent


class LetterEmbedder:
    """Texts that start alike mean the same."""

    name = "letters"

    def embed(self, texts):
        vectors = np.zeros((len(texts), 256), np.float32)
        vectors[np.arange(len(texts)), [ord(text[0].lower()) % 256 for text in texts]] = 1
        return vectors


@pytest.fixture
def service(monkeypatch, tmp_path):
    from app.service import Service
    from hcl_core import registry

    monkeypatch.setenv("HCL_RUNS", str(tmp_path / "runs"))
    loads = []

    def load(name, dtype="auto", device="auto"):
        loads.append(name)
        return make_lm(), Checkpoint(name, "tiny", tmp_path)

    monkeypatch.setattr(registry, "load_model", load)
    monkeypatch.setattr(registry, "load_embedder", LetterEmbedder)
    made = Service()
    made.loads = loads
    return made


# Weights and scaling, before the controls.
BALANCE = (50, "min_max")
SHIPPED = "0be6b1cadd189061"


def controls(**changes):
    """Values of the controls in the page's order."""
    values = {
        "model": "tiny",
        "question": "Name a planet",
        "accepted": "Mars\nVenus",
        "first_layer": 1,
        "last_layer": 4,
        "every": 1,
        "num_samples": 24,
        "temperature": 1.0,
        "top_p": 0.9,
        "top_k": 0,
        "max_new_tokens": 6,
        "seed": 0,
        "template": "few_shot",
        "exit_head": "auto",
        "judge": "alias",
    }
    return list((values | changes).values())


def test_a_run_shows_every_wave_and_ends_with_its_id(service):
    from app.handlers import explore

    updates = list(explore(service, "visitor", *BALANCE, *controls()))
    statuses = [update[3] for update in updates]
    assert "Loading tiny" in statuses[0]
    shown = [update for update in updates if isinstance(update[0], str)]
    assert len(shown) == 3  # waves of 8 and 16, then the end
    assert "so far" in shown[0][0].lower()
    assert "saved as run" in statuses[-1]
    assert shown[-1][2].count('class="hcl-column') == 5  # their frame, and four layers


def test_the_same_request_again_is_found_not_computed(service, tmp_path):
    from app.handlers import explore

    list(explore(service, "visitor", *BALANCE, *controls()))
    parts = {part: part.stat().st_mtime_ns for part in tmp_path.rglob("part-*.parquet")}
    again = list(explore(service, "visitor", *BALANCE, *controls()))
    assert not any("Sampling" in update[3] for update in again)
    assert {part: part.stat().st_mtime_ns for part in tmp_path.rglob("part-*.parquet")} == parts
    assert service.loads == ["tiny"]


def test_a_stopped_run_goes_on_where_it_was(service):
    from app.handlers import explore

    running = explore(service, "visitor", *BALANCE, *controls())
    for update in running:
        if isinstance(update[0], str):
            break
    running.close()
    resumed = [update[3] for update in explore(service, "visitor", *BALANCE, *controls())]
    assert any("Going on · 32 of 96" in status for status in resumed)
    assert "saved as run" in resumed[-1]


def test_a_visitor_stops_their_own_run_alone(service):
    from app.handlers import explore, stop

    def finish(stopped_by):
        statuses = []
        for update in explore(service, "visitor", *BALANCE, *controls(seed=1)):
            statuses.append(update[3])
            if isinstance(update[0], str):
                stop(service, stopped_by)
        return statuses[-1]

    assert "Stopped. What came so far stays" in finish("visitor")
    assert "saved as run" in finish("somebody else")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"question": "  "}, "needs a text"),
        ({"accepted": "\n \n"}, "at least one accepted answer"),
        ({"last_layer": 9}, "layer 9 does not exist: this model has layers 1 to 4"),
        ({"num_samples": 0}, "samples must be between"),
        ({"temperature": -1.0}, "temperature must be between"),
        ({"top_p": 0}, "top_p must be above 0"),
        ({"every": 0}, "step must be 1 or more"),
        ({"question": "long " * 600}, "exceed this model"),
        ({"temperature": None}, "Temperature is empty"),
        ({"first_layer": None}, "First layer is empty"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)
def test_a_mistake_is_one_message_and_leaves_the_results(service, changes, words):
    from app.handlers import explore

    last = list(explore(service, "visitor", *BALANCE, *controls(**changes)))[-1]
    assert not any(isinstance(part, str) for part in last[:3])
    assert 'role="alert"' in last[3] and words in last[3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "/etc"}, "only the models of its list"),
        ({"model": "layerskip-llama2-70b"}, "only the models of its list"),
        ({"model": "smollm2-135m", "num_samples": 6000}, "this public page allows"),
    ],
    ids=["a folder", "a download", "too much"],
)
def test_a_public_page_refuses_what_could_harm(monkeypatch, changes, words):
    from app.handlers import explore
    from app.service import Service
    from hcl_core import registry

    monkeypatch.setattr(registry, "load_model", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(registry, "is_available", lambda model: model.name == "smollm2-135m")
    public = Service(is_public=True)
    assert words in list(explore(public, "visitor", *BALANCE, *controls(**changes)))[-1][3]
    assert [name for _, name in public.model_choices()] == ["smollm2-135m"]


def test_stored_answers_are_shown_without_a_model(monkeypatch):
    from app import handlers
    from hcl_core import registry

    monkeypatch.setattr(registry, "load_model", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(registry, "load_embedder", lambda *_: pytest.fail("loaded"))
    headline, chart, answers, status, shown = handlers.show_stored(SHIPPED, "name-a-planet", *BALANCE)
    assert "Name a planet" in headline and "<h2>Layer" in headline and "Stored answers" in status
    assert answers.count('data-layer="') == 30 and len(json.dumps(chart)) < 200_000
    assert shown["run_id"] == SHIPPED and shown["question_id"] == "name-a-planet"


@pytest.mark.parametrize("run_id", ["../../etc", "0" * 16, "", "nothing", ".lock", "0BE6B1CADD189061"])
def test_a_run_id_that_is_none_is_a_message_and_no_path(run_id):
    from app import handlers

    *results, status, shown = handlers.show_stored(run_id, "name-a-planet", *BALANCE)
    assert "no longer on this machine" in status and not any(isinstance(part, str) for part in [*results, shown])


def test_the_balance_moves_the_optimum_without_new_answers():
    from app import handlers

    shown = handlers.show_stored(SHIPPED, "name-a-planet", *BALANCE)[-1]
    by_weight = {}
    for creativity in (0, 50, 100):
        headline, chart = handlers.rebalance(shown, creativity, "min_max")
        curves = {trace["name"]: trace["y"] for trace in chart["data"] if trace.get("name")}
        by_weight[creativity] = chart["best"]
        if creativity == 0:
            expected = [1 - wrong for wrong in curves["Hallucination"]]
            assert curves["HCB"] == pytest.approx(expected, abs=1e-3)
        if creativity == 100:
            assert curves["HCB"] == pytest.approx(curves["Creativity"], abs=1e-3)
    assert len(set(by_weight.values())) > 1
    _, absolute = handlers.rebalance(shown, 50, "absolute")
    assert max(absolute["data"][4]["y"]) < 0.2  # few of fifty answers mean something of their own


WARMER = "a9a4b3a8654fe9da"


@pytest.mark.parametrize("measure", ["hcb_score", "hallucination_rate", "creativity_raw"])
def test_two_stored_runs_are_compared(measure):
    from app import handlers

    said, chart = handlers.compare(SHIPPED, WARMER, measure)
    assert "Both put layer 30 first." in said and "174 questions" in said and "<td>0.6</td><td>1.0</td>" in said
    first, second, difference = (trace["y"] for trace in chart["data"] if trace["mode"] == "lines+markers")
    expected = [mine - theirs for mine, theirs in zip(first, second, strict=True)]
    assert difference == pytest.approx(expected, abs=2e-4)
    assert "NaN" not in json.dumps(chart)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((SHIPPED, "../etc", "hcb_score"), "no longer on this machine"),
        ((None, SHIPPED, "hcb_score"), "no longer on this machine"),
        ((SHIPPED, WARMER, "best"), "measure must be one of"),
    ],
)
def test_runs_that_cannot_be_compared_are_a_message(arguments, words):
    from app import handlers

    said, chart = handlers.compare(*arguments)
    assert 'role="alert"' in said and words in said and "data" not in chart


def test_the_balance_of_nothing_shown_changes_nothing():
    from app import handlers

    assert not any(isinstance(part, str) for part in handlers.rebalance(None, 50, "min_max"))


def test_a_public_page_lists_no_visitors_runs(service, tmp_path):
    from app.handlers import explore
    from app.library import stored_runs

    list(explore(service, "visitor", *BALANCE, *controls()))
    assert [run.is_shipped for run in stored_runs(with_own=False)] == [True] * 4
    assert [run.is_shipped for run in stored_runs(with_own=True)] == [True] * 4 + [False]


def test_a_public_page_asks_no_grader_at_its_owners_cost(monkeypatch):
    from dataclasses import replace

    from app.handlers import make_request
    from app.service import Service
    from hcl_core import registry
    from hcl_core.errors import SettingsError

    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setattr(registry, "load_model", lambda *_: pytest.fail("loaded"))
    monkeypatch.setattr(registry, "is_available", lambda model: True)
    request = replace(make_request(*controls(model="smollm2-135m")), judge="llm:grader")
    with pytest.raises(SettingsError, match="this public page has no llm judge"):
        next(Service(is_public=True).run(request, "visitor"))


def test_every_control_reaches_the_request():
    from app.handlers import make_request

    plain = make_request(*controls())
    changed = {
        "model": "other", "question": "Name a star", "accepted": "Sun", "first_layer": 2, "last_layer": 3, "every": 2,
        "num_samples": 5, "temperature": 0.3, "top_p": 0.5, "top_k": 7, "max_new_tokens": 9, "seed": 3,
        "template": "chat", "exit_head": "shared", "judge": "paper",
    }  # fmt: skip
    assert len(changed) == len(controls())
    requests = [make_request(*controls(**{name: value})) for name, value in changed.items()]
    assert plain not in requests
    assert len(set(requests)) == len(changed)


def test_the_page_and_the_handler_agree_on_the_controls():
    import inspect

    from app import handlers, page

    built = page.build(page.service.Service())
    (event,) = [fn for fn in built.fns.values() if fn.api_name == "explore"]
    labels = [block.label for block in event.inputs]
    assert labels == [
        "Balance: % creativity, the rest accuracy", "Creativity scaled",
        "Model", "Question", "Accepted answers, one a line", "First layer", "Last layer", "Every", "Answers a layer",
        "Temperature", "Top-p", "Top-k (0: off)", "Tokens at most", "Seed", "Prompt", "Exit head",
        "Judge",
    ]  # fmt: skip
    assert len(inspect.signature(handlers.make_request).parameters) == len(labels) - len(BALANCE)


def test_the_page_is_built_without_a_model_library():
    code = (
        "import sys; from app.page import build; from app.service import Service; build(Service());"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "docs"))
    from screenshots import running_app

    with running_app(HCL_RUNS=str(tmp_path_factory.mktemp("runs"))) as url:
        yield url


@pytest.fixture
def visit(address):
    """Opens the page; fails the test on an error in the console or a request that leaves the machine."""
    import os
    import shutil

    if shutil.which("chromium") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must install chromium")
        pytest.skip("needs Chromium")
    from contextlib import contextmanager

    from screenshots import browser_page

    @contextmanager
    def opened(width=1280, **context):
        problems = []
        with browser_page(width, 900, **context) as page:
            page.on("console", lambda message: message.type == "error" and problems.append(message.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("dialog", lambda dialog: problems.append("a dialog opened"))
            page.on("request", lambda r: r.url.startswith((address, "data:", "blob:")) or problems.append(r.url))
            page.goto(address)
            page.get_by_role("button", name="Run").wait_for()
            yield page
        assert problems == []

    return opened


def set_field(page, label, value):
    page.get_by_label(label, exact=True).first.fill(str(value))


@pytest.mark.browser
@pytest.mark.slow
def test_a_first_visit_has_stored_answers_that_can_be_balanced(visit):
    with visit() as page:
        page.wait_for_function("document.querySelectorAll('.hcl-column').length === 30", timeout=20_000)
        assert page.locator(".hcl-chart .barlayer .point").count() == 30
        before = page.locator("#headline").inner_text()
        marked = "document.querySelector('.hcl-column.best').dataset.layer"
        best = page.evaluate(marked)
        page.get_by_label("number input for Balance").fill("0")
        page.get_by_label("number input for Balance").press("Enter")
        page.wait_for_function(f"document.querySelector('#headline').innerText !== {json.dumps(before)}")
        page.wait_for_function(f"{marked} !== {json.dumps(best)}")
        assert page.locator(".hcl-column.best").count() == 1


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_two_runs_are_compared_in_a_tab_of_their_own(visit, width):
    with visit(width=width) as page:
        page.get_by_role("tab", name="Compare").click()
        page.locator("#comparison h2").wait_for(timeout=30_000)
        page.wait_for_function("document.querySelectorAll('#compared .scatterlayer .trace').length === 6")
        before = page.locator("#comparison").inner_text()
        page.get_by_label("hallucination", exact=True).click()
        page.wait_for_function(f"document.querySelector('#comparison').innerText !== {json.dumps(before)}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.browser
@pytest.mark.model
@pytest.mark.slow
def test_a_visitor_runs_a_question_of_their_own(visit):
    with visit() as page:
        set_field(page, "Question", "What is the capital of <b>France</b>?")
        set_field(page, "Accepted answers, one a line", "Paris")
        set_field(page, "First layer", 27)
        set_field(page, "Answers a layer", 12)
        page.get_by_role("button", name="Run").click()
        page.get_by_text(re.compile("saved as run")).wait_for(timeout=120_000)
        assert page.locator(".hcl-column").count() == 4
        assert page.locator(".hcl-chart .scatterlayer .trace").count() == 6  # three curves and their intervals
        assert "Layer" in page.locator("#headline h2").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # A click on a layer marks its column.
        page.locator(".hcl-chart .nsewdrag").first.click()
        page.wait_for_function("document.querySelectorAll('.hcl-column.selected').length === 1")


@pytest.mark.browser
@pytest.mark.model
@pytest.mark.slow
def test_stop_keeps_what_came_and_run_goes_on(visit):
    with visit(width=390, color_scheme="dark") as page:
        set_field(page, "Answers a layer", 400)
        set_field(page, "Temperature", 1.5)
        page.get_by_role("button", name="Run").click()
        page.wait_for_function("document.querySelectorAll('.hcl-column').length === 15", timeout=120_000)
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped. What came so far stays").wait_for(timeout=60_000)
        assert page.locator(".hcl-column").count() == 15
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.get_by_role("button", name="Run").click()
        page.get_by_text(re.compile("of 6,000 answers")).wait_for(timeout=60_000)
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped. What came so far stays").wait_for(timeout=60_000)
