"""What the page shows when it opens: a stored run on a first visit, or what an address names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app import library
from app.handlers import compare, dataset, explore, lens, runs
from app.handlers.compare import Comparison
from app.handlers.dataset import SetResult, ShownSet
from app.handlers.explore import Estimate
from app.handlers.explore_start import MOST_QUOTED, EmptyStart, Notices, PrefilledStart, StoredStart, attempt, start_of
from app.handlers.form import Form, default_layers
from app.handlers.lens import LensCell, LensResult, ShownLens
from app.handlers.links import Link
from app.handlers.models import num_hidden_layers
from app.handlers.run_list import RunPage, list_runs
from app.handlers.runs import RunResult
from app.messages import Message, Problem
from app.run_names import run_name
from app.visit import Visit


@dataclass(frozen=True, slots=True)
class LensStart:
    """The tab with the token lens: which one, what came of it, if it is there, and its chosen cell."""

    shown: ShownLens
    result: LensResult | None
    cell: LensCell | None


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
        values: Of the form's controls as the address leaves them, by name.
        num_hidden_layers: Of the form's model; ``None`` where that is not known.
        explore: What the tab Explore shows; ``None`` where it stays as it is.
        estimate: How long the form's run would take, or what is wrong with the form; ``None`` with ``explore``.
        lens: The tab with the token lens; ``None`` where it is not in front, as for the next three.
        compare: The tab Compare.
        dataset: The tab Data set.
        runs: The tab Runs.
        notices: What the address names and the tab in front does not show.
    """

    link: Link
    values: Mapping[str, object]
    num_hidden_layers: int | None
    explore: StoredStart | PrefilledStart | EmptyStart | None
    estimate: Estimate | Problem | None
    lens: LensStart | None
    compare: CompareStart | None
    dataset: SetStart | None
    runs: RunsStart | None
    notices: Sequence[Message | Problem]


def open_page(visit: Visit, link: Link, values: Mapping[str, object], in_front_alone: bool = False) -> OpenedPage:
    """The page as an address asks for it.

    Args:
        visit: Who opens it.
        link: What the address asks for.
        values: Of the form's controls as they stand, by name.
        in_front_alone: Whether the tabs behind the one in front stay as they are.
    """
    notices: Notices = [Message("link_ignored", {"name": name, "value": text}) for name, text in link.ignored]
    has_explore = link.tab == "explore" or not in_front_alone
    start = start_of(visit, link, notices) if has_explore else None
    is_filled_in = link.tab == "explore" and bool(link.form)
    if isinstance(start, StoredStart):
        link = replace(link, form={**start.form, **link.form})
    depth = num_hidden_layers(visit, link.form.get("model", values["model"]))
    fitted = default_layers(depth) if "model" in link.form else {}  # a model brings its layers
    filled = {**values, **fitted, **link.form}
    estimate = attempt(lambda: explore.estimate(visit, Form.from_controls(filled))) if has_explore else None
    if is_filled_in and isinstance(estimate, Problem):
        notices.append(estimate)
    return OpenedPage(
        link,
        filled,
        depth,
        start,
        estimate,
        _lens(visit, link, notices) if link.tab == "lens" else None,
        _compare(visit, link, notices) if link.tab == "compare" else None,
        _dataset(visit, link, notices) if link.tab == "dataset" else None,
        _runs(visit, link, notices) if link.tab == "runs" else None,
        notices,
    )


def _lens(visit: Visit, link: Link, notices: Notices) -> LensStart:
    asked = link.lens
    if asked.prompt is not None:
        shown = ShownLens(None, asked.exit_head, asked.prompt, asked.model, asked.num_tokens, asked.whole, asked.site)
        own = attempt(lambda: lens.show(visit, shown, asked.shade))
        # The visitor's last look is in memory, and it may be another one.
        is_other = (
            isinstance(own, Problem)
            or own.table.site != asked.site
            or not own.table.whole_text.startswith(asked.prompt)
        )
        result = None if isinstance(own, Problem) or is_other else own
    else:
        stored = lens.shipped_lenses(asked.exit_head)
        question_id = asked.question_id if asked.question_id in stored else next(iter(stored))
        if asked.question_id and asked.question_id != question_id:
            notices.append(Message("link_no_lens", {"lens": asked.question_id[:MOST_QUOTED]}))
        shown = ShownLens(question_id, asked.exit_head)
        result = lens.show(visit, shown, asked.shade)
    if result is None or asked.cell is None:
        return LensStart(shown, result, None)
    layer, position = asked.cell
    cell = attempt(lambda: lens.choose_cell(visit, shown, layer, position, asked.shade))
    if isinstance(cell, Problem):
        notices.append(Message("link_no_cell", {"layer": layer, "position": position}))
        return LensStart(shown, result, None)
    return LensStart(shown, result, cell)


def _compare(visit: Visit, link: Link, notices: Notices) -> CompareStart:
    choices = compare.choices(visit)
    ids = [run_id for run_id in link.compared if compare.is_there(visit, run_id)]
    gone = [run_id for run_id in link.compared if run_id not in ids]
    notices += [Message("link_no_curve", {"run": run_id[:MOST_QUOTED]}) for run_id in gone]
    ids = ids or [run_id for _, run_id in choices][:2]
    if gone:
        labels = {run_id: label for label, run_id in choices}
        notices.append(Message("link_instead", {"instead": visit.words.joined(labels.get(each, each) for each in ids)}))
    return CompareStart(choices, ids, attempt(lambda: compare.compare(visit, ids, link.measure)))


def _here(visit: Visit, link: Link, notices: Notices) -> str | None:
    """The run that the address names, of the tabs of whole runs; without it the first one, and that it is so."""
    runs_here = visit.service.stored_runs()
    first = runs_here[0] if runs_here else None
    if link.run_id is None or not isinstance(attempt(lambda: library.find_run(link.run_id or "")), Problem):
        return link.run_id
    notices.append(Message("link_no_run", {"run": link.run_id[:MOST_QUOTED]}))
    if first is not None:
        notices.append(Message("link_instead", {"instead": run_name(first, visit.words)}))
    return first.manifest.id if first else None


def _dataset(visit: Visit, link: Link, notices: Notices) -> SetStart:
    run_id = _here(visit, link, notices)
    run_id = run_id or next((run.manifest.id for run in visit.service.stored_runs()), "")
    result = attempt(lambda: dataset.show(visit, ShownSet(run_id), link.balance))
    return SetStart(dataset.run_choices(visit.service, visit.words), run_id, result)


def _runs(visit: Visit, link: Link, notices: Notices) -> RunsStart:
    run_id = _here(visit, link, notices)
    return RunsStart(list_runs(visit), attempt(lambda: runs.show(visit, run_id)) if run_id else None)
