"""How far weights may differ from those that a head was fitted for: ``python -m bench.head_trial``.

The shipped head is tried, as ``auto`` tries it, on the weights that it was fitted for, on changed ones, and on the same
model with its hidden units in another order, which is as far from the head as a model of another training. The bound
``ACCEPTED_SHARE`` comes from this table.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from hcl_core.decode.heads.exit_heads import SharedHead, read_head
from hcl_core.decode.heads.head_files import read_config
from hcl_core.decode.heads.trial import noise_below, trial_states, try_head
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.checkpoints import resolve
from hcl_core.decode.model.gguf_conversion import convert_gguf
from hcl_core.folders import PROGRAM, shipped_heads_folder
from hcl_core.models.catalogue import DEFAULT_MODEL

# Weights that share a scale in GGUF's Q4_1 format, and the number of its steps.
_BLOCK, _STEPS = 32, 15
# Of the training that makes another checkpoint: texts of so many tokens, so many at a step.
_LENGTH, _BATCH = 128, 2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="*", default=[10, 40], help="of training, each a row")
    options = parser.parse_args()
    folder = resolve(DEFAULT_MODEL.name, convert_gguf).path
    file = shipped_heads_folder() / f"{DEFAULT_MODEL.name}.safetensors"
    config = read_config(file)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    table = Table("weights", "agreement", "expected", "share", "noise below layer, shared head", "seconds", box=None)
    for name, change in _changes(tokenizer, options.steps):
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        change(model)
        lm = CausalLM(model, tokenizer, DEFAULT_MODEL.name, weights_hash=config.weights_hash)
        begun = time.monotonic()
        states = trial_states(lm)
        trial = try_head(lm, read_head(file, lm), config, states)
        seconds = time.monotonic() - begun
        agreement, expected = trial.agreement or 0.0, trial.expected or 0.0
        noise = noise_below(lm, SharedHead(), states)
        table.add_row(
            name,
            f"{agreement:.3f}",
            f"{expected:.3f}",
            f"{agreement / expected:.2f}",
            str(noise),
            f"{seconds:.1f}",
        )
        Console().print(name, f"{agreement:.3f} of {expected:.3f}, {seconds:.1f} s")
    Console(width=120).print(
        f"{trial.num_positions} positions, layers {trial.first_layer} to {trial.last_layer}", table, sep="\n"
    )


def _changes(tokenizer: Any, steps: list[int]) -> Iterator[tuple[str, Callable[[Any], None]]]:
    yield "as fitted for", lambda model: None
    yield "rounded to bfloat16", lambda model: _each_matrix(model, lambda weight: weight.bfloat16().float())
    yield "rounded to 4 bits once more (Q4_1, other blocks)", lambda model: _each_matrix(model, _round_to_4_bits)
    for size in (0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
        yield f"noise of {size:.0%} of each matrix's spread", lambda model, size=size: _add_noise(model, size)  # type: ignore[misc]
    for number in steps:
        yield f"trained on for {number} steps", lambda model, number=number: _train(model, tokenizer, number)  # type: ignore[misc]
    yield "hidden units in another order", _reorder_units


def _each_matrix(model: Any, change: Callable[[Tensor], Tensor]) -> None:
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data = change(parameter.data)


def _round_to_4_bits(weight: Tensor) -> Tensor:
    """As GGUF's Q4_1 does, in blocks that lie half a block beside its own: else nothing would change."""
    shifted = weight.flatten().roll(_BLOCK // 2).view(-1, _BLOCK)
    low, high = shifted.amin(1, keepdim=True), shifted.amax(1, keepdim=True)
    scale = ((high - low) / _STEPS).clamp_min(torch.finfo(torch.float32).tiny)
    rounded = ((shifted - low) / scale).round() * scale + low
    return rounded.flatten().roll(-(_BLOCK // 2)).view_as(weight)


def _add_noise(model: Any, size: float) -> None:
    noise = torch.Generator().manual_seed(0)
    _each_matrix(model, lambda weight: weight + size * weight.std() * torch.randn(weight.shape, generator=noise))


def _train(model: Any, tokenizer: Any, num_steps: int) -> None:
    """Go on training on this program's own texts: another checkpoint of the same model."""
    texts = "\n".join(path.read_text(encoding="utf-8") for path in sorted(Path(PROGRAM, "docs").glob("*.md")))
    tokens = torch.tensor(tokenizer(texts)["input_ids"])
    tokens = tokens[: len(tokens) // _LENGTH * _LENGTH].view(-1, _LENGTH)
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for step in range(num_steps):
        batch = tokens[order[torch.arange(step * _BATCH, (step + 1) * _BATCH) % len(order)]]
        optimizer.zero_grad()
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()


def _reorder_units(model: Any) -> None:
    """The same function, computed in another basis of the residual stream."""
    decoder = model.model
    order = torch.randperm(model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    norms, readers, writers = [decoder.norm], [decoder.embed_tokens], []
    for block in decoder.layers:
        norms += [block.input_layernorm, block.post_attention_layernorm]
        attention, mlp = block.self_attn, block.mlp
        readers += [attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj]
        writers += [attention.o_proj, mlp.down_proj]
    for part in norms:
        part.weight.data = part.weight.data[order]
    for part in readers:
        part.weight.data = part.weight.data[:, order]
    for part in writers:
        part.weight.data = part.weight.data[order]


if __name__ == "__main__":
    main()
