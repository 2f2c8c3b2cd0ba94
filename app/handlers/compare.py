"""Several runs over each other: stored, live ones once they are stored, shipped, and the published curves."""

from collections.abc import Sequence
from dataclasses import dataclass

from app import library
from app.figures.base import plain
from app.figures.compared import MEASURES, MOST_RUNS, RunCurve, compared_curves
from app.handlers.base import Parts, told
from app.language import Translator
from app.library import StoredRun
from app.service import Service
from app.views.comparison import comparison
from app.views.runs import link_box
from hcl_core.errors import RunFolderError, SettingsError
from hcl_core.records import Weights
from hcl_core.scores.comparison import RunComparison
from hcl_core.scores.published import PublishedCurve, published_curves
from hcl_core.settings.layers import format_layers

_PUBLISHED = "published-"
_BALANCE = Weights()


def choices(words: Translator, service: Service) -> list[tuple[str, str]]:
    """Label and id of everything that can be compared."""
    runs = [(run.describe(), run.manifest.run_id) for run in service.stored_runs()]
    curves = enumerate(published_curves().curves)
    return runs + [(_name_of(curve, words), f"{_PUBLISHED}{number}") for number, curve in curves]


def _name_of(curve: PublishedCurve, words: Translator) -> str:
    return f"{curve.model} · T {curve.temperature:g} · {words('published')}"


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the things compared: a stored run, or a published curve."""

    name: str
    run: StoredRun | None = None
    published: PublishedCurve | None = None


@told("said")
def compare(words: Translator, ids: list[str], measure: str, by_share: bool) -> Parts:
    """The first of ``ids`` against each of the others.

    Published curves have no answers of their own: they are drawn, never tested against.
    """
    if measure not in MEASURES:
        raise SettingsError(f"measure must be one of {', '.join(MEASURES)}; got {str(measure)[:40]!r}")
    if not ids:
        return {"said": f'<p class="hcl-note">{words("choose_runs")}</p>', "chart": None, "link": ""}
    if len(ids) > MOST_RUNS:
        raise SettingsError(
            f"at most {MOST_RUNS} can be told apart on one chart; {len(ids)} are chosen: take some away"
        )
    sides = [_side(each, words) for each in ids]
    curves = [_curve(side, measure) for side in sides]
    missing = [side.name for side, curve in zip(sides, curves, strict=True) if curve is None]
    compared, apart = _against_first(sides, words)
    drawn = [curve for curve in curves if curve]
    places = {id(curve): number for number, curve in enumerate(drawn)}
    differences = [
        (places[id(curves[place])], each.exit_layers, each.differences[measure])
        for place, each in compared
        if curves[place] and curves[0]
    ]
    notes = [*apart, *[words("published_lacks", run=name, measure=words(measure)) for name in missing]]
    if any(side.published for side in sides):
        notes.append(words("published_note"))
    names = [side.name for side in sides]
    return {
        "said": comparison(compared, measure, names, _differing(sides), notes, words),
        "chart": compared_curves(drawn, differences, words, by_share) if drawn else None,
        "link": link_box({"tab": "compare", "runs": ",".join(ids), "measure": measure}, words),
    }


def _side(chosen: str, words: Translator) -> _Side:
    if not chosen.startswith(_PUBLISHED):
        run = library.find_run(chosen)
        return _Side(run.describe(), run=run)
    number = chosen.removeprefix(_PUBLISHED)
    curves = published_curves().curves
    if not (len(number) < 4 and number.isascii() and number.isdigit()) or int(number) >= len(curves):
        raise RunFolderError("there is no such published curve: choose another")
    return _Side(_name_of(curves[int(number)], words), published=curves[int(number)])


def _curve(side: _Side, measure: str) -> RunCurve | None:
    """``None`` where the paper's figures do not give this score."""
    name = plain(side.name, 80)
    if side.run is not None:
        return stored_curve(side.run, name, measure)
    assert side.published is not None
    return published_curve(side.published, name, measure)


def stored_curve(run: StoredRun, name: str, measure: str) -> RunCurve:
    """A score of a stored run, with its intervals."""
    scored = library.outcome_of(run).scored(_BALANCE, "min_max")
    return RunCurve(
        name,
        run.manifest.num_hidden_layers,
        tuple(score.exit_layer for score in scored.scores),
        tuple(getattr(score, measure) for score in scored.scores),
        tuple(getattr(layer, MEASURES[measure]) for layer in scored.sure.layers),
    )


def published_curve(curve: PublishedCurve, name: str, measure: str) -> RunCurve | None:
    """A score of a published curve at the layers that have it; ``None`` where none has."""
    values = _published_values(curve, measure)
    pairs = [(layer, value) for layer, value in zip(curve.exit_layers, values, strict=True) if value is not None]
    if not pairs:
        return None
    layers, given = zip(*pairs, strict=True)
    return RunCurve(name, curve.num_hidden_layers, layers, given)


def _published_values(curve: PublishedCurve, measure: str) -> Sequence[float | None]:
    """The balance is computed at equal weights from its two curves: the figures have it at 0.9 and 0.1."""
    if measure != "hcb_score":
        values: Sequence[float | None] = getattr(curve, measure)
        return values
    return [
        None if creative is None or wrong is None else _BALANCE.creativity * creative + _BALANCE.accuracy * (1 - wrong)
        for creative, wrong in zip(curve.creativity, curve.hallucination_rate, strict=True)
    ]


def _against_first(sides: list[_Side], words: Translator) -> tuple[list[tuple[int, RunComparison]], list[str]]:
    """The first run against each other run, and what could not be compared."""
    compared: list[tuple[int, RunComparison]] = []
    apart: list[str] = []
    first = sides[0].run
    for place, side in enumerate(sides[1:], 1):
        if first is None or side.run is None:
            continue
        try:
            compared.append((place, library.compare(first, side.run, _BALANCE, "min_max")))
        except SettingsError:
            apart.append(words("nothing_in_common", run=side.name))
    return compared, apart


def _differing(sides: list[_Side]) -> dict[str, list[object]]:
    """Settings that are not the same in all runs; a published curve says its model and temperature."""
    asked = [_asked(side) for side in sides]
    names = [name for name in asked[0] | asked[-1] if len({str(each.get(name, "–")) for each in asked}) > 1]
    return {name: [each.get(name, "–") for each in asked] for name in names}


def _asked(side: _Side) -> dict[str, object]:
    if side.run is not None:
        return side.run.manifest.asked | {"exit_layers": format_layers(side.run.manifest.settings.exit_layers)}
    assert side.published is not None
    return {"model": side.published.model, "temperature": side.published.temperature}
