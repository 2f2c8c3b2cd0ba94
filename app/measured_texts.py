"""The measures of questions' texts, which need the embedder; those of the last questions are in memory."""

import hashlib
import threading

from cachetools import LRUCache

from app.question_view import QuestionView
from hcl_core.ports import Embed
from hcl_core.scores.measures import TextMeasures, measure_texts

# Questions whose measures are in memory.
_MOST_QUESTIONS = 64


class MeasuredTexts:
    """What measures the texts of questions.

    Args:
        embed: Unit vectors of texts.
    """

    def __init__(self, embed: Embed) -> None:
        self._embed, self._lock = embed, threading.Lock()
        self._measured: LRUCache[tuple[str, str, str], tuple[TextMeasures, ...]] = LRUCache(_MOST_QUESTIONS)

    def of(self, view: QuestionView) -> tuple[TextMeasures, ...]:
        """The measures of one question's texts, by layer; the embedder is loaded for the first ones."""
        outcomes = hashlib.blake2b(view.outcomes.table.outcomes.tobytes(), digest_size=16).hexdigest()
        key = (view.manifest.id, view.stored.question.id, outcomes)
        with self._lock:
            measured = self._measured.get(key)
        if measured is None:
            by_layer: dict[int, dict[int, str]] = {}
            for sample in view.samples:
                by_layer.setdefault(sample.exit_layer, {})[sample.sample_idx] = sample.answer
            measured = tuple(measure_texts(view.outcomes.table, [by_layer], self._embed))
            with self._lock:
                self._measured[key] = measured
        return measured
