"""Text search over a loaded question set: SQLite's full-text index in memory."""

import re
import sqlite3
import threading
from collections.abc import Sequence

from hcl_core.records import Question

_WORD = re.compile(r"\w+")
_MAX_WORDS = 12
# Ranking takes most of the time. Words that match more questions say too little for a useful order.
_MAX_RANKED = 5_000


class QuestionIndex:
    """Finds questions by the beginnings of their words; a match in the question counts more than one in its answers.

    ``python -m bench.search`` measures it on 100,000 questions.

    Args:
        questions: The questions to search.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = list(questions)
        # One connection for all threads of a server; the lock lets one at a time use it.
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._lock = threading.Lock()
        self._database.execute(
            "CREATE VIRTUAL TABLE texts USING fts5("
            "question, answers, content='', prefix='2 3', tokenize='unicode61 remove_diacritics 2')"
        )
        self._database.executemany(
            "INSERT INTO texts(rowid, question, answers) VALUES (?, ?, ?)",
            ((row, question.text, "\n".join(question.accepted_answers)) for row, question in enumerate(questions)),
        )

    def __len__(self) -> int:
        return len(self._questions)

    def search(self, text: str, limit: int = 20) -> list[Question]:
        """The best ``limit`` questions that, for each word of ``text``, have a word that begins with it.

        For a text without words, the first questions of the set.
        """
        # Quoted, so that no word is read as an operator of the index's query language.
        words = [f'"{word}"*' for word in _WORD.findall(text)[:_MAX_WORDS]]
        if not words:
            return self._questions[:limit]
        with self._lock:
            rows = self._database.execute(
                "SELECT rowid FROM (SELECT rowid, bm25(texts, 4.0, 1.0) AS score FROM texts WHERE texts MATCH ? "
                "LIMIT ?) ORDER BY score LIMIT ?",
                (" ".join(words), _MAX_RANKED, limit),
            ).fetchall()
        return [self._questions[row] for (row,) in rows]
