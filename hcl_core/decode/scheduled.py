"""A model's decoder and its view of answers, for callers who share the model through a scheduler."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.forest import Step
from hcl_core.decode.scheduler import Scheduler, do_nothing
from hcl_core.models.cost import ModelCost
from hcl_core.ports import AnswerLikelihood, DecodeProgress, Decoder, DecodeRequest, NamedExitHead
from hcl_core.records import Question, SamplingSettings, StoredQuestion


class ScheduledDecoder:
    """A ``ports.Decoder`` that decodes through a scheduler.

    Args:
        decoder: What is scheduled: an ``EngineDecoder``.
        scheduler: Of its model.
        check: See ``Scheduler.decode_many``.
    """

    def __init__(self, decoder: Decoder, scheduler: Scheduler, check: Callable[[], None] = do_nothing) -> None:
        assert isinstance(decoder, EngineDecoder)
        self._decoder, self._scheduler, self._check = decoder, scheduler, check

    @property
    def num_hidden_layers(self) -> int:
        """Deepest exit layer."""
        return self._decoder.num_hidden_layers

    @property
    def exit_head(self) -> NamedExitHead:
        """How early layers are read."""
        return self._decoder.exit_head

    def prompt_for(self, question: Question) -> str:
        """The exact text to send for ``question``; see ``ports.Decoder``."""
        return self._decoder.prompt_for(question)

    def tokenize_checked(self, stored: StoredQuestion, settings: SamplingSettings) -> list[int]:
        """Token ids of the prompt; see ``ports.Decoder``."""
        return self._decoder.tokenize_checked(stored, settings)

    def token_text(self, token_id: int) -> str:
        """One token as people should see it; see ``ports.Decoder``."""
        return self._decoder.token_text(token_id)

    def cost(self) -> ModelCost:
        """What a token costs at each exit layer."""
        return self._decoder.cost()

    def decode(
        self, stored: StoredQuestion, settings: SamplingSettings, waves: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[DecodeProgress]:
        """Sample answers wave by wave; see ``ports.Decoder``."""
        for _, progress in self.decode_many([DecodeRequest(stored, settings, waves)]):
            yield progress

    def decode_many(self, requests: Iterable[DecodeRequest], at_once: int | None = None) -> Iterator[Step]:
        """Answer several questions beside each other; see ``ports.Decoder``."""
        yield from self._scheduler.decode_many(self._decoder, requests, at_once, self._check)


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
