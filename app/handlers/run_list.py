"""The table of runs: newest first, filtered, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from app import run_names
from app.handlers.controls import read_text
from app.language import Translator
from app.library import StoredRun
from app.visit import Visit
from hcl_core.errors import SettingsError

# Rows of the table of runs: about 20 kB.
MOST_ROWS = 100
KINDS = ("own", "shipped", "unfinished")
# Letters of a filter: a name has fewer.
_MOST_LETTERS = 200


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are wanted; an empty text wants all.

    Attributes:
        text: Words that all stand in a run's name, note, question, settings or id.
        model: Name of a model.
        head: Name of an exit head.
        kind: Of ``KINDS``.
    """

    text: str = ""
    model: str = ""
    head: str = ""
    kind: str = ""

    @classmethod
    def from_controls(cls, *values: object) -> "RunFilter":
        """Read the controls' values, in the order of the attributes; raises ``SettingsError`` for what is no text."""
        text, model, head, kind = (read_text("Filter", value) for value in values)
        if kind and kind not in KINDS:
            raise SettingsError(f"filter must be one of {', '.join(KINDS)}; got {kind[:40]!r}")
        return cls(text[:_MOST_LETTERS], model, head, kind)

    def wants(self, run: StoredRun, words: Translator) -> bool:
        """Whether the run is wanted; ``words`` are those in which the visitor sees its name."""
        settings = run.manifest.settings
        return (
            self.model in ("", settings.model)
            and self.head in ("", settings.exit_head)
            and self.kind in ("", kind_of(run))
            and (not self.text or self._is_in(run, words))
        )

    def _is_in(self, run: StoredRun, words: Translator) -> bool:
        manifest = run.manifest
        said = (
            run_names.run_name(run, words),
            run.title.note,
            run_names.asked_of(run, words),
            manifest.settings.model,
            manifest.judge,
            manifest.created_at,
            manifest.id,
        )
        text = "\n".join(said).casefold()
        return all(word in text for word in self.text.casefold().split())


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some of the stored runs, newest first.

    Attributes:
        runs: At most ``MOST_ROWS``.
        number: Of the page, from 0.
        num_runs: That are wanted, on all pages.
        num_all: With those that the filter leaves out.
        models: Of all runs.
        heads: Of all runs.
    """

    runs: Sequence[StoredRun]
    number: int
    num_runs: int
    num_all: int
    models: Sequence[str]
    heads: Sequence[str]

    @property
    def first(self) -> int:
        """Position of the first run of the page among all, from 0."""
        return self.number * MOST_ROWS

    @property
    def has_next(self) -> bool:
        """Whether there are runs after this page."""
        return self.first + MOST_ROWS < self.num_runs


def kind_of(run: StoredRun) -> str:
    """One of ``KINDS``."""
    if run.manifest.finished_at is None:
        return "unfinished"
    return "shipped" if run.is_shipped else "own"


def list_runs(visit: Visit, wanted: RunFilter | None = None, number: int = 0) -> RunPage:
    """A page of the wanted runs that the visitor may see, unfinished ones too; past the end the last one."""
    every = sorted(visit.service.all_runs(), key=lambda run: run.manifest.created_at, reverse=True)
    runs = [run for run in every if wanted is None or wanted.wants(run, visit.words)]
    number = max(0, min(number, (len(runs) - 1) // MOST_ROWS))
    models, heads = (sorted({getattr(run.manifest.settings, name) for run in every}) for name in ("model", "exit_head"))
    shown = runs[number * MOST_ROWS : (number + 1) * MOST_ROWS]
    return RunPage(shown, number, len(runs), len(every), models, heads)
