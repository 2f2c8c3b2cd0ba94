"""The memory command: what a model and a run would take, before anything is loaded."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from hcl_core import registry
from hcl_core.cli.terminal import DEVICES_HELP, app, on_each, stdout
from hcl_core.errors import SettingsError
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.footprint import WEIGHT_FORMATS, Footprint, footprint, wave_bytes
from hcl_core.records import SamplingSettings
from hcl_core.runs.manifest import check_num_samples
from hcl_core.settings.layers import parse_layers
from hcl_core.text import counted

_GIB = 2**30


@app.command()
def memory(
    model: Annotated[str, typer.Option(help="Catalogue name, or a model on this machine.")] = DEFAULT_MODEL.name,
    device: Annotated[str, typer.Option(help=DEVICES_HELP)] = "auto",
    layers: Annotated[str, typer.Option(help="As `run` takes them.")] = "all",
    samples: Annotated[int, typer.Option(help="Answers per question and layer.")] = 50,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 50,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Length of the prompt.")] = 256,
    exit_head: Annotated[str, typer.Option(help="shared or linear.")] = "shared",
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object, in bytes.")] = False,
) -> None:
    """Estimate the memory of a model and a run, in every format of the weights, and say whether so much is free.

    A run needs memory for the model and one answer. If not all answers fit together, they are made in several waves.
    """
    if exit_head not in ("shared", "linear"):
        raise SettingsError(f"exit head must be shared or linear; got {exit_head!r}")
    check_num_samples(samples)
    SamplingSettings(max_new_tokens=max_new_tokens)
    shape = registry.model_shape(model)
    chosen = parse_layers(layers, shape.num_hidden_layers)
    free, on_cpu = registry.free_memory(device)
    by_format: dict[str, tuple[Footprint, int]] = {}
    for weight_format in WEIGHT_FORMATS.values():
        needs = footprint(
            shape,
            weight_format,
            on_cpu=on_cpu,
            has_linear_head=exit_head == "linear",
            prompt_tokens=prompt_tokens,
            max_new_tokens=max_new_tokens,
            exit_layer=max(chosen),
        )
        all_answers = samples * wave_bytes(shape, weight_format.number_bytes, max_new_tokens, chosen, on_cpu=on_cpu)
        by_format[weight_format.name] = needs, all_answers
    if as_json:
        rows = {name: asdict(needs) | {"all_answers": all_answers} for name, (needs, all_answers) in by_format.items()}
        stdout.print_json(json.dumps({"model": model, "free": free, "formats": rows}))
        return
    headers = ("dtype", "weights", "exit head", "prompt", "readouts", "one answer", "all answers", "")
    table = Table(*headers, box=None)
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name, (needs, all_answers) in by_format.items():
        parts = (needs.weights, needs.exit_head, needs.prompt, needs.readouts, needs.sample, all_answers)
        table.add_row(name, *(_gib(part) for part in parts), _verdict(needs, all_answers, free))
    stdout.print(
        f"{model}: {shape.num_weights / 1e9:.2f} billion weights, "
        f"{counted(shape.num_hidden_layers, 'layer')}; {counted(len(chosen), 'layer')} x {counted(samples, 'answer')} "
        f"of at most {counted(max_new_tokens, 'token')}; {_gib(free)} are free{on_each(device)}",
        highlight=False,
    )
    stdout.print(table)
    stdout.print("All answers: an upper bound; answers that begin with the same tokens share the memory of those.")


def _gib(number: int) -> str:
    return f"{number / _GIB:.2f} GiB" if number >= _GIB / 100 else f"{number / 2**20:.1f} MiB"


def _verdict(needs: Footprint, all_answers: int, free: int) -> str:
    if needs.minimum > free:
        return f"lacks {_gib(needs.minimum - free)}"
    # The engine takes half of what is free once the model is loaded.
    return "fits" if all_answers < (free - needs.minimum) // 2 else "fits, in several waves"
