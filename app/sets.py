"""The question sets of each visitor: the starter set, and what they have loaded. Searched, never mixed."""

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cachetools import LRUCache

from hcl_core import registry
from hcl_core.errors import HclError, QuestionFileError, SettingsError
from hcl_core.folders import user_path
from hcl_core.questions.report import LoadReport
from hcl_core.questions.search import QuestionIndex
from hcl_core.records import Question

STARTER = "starter"
# Questions in one set, sets of one visitor, visitors with sets.
_MOST_QUESTIONS, _MOST_SETS, _MOST_VISITORS = 100_000, 4, 64
# Questions of all visitors' sets together: about 200 MB.
_MOST_IN_ALL = 500_000
# Accepted answers of one question: the judge compares each answer with all of them.
_MOST_ANSWERS = 2_000
# Lines and objects of a file that a stranger uploads: each may be a row, and a thousand rows take 0.15 s.
_MOST_ROWS = 50_000
_PARQUET = b"PAR1"


@dataclass(frozen=True, slots=True)
class LoadedSet:
    """A question set in memory.

    Attributes:
        name: As stored with a run.
        questions: In the set's order.
        index: Of the same questions.
        report: What loading did; ``None`` for the starter set.
    """

    name: str
    questions: tuple[Question, ...]
    index: QuestionIndex
    report: LoadReport | None = None

    def load(self, limit: int | None = None) -> list[Question]:
        """As a ``QuestionSource``."""
        return list(self.questions[:limit])

    def find(self, question_id: str | None) -> Question | None:
        """The question of that id."""
        return next((each for each in self.questions if each.id == question_id), None)


def _num_questions(sets: LRUCache[str, LoadedSet]) -> int:
    return sum(len(each.questions) for each in sets.values())


class QuestionSets:
    """The question sets that each visitor has loaded; of too many, those least recently used go.

    Args:
        is_public: Whether others than the owner reach the page: they may bring a file, but name no path and no set
            that would be fetched.
    """

    def __init__(self, is_public: bool = False) -> None:
        self._is_public = is_public
        self._by_visitor: LRUCache[str, LRUCache[str, LoadedSet]] = LRUCache(_MOST_IN_ALL, getsizeof=_num_questions)
        self._lock = threading.Lock()

    def names(self, visitor: str) -> list[str]:
        """Names of the sets that the visitor can choose."""
        with self._lock:
            return [STARTER, *self._by_visitor.get(visitor, {})]

    def get(self, visitor: str, name: str | None) -> LoadedSet:
        """The set of that name; raises ``SettingsError`` if the visitor has not loaded it."""
        if not isinstance(name, str) or name == STARTER:
            return _starter()
        with self._lock:
            sets = self._by_visitor.get(visitor)
            loaded = sets.get(name) if sets else None
        if loaded is None:
            raise SettingsError("this question set is no longer loaded: load it again")
        return loaded

    def load_file(self, visitor: str, file: Path) -> str:
        """Load an uploaded file.

        Returns:
            The set's name.

        Raises:
            QuestionFileError: It can't be read; the message has the file's name and no path.
        """
        try:
            if self._is_public:
                _check_strangers_file(file)
            return self._keep(visitor, str(file))
        except HclError as error:
            raise QuestionFileError(str(error).replace(str(file), file.name)) from None

    def load_named(self, visitor: str, name: str) -> str:
        """Load a path or a set of the Hub.

        Returns:
            The set's name.

        Raises:
            HclError: There is none, it can't be read, or the page is public.
        """
        if self._is_public:
            raise SettingsError("this public page reads no paths and fetches nothing: upload a file instead")
        if not name.strip():
            raise SettingsError("type a path, or triviaqa, nq_open or popqa")
        path = user_path(name.strip())
        return self._keep(visitor, str(path) if path else name.strip())

    def forget(self, visitor: str) -> None:
        """The visitor has left."""
        with self._lock:
            self._by_visitor.pop(visitor, None)

    def _keep(self, visitor: str, wanted: str) -> str:
        reports: list[LoadReport] = []
        source = registry.load_questions(wanted, on_report=reports.append)
        questions = source.load(_MOST_QUESTIONS + 1)
        if len(questions) > _MOST_QUESTIONS:
            raise SettingsError(
                f"this set has more than {_MOST_QUESTIONS:,} questions, which is what a page can hold: cut it, or run "
                "it in the terminal"
            )
        if (most := max(len(each.accepted_answers) for each in questions)) > _MOST_ANSWERS:
            raise SettingsError(
                f"a question of this set has {most:,} accepted answers; a page takes {_MOST_ANSWERS:,}: cut them"
            )
        name = f"{source.name} (own)" if source.name == STARTER else source.name
        loaded = LoadedSet(name, tuple(questions), QuestionIndex(questions), next(iter(reports), None))
        with self._lock:
            sets = self._by_visitor.pop(visitor, None) or LRUCache(_MOST_SETS)
            sets[loaded.name] = loaded
            self._by_visitor[visitor] = sets
            while len(self._by_visitor) > _MOST_VISITORS:
                self._by_visitor.popitem()
        return loaded.name


def _check_strangers_file(file: Path) -> None:
    """Raise ``SettingsError`` for a file that takes much more time or memory than its size says."""
    try:
        content = file.read_bytes()
    except OSError:
        return  # the reader says what is wrong
    # A few kilobytes can unpack to any size, and say that they don't.
    if content.startswith(_PARQUET) or file.suffix.lower() == ".parquet":
        raise SettingsError("this public page reads no parquet files: upload json, csv or text instead")
    if (number := sum(map(content.count, (b"\n", b"\r", b"{", b"[")))) > _MOST_ROWS:
        raise SettingsError(
            f"this file has {number:,} lines, objects and lists; this public page reads {_MOST_ROWS:,}: cut it"
        )


@cache
def _starter() -> LoadedSet:
    questions = registry.load_questions(STARTER).load()
    return LoadedSet(STARTER, tuple(questions), QuestionIndex(questions))
