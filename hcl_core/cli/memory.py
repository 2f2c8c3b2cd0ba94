"""``memory``: what a model and a run would take, before anything is loaded."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from hcl_core import registry
from hcl_core.cli.terminal import app, stdout
from hcl_core.errors import SettingsError
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.footprint import WEIGHT_FORMATS, Footprint, footprint, wave_bytes
from hcl_core.records import SamplingSettings
from hcl_core.runs.manifest import check_num_samples
from hcl_core.settings.layers import parse_layers

_GIB = 2**30


@app.command()
def memory(
    model: Annotated[str, typer.Option(help="Catalogue name, or a model on this machine.")] = DEFAULT_MODEL.name,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    layers: Annotated[str, typer.Option(help="As `run` takes them.")] = "all",
    samples: Annotated[int, typer.Option(help="Answers a question and layer.")] = 50,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 50,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Length of the prompt.")] = 256,
    exit_head: Annotated[str, typer.Option(help="shared or linear.")] = "shared",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object, in bytes.")] = False,
) -> None:
    """Say what a model and a run take in memory, in every format of the weights, and whether that is free.

    A run needs room for the model and one answer; where not all answers fit at once, they are made in several waves.
    """
    if exit_head not in ("shared", "linear"):
        raise SettingsError(f"exit head must be shared or linear; got {exit_head!r}")
    check_num_samples(samples)
    SamplingSettings(max_new_tokens=max_new_tokens)
    shape = registry.model_shape(model)
    chosen = parse_layers(layers, shape.num_hidden_layers)
    free, on_cpu = registry.free_memory(device)
    found: dict[str, tuple[Footprint, int]] = {}
    for kept in WEIGHT_FORMATS.values():
        needs = footprint(
            shape,
            kept,
            on_cpu=on_cpu,
            has_linear_head=exit_head == "linear",
            prompt_tokens=prompt_tokens,
            max_new_tokens=max_new_tokens,
            exit_layer=max(chosen),
        )
        found[kept.name] = needs, samples * wave_bytes(shape, kept.number_bytes, max_new_tokens, chosen)
    if as_json:
        rows = {name: asdict(needs) | {"all_answers": pool} for name, (needs, pool) in found.items()}
        stdout.print_json(json.dumps({"model": model, "free": free, "formats": rows}))
        return
    heads = ("dtype", "weights", "exit head", "prompt", "readouts", "one answer", "all answers", "")
    table = Table(*heads, box=None)
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name, (needs, pool) in found.items():
        parts = (needs.weights, needs.exit_head, needs.prompt, needs.readouts, needs.sample, pool)
        table.add_row(name, *(_gib(part) for part in parts), _verdict(needs, pool, free))
    stdout.print(
        f"{model}: {shape.num_weights / 1e9:.2f} billion weights, {shape.num_hidden_layers} layers; "
        f"{len(chosen)} layers x {samples} answers of at most {max_new_tokens} tokens; {_gib(free)} are free",
        highlight=False,
    )
    stdout.print(table)
    stdout.print("All answers: the most they can take; those that begin alike share what they have in common.")


def _gib(number: int) -> str:
    return f"{number / _GIB:.2f} GiB" if number >= _GIB / 100 else f"{number / 2**20:.1f} MiB"


def _verdict(needs: Footprint, pool: int, free: int) -> str:
    if needs.least > free:
        return f"lacks {_gib(needs.least - free)}"
    # The engine takes half of what is free once the model is there.
    return "fits" if pool < (free - needs.least) // 2 else "fits, in several waves"
