"""What runs in a worker: one model at a time, and the questions that it is given. Knows nothing of Ray."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hcl_core import registry
from hcl_core.cluster.part_store import PartStore
from hcl_core.errors import ExitHeadError, HclError, ModelNotFoundError
from hcl_core.models.catalogue import find_model
from hcl_core.pipeline.request import ModelSide, RunRequest, model_side
from hcl_core.ports import Decoder, DecodeRequest
from hcl_core.records import Sample
from hcl_core.runs.tables import table_of
from hcl_core.tasks import DecodeTask, Failed, ReadTask

if TYPE_CHECKING:
    from hcl_core.decode.model.checkpoints import Checkpoint
    from hcl_core.decode.model.language_model import LanguageModel


@dataclass(frozen=True, slots=True)
class Weights:
    """The model that a task is for.

    Attributes:
        model: Catalogue name, Hub id or a folder that every node has.
        dtype: Number format, as ``load_model`` takes it.
        revision: That is wanted; ``None``: any, for the first worker that is asked.
    """

    model: str
    dtype: str
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What a decode task brought.

    Attributes:
        waves: Of each question, the samples of each wave as rows with ``SAMPLE_SCHEMA``.
        token_texts: Of all tokens in them, by id.
    """

    waves: tuple[tuple[pa.Table, ...], ...]
    token_texts: dict[int, str]


class Worker:
    """Answers tasks, one at a time; errors of a user's are returned as ``Failed``.

    Args:
        device: As ``load_model`` takes it.
        download: Whether a model of the catalogue that is not on the node may be fetched.
        parts: Address of a ``PartStore``; ``None``: answers are only returned.
    """

    def __init__(self, device: str, download: bool, parts: str | None) -> None:
        self._device, self._download = device, download
        self._store = None if parts is None else PartStore(parts)
        self._asked: Weights | None = None
        self._loaded: tuple[LanguageModel, Checkpoint] | None = None
        self._decoders: dict[tuple[object, ...], Decoder] = {}

    def describe(self, weights: Weights, request: RunRequest) -> ModelSide | Failed:
        """What a run takes from its model."""
        try:
            lm, checkpoint = self._load(weights)
            decoder = registry.make_decoder(lm, request.exit_head, request.template, strategy=request.strategy)
            return model_side(request, lm, checkpoint, decoder)
        except HclError as error:
            return Failed.of(error)

    def decode(self, weights: Weights, run_id: str, head_hash: str, task: DecodeTask) -> Answers | Failed:
        """Answer questions; those whose answers are in the part store are not computed again.

        Args:
            weights: Of the model.
            run_id: Of the run.
            head_hash: Fingerprint of its exit head: another one on this node is an error.
            task: The questions.
        """
        try:
            lm, _ = self._load(weights)
            decoder = self._decoder(task, lm)
            if decoder.exit_head.fingerprint != head_hash:
                raise ExitHeadError(
                    f"a node of the cluster reads {weights.model} with another exit head than the run has: give all "
                    "nodes the same heads, or use --exit-head shared"
                )
            waves = tuple(self._waves(decoder, run_id, task))
            token_ids = {
                token_id
                for table in (each for of_question in waves for each in of_question)
                for token_id in table.column("completion_token_ids").combine_chunks().flatten().unique().to_pylist()
            }
            return Answers(waves, {token_id: decoder.token_text(token_id) for token_id in sorted(token_ids)})
        except HclError as error:
            return Failed.of(error)

    def read(self, weights: Weights, task: ReadTask) -> NDArray[np.float64] | Failed:
        """Read given answers with the whole model."""
        try:
            lm, _ = self._load(weights)
            return registry.whole_model(lm, task.template).mean_logprobs(task.stored, task.completions)
        except HclError as error:
            return Failed.of(error)

    def _load(self, weights: Weights) -> "tuple[LanguageModel, Checkpoint]":
        """The model, which stays until another one is asked for."""
        if self._loaded is not None and self._asked is not None:
            lm, checkpoint = self._loaded
            known = (self._asked, replace(self._asked, dtype=lm.dtype_name, revision=checkpoint.revision))
            if weights in known:
                return self._loaded
        self._loaded = self._asked = None  # let go before the next one takes its memory
        self._decoders.clear()
        known_model = find_model(weights.model)
        if known_model is not None and not self._download and not registry.is_available(known_model):
            raise ModelNotFoundError(
                f"a node of the cluster lacks the weights of {weights.model}: --download lets nodes fetch them"
            )
        self._loaded = registry.load_model(weights.model, weights.dtype, self._device, revision=weights.revision)
        self._asked = weights
        return self._loaded

    def _decoder(self, task: DecodeTask, lm: "LanguageModel") -> Decoder:
        key = (task.exit_head, task.template, task.strategy)
        if key not in self._decoders:
            self._decoders = {
                key: registry.make_decoder(lm, task.exit_head, task.template, strategy=task.strategy)
            }  # one: a fitted head takes memory
        return self._decoders[key]

    def _waves(self, decoder: Decoder, run_id: str, task: DecodeTask) -> Iterator[tuple[pa.Table, ...]]:
        """The samples of each question by wave: stored ones, and the others once they are decoded and stored."""
        found: list[list[pa.Table | None]] = []
        requests: dict[DecodeRequest, int] = {}
        for index, (stored, waves) in enumerate(zip(task.questions, task.waves, strict=True)):
            known = [self._store.read(run_id, stored.question.id, wave) if self._store else None for wave in waves]
            found.append(known)
            missing = [wave for wave, table in zip(waves, known, strict=True) if table is None]
            if missing:
                requests[DecodeRequest(stored, task.sampling, missing)] = index
        finished: dict[int, list[Sample]] = {}
        for request, progress in decoder.decode_many(requests):
            index = requests[request]
            finished.setdefault(index, []).extend(progress.finished)
            if progress.wave_done:
                place = found[index].index(None)
                found[index][place] = self._keep(run_id, task, index, task.waves[index][place], finished.pop(index))
        for known in found:
            yield tuple(table for table in known if table is not None)

    def _keep(
        self, run_id: str, task: DecodeTask, index: int, wave: Sequence[tuple[int, int]], samples: Sequence[Sample]
    ) -> pa.Table:
        table = table_of(samples)
        if self._store is not None:
            self._store.write(run_id, task.questions[index].question.id, wave, table)
        return table
