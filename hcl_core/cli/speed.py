"""The speed command: what each decoding strategy costs on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hcl_core import registry
from hcl_core.cli.progress import bars
from hcl_core.cli.terminal import DTYPE_HELP, app, loading, say_loaded, stderr, stdout
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.models.head_records import EXIT_HEAD_NAMES, HeadChoice, check_exit_head
from hcl_core.models.speed_records import SpeedReport, SpeedRow, read_report, strategies_to_time, write_report
from hcl_core.records import SamplingSettings
from hcl_core.settings.layers import parse_layers
from hcl_core.settings.prompts import TEMPLATE_NAMES, load_template
from hcl_core.settings.strategies import Strategy
from hcl_core.text import counted


@app.command()
def speed(
    model: Annotated[str, typer.Option(help="Catalogue name, Hub id or local folder.")] = DEFAULT_MODEL.name,
    questions: Annotated[str, typer.Option(help="starter, or a file of questions.")] = "starter",
    limit: Annotated[int, typer.Option(min=1, max=100, help="Number of prompts, one answer each.")] = 5,
    layers: Annotated[str, typer.Option(help="Exit layers that draft; dynamic exit starts at the first.")] = "",
    drafts: Annotated[str, typer.Option(help="Numbers of drafts per verification; adaptive is allowed too.")] = "2,4",
    thresholds: Annotated[str, typer.Option(help="Probabilities of the top token, for dynamic exit.")] = "0.8,0.95",
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 50,
    repeats: Annotated[
        int, typer.Option(min=1, max=50, help="Timings of each strategy, in turn, after a warm-up.")
    ] = 3,
    exit_head: Annotated[str, typer.Option(help=f"{', '.join(EXIT_HEAD_NAMES)} or a file of fit-head.")] = "auto",
    dtype: Annotated[str, typer.Option(help=DTYPE_HELP)] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    template: Annotated[
        str,
        typer.Option(help=f"{', '.join(TEMPLATE_NAMES)}; default chat, which has long answers, if the model has it."),
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Write the report to this file.")] = None,
    show: Annotated[Path | None, typer.Option(help="Print a stored report; measures nothing.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time full decoding, self-speculative decoding and dynamic exit on the same prompts."""
    if show is not None:
        _print(read_report(show), as_json)
        return
    check_exit_head(exit_head)
    settings = SamplingSettings(temperature=temperature, max_new_tokens=max_new_tokens)
    num_drafts = tuple(Strategy.parse(f"self_speculative:{part}").num_speculations for part in _parts(drafts))
    dynamic_strategies = [Strategy.parse(f"dynamic:probability:{part}") for part in _parts(thresholds)]
    prompt_template = load_template(template or "chat")
    loaded_questions = registry.load_questions(questions, on_report=say_loaded).load(limit)
    if layers:
        parse_layers(layers, 10_000)
    with stderr.status(loading(model)):
        lm, checkpoint = registry.load_model(model, dtype, device)
        if not (template or lm.has_chat_template):
            prompt_template = load_template()
        decoder = registry.make_decoder(lm, exit_head, prompt_template)
    depth = lm.num_hidden_layers
    chosen = parse_layers(layers, depth) if layers else tuple(sorted({max(1, depth * part // 6) for part in (2, 4, 5)}))
    with bars() as progress:
        task = progress.add_task("Timing", total=None, unit="rounds")
        strategies = strategies_to_time(depth, chosen, num_drafts, dynamic_strategies)
        for event in registry.benchmark_strategies(
            decoder.parts, checkpoint.revision, loaded_questions, settings, strategies, repeats
        ):
            if isinstance(event, SpeedReport):
                report = event
            else:
                progress.update(task, total=event.num_wanted, completed=event.num_done)
    HeadChoice.of(exit_head, decoder.exit_head).warn(lm.name)
    if out is not None:
        write_report(report, out)
    _print(report, as_json)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _print(report: SpeedReport, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(report), indent=1))
        return
    stdout.print(
        f"{report.model} · {report.dtype} on {report.device}, {counted(report.num_threads, 'thread')} · "
        f"{report.exit_head} head · {counted(report.num_prompts, 'prompt')}, one answer each, "
        f"T {report.temperature:g}, up to {counted(report.max_new_tokens, 'token')} · medians of {report.repeats}",
        markup=False,
        highlight=False,
    )
    headers = (
        "strategy", "layer", "tokens/s", "against full", "blocks/token", "accepted", "tokens/verification",
        "other tokens",
    )  # fmt: skip
    table = Table(*headers, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in report.rows:
        table.add_row(*_cells(row))
    stdout.print(table)
    best = report.best_lossless
    stdout.print(
        f"Fastest with the whole model's answers: {best.strategy} at layer {best.exit_layer}, {best.ratio:.2f}x.",
        highlight=False,
    )


def _cells(row: SpeedRow) -> list[str]:
    accepted = " ".join(f"{rate:.2f}" for rate in (row.acceptance_rates or ())[:4])
    verified = "" if row.tokens_per_verification is None else f"{row.tokens_per_verification:.2f}"
    is_full = row.strategy == "early_exit"
    unmeasured = "" if is_full else "not measured"
    different = unmeasured if row.share_different is None else f"{row.share_different:.0%}"
    name = "full" if is_full else row.strategy
    return [
        name, str(row.exit_layer), f"{row.tokens_per_second:.1f}", f"{row.ratio:.2f}x", f"{row.blocks_per_token:.1f}",
        accepted, verified, different,
    ]  # fmt: skip
