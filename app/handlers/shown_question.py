"""One question of a run, under way or stored: shown, weighed, and one of its layers chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from app import library
from app.handlers.measures import further_measures
from app.outcomes import Scored
from app.question_view import QuestionView
from app.run_names import run_names
from app.service import Service
from app.visit import Balance, Visit
from hcl_core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ShownQuestion:
    """Which question of which run is on screen; the browser's session keeps it.

    Attributes:
        run_id: Of the run.
        question_id: Of its question.
        layer: The chosen exit layer.
        is_live: Whether the run is the visitor's, under way or stopped, in memory.
    """

    run_id: str
    question_id: str
    layer: int | None = None
    is_live: bool = False


@dataclass(frozen=True)
class QuestionResult:
    """What is known of one question under one balance.

    Attributes:
        shown: Which question, and its chosen layer.
        view: The question and its answers.
        balance: How it is weighed.
        further: Values by layer of the balance's further curves.
    """

    shown: ShownQuestion
    view: QuestionView
    balance: Balance
    further: Mapping[str, Sequence[float]]

    @cached_property
    def scored(self) -> Scored:
        """Scores under that balance; no new draws."""
        return self.view.outcomes.scored(self.balance.weights, self.balance.scaling)


@dataclass(frozen=True, slots=True)
class OpenedQuestion:
    """A question that the whole tab turns to, its form too.

    Attributes:
        result: What is known of it.
        runs: Label and id of the stored runs that have asked it.
    """

    result: QuestionResult
    runs: Sequence[tuple[str, str]]


def weigh(view: QuestionView, shown: ShownQuestion, balance: Balance, service: Service) -> QuestionResult:
    """A question under a balance; no model."""
    return QuestionResult(shown, view, balance, further_measures(view, balance.more, service))


def show(visit: Visit, shown: ShownQuestion, balance: Balance) -> QuestionResult:
    """A question that is under way in memory, or stored.

    Raises:
        RunFolderError: It is neither.
    """
    return weigh(view_of(visit, shown), shown, balance, visit.service)


def view_of(visit: Visit, shown: ShownQuestion) -> QuestionView:
    """The question with the visitor's verdicts; raises ``RunFolderError`` as ``show`` does."""
    if shown.is_live:
        judged = visit.service.live_run(visit.visitor, shown.run_id).view(shown.question_id)
    else:
        judged = QuestionView.load(library.find_run(shown.run_id), shown.question_id)
    return visit.service.own_verdicts.laid_over(judged, visit.visitor)


def show_text(visit: Visit, run_id: str, text: str, balance: Balance) -> QuestionResult:
    """The question with that text, of a stored run; raises ``RunFolderError`` if the run has not asked it."""
    question_id = library.question_id_of(library.find_run(run_id), text)
    return show(visit, ShownQuestion(run_id, question_id or ""), balance)


def choose_layer(visit: Visit, shown: ShownQuestion, layer: object, balance: Balance) -> QuestionResult:
    """The question on screen with another chosen layer; raises ``SettingsError`` if the run lacks that."""
    view = view_of(visit, shown)
    if not isinstance(layer, int) or layer not in view.manifest.settings.exit_layers:
        raise SettingsError(f"this run has no such exit layer: {str(layer)[:20]}")
    result = weigh(view, replace(shown, layer=layer), replace(balance, more=()), visit.service)
    return replace(result, balance=balance)  # the further curves are drawn already


def open_question(visit: Visit, shown: ShownQuestion, balance: Balance) -> OpenedQuestion:
    """A question for the whole tab; raises ``RunFolderError`` as ``show`` does."""
    result = show(visit, shown, balance)
    return OpenedQuestion(result, run_choices(visit, result.view.stored.question.text))


def run_choices(visit: Visit, question: str) -> list[tuple[str, str]]:
    """Label and id of the stored runs that have asked this question."""
    text = question.strip()
    runs = [run for run in visit.service.stored_runs() if library.question_id_of(run, text)]
    return list(zip(run_names(runs, visit.words), (run.manifest.id for run in runs), strict=True))
