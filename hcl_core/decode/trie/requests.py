"""What a lane asks of the forest, which serves the requests of all lanes together; see ``decode.forest``."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.trie.prompt_cache import Prompt
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.decode.trie.tree import PromptTree
from hcl_core.ports import DecodeProgress
from hcl_core.records import SamplingSettings


@dataclass(frozen=True, slots=True, eq=False)
class Prefill:
    """Run a prompt through the model. The reply is its ``PromptCache``.

    Attributes:
        prompt: The prompt.
    """

    prompt: Prompt


@dataclass(frozen=True, slots=True, eq=False)
class Admit:
    """Let some samples begin. The reply is how many of them may, in order, at least one.

    Attributes:
        tree: Which the samples will add to. It is empty afterwards if that was the only way to make room.
        sample_bytes: ``[s]`` the most that each sample can add to it.
    """

    tree: PromptTree
    sample_bytes: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Compute:
    """Compute the states of ``nodes [m]`` after ``exit_layers [m]`` blocks, and store them. The reply is ``None``.

    Attributes:
        tree: Of the nodes.
        nodes: See above.
        exit_layers: See above.
    """

    tree: PromptTree
    nodes: IntArray
    exit_layers: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Read(Compute):
    """Compute the states, and read them out. The reply is the logits: ``[m, vocab_size]`` float32, a new tensor.

    Attributes:
        head: How early layers are read.
    """

    head: ExitHead


@dataclass(frozen=True, slots=True, eq=False)
class Draw(Read):
    """Compute the states, read them out, and draw a token for each sample.

    The reply is the tokens ``[s]`` and their log-probabilities ``[s]`` at temperature 1, nothing truncated.

    Attributes:
        row_of_sample: ``[s]`` which of the nodes each sample is drawn from.
        uniforms: ``[s]`` float64 in [0, 1).
        settings: How tokens are drawn.
    """

    row_of_sample: IntArray
    uniforms: NDArray[np.float64]
    settings: SamplingSettings


Request = Prefill | Admit | Compute
# Yields requests, and is sent the replies; yields progress, and is sent nothing.
Policy = Generator[Request | DecodeProgress, Any, None]
