"""Ports of the pipeline whose model is on a cluster: questions go out, and answers come back in any order."""

from collections.abc import Generator, Iterable, Iterator
from itertools import islice

from hcl_core.cluster.worker import Answers, Weights
from hcl_core.cluster.workers import Call, Workers
from hcl_core.pipeline.apart import ApartLikelihood
from hcl_core.pipeline.prepared import PreparedRun
from hcl_core.pipeline.request import ModelSide, RunRequest, prepare_with
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.ports import DecodeProgress, DecodeRequest
from hcl_core.runs.tables import samples_of
from hcl_core.tasks import DecodeTask, Task, Told

# Calls that each worker has of a run, if all are as fast: more balance better, fewer share more of each step.
_CALLS_A_WORKER = 4


def prepare_on(workers: Workers, request: RunRequest, dtype: str, embeddings: Embeddings) -> PreparedRun:
    """A run whose model is on a cluster; the same as ``pipeline.request.prepare`` makes with the model here.

    Args:
        workers: Of the cluster.
        request: The settings.
        dtype: Number format of the weights, as ``load_model`` takes it.
        embeddings: For judges and idea finders that need them; computed here.

    Raises:
        HclError: As ``prepare`` and ``load_model``.
    """
    side: ModelSide = workers.ask(Call("describe", (Weights(request.model, dtype), request)))
    # Every other worker must have the same weights in the same number format.
    weights = Weights(request.model, side.settings.dtype, side.settings.model_revision)
    decoder = ClusterDecoder(workers, weights, request, side)

    def compute(task: Task, _num_tokens: int) -> Generator[Told, None, None]:
        yield workers.ask(Call("read", (weights, task)))

    return prepare_with(request, side, decoder, ApartLikelihood(compute, request.template), embeddings)


class ClusterDecoder:
    """A ``ports.Answerer`` that gives some questions at a time to each worker.

    Args:
        workers: Of the cluster.
        weights: Of the model.
        request: The run.
        side: What its model said of it.
    """

    def __init__(self, workers: Workers, weights: Weights, request: RunRequest, side: ModelSide) -> None:
        self._workers, self._weights, self._request = workers, weights, request
        self._num_questions = len(side.questions)
        self._run_id, self._head_hash = side.settings.run_id(side.questions), side.settings.exit_head_hash
        self._token_texts: dict[int, str] = {}

    def token_text(self, token_id: int) -> str:
        """One token as people should see it, once an answer with it has come."""
        return self._token_texts[token_id]

    def decode_many(
        self, requests: Iterable[DecodeRequest], at_once: int | None = None
    ) -> Iterator[tuple[DecodeRequest, DecodeProgress]]:
        """Answer several questions; see ``ports.Answerer``. A question is heard of once it is whole.

        Args:
            requests: Taken some at a time, when a worker is free.
            at_once: The most questions of one worker.
        """
        source = iter(requests)
        under_way: dict[Call, list[DecodeRequest]] = {}

        def calls() -> Iterator[Call]:
            while group := list(islice(source, self._group_size(at_once))):
                call = Call("decode", (self._weights, self._run_id, self._head_hash, self._task(group)))
                under_way[call] = group
                yield call

        for call in self._workers.map(calls()):
            if call is None:  # so that somebody who stops the run is heard
                yield next(iter(under_way.values()))[0], DecodeProgress((), 1, 1, wave_done=False)
                continue
            answers: Answers = call.answer()
            self._token_texts |= answers.token_texts
            for request, waves in zip(under_way.pop(call), answers.waves, strict=True):
                for table in waves:
                    yield request, DecodeProgress(tuple(samples_of(table)), 0, 1, wave_done=True)

    def _task(self, group: list[DecodeRequest]) -> DecodeTask:
        return DecodeTask(
            self._request.exit_head,
            self._request.template,
            self._request.strategy,
            group[0].settings,
            tuple(each.stored for each in group),
            tuple(tuple(map(tuple, each.waves)) for each in group),
        )

    def _group_size(self, at_once: int | None) -> int:
        """Questions of the next call."""
        num_calls = _CALLS_A_WORKER * max(1, self._workers.num_workers)
        size = -(-self._num_questions // num_calls)
        return max(1, size if at_once is None else min(size, at_once))
