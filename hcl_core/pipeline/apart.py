"""Judging and storing here, computing elsewhere: ports whose model answers tasks (``hcl_core.tasks``)."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from hcl_core.ports import Answerer, DecodeProgress, DecodeRequest
from hcl_core.records import StoredQuestion
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import Strategy
from hcl_core.tasks import DecodeTask, Failed, ReadTask, StepArrays, Task, Told, Waves

# Does a task elsewhere; what it brings, as it comes. The number says how many tokens it may compute at most.
Compute = Callable[[Task, int], Generator[Told, None, None]]


def answers_of(told: Iterator[Told]) -> Iterator[Told]:
    """What a task told; raises the error that it ended with."""
    for each in told:
        if isinstance(each, Failed):
            raise each.error()
        yield each


class ApartDecoder:
    """A ``ports.Answerer`` that gives out as much at a time as may be computed in one go.

    A question whose waves are too much for one go is computed wave by wave; a wave is never split.

    Args:
        decoder: For the texts of tokens; it computes nothing.
        compute: Does a task.
        asked: Name of the exit head, template and strategy, as the run asked for them.
        most_tokens: Of one go, unless a single wave has more.
        check: Called before each task and after each step; raises where nobody wants the answers any more.
    """

    def __init__(
        self,
        decoder: Answerer,
        compute: Compute,
        asked: tuple[str, PromptTemplate, Strategy],
        most_tokens: int,
        check: Callable[[], None],
    ) -> None:
        self._decoder, self._compute, self._asked = decoder, compute, asked
        self._most_tokens, self._check = most_tokens, check

    def token_text(self, token_id: int) -> str:
        """One token as people should see it; see ``ports.Answerer``."""
        return self._decoder.token_text(token_id)

    def decode_many(
        self, requests: Iterable[DecodeRequest], at_once: int | None = None
    ) -> Iterator[tuple[DecodeRequest, DecodeProgress]]:
        """Answer several questions; see ``ports.Answerer``."""
        for part in _in_goes(requests, self._most_tokens, at_once):
            self._check()
            questions, waves = tuple(request.stored for request, _ in part), tuple(waves for _, waves in part)
            task = DecodeTask(*self._asked, part[0][0].settings, questions, waves)
            num_tokens = sum(_num_tokens(request, waves) for request, waves in part)
            with closing(self._compute(task, num_tokens)) as told:
                for step in answers_of(told):
                    assert isinstance(step, StepArrays)
                    request = part[step.question][0]
                    yield request, step.progress(request.stored.question.id)
                    self._check()


class ApartLikelihood:
    """A ``ports.AnswerLikelihood`` whose model answers tasks.

    Args:
        compute: Does a task.
        template: How questions become prompts.
    """

    def __init__(self, compute: Compute, template: PromptTemplate) -> None:
        self._compute, self._template = compute, template

    def mean_logprobs(self, stored: StoredQuestion, completions: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
        """Mean log-probability of the tokens of each answer: ``[n]``; see ``ports.AnswerLikelihood``."""
        task = ReadTask(self._template, stored, tuple(completions))
        with closing(self._compute(task, sum(map(len, completions)))) as told:
            (means,) = answers_of(told)
        assert isinstance(means, np.ndarray)
        return means


def _in_goes(
    requests: Iterable[DecodeRequest], most_tokens: int, at_once: int | None
) -> Iterator[list[tuple[DecodeRequest, Waves]]]:
    """Requests and their waves, as many together as may be computed in one go."""
    part: list[tuple[DecodeRequest, Waves]] = []
    num_tokens = 0
    for request in requests:
        for waves in _pieces(request, most_tokens):
            size = _num_tokens(request, waves)
            # Two pieces of one question come one after another: the second one's waves are stored after the first's.
            is_next = bool(part) and part[-1][0] is request
            if part and (is_next or num_tokens + size > most_tokens or len(part) == at_once):
                yield part
                part, num_tokens = [], 0
            part.append((request, waves))
            num_tokens += size
    if part:
        yield part


def _pieces(request: DecodeRequest, most_tokens: int) -> Iterator[Waves]:
    """The waves of a request: all, or as many at a time as may be computed in one go."""
    piece: list[tuple[tuple[int, int], ...]] = []
    for wave in map(tuple, request.waves):
        if piece and _num_tokens(request, (*piece, wave)) > most_tokens:
            yield tuple(piece)
            piece = []
        piece.append(wave)
    if piece:
        yield tuple(piece)


def _num_tokens(request: DecodeRequest, waves: Iterable[Sequence[object]]) -> int:
    """Tokens that those waves can have at most."""
    return sum(map(len, waves)) * request.settings.max_new_tokens
