"""A set of questions at once, against the same questions one after another: ``python -m bench.sets``.

Equal work: the same model, prompts, layers, samples, noise and sampling; it also says how many questions have equal
answers. ``--base FOLDER`` times a checkout of another commit beside it, such as one made by
``git worktree add FOLDER COMMIT``. ``--peer N`` also times ``generate`` of ``transformers``, layer by layer with all
samples as one batch, on the first N questions, scaled up.
"""

import argparse
import hashlib
import importlib
import inspect
import json
import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HEADS = ("linear", "shared")


def main() -> None:
    """Print seconds a question and ratios, by exit head."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=24, help="the first so many of the starter set")
    parser.add_argument("--layers", default="5:30:5")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--max-new-tokens", type=int, default=20)
    parser.add_argument("--temperature", type=float, default=0.6)
    parser.add_argument("--at-once", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3, help="interleaved")
    parser.add_argument("--base", type=Path, help="a checkout of another commit")
    parser.add_argument("--peer", type=int, default=0, metavar="N", help="questions of transformers' generate")
    parser.add_argument("--child", choices=HEADS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    from rich.console import Console
    from rich.table import Table

    from bench.machine import describe

    console = Console(width=120)
    console.print(describe(), highlight=False)
    names = ["at once", "one by one", *(["base"] if options.base else []), *(["transformers"] if options.peer else [])]
    table = Table(
        "head", *(f"{name}, s" for name in names), *(f"{name} / at once" for name in names[1:]), "equal", box=None
    )
    for head in HEADS:
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        for _ in range(options.repeats):
            runs["at once"].append(run_child(Path(), head, ["--at-once", str(options.at_once)]))
            runs["one by one"].append(run_child(Path(), head, ["--at-once", "1"]))
            if options.base:
                runs["base"].append(run_child(options.base, head, ["--at-once", "1"]))
        seconds = {name: statistics.median(run["seconds"] for run in found) for name, found in runs.items() if found}
        if options.peer:
            seconds["transformers"] = peer_seconds(options)
        ratios = [f"{seconds[name] / seconds['at once']:.2f}x" for name in names[1:]]
        answers = [run["answers"] for found in runs.values() for run in found]
        equal = sum(len(set(of_question)) == 1 for of_question in zip(*answers, strict=True))
        table.add_row(head, *(f"{seconds[name]:.2f}" for name in names), *ratios, f"{equal} of {options.questions}")
    console.print(table)


def run_child(checkout: Path, head: str, last: list[str]) -> dict[str, Any]:
    """Seconds and hashed answers of a process that imports ``checkout``."""
    command = [sys.executable, str(Path(__file__).resolve()), *work_options(), *last, "--child", head]
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
    result = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(result.stderr)
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def work_options() -> list[str]:
    """The options of the command line that decide the work, as ``--name value`` pairs."""
    names = ("--questions", "--layers", "--samples", "--max-new-tokens", "--temperature")
    pairs = zip(sys.argv, sys.argv[1:], strict=False)
    return [each for name, value in pairs if name in names for each in (name, value)]


def child(options: argparse.Namespace) -> None:
    """Decode the set once after a warm-up; works with the engine of every commit since 8d878c1."""
    from hcl_core.records import SamplingSettings
    from hcl_core.registry import load_model, load_questions, make_decoder

    room = "hcl_core.settings" if find_spec("hcl_core.settings") else "hcl_core"
    prompts, layer_choices = (importlib.import_module(f"{room}.{name}") for name in ("prompts", "layers"))
    lm, _ = load_model("smollm2-135m", "float32")
    decoder: Any = make_decoder(lm, options.child, prompts.load_template())
    settings = SamplingSettings(options.temperature, 0.9, 0, options.max_new_tokens, 0)
    questions: list[Any] = list(load_questions("starter").load(options.questions))
    layers = layer_choices.parse_layers(options.layers, lm.num_hidden_layers)
    wave = [(layer, number) for layer in layers for number in range(options.samples)]
    if "stored" in inspect.signature(decoder.decode).parameters:
        from hcl_core.records import StoredQuestion

        questions = [StoredQuestion(question, decoder.prompt_for(question)) for question in questions]
    answers: list[dict[Any, Any]] = [{} for _ in questions]

    def decode(some: list[Any], at_once: int) -> None:
        if at_once == 1:
            for number, question in enumerate(some):
                for progress in decoder.decode(question, settings, [wave]):
                    answers[number] |= {sample.key: sample.completion_token_ids for sample in progress.finished}
            return
        from hcl_core.ports import DecodeRequest

        requests = {DecodeRequest(question, settings, [wave]): number for number, question in enumerate(some)}
        for request, progress in decoder.decode_many(requests, at_once):
            answers[requests[request]] |= {sample.key: sample.completion_token_ids for sample in progress.finished}

    decode(questions[:2], options.at_once)
    started = time.perf_counter()
    decode(questions, options.at_once)
    seconds = time.perf_counter() - started
    hashes = [hashlib.sha256(repr(sorted(each.items(), key=repr)).encode()).hexdigest() for each in answers]
    print(json.dumps({"seconds": seconds, "answers": hashes}))


def peer_seconds(options: argparse.Namespace) -> float:
    """Of ``transformers``' ``generate``, batched by layer, for the whole set."""
    from bench.engine import generate, generate_all, load_peer, seconds
    from hcl_core.records import SamplingSettings
    from hcl_core.registry import load_model, load_questions
    from hcl_core.settings.layers import parse_layers

    lm, checkpoint = load_model("smollm2-135m", "float32")
    peer = load_peer(lm, checkpoint.path)
    settings = SamplingSettings(options.temperature, 0.9, 0, options.max_new_tokens, 0)
    layers = parse_layers(options.layers, lm.num_hidden_layers)
    questions = load_questions("starter").load(options.peer)
    generate(lm, peer, questions[0], layers[0], 2, settings)  # warm-up
    times = [
        seconds(lambda question=question: generate_all(lm, peer, question, layers, options.samples, settings))  # type: ignore[misc]
        for question in questions
    ]
    return statistics.mean(times) * options.questions


if __name__ == "__main__":
    main()
