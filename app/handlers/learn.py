"""The charts of the walkthrough: each from the shipped runs, made when it is asked for."""

from collections.abc import Callable, Mapping

from app import library
from app.figures.base import Figure
from app.figures.compared import compared_curves
from app.figures.curves import layer_curves
from app.figures.lens import lens_map
from app.figures.outcomes import outcome_shares, right_and_ideas
from app.figures.river import answer_river
from app.handlers.base import Parts, told, weights
from app.handlers.compare import published_curve, stored_curve
from app.handlers.lens import shipped_lenses
from app.language import Translator
from app.library import StoredRun
from hcl_core.errors import RunFolderError
from hcl_core.records import Weights
from hcl_core.runs.meanings import follow_meanings
from hcl_core.scores.published import published_curves

NUM_STEPS = 7
# Which answer of each step is right, from 1.
RIGHT_ANSWERS = (2, 3, 1, 2, 3, 1, 2)
# The shipped runs that the steps show: the linear head at the paper's temperature and at 1.
_COOL, _WARM = ("linear", 0.6), ("linear", 1.0)
_PLANET, _BALTIC = "name-a-planet", "baltic-sea-country"
# The score that two of the steps compare.
_WRONG = "hallucination_rate"
# A chart, and the numbers of its answer by name.
Step = tuple[Figure, Mapping[str, object]]


@told("said")
def reveal(words: Translator, step: int, guess: int | None) -> Parts:
    """Whether the guess was right, why, and the chart that shows it."""
    right = RIGHT_ANSWERS[step - 1]
    verdict = "" if guess is None else words("guess_right" if guess == right else "guess_wrong")
    chart, found = _CHARTS[step](words)
    said = words(f"learn_{step}_answer", **found)
    return {"said": f'<div class="hcl-revealed"><p><b>{verdict}</b> {said}</p></div>', "chart": chart}


@told("said")
def weigh(words: Translator, creativity: float) -> Parts:
    """The sixth step's chart with other weights."""
    return {"chart": _balance(words, creativity)[0]}


def _run(which: tuple[str, float]) -> StoredRun:
    for run in library.stored_runs(with_own=False):
        settings = run.manifest.settings
        if (settings.exit_head, settings.sampling.temperature) == which:
            return run
    raise RunFolderError("the shipped runs of this walkthrough are missing: install the program again")


def _layers(words: Translator) -> Step:
    lenses = list(shipped_lenses("linear").values())
    settles = [int(table.settles()[0]) for table in lenses]
    found = {"settles": settles[0], "all": lenses[0].num_hidden_layers, "least": min(settles), "most": max(settles)}
    return lens_map(lenses[0], "probability", words), found


def _early_exit(words: Translator) -> Step:
    curves = {head: stored_curve(_run((head, 0.6)), words(f"head_{head}"), _WRONG) for head in ("linear", "shared")}
    found = {head: words.percent(curve.values[curve.layers.index(24)]) for head, curve in curves.items()}
    return compared_curves(list(curves.values()), [], words), found


def _sampling(words: Translator) -> Step:
    layers = library.look_at(_run(_WARM), _PLANET).layers
    narrow = min(layers, key=lambda layer: len(layer.answers))
    found = {
        "first": len(layers[0].answers),
        "narrow": narrow.exit_layer,
        "fewest": len(narrow.answers),
        "last": len(layers[-1].answers),
    }
    return answer_river(follow_meanings(layers), {each.exit_layer: each.num_samples for each in layers}, words), found


def _judging(words: Translator) -> Step:
    look = library.look_at(_run(_COOL), _BALTIC)
    late = sum(layer.num_correct for layer in look.layers if layer.exit_layer > 20)
    found = {"late": late, "right": sum(layer.num_correct for layer in look.layers)}
    return outcome_shares(look.outcome.table, words), found


def _clustering(words: Translator) -> Step:
    scores = library.look_at(_run(_WARM), _BALTIC).outcome.scored(Weights(), "min_max").scores
    return right_and_ideas(scores, words), {"right": scores[-1].num_correct, "ideas": int(scores[-1].creativity_raw)}


def _balance(words: Translator, creativity: float = 50) -> Step:
    scored = library.outcome_of(_run(_WARM)).scored(weights(creativity), "min_max")
    share = next(layer.p_optimal for layer in scored.sure.layers if layer.exit_layer == scored.best)
    return layer_curves(scored, words), {"best": scored.best, "share": words.percent(share)}


def _published(words: Translator) -> Step:
    ours = stored_curve(_run(_COOL), words("ours_linear"), _WRONG)
    theirs = [
        published_curve(each, f"{each.model} ({words('published')})", _WRONG)
        for each in published_curves().curves
        if each.temperature == 0.6
    ]
    curves = [ours, *(each for each in theirs if each)]
    seven = next(curve for curve in curves[1:] if "Llama 2 7B" in curve.name)
    bounds = {"low": min(seven.values), "high": max(seven.values)}
    bounds |= {"our_low": min(ours.values), "our_high": max(ours.values)}
    found = {name: words.percent(value) for name, value in bounds.items()}
    return compared_curves(curves, [], words, by_share=True), found


_CHARTS: Mapping[int, Callable[[Translator], Step]] = {
    1: _layers,
    2: _early_exit,
    3: _sampling,
    4: _judging,
    5: _clustering,
    6: _balance,
    7: _published,
}
