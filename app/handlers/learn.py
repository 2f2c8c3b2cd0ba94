"""The charts of the walkthrough: each from the shipped runs, made when it is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app import library
from app.figures.base import Figure
from app.figures.compared import compared_curves
from app.figures.curves import layer_curves
from app.figures.lens import lens_map
from app.figures.outcomes import outcome_shares, right_and_ideas
from app.figures.river import answer_river
from app.handlers.compare import published_curve, stored_curve
from app.handlers.lens import shipped_lenses
from app.language import Translator
from app.library import StoredRun
from app.question_view import QuestionView
from app.visit import Balance, Visit
from hcl_core.errors import RunFolderError
from hcl_core.scores.published import published_curves

# Names of the steps, in their order: step 1 is the first. Other parts of the page link to them.
STEPS = ("layers", "early_exit", "sampling", "judging", "ideas", "balance", "published", "own_question")
NUM_STEPS = len(STEPS)
# Which option of each step is right, from 1, of so many; the last step asks for no guess.
RIGHT_ANSWERS = (2, 3, 1, 2, 3, 1, 2)
NUM_GUESSES = len(RIGHT_ANSWERS)
OPTIONS = 3
# The shipped runs that the steps show: the linear head at the paper's temperature and at 1.
_COOL, _WARM = ("linear", 0.6), ("linear", 1.0)
_PLANET, _BALTIC = "name-a-planet", "baltic-sea-country"
# The score that two of the steps compare.
_WRONG = "hallucination_rate"
_EQUAL = Balance()


@dataclass(frozen=True, slots=True)
class StepChart:
    """The chart of a step, and what it shows.

    Attributes:
        figure: Made of the shipped runs.
        values: Of the step's answer, by their names in it; a ``float`` is a share of 1.
    """

    figure: Figure
    values: Mapping[str, int | float]


@dataclass(frozen=True, slots=True)
class RevealedStep:
    """A step after the visitor's guess.

    Attributes:
        step: From 1.
        guess: The number of an option; ``None`` without one.
        chart: What happened.
    """

    step: int
    guess: int | None
    chart: StepChart

    @property
    def right(self) -> int:
        """The number of the right option."""
        return RIGHT_ANSWERS[self.step - 1]

    @property
    def is_right(self) -> bool | None:
        """Whether the guess was; ``None`` without one."""
        return None if self.guess is None else self.guess == self.right


def reveal(visit: Visit, step: int, guess: int | None) -> RevealedStep:
    """Whether the guess was right, and the chart that shows it; raises ``HclError`` if a shipped run is missing."""
    return RevealedStep(step, guess, _CHARTS[step](visit.words))


def weigh(visit: Visit, balance: Balance) -> StepChart:
    """The sixth step's chart with other weights."""
    return _balance(visit.words, balance)


def _run(which: tuple[str, float]) -> StoredRun:
    for run in library.stored_runs(with_own=False):
        settings = run.manifest.settings
        if (settings.exit_head, settings.sampling.temperature) == which:
            return run
    raise RunFolderError("the shipped runs of this walkthrough are missing: install the program again")


def _layers(words: Translator) -> StepChart:
    lenses = list(shipped_lenses("linear").values())
    settles = [int(table.settles()[0]) for table in lenses]
    values = {"settles": settles[0], "all": lenses[0].num_hidden_layers, "least": min(settles), "most": max(settles)}
    return StepChart(lens_map(lenses[0], "probability", words), values)


def _early_exit(words: Translator) -> StepChart:
    curves = {head: stored_curve(_run((head, 0.6)), words(f"head_{head}"), _WRONG) for head in ("linear", "shared")}
    values = {head: curve.values[curve.layers.index(24)] for head, curve in curves.items()}
    return StepChart(compared_curves(list(curves.values()), [], words, measure=_WRONG), values)


def _sampling(words: Translator) -> StepChart:
    view = QuestionView.load(_run(_WARM), _PLANET)
    layers = view.layers
    narrow = min(layers, key=lambda layer: len(layer.answers))
    values = {
        "first": len(layers[0].answers),
        "narrow": narrow.exit_layer,
        "fewest": len(narrow.answers),
        "last": len(layers[-1].answers),
    }
    return StepChart(answer_river(view.meanings, layers, words), values)


def _judging(words: Translator) -> StepChart:
    view = QuestionView.load(_run(_COOL), _BALTIC)
    late = sum(layer.num_correct for layer in view.layers if layer.exit_layer > 20)
    right = sum(layer.num_correct for layer in view.layers)
    return StepChart(outcome_shares(view.outcomes.table, words), {"late": late, "right": right})


def _clustering(words: Translator) -> StepChart:
    view = QuestionView.load(_run(_WARM), _BALTIC)
    scores = view.outcomes.scored(_EQUAL.weights, _EQUAL.scaling).scores
    values = {"right": scores[-1].num_correct, "ideas": int(scores[-1].creativity_raw)}
    return StepChart(right_and_ideas(scores, words), values)


def _balance(words: Translator, balance: Balance = _EQUAL) -> StepChart:
    scored = library.outcomes_of(_run(_WARM)).scored(balance.weights, balance.scaling)
    best = next(layer for layer in scored.uncertainty.layers if layer.exit_layer == scored.best)
    return StepChart(layer_curves(scored, words), {"best": best.exit_layer, "share": best.p_optimal})


def _published(words: Translator) -> StepChart:
    ours = stored_curve(_run(_COOL), words("ours_linear"), _WRONG)
    published = [
        published_curve(each, f"{each.model} ({words('published')})", _WRONG)
        for each in published_curves().curves
        if each.temperature == 0.6
    ]
    curves = [curve for curve in published if curve]
    seven = next(curve for curve in curves if "Llama 2 7B" in curve.name)
    values = {"low": min(seven.values), "high": max(seven.values)}
    values |= {"our_low": min(ours.values), "our_high": max(ours.values)}
    return StepChart(compared_curves([ours, *curves], [], words, by_share=True, measure=_WRONG), values)


_CHARTS: Mapping[int, Callable[[Translator], StepChart]] = {
    1: _layers,
    2: _early_exit,
    3: _sampling,
    4: _judging,
    5: _clustering,
    6: _balance,
    7: _published,
}
