"""A run under way, as the page sees it, and what comes before."""

from dataclasses import dataclass
from typing import Literal

from app.question_view import QuestionView
from hcl_core import pipeline
from hcl_core.errors import RunFolderError
from hcl_core.pipeline.scorer import Scorer
from hcl_core.records import StoredQuestion
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run under way, or the last one of a visitor.

    Attributes:
        folder: Where it is stored.
        manifest: Of it.
        questions: With their prompts.
        scorer: Up to date with the last wave.
    """

    folder: RunFolder
    manifest: Manifest
    questions: tuple[StoredQuestion, ...]
    scorer: Scorer

    def view(self, question_id: str) -> QuestionView:
        """One of its questions; raises ``RunFolderError`` if that has no answers yet."""
        stored = next((each for each in self.questions if each.question.id == question_id), None)
        scored = self.scorer.question(question_id, self.folder) if stored else None
        if stored is None or scored is None or not scored.samples:
            raise RunFolderError("that question has no answers yet: wait for its first wave")
        return QuestionView.from_live(self.manifest, stored, scored, self.folder.token_texts())


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """An event of a run, and the run as the event leaves it.

    Attributes:
        event: What happened.
        run: See above.
        seconds_left: Estimate of the time until it is finished; ``None`` before its first answers.
        num_beside: Other runs under way, which the same device computes for too.
    """

    event: pipeline.Event
    run: LiveRun
    seconds_left: float | None = None
    num_beside: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Others come first.

    Attributes:
        num_before: Jobs of them.
        seconds: An estimate of the time left; ``None`` where it is unknown.
        reason: ``"model"``: models are loaded for others. ``"memory"``: the model fits once another one is not used any
            more. ``"folder"``: a run with the same answers and verdicts writes the same folder. ``"turn"``: no more
            runs may be under way; ``num_before`` others are before this one in line.
    """

    num_before: int
    seconds: float | None = None
    reason: Literal["model", "memory", "folder", "turn"] = "model"


@dataclass(frozen=True, slots=True)
class Fetching:
    """The weights are being fetched, in megabytes."""

    done: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Loading:
    """The model is read into memory.

    Attributes:
        model: Its name.
    """

    model: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is there, and the work begins."""


Notice = Waiting | Fetching | Loading | Ready
