"""The engine on a GPU, by one command without a network: ``python -m bench.gpu``.

On random weights at the shapes of the LayerSkip checkpoints that fit the card, in bfloat16 and with the paper's
protocol (50 answers of 50 tokens at every second layer), after the tests that need CUDA:

- one question, and its share of the card's limit: the longer of moving the bytes and doing the operations of the same
  calls (weights once a call of a block or a readout; logits written once and read five times; keys, values and
  activations are left out), by a copy and a product that are measured on the same card;
- its terms: the calls of that run made again, blocks without attention and readouts without draws; the rest is
  attention, draws and the host's work;
- ``bench.estimate`` with the card's measured limits and the sharing that this run had;
- the same question and a set of questions at once by each kind of attention (``models.attention_kinds``), the second
  of two decodes, as kernels may be compiled in the first;
- self-speculation;
- where several GPUs are visible, the set by a replica on each, beside the same set on the first alone, and whether
  answers are equal;
- last, as they are slow, ``transformers``' ``generate`` layer by layer, with all answers of a layer as one batch and
  one at a time.

Sharing is set by sharpened logits (``bench.random_models``): nothing shared, and much. The result is tables and one
JSON, which is written after each measurement. What fails, hangs or crashes is noted there, and the rest goes on
(``bench.in_turn``). ``--minutes`` says how long all may take; what has not ended by then is stopped or skipped.
``--device cpu --tiny`` takes a minute and shows that it runs, with two replicas on the CPU; its numbers say nothing
of a GPU.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench.estimate import LAYERS, PAPER, Gpu, Protocol
from bench.gpu_parts import (
    BATCHED,
    DRAFTING,
    ONE_AT_A_TIME,
    QUESTION,
    REPLICAS,
    attention_names,
    cuda_tests,
    of_card,
    of_engine,
    of_peers,
    of_replicas,
)
from bench.in_turn import InTurn
from hcl_core.decode.model.loading import choose_devices
from hcl_core.errors import SettingsError
from hcl_core.models.attention_kinds import AttentionKind
from hcl_core.models.catalogue import CATALOGUE
from hcl_core.models.footprint import WEIGHT_FORMATS, footprint
from hcl_core.models.shapes import ModelShape

# Standard deviation of the logits by what answers share.
SPREADS = {"nothing shared": 1.0, "much shared": 12.0}
TINY = {"tiny": ModelShape(4, 64, 128, 4, 2, 16, 2048)}
TINY_PROTOCOL = Protocol(samples=3, tokens=4)
Row = dict[str, dict[str, Any]]
Rows = dict[tuple[str, str], Row]  # by model and sharing


def main() -> None:
    """Test, measure, write the JSON and print the tables."""
    options = parse_options()
    console = Console(width=180)
    turn = InTurn(options.out, console, options.minutes, options.most_minutes)
    turn.results |= {"device": options.device, "tiny": options.tiny, "card": {}, "models": {}}
    try:
        measure(turn, options)
    finally:  # an interrupt too
        if turn.results["models"]:
            print_tables(turn.results, console, options)
        console.print(f"{len(turn.missing)} failed or were skipped", *turn.missing, sep="\n", markup=False)
        console.print(f"all of it: {options.out}", markup=False)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    parser.add_argument(
        "--devices", help="such as cuda:0,cuda:1, the first of which is measured alone; default: all that are visible"
    )
    parser.add_argument("--tiny", action="store_true", help="a tiny model and few answers")
    parser.add_argument(
        "--models",
        nargs="+",
        choices=[known.name for known in CATALOGUE],
        default=[known.name for known in CATALOGUE if known.is_layerskip],
        help="default: all of LayerSkip; those that do not fit the card are left out",
    )
    parser.add_argument("--questions-at-once", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3, help="of ours, after a warm-up")
    parser.add_argument("--singles", type=int, default=1, help="answers a layer that are timed one at a time")
    parser.add_argument("--ours-only", action="store_true", help="skip the slow methods")
    parser.add_argument("--minutes", type=float, help="for all; default: as long as it takes")
    parser.add_argument("--most-minutes", type=float, default=20, help="for one measurement, which is stopped then")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    options = parser.parse_args()
    options.protocol = TINY_PROTOCOL if options.tiny else PAPER
    if options.device != "cpu" and not torch.cuda.is_available():
        parser.error("torch finds no CUDA GPU here; --device cpu --tiny shows that the command runs")
    if options.singles < 1:
        parser.error("--singles is at least 1; --ours-only leaves them out")
    if options.out.exists():
        parser.error(f"{options.out} is there already: name another --out")
    if options.device == "cpu":
        if options.devices is not None:
            parser.error("--devices names GPUs; a CPU has two replicas")
        options.devices = ["cpu", "cpu"]
        return options
    visible = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    try:
        options.devices = [str(device) for device in choose_devices(options.devices or ",".join(visible))]
    except SettingsError as error:
        parser.error(str(error))
    options.device = options.devices[0]
    return options


def measure(turn: InTurn, options: argparse.Namespace) -> None:
    """All measurements, the slow ones last."""
    found = turn.results
    turn.measure(found["card"], "card", ("devices", "limits"), of_card, options)
    if not all("took" in each for each in found["card"].values()):
        raise SystemExit("the card could not be measured: nothing else was tried")
    if options.device != "cpu":
        turn.add(found, "card", "tests", cuda_tests(turn.seconds_left()))
        turn.say(found["tests"]["summary"])
    card = Gpu(**{name: value for name, value in found["card"]["limits"].items() if name != "took"})
    shapes = TINY if options.tiny else {known.name: known.shape for known in CATALOGUE if known.name in options.models}
    free = found["card"]["devices"]["free"][0]
    fitting = {name: shape for name, shape in shapes.items() if fits(shape, free, on_cpu=options.device == "cpu")}
    found["left_out"] = sorted(shapes.keys() - fitting.keys())
    if found["left_out"]:
        turn.say(f"do not fit the {free / 2**30:.1f} GiB that are free: {', '.join(found['left_out'])}")
    found["models"] = {name: {label: {} for label in SPREADS} for name in fitting}
    kinds = attention_names(torch.device(options.device).type)

    def each(names: tuple[str, ...], set_up: Callable[..., Any], *more: Any) -> None:
        for name, shape in fitting.items():
            for label, spread in SPREADS.items():
                row = found["models"][name][label]
                turn.measure(row, f"{name}, {label}", names, set_up, shape, spread, *more, options)

    each((QUESTION, *kinds.values(), DRAFTING), of_engine, card)
    if len(options.devices) > 1:
        each((REPLICAS,), of_replicas)
    if not options.ours_only:
        each((BATCHED, ONE_AT_A_TIME), of_peers)


def fits(shape: ModelShape, free: int, *, on_cpu: bool) -> bool:
    """Whether the model and one answer fit, with a fifth left for many answers and for ``generate``."""
    return footprint(shape, WEIGHT_FORMATS["bfloat16"], on_cpu=on_cpu).minimum < 0.8 * free


def print_tables(found: dict[str, Any], console: Console, options: argparse.Namespace) -> None:
    """What was measured, in seconds."""
    limits = found["card"]["limits"]
    console.print(
        f"{found['card']['devices']['machine']}; tests for CUDA: {found.get('tests', {}).get('summary', 'not run')}; "
        f"{limits['name']}: {limits['bandwidth'] / 1e9:.0f} GB/s by a copy, {limits['flops'] / 1e12:.2f} TFLOP/s by a "
        f"product, {limits['launch'] * 1e6:.1f} us a kernel; {options.protocol.samples} answers of "
        f"{options.protocol.tokens} tokens at layers {LAYERS}; seconds, of a set for each of its "
        f"{options.questions_at_once} questions",
        highlight=False,
    )
    rows = {(name, label): row for name, by_label in found["models"].items() for label, row in by_label.items()}
    kinds = attention_names(torch.device(options.device).type)
    console.print(main_table(rows, next(iter(kinds.values()))))
    console.print(attention_table(rows, kinds))
    if len(options.devices) > 1:
        console.print(replica_table(rows))


def cell(row: Row, name: str, text: Callable[[Any], str]) -> str:
    """The text of a measurement, or why there is none; nothing where it was not asked for, or not reached."""
    if (found := row.get(name)) is None:
        return ""
    return next((word for word in ("error", "skipped") if word in found), None) or text(found)


def main_table(rows: Rows, own_attention: str) -> Table:
    """A row a model and sharing."""
    heads = ("model", "", "rows left", "a question", "of limit", "blocks", "readouts", "rest", "estimate")
    table = Table(*heads, "in a set", BATCHED, ONE_AT_A_TIME, DRAFTING, box=None)
    of_question: tuple[Callable[[Any], str], ...] = (
        lambda found: f"{found['sharing']['blocks']:.0%}",
        lambda found: f"{found['seconds']:.3f}",
        lambda found: f"{found['share_of_limit']:.0%}",
        lambda found: f"{found['terms']['blocks']:.3f}",
        lambda found: f"{found['terms']['readouts']:.3f}",
        lambda found: f"{found['terms']['rest']:.3f}",
        lambda found: f"{found['estimate']['total']:.3f}",
    )
    for (name, label), row in rows.items():
        ours = row.get(QUESTION, {}).get("seconds")

        def peer(found: Any, ours: float | None = ours) -> str:
            return f"{found['seconds']:.1f}" + (f" ({found['seconds'] / ours:.0f}x)" if ours else "")

        table.add_row(
            name,
            label,
            *(cell(row, QUESTION, text) for text in of_question),
            cell(row, own_attention, lambda found: f"{found['in_a_set']:.3f}"),
            cell(row, BATCHED, peer),
            cell(row, ONE_AT_A_TIME, peer),
            cell(row, DRAFTING, lambda found: ", ".join(f"{each['ratio']:.2f}x" for each in found["rows"][1:])),
        )
    return table


def attention_table(rows: Rows, kinds: dict[AttentionKind, str]) -> Table:
    """A row a model, sharing and kind of attention; the device's own kind comes first."""
    table = Table("model", "", "attention", "a question", "in a set", box=None)
    for (name, label), row in rows.items():
        for place, (kind, measurement) in enumerate(kinds.items()):
            texts = (lambda found: f"{found['question']:.3f}", lambda found: f"{found['in_a_set']:.3f}")
            cells = (cell(row, measurement, text) for text in texts)
            table.add_row(name, label, kind if place else f"{kind} (own)", *cells)
    return table


def replica_table(rows: Rows) -> Table:
    """A row a model and sharing: the whole set by one replica and by all."""
    heads = ("model", "", "replicas", "set by one", "by all", "ratio", "equal answers", "asked one at a time")
    table = Table(*heads, box=None)
    texts: tuple[Callable[[Any], str], ...] = (
        lambda found: f"{found['num_replicas']}",
        lambda found: f"{found['seconds']['one']:.3f}",
        lambda found: f"{found['seconds']['all']:.3f}",
        lambda found: f"{found['ratio']:.2f}x",
        lambda found: f"{found['equal']} of {found['num_questions']}",
        lambda found: f"{found['equal_alone']} of {found['num_alone']}",
    )
    for (name, label), row in rows.items():
        table.add_row(name, label, *(cell(row, REPLICAS, text) for text in texts))
    return table


if __name__ == "__main__":
    main()
