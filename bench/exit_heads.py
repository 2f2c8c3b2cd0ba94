"""How good fitted exit heads are: ``python -m bench.exit_heads FILE ...`` with files of ``fit-head``.

Over the starter set's questions with their first accepted answer, which no fit has seen: at each position of the
answer, does the readout's most probable token agree with the last layer's, and at what cross-entropy. The decode
time of each head against the shared one is measured in the same run, interleaved.
"""

import argparse
import statistics
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bench.engine import seconds, with_prompt
from hcl_core.decode.engine import EngineParts, TrieDecoder
from hcl_core.decode.heads.exit_heads import ExitHead, SharedHead, read_head
from hcl_core.decode.heads.fidelity import measure
from hcl_core.decode.heads.hidden_states import read_text
from hcl_core.folders import shipped_heads_folder
from hcl_core.records import SamplingSettings
from hcl_core.registry import load_model, load_questions
from hcl_core.settings.prompts import load_template


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=[shipped_heads_folder() / "smollm2-135m.safetensors"])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--layers", default="5,11,17,20,23,26,29")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    lm, _ = load_model(options.model)
    layers = [int(layer) for layer in options.layers.split(",")]
    heads: dict[str, ExitHead] = {"shared": SharedHead()}
    heads |= {file.stem: read_head(file, lm) for file in options.files}
    template, states = load_template(), []
    with torch.inference_mode():
        for question in load_questions("starter").load():
            prompt = template.render(question.text)
            first = len(lm.tokenize(prompt))
            whole = lm.tokenize(f"{prompt} {question.accepted_answers[0]}\n")
            states.append(read_text(lm, whole)[:, first - 1 : -1])
        *_, (_, fidelities) = measure(lm, list(heads.values()), torch.cat(states, dim=1), layers)
    console = Console(width=140)
    table = Table("head", *(f"layer {layer}" for layer in layers), box=None)
    for name, row in zip(heads, fidelities, strict=True):
        table.add_row(name, *(f"{each.agreement:.2f} / {each.cross_entropy:.2f}" for each in row))
    console.print(f"agreement / cross-entropy over {sum(each.shape[1] for each in states)} answer positions")
    console.print(table)

    question = load_questions("starter").load(1)[0]
    wave = [(layer, sample) for layer in range(2, lm.num_hidden_layers + 1, 2) for sample in range(50)]
    times: dict[str, list[float]] = {name: [] for name in heads}
    for _ in range(options.repeats):
        for name, head in heads.items():
            decoder = TrieDecoder(EngineParts(lm, head, template))
            settings, stored = SamplingSettings(max_new_tokens=16), with_prompt(decoder, question)
            steps = decoder.decode(stored, settings, [wave])
            times[name].append(seconds(lambda steps=steps: list(steps)))  # type: ignore[misc]
    for name, measured in times.items():
        ratio = statistics.median(measured) / statistics.median(times["shared"])
        console.print(f"decoding with {name}: {statistics.median(measured):.2f} s, {ratio:.2f}x the shared head's time")


if __name__ == "__main__":
    main()
