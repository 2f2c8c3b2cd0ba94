"""What visitors say of answers themselves: kept for whoever said it, and laid over what the judge said."""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from cachetools import LRUCache

from app.own_verdicts import OwnVerdicts, num_given
from app.question_view import QuestionView
from hcl_core.errors import RunFolderError
from hcl_core.folders import runs_folder
from hcl_core.judges.person import PersonVerdicts, read_person_verdicts, write_person_verdicts
from hcl_core.pipeline.overrule import JudgedQuestion, overruled_questions
from hcl_core.ports import Embed
from hcl_core.runs.folder import RunFolder

# Runs of visitors of a public page whose verdicts are in memory, and visitors who want to see what the judge said.
_MOST_RUNS = 256
_MOST_VISITORS = 1_024

_log = logging.getLogger(__name__)


class VerdictBook:
    """The verdicts of all visitors.

    On the owner's page they are in files beside the runs, one a run, and everyone who opens the page is the owner. On a
    public page each visitor's are in memory and go when the visitor leaves. The runs themselves never change.

    Args:
        is_public: Whether others than the owner of the machine can reach the page.
        embed: Unit vectors of texts, see ``pipeline.overrule``.
    """

    def __init__(self, is_public: bool, embed: Embed) -> None:
        self._is_public, self._embed = is_public, embed
        self._lock = threading.RLock()
        self._in_memory: LRUCache[tuple[str, str], PersonVerdicts] = LRUCache(_MOST_RUNS)
        self._switched_off: LRUCache[str, bool] = LRUCache(_MOST_VISITORS)

    def laid_over(self, view: QuestionView, visitor: str) -> QuestionView:
        """The question with the visitor's verdicts, or, where they are switched off, with their number alone."""
        given = self.of(visitor, view.manifest.id).on(view.stored.question.id)
        if not given or view.is_open:
            return view
        if not self.are_on(visitor):
            return replace(view, own=OwnVerdicts(given, are_on=False))
        return view.overruled(given, self._embed)

    def of(self, visitor: str, run_id: str) -> PersonVerdicts:
        """The visitor's verdicts on the answers of a run; none where their file is damaged."""
        if self._is_public:
            with self._lock:
                return self._in_memory.get((visitor, run_id), PersonVerdicts())
        try:
            return self._read(run_id)
        except RunFolderError as error:
            _log.warning("%s", error)
            return PersonVerdicts()

    def shown(self, visitor: str, run_id: str) -> PersonVerdicts:
        """Those of ``of`` that the visitor sees, and so takes along: none where they are switched off."""
        return self.of(visitor, run_id) if self.are_on(visitor) else PersonVerdicts()

    def number(self, visitor: str, run_ids: Iterable[str]) -> int:
        """How many verdicts the visitor has given on these runs."""
        return sum(num_given(self.of(visitor, run_id).verdicts) for run_id in run_ids)

    def overruled(self, visitor: str, folder: RunFolder) -> dict[int, JudgedQuestion]:
        """The questions of a run with verdicts that the visitor sees, see ``pipeline.overrule.overruled_questions``."""
        given = self.shown(visitor, folder.manifest().id)
        return overruled_questions(folder, given, self._embed) if given.verdicts else {}

    def change(self, visitor: str, run_id: str, to: Callable[[PersonVerdicts], PersonVerdicts]) -> None:
        """Keep what ``to`` makes of the visitor's verdicts.

        Raises:
            RunFolderError: Their file is damaged.
            DiskError: The disk is full, read-only or failing.
        """
        with self._lock:
            if self._is_public:
                self._in_memory[visitor, run_id] = to(self.of(visitor, run_id))
            else:
                write_person_verdicts(_file_of(run_id), run_id, to(self._read(run_id)))

    def are_on(self, visitor: str) -> bool:
        """Whether the visitor sees their verdicts, and not what the judge said."""
        with self._lock:
            return visitor not in self._switched_off

    def switch(self, visitor: str, are_on: bool) -> None:
        """Show the visitor's verdicts from now on, or what the judge said."""
        with self._lock:
            if are_on:
                self._switched_off.pop(visitor, None)
            else:
                self._switched_off[visitor] = True

    def forget(self, visitor: str) -> None:
        """The visitor has left."""
        with self._lock:
            self._switched_off.pop(visitor, None)
            for key in [key for key in self._in_memory if key[0] == visitor]:
                del self._in_memory[key]

    def _read(self, run_id: str) -> PersonVerdicts:
        path = _file_of(run_id)
        return read_person_verdicts(path, run_id) if path.exists() else PersonVerdicts()


def _file_of(run_id: str) -> Path:
    """The owner's verdicts on answers of a run: not in its folder, which holds the run as others get it."""
    return runs_folder() / ".verdicts" / f"{run_id}.json"
