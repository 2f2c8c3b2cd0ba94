"""The program against its peers, side by side in one run: ``python -m bench.peers`` or ``make bench-peers``.

Equal work: one model, the same prompts, greedy, one answer at a time, the same end of an answer, the shared head;
warmed up, medians of interleaved repeats. Every answer is checked to be the same token for token.

- full decoding: ``transformers``' ``generate``, and ours.
- self-speculative decoding at a layer: ``generate(assistant_early_exit=e)``, and ours.
- per-layer readouts of a text: hidden states of ``transformers`` through its norm and head, and our token lens, which
  also ranks them and compares them with the last layer. TransformerLens and nnsight have no row yet.

A row that a peer can't do says so.
"""

import argparse
import importlib.metadata
import statistics
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import StoppingCriteriaList

from bench.engine import FirstLineEnded, seconds
from hcl_core.decode.causal_lm import CausalLM
from hcl_core.decode.engine import TrieDecoder
from hcl_core.decode.speculative import SelfSpeculativeDecoder
from hcl_core.decode.token_lens import look
from hcl_core.prompts import PromptTemplate, load_template
from hcl_core.records import Question, SamplingSettings
from hcl_core.registry import load_exit_head, load_model, load_questions, make_decoder

DRAFTS = 4
Way = Callable[[Question], object]


def main() -> None:
    """Time every row and print the table that the README quotes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--questions", type=int, default=3, help="the first so many of the starter set")
    parser.add_argument("--layers", default="20,27", help="that draft, beside the last")
    parser.add_argument("--max-new-tokens", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    lm, _ = load_model(options.model)
    template = load_template("chat") if lm.has_chat_template else load_template()
    decoder = make_decoder(lm, "shared", template)
    asked = load_questions("starter").load(options.questions)
    settings = SamplingSettings(temperature=0, max_new_tokens=options.max_new_tokens)
    layers = [*map(int, options.layers.split(",")), lm.num_hidden_layers]
    rows: list[tuple[str, Way, Way]] = [
        ("full decoding", lambda q: theirs(lm, template, q, settings), lambda q: ours(decoder, q, settings))
    ]
    rows += [_drafted(lm, template, decoder, settings, layer) for layer in layers]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers"))
    console = Console(width=120)
    console.print(
        f"{options.model}, greedy, one answer to each of {len(asked)} questions, up to {options.max_new_tokens} "
        f"tokens; medians of {options.repeats} interleaved repeats; {versions}, {torch.get_num_threads()} threads",
        highlight=False,
    )
    table = Table("row", "transformers, s", "ours, s", "ours is", "same tokens", box=None)
    for name, peer, mine in rows:
        table.add_row(name, *compare(peer, mine, asked, options.repeats))
    table.add_row("every layer's readouts of a text", *compare_readouts(lm, template, asked, options.repeats))
    console.print(table)


def _drafted(
    lm: CausalLM, template: PromptTemplate, decoder: TrieDecoder, settings: SamplingSettings, layer: int
) -> tuple[str, Way, Way]:
    return (
        f"drafts of {DRAFTS} by layer {layer}",
        lambda question: theirs(lm, template, question, settings, layer),
        lambda question: ours(SelfSpeculativeDecoder(decoder, DRAFTS), question, settings, layer),
    )


def compare(peer: Way, mine: Way, asked: list[Question], repeats: int) -> list[str]:
    """Medians over repeats of one answer to every question, their ratio, and whether the answers are the same."""
    try:
        same = all(peer(question) == mine(question) for question in asked)  # the warm-up
    except Exception as error:  # whatever the peer trips over is its row's word
        took = statistics.median(seconds(lambda: [mine(question) for question in asked]) for _ in range(repeats))
        return [f"fails: {type(error).__name__}", f"{took:.2f}", "", ""]
    times: list[tuple[float, float]] = []
    for _ in range(repeats):
        peers = seconds(lambda: [peer(question) for question in asked])
        times.append((peers, seconds(lambda: [mine(question) for question in asked])))
    theirs_took, ours_took = (statistics.median(each) for each in zip(*times, strict=True))
    ratio = statistics.median(a / b for a, b in times)
    return [f"{theirs_took:.2f}", f"{ours_took:.2f}", f"{ratio:.2f}x as fast", "yes" if same else "NO"]


def theirs(
    lm: CausalLM,
    template: PromptTemplate,
    question: Question,
    settings: SamplingSettings,
    exit_layer: int | None = None,
) -> tuple[int, ...]:
    """``transformers``' greedy answer, drafted by ``exit_layer`` where it is given."""
    ids = lm.tokenize(template.render(question.text, lm.wrap_chat), is_chat=template.is_chat)
    prompt = torch.tensor([ids], device=lm.readout_device)
    drafting: dict[str, Any] = {}
    if exit_layer is not None:
        drafting = {
            "assistant_early_exit": exit_layer,
            "num_assistant_tokens": DRAFTS,
            "num_assistant_tokens_schedule": "constant",
            "assistant_confidence_threshold": 0.0,
        }
    model: Any = lm._model
    with torch.inference_mode():
        output = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=settings.max_new_tokens,
            stopping_criteria=StoppingCriteriaList([FirstLineEnded(lm, len(ids))]),
            eos_token_id=sorted(lm.stop_token_ids),
            pad_token_id=min(lm.stop_token_ids),
            **drafting,
        )
    return tuple(output[0, len(ids) :].tolist())


def ours(
    decoder: TrieDecoder, question: Question, settings: SamplingSettings, exit_layer: int | None = None
) -> tuple[int, ...]:
    """Our greedy answer."""
    key = (exit_layer or decoder.num_hidden_layers, 0)
    found = [each for progress in decoder.decode(question, settings, [[key]]) for each in progress.finished]
    return found[0].completion_token_ids


def compare_readouts(lm: CausalLM, template: PromptTemplate, asked: list[Question], repeats: int) -> list[str]:
    """Top tokens of every layer at every position of the prompts."""
    head = load_exit_head("shared", lm)

    texts = {
        question.id: lm.tokenize(template.render(question.text, lm.wrap_chat), is_chat=template.is_chat)
        for question in asked
    }

    def peer(question: Question) -> object:
        model: Any = lm._model
        with torch.inference_mode():
            states = model(torch.tensor([texts[question.id]]), output_hidden_states=True).hidden_states[1:]
            # The last one has been normed already.
            normed = [*(model.model.norm(each[0]) for each in states[:-1]), states[-1][0]]
            return tuple(tuple(model.lm_head(each).argmax(-1)[:-1].tolist()) for each in normed)

    def mine(question: Question) -> object:
        table = look(lm, head, question.id, "", texts[question.id], 1, 1)
        return tuple(tuple(row) for row in table.top_token_ids[:, :, 0].tolist())

    return compare(peer, mine, asked, repeats)


if __name__ == "__main__":
    main()
