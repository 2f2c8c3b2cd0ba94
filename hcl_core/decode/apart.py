"""Do a task (``hcl_core.tasks``) where the model is: in this process, or in a forked one."""

import os
from collections.abc import Iterator

import torch

from hcl_core.decode.engine import EngineParts
from hcl_core.decode.heads.exit_heads import SharedHead, load_exit_head
from hcl_core.decode.model.language_model import LanguageModel
from hcl_core.decode.plausibility import WholeModel
from hcl_core.decode.strategy import decoder_of
from hcl_core.decode.token_lens import read_layers_along_answer
from hcl_core.errors import HclError
from hcl_core.models.lens_records import head_at
from hcl_core.ports import DecodeRequest
from hcl_core.tasks import DecodeTask, Failed, LensTask, ReadTask, StepArrays, Task, Told

_IMPORTED_IN = os.getpid()


def do_task(lm: LanguageModel, task: Task) -> Iterator[Told]:
    """What ``task`` brings, as it comes; an error of the user's is told as ``Failed``."""
    if os.getpid() != _IMPORTED_IN:
        # OpenMP's threads do not come along with a fork: who waits for them waits forever.
        torch.set_num_threads(1)
    try:
        if isinstance(task, DecodeTask):
            yield from _decode(lm, task)
        elif isinstance(task, ReadTask):
            yield WholeModel(EngineParts(lm, SharedHead(), task.template)).mean_logprobs(task.stored, task.completions)
        else:
            yield _look(lm, task)
    except HclError as error:
        yield Failed.of(error)


def _decode(lm: LanguageModel, task: DecodeTask) -> Iterator[StepArrays]:
    decoder = decoder_of(EngineParts(lm, load_exit_head(task.exit_head, lm), task.template), task.strategy)
    requests = [
        DecodeRequest(stored, task.sampling, waves) for stored, waves in zip(task.questions, task.waves, strict=True)
    ]
    for request, progress in decoder.decode_many(requests):
        if progress.finished or progress.wave_done:
            yield StepArrays.of(requests.index(request), progress)


def _look(lm: LanguageModel, task: LensTask) -> Told:
    head = load_exit_head(head_at(task.site, task.exit_head), lm)
    return read_layers_along_answer(
        lm,
        head,
        "prompt",
        task.prompt,
        max_new_tokens=task.max_new_tokens,
        whole_text=task.whole_text,
        site=task.site,
    )
