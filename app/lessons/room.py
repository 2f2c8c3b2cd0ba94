"""The room of a class: who is in, where the lesson is, and what they predict. No HTML, no language."""

import hashlib
import secrets
from collections import Counter
from dataclasses import dataclass
from threading import RLock

from app.lessons.records import Lesson, Step
from app.lessons.sources import view_of
from app.lessons.store import ClassStore, hashed
from app.lessons.truth import Truth, truth_of
from app.question_view import QuestionView
from hcl_core.models.catalogue import find_model

LOBBY = -1
# Of a model that is not known yet.
_USUAL_DEPTH = 30


class RefusedError(Exception):
    """The room does not take that now; ``key`` is a sentence of the page."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the lesson is: what everybody sees.

    Attributes:
        version: Another one after every change, and after a restart.
        student_version: The same, for what students see: a live run that goes on leaves their forms alone.
        at: Index of the step; ``LOBBY`` before the first one.
        is_revealed: Whether the step's predictions are closed and its answers shown.
        run: Id of the step's run and of its question; ``None`` where it has not been asked yet.
        progress: Of a live run: answers that are there, and answers wanted.
        problem: English sentence of what went wrong with a live run; for the teacher.
    """

    version: str
    student_version: str
    at: int = LOBBY
    is_revealed: bool = False
    run: tuple[str, str] | None = None
    progress: tuple[int, int] | None = None
    problem: str = ""


class Room:
    """One for the whole program; every method may be called from any thread.

    Attributes:
        lesson: What is taught.
        store: Where it is kept.

    Args:
        lesson: What is taught.
        store: Of the same lesson.
        most_students: That are let in.
    """

    def __init__(self, lesson: Lesson, store: ClassStore, most_students: int = 300) -> None:
        self.lesson, self.store, self._most_students = lesson, store, most_students
        self._lock, self._epoch, self._num_changes = RLock(), secrets.token_hex(4), 0
        self._students = store.students()
        self._predictions: dict[tuple[int, int], dict[str, int]] = {}
        for step, question, student, value in store.predictions():
            self._predictions.setdefault((step, question), {})[student] = value
        facts = store.facts()
        at = int(facts.get("at", LOBBY))
        self._at = at if LOBBY <= at < len(lesson.steps) else LOBBY
        self._revealed = {int(number) for number in facts.get("revealed", "").split()}
        # Of live steps: id of run and question once it is finished.
        self._runs = {
            int(name.removeprefix("run ")): (value.partition(" ")[0], value.partition(" ")[2])
            for name, value in facts.items()
            if name.startswith("run ")
        }
        self._progress: dict[int, tuple[int, int]] = {}
        self._problems: dict[int, str] = {}
        self._num_stages = self._num_classes = 0

    # What a student does.

    def join(self, token: str | None = None) -> str:
        """The token of a student: their own one if they are in, else a new one.

        Raises:
            RefusedError: The room is full.
        """
        with self._lock:
            if token is not None and hashed(token) in self._students:
                return token
            if len(self._students) >= self._most_students:
                raise RefusedError("class_full")
            token = secrets.token_urlsafe(12)
            number = len(self._students) + 1
            self._students[hashed(token)] = number
            self._num_changes += 1
            self.store.add_student(hashed(token), number)
            return token

    def predict(self, token: str, step: int, question: int, value: int) -> None:
        """Take a prediction, in the place of an earlier one.

        Raises:
            RefusedError: They are not in, the step is not open, or that is no prediction of the question.
        """
        with self._lock:
            student = hashed(token)
            if student not in self._students:
                raise RefusedError("class_not_in")
            if step != self._at or step in self._revealed:
                raise RefusedError("class_closed")
            predictions = self.lesson.steps[step].predict if step >= 0 else []
            if not 0 <= question < len(predictions):
                raise RefusedError("class_no_prediction")
            num_options = predictions[question].num_options
            allowed = range(num_options) if num_options else range(1, self.num_layers(step) + 1)
            if value not in allowed:
                raise RefusedError("class_no_prediction")
            given = self._predictions.setdefault((step, question), {})
            if given.get(student) != value:
                given[student] = value
                self._num_changes += 1
                self.store.add_prediction(step, question, student, value)

    # What the teacher does.

    def go(self, at: int) -> None:
        """Turn everybody to a step, or to the lobby."""
        with self._lock:
            if not LOBBY <= at < len(self.lesson.steps):
                raise RefusedError("class_no_step")
            self._at = at
            self._stage_changed()
            self.store.keep("at", str(at))

    def reveal(self, at: int) -> None:
        """Close a step's predictions and show what turned out; raises ``RefusedError`` while there is no run of it."""
        with self._lock:
            if at != self._at or at < 0:
                raise RefusedError("class_no_step")
            if self.run_of(at) is None:
                raise RefusedError("class_not_run")
            self._revealed.add(at)
            self._stage_changed()
            self.store.keep("revealed", " ".join(map(str, sorted(self._revealed))))

    def reset(self) -> None:
        """A new class: nobody is in, nothing is predicted or revealed. Live runs stay."""
        with self._lock:
            runs = dict(self._runs)
            self._students, self._predictions, self._revealed, self._at = {}, {}, set(), LOBBY
            self.store.clear()
            for at, (run_id, question_id) in runs.items():
                self.store.keep(f"run {at}", f"{run_id} {question_id}")
            self._num_changes += 1
            self._num_classes += 1
            self._stage_changed()

    # What the live run of a step does.

    def start_run(self, at: int) -> Step:
        """The step to run; raises ``RefusedError`` where it is stored, running or run."""
        with self._lock:
            if not 0 <= at < len(self.lesson.steps) or self.lesson.steps[at].ask is None:
                raise RefusedError("class_no_step")
            if at in self._progress or at in self._runs:
                raise RefusedError("class_is_run")
            self._progress[at] = (0, 0)
            self._problems.pop(at, None)
            self._stage_changed()
            return self.lesson.steps[at]

    def run_went_on(self, at: int, num_done: int, num_wanted: int) -> None:
        """So many answers are there."""
        with self._lock:
            self._progress[at] = (num_done, num_wanted)
            self._stage_changed()

    def run_ended(self, at: int, run: tuple[str, str] | None, problem: str = "") -> None:
        """The run is there, ids of it and of its question; or what went wrong."""
        with self._lock:
            self._progress.pop(at, None)
            if run:
                self._runs[at] = run
                self.store.keep(f"run {at}", " ".join(run))
            else:
                self._problems[at] = problem
            self._stage_changed()

    # What is to be seen.

    @property
    def stage(self) -> Stage:
        """Where the lesson is."""
        with self._lock:
            at = self._at
            is_revealed = at in self._revealed
            return Stage(
                f"{self._epoch}.{self._num_stages}",
                f"{self._epoch}.{self._num_classes}.{at}.{is_revealed:d}",
                at,
                is_revealed,
                self.run_of(at),
                self._progress.get(at),
                self._problems.get(at, ""),
            )

    @property
    def version(self) -> str:
        """Another one after every change, of predictions too."""
        return f"{self._epoch}.{self._num_stages}.{self._num_changes}"

    @property
    def num_students(self) -> int:
        """That are in."""
        return len(self._students)

    def number_of(self, token: str) -> int | None:
        """What a student is called; ``None``: they are not in."""
        return self._students.get(hashed(token))

    def mine(self, token: str, at: int) -> dict[int, int]:
        """A student's predictions of a step by question."""
        student, questions = hashed(token), range(len(self.lesson.steps[at].predict)) if at >= 0 else ()
        with self._lock:
            given = ((question, self._predictions.get((at, question), {}).get(student)) for question in questions)
            return {question: value for question, value in given if value is not None}

    def spread(self, at: int, question: int) -> Counter[int]:
        """How many predicted what."""
        with self._lock:
            return Counter(self._predictions.get((at, question), {}).values())

    def rows(self) -> list[tuple[int, int, int, int]]:
        """Student's number, step, question and value of every prediction, in order."""
        with self._lock:
            return sorted(
                (self._students.get(student, 0), step, question, value)
                for (step, question), given in self._predictions.items()
                for student, value in given.items()
            )

    def run_of(self, at: int) -> tuple[str, str] | None:
        """Ids of the run and the question of a step; ``None`` where it has not been asked yet."""
        if at < 0:
            return None
        step = self.lesson.steps[at]
        return (step.run, step.question) if step.run and step.question else self._runs.get(at)

    def view(self, at: int) -> QuestionView:
        """The question of a step; raises ``HclError`` where it is no longer there."""
        run = self.run_of(at)
        if run is None:
            raise RefusedError("class_not_run")
        return view_of(*run)

    def truths(self, at: int) -> list[Truth]:
        """What turned out of each prediction of a step; raises ``HclError`` as ``view`` does."""
        step, view = self.lesson.steps[at], self.view(at)
        return [truth_of(prediction, view, self.lesson.presets_of(step)) for prediction in step.predict]

    def num_layers(self, at: int) -> int:
        """The deepest exit layer that can be predicted at a step."""
        step = self.lesson.steps[at]
        if step.ask is not None:
            known = find_model(step.ask.model)
            return step.ask.last_layer or (known.num_hidden_layers if known else _USUAL_DEPTH)
        return self.view(at).manifest.settings.exit_layers[-1]

    def _stage_changed(self) -> None:
        self._num_stages += 1


def lesson_id(lesson: Lesson) -> str:
    """Of the class: another content is another class."""
    return hashlib.sha256(lesson.model_dump_json().encode()).hexdigest()[:16]
