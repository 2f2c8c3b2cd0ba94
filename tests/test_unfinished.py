"""A run that was stopped, crashed or is under way opens for everybody: its answers are judged, Run goes on with it."""

# ruff: noqa: F401, F811 (fixtures are imported and are arguments)

import pytest
from test_handlers import EQUAL, by, controls, loads, own_run, run, service
from test_shared_runs import wait_until_ended

from app import library
from app.handlers import dataset, runs, shown_question
from app.handlers.dataset import ShownSet
from app.handlers.form import Form
from app.handlers.links import read_link
from app.handlers.opening import open_page
from app.handlers.shown_question import ShownQuestion
from app.language import Translator
from app.render.dataset import stored_parts
from app.render.opening import page_parts
from app.render.runs import run_parts
from app.service import Service
from hcl_core.errors import RunFolderError

WORDS = Translator()
ASKED = {"num_samples": 40, "temperature": 1.3, "first_layer": 2, "seed": 3}


def stopped(service, **changes):
    """The last result of a run that is stopped after its first answers."""
    running = run(service, **{**ASKED, **changes})
    result = next(update.result for update in running if update.result)
    running.close()
    wait_until_ended(service)
    return result


def crashed(service, **changes):
    """The same, where the program ended before anything was judged."""
    result = stopped(service, **changes)
    for name in ("verdicts", "clusters"):
        (own_run().folder.path / f"{name}.parquet").unlink()
    return result


def opened(service, result, visitor="another browser"):
    """What the link of ``result`` shows to somebody else."""
    shown = result.shown
    link = read_link({"run": shown.run_id, "question": shown.question_id}, [])
    return open_page(by(service, visitor), link, controls(question="Another?"))


@pytest.mark.parametrize("end", [stopped, crashed])
@pytest.mark.parametrize("accepted", ["Mars\nVenus", ""])
def test_the_link_of_a_run_that_ended_too_soon_opens_its_answers(service, end, accepted):
    result = end(service, accepted=accepted)
    page = opened(service, result)
    view = page.explore.opened.result.view
    assert not page.notices
    assert view.stored.question.text == "Name a planet" and not view.is_complete
    assert {each.key: each.answer for each in view.samples} == {each.key: each.answer for each in result.view.samples}
    assert view.verdicts == result.view.verdicts and view.ideas == result.view.ideas
    said = page_parts(page, WORDS)["status"]
    assert "was stopped: 24 of 120 are there" in said and "Run goes on with it" in said


def test_run_goes_on_with_the_run_that_the_link_opened(service):
    result = stopped(service)
    page = opened(service, result)
    assert Form.from_controls(page.values) == Form.from_controls(controls(**ASKED, last_layer=4))
    parts = page_parts(page, WORDS)
    assert (parts["question"], parts["num_samples"], parts["seed"]) == ("Name a planet", 40, 3)
    assert parts["first_layer"]["value"] == 2 if isinstance(parts["first_layer"], dict) else parts["first_layer"] == 2
    list(run(service, **ASKED))
    assert own_run().manifest.id == result.shown.run_id and own_run().manifest.finished_at


def test_what_the_address_says_of_the_form_goes_before_what_the_run_asked_for(service):
    shown = stopped(service).shown
    page = open_page(by(service), read_link({"run": shown.run_id, "samples": "41"}, []), controls())
    assert page.values["num_samples"] == 41 and page.values["seed"] == 3


def test_the_link_of_a_run_under_way_opens_what_has_come(service):
    running = run(service, **ASKED)
    result = next(update.result for update in running if update.result)
    page = opened(service, result)
    assert len(page.explore.opened.result.view.samples) == len(result.view.samples)
    assert "still under way" in page_parts(page, WORDS)["status"]
    running.close()


def test_answers_that_came_after_the_link_was_opened_are_shown_the_next_time(service):
    first = stopped(service)
    assert len(opened(service, first).explore.opened.result.view.samples) == 24
    running = run(service, **ASKED)
    second = [next(update.result for update in running if update.result) for _ in range(2)][-1]
    running.close()
    wait_until_ended(service)
    assert len(second.view.samples) > 24
    assert len(opened(service, second).explore.opened.result.view.samples) == len(second.view.samples)


@pytest.mark.parametrize("end", [stopped, crashed])
def test_the_tab_runs_opens_an_unfinished_run_and_draws_its_curve(service, end):
    run_id = end(service).shown.run_id
    parts = run_parts(runs.show(by(service), run_id), WORDS)
    assert parts["open"]["interactive"] and parts["chart"] and "stopped before its end" in parts["status"]
    as_set = dataset.show(by(service), ShownSet(run_id), EQUAL)
    assert not as_set.is_complete and "stopped before its end" in stored_parts(as_set, WORDS)["status"]


def test_a_run_that_was_stopped_before_its_first_answers_says_so(service):
    running = run(service)
    next(update for update in running if getattr(update.status, "key", "") == "sampling_begins")
    running.close()
    own = own_run()
    assert not own.folder.parts.files()
    shown = ShownQuestion(own.manifest.id, library.questions_of(own)[0].question.id)
    with pytest.raises(RunFolderError, match="none of these answers yet"):
        shown_question.show(by(service, "another"), shown, EQUAL)
    parts = run_parts(runs.show(by(service), own.manifest.id), WORDS)
    assert not parts["open"]["interactive"] and "goes on with it" in parts["status"]
