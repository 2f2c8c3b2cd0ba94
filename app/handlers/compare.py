"""Several runs over each other: stored, live ones once they are stored, shipped, and the published curves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app import library
from app.figures.base import plain
from app.figures.compared import MEASURES, MOST_RUNS, RunCurve
from app.language import Translator
from app.library import StoredRun
from app.messages import Message
from app.run_names import run_names
from app.visit import Visit
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.records import DEFAULT_SCALING, Weights
from hcl_core.scores.comparison import RunComparison
from hcl_core.scores.published import PublishedCurve, published_curves
from hcl_core.settings.layers import format_layers

_PUBLISHED = "published-"
_EQUAL = Weights()


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A run, or a published curve, beside others.

    Attributes:
        name: For people.
        curve: The score that is compared; ``None`` where the paper's figures do not give it.
        settings: What was asked for, by name.
        comparison: The first run against this one; ``None`` for the first, and where they cannot be compared.
        is_published: Whether it was read off the paper's figures.
    """

    name: str
    curve: RunCurve | None
    settings: dict[str, object]
    comparison: RunComparison | None
    is_published: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first of several runs against each of the others.

    Attributes:
        ids: Of the runs, as ``choices`` has them.
        measure: Name of ``figures.compared.MEASURES``.
        runs: In the same order.
        notes: What else has to be known.
        num_own: Verdicts of the visitor's on these runs, which are not in the curves.
    """

    ids: tuple[str, ...]
    measure: str
    runs: tuple[ComparedRun, ...]
    notes: tuple[Message, ...]
    num_own: int = 0

    @property
    def comparisons(self) -> list[tuple[int, RunComparison]]:
        """Index among ``runs``, and the first run against that one."""
        return [
            (index, run.comparison)
            for index, run in enumerate(self.runs)
            if run.comparison is not None and self.measure in run.comparison.differences
        ]


@dataclass(frozen=True, slots=True)
class _Source:
    """A stored run or a published curve."""

    name: str
    run: StoredRun | None = None
    published: PublishedCurve | None = None


def choices(visit: Visit) -> list[tuple[str, str]]:
    """Label and id of everything that can be compared."""
    stored = visit.service.stored_runs()
    runs = list(zip(run_names(stored, visit.words), (run.manifest.id for run in stored), strict=True))
    curves = enumerate(published_curves().curves)
    return runs + [(_name_of(curve, visit.words), f"{_PUBLISHED}{number}") for number, curve in curves]


def is_there(visit: Visit, chosen: str) -> bool:
    """Whether there is a run, or a published curve, of that id."""
    try:
        _find(chosen, visit.words)
    except RunFolderError:
        return False
    return True


def compare(visit: Visit, ids: Sequence[str], measure: str) -> Comparison:
    """The first of ``ids`` against each of the others.

    Published curves have no answers of their own: they are drawn, never tested against.

    Raises:
        SettingsError: There is no such measure, or the runs are too many.
        RunFolderError: There is no such run, or it has not been judged.
    """
    if measure not in MEASURES:
        raise SettingsError(f"measure must be one of {', '.join(MEASURES)}; got {str(measure)[:40]!r}")
    if len(ids) > MOST_RUNS:
        raise SettingsError(
            f"at most {MOST_RUNS} can be told apart on one chart; {len(ids)} are chosen: take some away"
        )
    sources = _named([_find(each, visit.words) for each in ids], visit.words)
    runs = tuple(_compared(source, sources[0], measure) for source in sources)
    num_own = visit.service.own_verdicts.number(
        visit.visitor, (source.run.manifest.id for source in sources if source.run)
    )
    return Comparison(tuple(ids), measure, runs, tuple(_notes(runs, measure, visit.words)), num_own)


def _find(chosen: str, words: Translator) -> _Source:
    if not chosen.startswith(_PUBLISHED):
        run = library.find_run(chosen)
        return _Source("", run=run)
    number = chosen.removeprefix(_PUBLISHED)
    curves = published_curves().curves
    if not (len(number) < 4 and number.isascii() and number.isdigit()) or int(number) >= len(curves):
        raise RunFolderError("there is no such published curve: choose another")
    return _Source(_name_of(curves[int(number)], words), published=curves[int(number)])


def _named(sources: Sequence[_Source], words: Translator) -> list[_Source]:
    """With names of the stored runs, which say what tells these apart."""
    names = iter(run_names([source.run for source in sources if source.run], words))
    return [replace(source, name=next(names)) if source.run else source for source in sources]


def _name_of(curve: PublishedCurve, words: Translator) -> str:
    temperature = words("named_temperature", temperature=words.shortest(curve.temperature))
    return words.joined((curve.model, temperature, words("published")))


def _compared(source: _Source, first: _Source, measure: str) -> ComparedRun:
    name = plain(source.name, 80)
    if source.run is not None:
        settings = source.run.manifest.all_settings
        settings |= {"exit_layers": format_layers(source.run.manifest.settings.exit_layers)}
        stored = stored_curve(source.run, name, measure)
        curve = None if all(map(math.isnan, stored.values)) else stored  # open questions have nothing wrong
        return ComparedRun(source.name, curve, settings, _against(first, source), is_published=False)
    assert source.published is not None
    settings = {"model": source.published.model, "temperature": source.published.temperature}
    curve = published_curve(source.published, name, measure)
    return ComparedRun(source.name, curve, settings, None, is_published=True)


def _against(first: _Source, source: _Source) -> RunComparison | None:
    if source is first or first.run is None or source.run is None:
        return None
    try:
        return library.compare(first.run, source.run, _EQUAL, DEFAULT_SCALING)
    except SettingsError:
        return None


def _notes(runs: Sequence[ComparedRun], measure: str, words: Translator) -> list[Message]:
    """Which runs have nothing in common with the first, which curves lack the measure, what published ones are."""
    stored = [run for run in runs[1:] if not (run.is_published or runs[0].is_published)]
    notes = [Message("nothing_in_common", {"run": run.name}) for run in stored if run.comparison is None]
    notes += [
        Message("published_lacks" if run.is_published else "run_lacks", {"run": run.name, "measure": words(measure)})
        for run in runs
        if run.curve is None
    ]
    if any(run.is_published for run in runs):
        notes.append(Message("published_note"))
    return notes


def stored_curve(run: StoredRun, name: str, measure: str) -> RunCurve:
    """A score of a stored run, with its intervals."""
    scored = library.outcomes_of(run).scored(_EQUAL, DEFAULT_SCALING)
    return RunCurve(
        name,
        run.manifest.num_hidden_layers,
        tuple(score.exit_layer for score in scored.scores),
        tuple(getattr(score, measure) for score in scored.scores),
        tuple(getattr(layer, MEASURES[measure]) for layer in scored.uncertainty.layers),
    )


def published_curve(curve: PublishedCurve, name: str, measure: str) -> RunCurve | None:
    """A score of a published curve at the layers that have it; ``None`` where none has."""
    values = _published_values(curve, measure)
    pairs = [(layer, value) for layer, value in zip(curve.exit_layers, values, strict=True) if value is not None]
    if not pairs:
        return None
    layers, present = zip(*pairs, strict=True)
    return RunCurve(name, curve.num_hidden_layers, layers, present)


def _published_values(curve: PublishedCurve, measure: str) -> Sequence[float | None]:
    """The HCB is computed at equal weights from the other two curves: the figures have it at 0.9 and 0.1."""
    if measure == "token_plausibility":
        return [None] * len(curve.exit_layers)
    if measure != "hcb_score":
        values: Sequence[float | None] = getattr(curve, measure)
        return values
    return [
        None if creative is None or wrong is None else _EQUAL.creativity * creative + _EQUAL.accuracy * (1 - wrong)
        for creative, wrong in zip(curve.creativity, curve.hallucination_rate, strict=True)
    ]
