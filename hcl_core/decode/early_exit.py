"""True early exit: every token of an answer comes from the sample's exit layer."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np

from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.requests import Admit, Draw, Policy
from hcl_core.decode.trie.running import LayerSample, Running
from hcl_core.decode.trie.tree import PromptTree
from hcl_core.models.footprint import sample_bytes
from hcl_core.ports import DecodeProgress
from hcl_core.records import SamplingSettings


def early_exit(
    prompt: PromptCache,
    head: ExitHead,
    settings: SamplingSettings,
    question_id: str,
    waves: Iterable[Sequence[LayerSample]],
) -> Policy:
    """The policy of one prompt.

    Args:
        prompt: Its keys, values and last states.
        head: How early layers are read.
        settings: How tokens are drawn.
        question_id: Part of the samples' noise and keys.
        waves: Samples to decode; all of them share one tree, unless memory is too small.
    """
    lm, tree = prompt.lm, PromptTree(prompt)
    for wave in waves:
        waiting = wave
        while waiting:
            most = [
                sample_bytes(lm.shape, lm.dtype.itemsize, settings.max_new_tokens, prompt.blocks_kept(layer))
                for layer, _ in waiting
            ]
            count = yield Admit(tree, np.array(most) + prompt.text_bytes)
            running, waiting = Running(waiting[:count], question_id, settings), waiting[count:]
            tree.reserve_for(running.exit_layers, settings.max_new_tokens)
            yield from decode_to_end(
                tree, running, len(waiting), partial(_step, tree, head, running, settings), settings.max_new_tokens
            )


def decode_to_end(
    tree: PromptTree, running: Running, num_waiting: int, step: Callable[[int], Policy], max_new_tokens: int
) -> Policy:
    """Move samples on, token by token, until all have ended.

    Args:
        tree: Of the samples.
        running: The samples.
        num_waiting: Samples of the wave that come later.
        step: Draws every running sample's next token; called with the number of tokens before it.
        max_new_tokens: Of a sample, at most.
    """
    for num_tokens in range(max_new_tokens):
        yield from step(num_tokens)
        finished = running.pop_finished(tree.trie)
        num_running = len(running) + num_waiting
        yield DecodeProgress(finished, num_running, len(tree.trie), wave_done=num_running == 0)
        if not len(running):
            return


def _step(tree: PromptTree, head: ExitHead, running: Running, settings: SamplingSettings, step: int) -> Policy:
    """Move every running sample on by one token. Samples on one node and layer are read out once."""
    nodes, exit_layers, row_of_sample = running.readouts()
    tokens, running.logprobs[:, step] = yield Draw(
        tree, nodes, exit_layers, head, row_of_sample, running.uniforms[:, step], settings
    )
    running.nodes = tree.children(running.nodes, tokens)
