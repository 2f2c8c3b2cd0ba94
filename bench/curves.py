"""How the engine's cost grows: ``python -m bench.curves``, about a quarter of an hour; goes on where it was.

From one setting in the middle, one thing at a time is changed: samples, layers, tokens, temperature. For each point and
exit head: seconds, and what the work was, counted: prompts apart, distinct prefixes (nodes) at each step, rows through
blocks, and readouts, each against the tokens that samples drew. Also the first wave of the page: when its answers are
there. ``docs/performance.json`` holds the results; ``python -m docs.performance`` makes text and figures of them.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.engine import counted, matrix_product_rate, seconds, with_prompt
from bench.machine import describe
from hcl_core.decode.engine import EngineDecoder
from hcl_core.records import Question, SamplingSettings
from hcl_core.registry import load_model, load_questions, make_decoder
from hcl_core.settings.layers import parse_layers
from hcl_core.settings.prompts import load_template

OUT = Path(__file__).parent.parent / "docs" / "performance.json"
HEADS = ("linear", "shared")
MIDDLE: dict[str, Any] = {"samples": 50, "layers": "2:30:2", "tokens": 16, "temperature": 0.6}
VARIED: dict[str, tuple[Any, ...]] = {
    "samples": (1, 2, 5, 10, 25, 50, 100, 200),
    "layers": ("30", "15,30", "6:30:6", "3:30:3", "2:30:2", "1:30"),
    "tokens": (8, 16, 32, 64, 128),
    "temperature": (0.0, 0.3, 0.6, 0.9, 1.2, 1.5),
}
FIRST_WAVE, PAGE_TOKENS = 8, 20


def main() -> None:
    """Measure every point that is not in the file yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--questions", type=int, default=2, help="the first so many of the starter set")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--afresh", action="store_true", help="measure everything again")
    options = parser.parse_args()
    console = Console(width=120)
    lm, _ = load_model(options.model)
    questions = load_questions("starter").load(options.questions)
    results: dict[str, Any] = {"points": {}, "first_wave": {}}
    if options.out.exists() and not options.afresh:
        results = json.loads(options.out.read_text(encoding="utf-8"))
    results |= {
        "model": options.model,
        "machine": describe("transformers"),
        "measured": datetime.now(UTC).date().isoformat(),
        "questions": options.questions,
        "repeats": options.repeats,
        "middle": MIDDLE,
    }
    for head in HEADS:
        decoder = make_decoder(lm, head, load_template())
        for name, values in VARIED.items():
            for value in values:
                key = f"{head} {name} {value}"
                if key not in results["points"]:
                    point = MIDDLE | {name: value}
                    results["points"][key] = {"head": head, **point} | measure(
                        decoder, questions, point, options.repeats
                    )
                    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
                    console.print(key, results["points"][key], highlight=False)
    for dtype in ("float32", "bfloat16"):
        if dtype not in results["first_wave"]:
            lm, _ = load_model(options.model, dtype)
            results["first_wave"][dtype] = first_wave(
                make_decoder(lm, "auto", load_template()), questions, options.repeats
            )
            options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            console.print(dtype, results["first_wave"][dtype], highlight=False)


def measure(
    decoder: EngineDecoder, questions: Sequence[Question], point: dict[str, Any], repeats: int
) -> dict[str, float]:
    """Medians over questions of one point's seconds (medians of repeats), and means of its counts."""
    layers = parse_layers(point["layers"], decoder.num_hidden_layers)
    settings = SamplingSettings(point["temperature"], 0.9, 0, point["tokens"], 0)
    wave = [(layer, sample_idx) for layer in layers for sample_idx in range(point["samples"])]
    times, counts = [], []
    for question in questions:
        with counted(decoder.parts.lm) as count:
            drawn, num_nodes = decode(decoder, question, settings, wave)  # the warm-up
        counts.append({"drawn": drawn, "nodes": num_nodes, **count})
        taken = [
            seconds(lambda question=question: decode(decoder, question, settings, wave))  # type: ignore[misc]
            for _ in range(repeats)
        ]
        times.append(statistics.median(taken))
    return {"seconds": round(statistics.median(times), 3)} | {
        name: round(statistics.mean(count[name] for count in counts), 1) for name in counts[0]
    }


def decode(
    decoder: EngineDecoder, question: Question, settings: SamplingSettings, wave: Sequence[tuple[int, int]]
) -> tuple[int, int]:
    """One wave; how many tokens were drawn, and how many distinct prefixes there were."""
    drawn = num_nodes = 0
    for progress in decoder.decode(with_prompt(decoder, question), settings, [wave]):
        drawn += sum(len(sample.completion_token_ids) for sample in progress.finished)
        num_nodes = progress.num_nodes
    return drawn, num_nodes


def first_wave(decoder: EngineDecoder, questions: Sequence[Question], repeats: int) -> dict[str, float]:
    """When the page's first wave is there: seconds from the prompt to a half, nine tenths and all of its answers.

    Every layer, ``FIRST_WAVE`` answers each, the page's other settings; medians over questions and repeats.
    """
    settings = SamplingSettings(max_new_tokens=PAGE_TOKENS)
    wave = [(layer, idx) for layer in range(1, decoder.num_hidden_layers + 1) for idx in range(FIRST_WAVE)]
    rows = []
    for question in questions:
        decode(decoder, question, settings, wave)
        for _ in range(repeats):
            started, arrived = time.perf_counter(), []
            for progress in decoder.decode(with_prompt(decoder, question), settings, [wave]):
                arrived += [time.perf_counter() - started] * len(progress.finished)
            rows.append([arrived[len(arrived) // 2], arrived[len(arrived) * 9 // 10], arrived[-1]])
            within = sum(each <= 1 for each in arrived) / len(arrived)
            rows[-1].append(within)
    names = ("half", "nine_tenths", "all", "share_in_a_second")
    return {
        name: round(statistics.median(column), 3) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    } | {"product_rate": round(matrix_product_rate(), 0)}


if __name__ == "__main__":
    main()
