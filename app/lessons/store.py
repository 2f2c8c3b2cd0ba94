"""What a class has done so far, in one SQLite file: a restart or a crash loses nothing. No names are in it.

Students are random tokens, of which the file has a hash alone. The teacher's token is in it, so that the link stays;
only the owner of the machine can read the file.
"""

import hashlib
import logging
import secrets
import sqlite3
from pathlib import Path
from threading import Lock

from hcl_core.atomic import disk_errors
from hcl_core.errors import HclError

logger = logging.getLogger(__name__)

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS students (id TEXT PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS predictions (
    step INTEGER, question INTEGER, student TEXT, value INTEGER NOT NULL, PRIMARY KEY (step, question, student)
);
"""


def hashed(token: str) -> str:
    """What is kept of a student's token."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


class ClassFileError(HclError):
    """The file of a class is damaged."""


class ClassStore:
    """The file of one lesson; safe for many threads. Where the disk fails later on, the class goes on in memory.

    Attributes:
        teacher_token: The secret of the teacher's link.
        is_failing: Whether the last change could not be kept.

    Args:
        folder: Of the classes.
        lesson_id: Hash of the lesson: another lesson has another class.

    Raises:
        DiskError: The file cannot be made.
        ClassFileError: It is no such file, or damaged.
    """

    def __init__(self, folder: Path, lesson_id: str) -> None:
        self._path = path = folder / f"{lesson_id}.sqlite"
        self._lock, self.is_failing = Lock(), False
        try:
            with disk_errors(path):
                folder.mkdir(parents=True, exist_ok=True)
                path.touch(0o600)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            # A crash of the program loses nothing, one of the machine perhaps the last prediction.
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise self._damaged(error) from None
        facts = self.facts()
        self.teacher_token = facts.get("teacher") or secrets.token_urlsafe(24)
        self.keep("teacher", self.teacher_token)

    def facts(self) -> dict[str, str]:
        """What is kept by name."""
        return dict(self._rows("SELECT name, value FROM facts"))

    def students(self) -> dict[str, int]:
        """Number of each student by the hash of their token."""
        return dict(self._rows("SELECT id, number FROM students"))

    def predictions(self) -> list[tuple[int, int, str, int]]:
        """Step, question, student and value of each."""
        return self._rows("SELECT step, question, student, value FROM predictions")

    def keep(self, name: str, value: str) -> None:
        """Keep a fact."""
        self._change("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def add_student(self, student: str, number: int) -> None:
        """Keep that a student is in."""
        self._change("INSERT OR REPLACE INTO students VALUES (?, ?)", (student, number))

    def add_prediction(self, step: int, question: int, student: str, value: int) -> None:
        """Keep a prediction in the place of an earlier one."""
        self._change("INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?)", (step, question, student, value))

    def clear(self) -> None:
        """Forget the class, but for the teacher's link."""
        for table in ("students", "predictions", "facts"):
            self._change(f"DELETE FROM {table}", ())
        self.keep("teacher", self.teacher_token)

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._database.close()

    def _rows(self, query: str) -> list[tuple]:  # type: ignore[type-arg]
        try:
            with self._lock:
                return self._database.execute(query).fetchall()
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def _damaged(self, error: sqlite3.Error) -> ClassFileError:
        return ClassFileError(f"cannot use {self._path}: {error}: delete it, and the class starts anew")

    def _change(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            with self._lock:
                self._database.execute(statement, values)
            self.is_failing = False
        except sqlite3.Error as error:
            self.is_failing = True
            logger.error("a class cannot be kept: %s", error)
