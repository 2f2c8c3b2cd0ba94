"""A whole question set: run it live, the curve growing question by question, or show what is stored of it."""

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from app import library
from app.handlers.controls import NumberBox
from app.handlers.explore import INTERVAL, until_stopped
from app.handlers.form import Form
from app.handlers.models import num_hidden_layers
from app.handlers.shown_question import OpenedQuestion, ShownQuestion, open_question
from app.language import Translator
from app.live import LiveEvent, LiveRun
from app.messages import Message, Status, message_of, progress_of
from app.outcomes import Scored, ScoredOutcomes
from app.run_names import run_names
from app.service import Service
from app.visit import Balance, Visit
from hcl_core import pipeline
from hcl_core.errors import SettingsError
from hcl_core.pipeline.request import RunRequest
from hcl_core.questions.selection import Selection
from hcl_core.records import Question
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.draws import NUM_DRAWS
from hcl_core.scores.metrics import MISSING, OutcomeTable

# While a set runs its intervals come from fewer draws, and not more often than this, in seconds.
_LIVE_DRAWS = 200
_CURVE_INTERVAL = 1.0
# Rows of the table, which is sent anew with each update of the curve: about 100 kB.
MOST_QUESTIONS = 1_000
NUMBERS: Mapping[str, NumberBox] = {
    "limit": NumberBox("limit", 1),
    "shuffle": NumberBox("shuffle", 0),
    "min_answers": NumberBox("min_answers", 1),
}


@dataclass(frozen=True, slots=True)
class SetChoice:
    """Which questions of which set are asked.

    Attributes:
        set_name: Of a set that the visitor has.
        num_questions: From 1.
        shuffle_seed: Of the order; ``None`` for the set's own.
        min_answers: Questions with fewer accepted answers are left out.
    """

    set_name: str
    num_questions: int
    shuffle_seed: int | None
    min_answers: int

    @classmethod
    def from_controls(
        cls, set_name: object, num_questions: object, shuffle_seed: object, min_answers: object
    ) -> "SetChoice":
        """Read the values of the controls; raises ``SettingsError`` if a number is none that its control takes."""
        return cls(
            set_name if isinstance(set_name, str) else "",
            NUMBERS["limit"].read_whole(num_questions),
            NUMBERS["shuffle"].read_whole(shuffle_seed) or None,
            NUMBERS["min_answers"].read_whole(min_answers),
        )

    def request(self, visit: Visit, form: Form) -> RunRequest:
        """The form's settings, for the chosen questions; raises ``HclError`` if a value is out of range."""
        form.check_layers(num_hidden_layers(visit, form.model))
        loaded = visit.service.sets.get(visit.visitor, self.set_name or None)
        most = min(len(loaded.questions), MOST_QUESTIONS)
        if not 1 <= self.num_questions <= most:
            more = " on a page; the terminal takes more" if most == MOST_QUESTIONS else ""
            raise SettingsError(f"questions must be from 1 to {most:,}{more}; got {self.num_questions}")
        selection = Selection(self.num_questions, self.shuffle_seed, self.min_answers)
        return form.request_of(tuple(selection.of(loaded)), selection.describe(loaded.name))


@dataclass(frozen=True, slots=True)
class ShownSet:
    """Which run of a set is on screen; the browser's session keeps it.

    Attributes:
        run_id: Of the run.
        is_live: Whether it is the visitor's, under way or stopped, in memory.
    """

    run_id: str
    is_live: bool = False


@dataclass(frozen=True, slots=True)
class SetResult:
    """What is known of a set under one balance.

    Attributes:
        shown: Which run.
        manifest: Of the run.
        questions: That it asks, in order.
        table: Their outcomes, a row a question.
        balance: How the set is weighed.
        scored: Scores over all questions under that balance.
        is_complete: Whether all answers are in.
        num_bad_parts: Damaged parts of the run's samples, which are left out.
        num_own: Verdicts of the visitor's on the run, which are not in the scores.
    """

    shown: ShownSet
    manifest: Manifest
    questions: Sequence[Question]
    table: OutcomeTable
    balance: Balance
    scored: Scored
    is_complete: bool
    num_bad_parts: int = 0
    num_own: int = 0

    @property
    def num_answered(self) -> int:
        """Questions that have answers."""
        return int((self.table.outcomes != MISSING).any(axis=(1, 2)).sum())


@dataclass(frozen=True, slots=True)
class SetUpdate:
    """A step of a set's run: what is going on, and what has come so far where it is drawn anew."""

    status: Status
    result: SetResult | None = None


def run(visit: Visit, choice: SetChoice, form: Form, balance: Balance) -> Generator[SetUpdate, None, None]:
    """Ask every chosen question; the curve grows with each.

    Raises:
        HclError: Anything that the visitor can mend.
        StoppedError: The visitor stopped it, after results had come.
    """
    return until_stopped(_run(visit, choice, form, balance), SetUpdate(Message("stopped_empty")))


def _run(visit: Visit, choice: SetChoice, form: Form, balance: Balance) -> Generator[SetUpdate, None, None]:
    next_curve_at = next_status_at = 0.0
    with closing(visit.service.run(choice.request(visit, form), visit.visitor, "run_set", visit.address)) as events:
        for live in events:
            if not isinstance(live, LiveEvent):
                yield SetUpdate(message_of(live))
                continue
            event = live.event
            if isinstance(event, pipeline.Finished):
                values = {"run": event.manifest.id, "seconds": float(event.manifest.decode_seconds)}
                done = Message("set_done", values)
                yield SetUpdate(done, _live_result(live.run, event.table, balance, is_live=False))
            elif isinstance(event, pipeline.WaveDone) and time.monotonic() > next_curve_at:
                began = time.monotonic()
                result = _live_result(live.run, event.table, balance)
                yield SetUpdate(progress_of(live, event.num_done, event.num_wanted), result)
                # Drawing may take a fifth of the time at most.
                now = time.monotonic()
                next_curve_at = now + 4 * (now - began) + _CURVE_INTERVAL
                next_status_at = now + INTERVAL
            elif isinstance(event, pipeline.Decoding) and time.monotonic() > next_status_at:
                next_status_at = time.monotonic() + INTERVAL
                yield SetUpdate(progress_of(live, event.num_done, event.num_wanted))


def _live_result(live: LiveRun, table: OutcomeTable, balance: Balance, is_live: bool = True) -> SetResult:
    table = table.snapshot()
    outcomes = ScoredOutcomes.of(table, live.manifest.strategy, _LIVE_DRAWS if is_live else NUM_DRAWS)
    questions = [each.question for each in live.questions]
    shown = ShownSet(live.manifest.id, is_live)
    scored = outcomes.scored(balance.weights, balance.scaling)
    return SetResult(shown, live.manifest, questions, table, balance, scored, is_complete=not is_live)


def show(visit: Visit, shown: ShownSet, balance: Balance) -> SetResult:
    """A set's run that is under way in memory, or stored.

    Raises:
        RunFolderError: It is neither, or it has not been judged.
    """
    if shown.is_live:
        live = visit.service.live_run(visit.visitor, shown.run_id)
        return _live_result(live, live.scorer.snapshot(), balance)
    run = library.find_run(shown.run_id)
    questions = [stored.question for stored in library.questions_of(run)]
    scored = library.outcomes_of(run).scored(balance.weights, balance.scaling)
    num_bad_parts = len(run.folder.bad_parts())
    is_complete = run.manifest.finished_at is not None and not num_bad_parts
    num_own = visit.service.own_verdicts.number(visit.visitor, [run.manifest.id])
    table = library.table_of(run)
    return SetResult(shown, run.manifest, questions, table, balance, scored, is_complete, num_bad_parts, num_own)


def run_choices(service: Service, words: Translator) -> list[tuple[str, str]]:
    """Label and id of the stored runs of more than one question."""
    runs = [run for run in service.stored_runs() if run.manifest.num_questions > 1]
    return list(zip(run_names(runs, words, "first"), (run.manifest.id for run in runs), strict=True))


def open_row(visit: Visit, shown: ShownSet, question_id: str, balance: Balance) -> OpenedQuestion:
    """A question of the run on screen, for the Explore tab; raises ``RunFolderError`` if the run lacks it."""
    return open_question(visit, ShownQuestion(shown.run_id, question_id, is_live=shown.is_live), balance)
