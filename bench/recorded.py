"""The calls of blocks and readouts that a run makes: their operations and bytes, and the same calls made again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from bench.engine import noted, seconds
from bench.estimate import Protocol, Sharing
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.models.shapes import ModelShape

_TIMES_LOGITS_MOVE = 6


@dataclass(slots=True)
class Work:
    """The calls that a run made.

    Attributes:
        blocks: Layer and rows of each call of a block; the prompt's come first.
        readouts: Rows of each readout.
        num_prompt_calls: Calls of blocks for the prompt, those before the first readout: its template's prefix and the
            rest run apart.
    """

    blocks: list[tuple[int, int]] = field(default_factory=list)
    readouts: list[int] = field(default_factory=list)
    num_prompt_calls: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return sum(rows for layer, rows in self.blocks[: self.num_prompt_calls] if layer == 0)

    def operations(self, shape: ModelShape) -> int:
        """Floating-point operations of the products, attention left out."""
        head = shape.vocab_size * shape.hidden_size
        return 2 * (shape.matrix_weights * sum(rows for _, rows in self.blocks) + head * sum(self.readouts))

    def bytes_moved(self, shape: ModelShape, number_bytes: int = 2) -> int:
        """Weights once a call; float32 logits written once and read five times."""
        head = shape.vocab_size * shape.hidden_size
        weights = len(self.blocks) * shape.matrix_weights + len(self.readouts) * head
        return number_bytes * weights + _TIMES_LOGITS_MOVE * 4 * shape.vocab_size * sum(self.readouts)


@contextmanager
def recorded(lm: CausalLM) -> Iterator[Work]:
    """Notes the calls of blocks and readouts while it lasts."""
    work = Work()

    def on_readout(num_rows: int) -> None:
        if not work.readouts:
            work.num_prompt_calls = len(work.blocks)
        work.readouts.append(num_rows)

    with noted(lm, lambda layer, num_rows: work.blocks.append((layer, num_rows)), on_readout):
        yield work


@torch.inference_mode()
def replay(lm: CausalLM, work: Work) -> dict[str, float]:
    """Seconds of the calls of ``work`` made again: blocks without attention, readouts without draws."""
    most = max(*(rows for _, rows in work.blocks), *work.readouts)
    hidden = torch.randn(most, lm.hidden_size, device=lm.readout_device).to(lm.dtype)
    rotary, logits = lm.rotary(torch.tensor([0])), lm.logits_buffer(max(work.readouts))

    def blocks() -> None:
        for layer, rows in work.blocks:
            lm.block(layer, hidden[:rows], rotary, lambda query, key, value: query.flatten(1))

    def readouts() -> None:
        for rows in work.readouts:
            lm.unembed(lm.final_norm(hidden[:rows]), out=logits)

    return {"blocks": min(seconds(blocks) for _ in range(2)), "readouts": min(seconds(readouts) for _ in range(2))}


def sharing_of(work: Work, layers: Sequence[int], protocol: Protocol) -> Sharing:
    """What is left of the work of answers that share nothing and never end early; the prompt's rows are not counted."""
    rows = sum(rows for _, rows in work.blocks[work.num_prompt_calls :])
    unshared = protocol.samples * protocol.tokens
    return Sharing(rows / (unshared * sum(layers)), sum(work.readouts) / (unshared * len(layers)))
