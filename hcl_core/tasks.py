"""What another process can do with a model: plain records in, plain arrays out, both of which can be pickled.

``decode.apart`` does a task where the model is; ``pipeline.apart`` gives tasks out where answers are judged and stored.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcl_core import errors
from hcl_core.errors import HclError
from hcl_core.models.lens_records import RESID_POST, LensTable
from hcl_core.ports import DecodeProgress
from hcl_core.records import FinishReason, Sample, SamplingSettings, StoredQuestion
from hcl_core.settings.prompts import PromptTemplate
from hcl_core.settings.strategies import Strategy

# Samples of each wave: ``(exit_layer, sample_idx)``.
Waves = tuple[tuple[tuple[int, int], ...], ...]
_REASONS: tuple[FinishReason, ...] = ("length", "stop")


@dataclass(frozen=True, slots=True)
class DecodeTask:
    """Answer some questions; each step that brings something is told as a ``StepArrays``.

    Attributes:
        exit_head: Name of the exit head, or its file.
        template: How a question became a prompt.
        strategy: How the exit layers are used.
        sampling: How tokens are drawn.
        questions: ``n`` of them, with their prompts.
        waves: Of each question.
    """

    exit_head: str
    template: PromptTemplate
    strategy: Strategy
    sampling: SamplingSettings
    questions: tuple[StoredQuestion, ...]
    waves: tuple[Waves, ...]


@dataclass(frozen=True, slots=True)
class ReadTask:
    """Read given answers with the whole model; told as ``[n]`` mean log-probabilities of their tokens.

    Attributes:
        template: How the question became a prompt.
        stored: The question.
        completions: Token ids of the ``n`` answers.
    """

    template: PromptTemplate
    stored: StoredQuestion
    completions: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class LensTask:
    """Read every layer along the model's own answer; told as a ``LensTable``.

    Attributes:
        exit_head: Name of the exit head, or its file.
        prompt: The exact text before the answer.
        max_new_tokens: Tokens of the longest answer.
        whole_text: Whether the prompt's own tokens are read too.
        site: Where each block is read, one of ``SITES``.
    """

    exit_head: str
    prompt: str
    max_new_tokens: int
    whole_text: bool
    site: str = RESID_POST


Task = DecodeTask | ReadTask | LensTask


@dataclass(frozen=True, slots=True)
class StepArrays:
    """A decode step of one question: ``n`` samples that ended in it, with ``t`` tokens together.

    Attributes:
        question: Index of the question in its task.
        num_running: Samples of the wave that still run.
        num_nodes: Distinct token prefixes, the prompt included.
        wave_done: Whether this step ended the wave.
        keys: ``[n, 2]`` exit layer and sample index.
        lengths: ``[n]`` tokens of each sample.
        token_ids: ``[t]`` of all samples, one after another.
        logprobs: ``[t]`` natural logarithms of their probabilities.
        is_final: ``[n]`` whether the sample ended before the limit of new tokens.
        texts: ``n`` completions, and the line of each that is judged.
    """

    question: int
    num_running: int
    num_nodes: int
    wave_done: bool
    keys: NDArray[np.int64]
    lengths: NDArray[np.int64]
    token_ids: NDArray[np.int64]
    logprobs: NDArray[np.float64]
    is_final: NDArray[np.bool_]
    texts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, question: int, progress: DecodeProgress) -> "StepArrays":
        """A step's progress as arrays."""
        samples = progress.finished
        return cls(
            question,
            progress.num_running,
            progress.num_nodes,
            progress.wave_done,
            np.array([(each.exit_layer, each.sample_idx) for each in samples], np.int64).reshape(-1, 2),
            np.array([len(each.completion_token_ids) for each in samples], np.int64),
            np.array([token for each in samples for token in each.completion_token_ids], np.int64),
            np.array([logprob for each in samples for logprob in each.token_logprobs], np.float64),
            np.array([each.finish_reason == "stop" for each in samples], np.bool_),
            tuple((each.completion_text, each.answer) for each in samples),
        )

    def progress(self, question_id: str) -> DecodeProgress:
        """The arrays as a step's progress, to the bit what ``of`` was given."""
        bounds = np.cumsum(self.lengths)[:-1]
        columns = zip(
            self.keys.tolist(),
            np.split(self.token_ids, bounds),
            np.split(self.logprobs, bounds),
            self.is_final.tolist(),
            self.texts,
            strict=True,
        )
        samples = tuple(
            Sample(question_id, layer, index, answer, text, tuple(ids.tolist()), tuple(logs.tolist()), _REASONS[ended])
            for (layer, index), ids, logs, ended, (text, answer) in (columns if len(self.lengths) else ())
        )
        return DecodeProgress(samples, self.num_running, self.num_nodes, self.wave_done)


@dataclass(frozen=True, slots=True)
class Failed:
    """The task ended with an error that its user can mend.

    Attributes:
        kind: Name of its class in ``errors``.
        text: What it said.
    """

    kind: str
    text: str

    @classmethod
    def of(cls, error: HclError) -> "Failed":
        """The error, to be told."""
        return cls(type(error).__name__, str(error))

    def error(self) -> HclError:
        """The error, to be raised."""
        made: HclError = getattr(errors, self.kind, HclError)(self.text)
        return made


Told = StepArrays | NDArray[np.float64] | LensTable | Failed
