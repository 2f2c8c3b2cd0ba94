"""What the page shows when it opens: a stored run on a first visit, or what an address names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app import library
from app.handlers import compare, dataset, explore, runs
from app.handlers.compare import Comparison
from app.handlers.dataset import SetResult, ShownSet
from app.handlers.explore import Estimate, OpenedQuestion, ShownQuestion
from app.handlers.form import Form
from app.handlers.links import Link
from app.handlers.run_list import RunPage, list_runs
from app.handlers.runs import RunResult
from app.messages import Message, Problem, Status
from app.visit import Visit
from hcl_core.errors import HclError
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.settings.prompts import TEMPLATE_NAMES

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class StoredStart:
    """Explore shows stored answers; ``prompt`` is their question's, where it can be known."""

    opened: OpenedQuestion
    prompt: str | None


@dataclass(frozen=True, slots=True)
class PrefilledStart:
    """Explore's form is filled in and nothing runs; ``runs`` are label and id of the stored ones of that question."""

    prompt: str | None
    runs: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class EmptyStart:
    """Explore has nothing to show; ``status`` says why."""

    status: Status


@dataclass(frozen=True, slots=True)
class CompareStart:
    """The tab Compare: everything that can be compared, by label and id, the chosen ids, and what came of it."""

    choices: Sequence[tuple[str, str]]
    ids: Sequence[str]
    comparison: Comparison | Problem


@dataclass(frozen=True, slots=True)
class SetStart:
    """The tab Data set: the stored runs of sets, by label and id, the chosen id, and what is known of it."""

    choices: Sequence[tuple[str, str]]
    run_id: str
    result: SetResult | Problem


@dataclass(frozen=True, slots=True)
class RunsStart:
    """The tab Runs: the list, and the run that the address names."""

    runs: RunPage
    result: RunResult | Problem | None


@dataclass(frozen=True, slots=True)
class OpenedPage:
    """What the page shows when it opens.

    Attributes:
        link: What the address asks for.
        explore: What the tab Explore shows.
        estimate: How long the form's run would take, or what is wrong with the form.
        compare: The tab Compare; ``None`` where it is not in front, as for the next two.
        dataset: The tab Data set.
        runs: The tab Runs.
    """

    link: Link
    explore: StoredStart | PrefilledStart | EmptyStart
    estimate: Estimate | Problem
    compare: CompareStart | None
    dataset: SetStart | None
    runs: RunsStart | None


def open_page(visit: Visit, link: Link, values: Mapping[str, object]) -> OpenedPage:
    """The page as an address asks for it.

    Args:
        visit: Who opens it.
        link: What the address asks for.
        values: Of the form's controls as they stand, by name.
    """
    return OpenedPage(
        link,
        _explore(visit, link),
        _attempt(lambda: explore.estimate(visit, Form.from_controls({**values, **link.form}))),
        _compare(visit, link) if link.tab == "compare" else None,
        _dataset(visit, link) if link.tab == "dataset" else None,
        _runs(visit, link) if link.tab == "runs" else None,
    )


def _attempt(work: Callable[[], _Result]) -> _Result | Problem:
    """One tab's problem is no reason to leave the others empty."""
    try:
        return work()
    except HclError as error:
        return Problem(str(error))


def _explore(visit: Visit, link: Link) -> StoredStart | PrefilledStart | EmptyStart:
    if link.form:
        return _prefilled(visit, link)
    started = _attempt(lambda: _stored(visit, link))
    return EmptyStart(started) if isinstance(started, Problem) else started


def _stored(visit: Visit, link: Link) -> StoredStart | EmptyStart:
    """The stored answers that the address names, else those of the first run."""
    first = next(iter(visit.service.stored_runs()), None)
    names_run = link.run_id is not None and link.tab == "explore"
    if first is None and not names_run:
        return EmptyStart(Message("ready"))
    run = library.find_run(link.run_id or "") if names_run else first
    assert run is not None
    question_id = link.question_id if names_run else None
    question_id = question_id or library.questions_of(run)[0].question.id
    layer = link.layer if link.layer in run.manifest.settings.exit_layers else None
    opened = explore.open_question(visit, ShownQuestion(run.manifest.run_id, question_id, layer), link.balance)
    question = opened.result.view.stored.question
    return StoredStart(opened, explore.preview(visit, DEFAULT_MODEL.name, question.text, TEMPLATE_NAMES[0]))


def _prefilled(visit: Visit, link: Link) -> PrefilledStart:
    """A form that someone else has filled in: nothing runs until Run is pressed."""
    question = str(link.form.get("question", ""))
    template = str(link.form.get("template", TEMPLATE_NAMES[0]))
    model = str(link.form.get("model", DEFAULT_MODEL.name))
    prompt = explore.preview(visit, model, question, template)
    return PrefilledStart(prompt, explore.run_choices(visit, question))


def _compare(visit: Visit, link: Link) -> CompareStart:
    choices = compare.choices(visit)
    ids = list(link.compared) or [run_id for _, run_id in choices][:2]
    return CompareStart(choices, ids, _attempt(lambda: compare.compare(visit, ids, link.measure)))


def _dataset(visit: Visit, link: Link) -> SetStart:
    run_id = link.run_id or next((run.manifest.run_id for run in visit.service.stored_runs()), "")
    result = _attempt(lambda: dataset.show(visit, ShownSet(run_id), link.balance))
    return SetStart(dataset.run_choices(visit.service, visit.words), run_id, result)


def _runs(visit: Visit, link: Link) -> RunsStart:
    run_id = link.run_id
    return RunsStart(list_runs(visit), _attempt(lambda: runs.show(visit, run_id)) if run_id else None)
