"""What drawing tokens costs at rising temperatures: ``python -m bench.sampler``.

A run of every layer and sample of one question at each temperature in turn, linear exit head, as in ``bench.engine``:
its seconds, the share that the sampler takes, and the rows of logits that it draws from. Ratios are to the first
temperature. A hotter run has more distinct texts, so more rows: no sampler can save these. ``--sort`` adds what a sort
of the same rows alone takes.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest import mock

from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.curves import decode
from bench.engine import seconds
from bench.machine import describe
from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.trie.sampling import draw_tokens
from hcl_core.records import Question, SamplingSettings
from hcl_core.registry import load_model, load_questions, make_decoder
from hcl_core.settings.layers import parse_layers
from hcl_core.settings.prompts import load_template


@dataclass
class Sampled:
    """What the sampler did during a run: calls' seconds, seconds of a sort of the same rows, and rows of logits."""

    times: list[float] = field(default_factory=list)
    sort_times: list[float] = field(default_factory=list)
    num_rows: int = 0


@dataclass(frozen=True)
class Measured:
    """One run: its seconds, those of its sampler and of a sort in its place, and rows of logits drawn from."""

    run: float
    sampler: float
    sort: float
    num_rows: int


def main() -> None:
    """Print a line a temperature."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--layers", default="2:30:2")
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--max-new-tokens", type=int, default=16)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.6, 1.0, 1.2, 1.5])
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--repeats", type=int, default=3, help="of all temperatures, interleaved")
    parser.add_argument("--sort", action="store_true", help="time a sort of the same rows, too")
    options = parser.parse_args()
    lm, _ = load_model(options.model)
    decoder = make_decoder(lm, "linear", load_template())
    question = load_questions("starter").load(1)[0]
    layers = parse_layers(options.layers, lm.num_hidden_layers)
    wave = [(layer, sample_idx) for layer in layers for sample_idx in range(options.samples)]
    measured: dict[float, list[Measured]] = {temperature: [] for temperature in options.temperatures}
    for _ in range(options.repeats + 1):
        for temperature, runs in measured.items():
            settings = SamplingSettings(temperature, options.top_p, 0, options.max_new_tokens, 0)
            runs.append(measure(decoder, question, settings, wave, with_sort=options.sort))
    report({temperature: runs[1:] for temperature, runs in measured.items()}, options)  # the first is the warm-up


def measure(
    decoder: EngineDecoder,
    question: Question,
    settings: SamplingSettings,
    wave: list[tuple[int, int]],
    *,
    with_sort: bool,
) -> Measured:
    """One run of ``wave``; the time of the sorts is not part of the run's."""
    with timed_sampler(with_sort) as sampled:
        taken = seconds(lambda: decode(decoder, question, settings, wave))
    sort = sum(sampled.sort_times)
    return Measured(taken - sort, sum(sampled.times), sort, sampled.num_rows)


@contextmanager
def timed_sampler(with_sort: bool) -> Iterator[Sampled]:
    """Times every call of ``draw_tokens``, in whichever module, while it lasts."""
    sampled = Sampled()

    def timed(logits: Tensor, *others: Tensor | SamplingSettings) -> object:
        drawn: list[object] = []
        sampled.times.append(seconds(lambda: drawn.append(draw_tokens(logits, *others))))  # type: ignore[arg-type]
        if with_sort:
            sampled.sort_times.append(seconds(lambda: logits.sort(dim=-1, descending=True, stable=True)))
        sampled.num_rows += len(logits)
        return drawn[0]

    with ExitStack() as patches:
        for name, module in list(sys.modules.items()):
            if name.startswith("hcl_core.") and vars(module).get("draw_tokens") is draw_tokens:
                patches.enter_context(mock.patch.object(module, "draw_tokens", timed))
        yield sampled


def report(measured: dict[float, list[Measured]], options: argparse.Namespace) -> None:
    """Medians of the repeats; ratios to the first temperature of the same repeat."""
    console = Console(width=120)
    console.print(
        f"{options.model}, linear head, layers {options.layers} x {options.samples} samples x up to "
        f"{options.max_new_tokens} tokens, top_p {options.top_p:g}, 1 question, median of {options.repeats}; "
        f"{describe()}",
        highlight=False,
    )
    table = Table("T", "run, s", "ratio", "sampler, s", "ratio", "of the run", "rows", "ratio", box=None)
    if options.sort:
        table.add_column("sort of the rows, s")
    firsts = next(iter(measured.values()))
    for temperature, runs in measured.items():

        def median(name: str, runs: list[Measured] = runs) -> float:
            return statistics.median(getattr(run, name) for run in runs)

        def ratio(name: str, runs: list[Measured] = runs) -> str:
            pairs = zip(runs, firsts, strict=True)
            return f"{statistics.median(getattr(run, name) / getattr(first, name) for run, first in pairs):.1f}x"

        share = statistics.median(run.sampler / run.run for run in runs)
        cells = [f"{median('run'):.2f}", ratio("run"), f"{median('sampler'):.2f}", ratio("sampler"), f"{share:.0%}"]
        cells += [f"{median('num_rows'):,.0f}", ratio("num_rows")] + [f"{median('sort'):.2f}"] * options.sort
        table.add_row(f"{temperature:g}", *cells)
    console.print(table)


if __name__ == "__main__":
    main()
