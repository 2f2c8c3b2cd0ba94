"""A model's decoder and its view of answers, for callers who share the model through a scheduler."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.forest import Step
from hcl_core.decode.scheduler import Scheduler, do_nothing
from hcl_core.forwarding import ForwardingDecoder
from hcl_core.ports import Answerer, AnswerLikelihood, DecodeRequest
from hcl_core.records import StoredQuestion


class ScheduledDecoder(ForwardingDecoder):
    """A ``ports.Decoder`` that decodes through a scheduler.

    Args:
        decoder: What is scheduled: an ``EngineDecoder``.
        scheduler: Of its model.
        check: See ``Scheduler.decode_many``.
    """

    def __init__(self, decoder: Answerer, scheduler: Scheduler, check: Callable[[], None] = do_nothing) -> None:
        assert isinstance(decoder, EngineDecoder)
        super().__init__(decoder)
        self._engine, self._scheduler, self._check = decoder, scheduler, check

    def decode_many(self, requests: Iterable[DecodeRequest], at_once: int | None = None) -> Iterator[Step]:
        """Answer several questions beside each other; see ``ports.Decoder``."""
        yield from self._scheduler.decode_many(self._engine, requests, at_once, self._check)


class ScheduledLikelihood:
    """A ``ports.AnswerLikelihood`` that reads between two steps of a scheduler.

    Args:
        likelihood: What is scheduled.
        scheduler: Of its model.
    """

    def __init__(self, likelihood: AnswerLikelihood, scheduler: Scheduler) -> None:
        self._likelihood, self._scheduler = likelihood, scheduler

    def mean_logprobs(self, stored: StoredQuestion, completions: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
        """Mean log-probability of the tokens of each answer: ``[n]``; see ``ports.AnswerLikelihood``."""
        return self._scheduler.call(lambda: self._likelihood.mean_logprobs(stored, completions))
