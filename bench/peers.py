"""The program against its peers, side by side in one run: ``make bench-peers``.

Equal work: one model, the same prompts, greedy, one answer at a time, the same end of an answer, the shared head;
warmed up, medians of interleaved repeats. Every answer is checked to be the same token for token.

- full decoding: ``transformers``' ``generate``, and ours.
- self-speculative decoding at a layer: ``generate(assistant_early_exit=e)``, and ours.
- an answer at each of several layers: ``generate`` on the model cut to each, and one pass of ours over the trie.
- per-layer readouts of a text: hidden states of ``transformers`` through its norm and head, the same inside an nnsight
  trace, and our token lens, which also ranks them and compares them with the last layer.

A row that a peer can't do says so. nnsight comes with ``bench/requirements.txt``; without it, its row says so.
"""

import argparse
import importlib.util
import statistics
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import StoppingCriteriaList

from bench.engine import FirstLineEnded, cut_to, load_peer, seconds, with_prompt
from bench.machine import describe
from hcl_core.decode.engine import EngineDecoder
from hcl_core.decode.speculative import SelfSpeculativeDecoder
from hcl_core.decode.token_lens import read_layers
from hcl_core.records import Question, SamplingSettings
from hcl_core.registry import load_model, load_questions, make_decoder
from hcl_core.settings.prompts import load_template

DRAFTS = 4
Method = Callable[[Question], object]


def main() -> None:
    """Time every row and print the table that the README quotes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--questions", type=int, default=3, help="the first so many of the starter set")
    parser.add_argument("--layers", default="20,27", help="that draft, beside the last")
    parser.add_argument("--max-new-tokens", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    lm, checkpoint = load_model(options.model)
    template = load_template("chat") if lm.has_chat_template else load_template()
    decoder = make_decoder(lm, "shared", template)
    questions = load_questions("starter").load(options.questions)
    peer = Peer(load_peer(lm, checkpoint.path), decoder)
    settings = SamplingSettings(temperature=0, max_new_tokens=options.max_new_tokens)
    layers = [*map(int, options.layers.split(",")), lm.num_hidden_layers]
    several = tuple(range(2, lm.num_hidden_layers + 1, 2))
    rows: list[tuple[str, Method, Method]] = [
        ("full decoding", lambda q: peer.answer(q, settings), lambda q: ours(decoder, q, settings))
    ]
    rows += [_drafted(peer, decoder, settings, layer) for layer in layers]
    rows += [
        (
            f"an answer at each of {len(several)} layers",
            lambda q: peer.answers_of_layers(q, settings, several),
            lambda q: ours_of_layers(decoder, q, settings, several),
        ),
        ("every layer's readouts of a prompt", peer.readouts, lambda q: our_readouts(decoder, q)),
        ("the same, in an nnsight trace", peer.traced_readouts, lambda q: our_readouts(decoder, q)),
    ]
    has_nnsight = importlib.util.find_spec("nnsight") is not None
    console = Console(width=120)
    console.print(
        f"{options.model}, {lm.dtype_name}, greedy, {len(questions)} questions, up to {options.max_new_tokens} tokens; "
        f"medians of {options.repeats} interleaved repeats",
        describe("transformers", *(["nnsight"] if has_nnsight else [])),
        sep="\n",
        highlight=False,
    )
    table = Table("row", "peer, s", "ours, s", "ours is", "same tokens", box=None)
    for name, of_peer, of_ours in rows:
        table.add_row(name, *compare(of_peer, of_ours, questions, options.repeats))
    console.print(table)


def _drafted(
    peer: "Peer", decoder: EngineDecoder, settings: SamplingSettings, layer: int
) -> tuple[str, Method, Method]:
    return (
        f"drafts of {DRAFTS} by layer {layer}",
        lambda question: peer.answer(question, settings, layer),
        lambda question: ours(SelfSpeculativeDecoder(decoder.parts, DRAFTS), question, settings, layer),
    )


def compare(of_peer: Method, of_ours: Method, questions: list[Question], repeats: int) -> list[str]:
    """Medians over repeats of one answer to every question, their ratio, and whether the answers are the same."""
    try:
        same = all(of_peer(question) == of_ours(question) for question in questions)  # the warm-up
    except Exception as error:  # a peer's error, of whatever kind, is shown in its row
        took = statistics.median(seconds(lambda: [of_ours(question) for question in questions]) for _ in range(repeats))
        return [f"fails: {type(error).__name__}", f"{took:.2f}", "", ""]
    times: list[tuple[float, float]] = []
    for _ in range(repeats):
        peers = seconds(lambda: [of_peer(question) for question in questions])
        times.append((peers, seconds(lambda: [of_ours(question) for question in questions])))
    theirs_took, ours_took = (statistics.median(each) for each in zip(*times, strict=True))
    ratio = statistics.median(a / b for a, b in times)
    return [f"{theirs_took:.2f}", f"{ours_took:.2f}", f"{ratio:.2f}x as fast", "yes" if same else "NO"]


class Peer:
    """``transformers``' own model on the prompts of ``decoder``."""

    def __init__(self, model: Any, decoder: EngineDecoder) -> None:
        self._model, self._decoder, self._lm = model, decoder, decoder.parts.lm
        self._traced: Any = None

    def _prompt(self, question: Question) -> torch.Tensor:
        return torch.tensor([prompt_ids(self._decoder, question)], device=self._lm.readout_device)

    def answer(self, question: Question, settings: SamplingSettings, exit_layer: int | None = None) -> tuple[int, ...]:
        """The greedy answer, drafted by ``exit_layer`` where it is given."""
        prompt = self._prompt(question)
        drafting: dict[str, Any] = {}
        if exit_layer is not None:
            drafting = {
                "assistant_early_exit": exit_layer,
                "num_assistant_tokens": DRAFTS,
                "num_assistant_tokens_schedule": "constant",
                "assistant_confidence_threshold": 0.0,
            }
        with torch.inference_mode():
            output = self._model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                do_sample=False,
                max_new_tokens=settings.max_new_tokens,
                stopping_criteria=StoppingCriteriaList([FirstLineEnded(self._lm, prompt.shape[1])]),
                eos_token_id=sorted(self._lm.stop_token_ids),
                pad_token_id=min(self._lm.stop_token_ids),
                **drafting,
            )
        return tuple(output[0, prompt.shape[1] :].tolist())

    def answers_of_layers(
        self, question: Question, settings: SamplingSettings, layers: tuple[int, ...]
    ) -> list[tuple[int, ...]]:
        """The greedy answer of the model cut to each of ``layers``, one after another."""
        answers = []
        for exit_layer in layers:
            with cut_to(self._model, exit_layer):
                answers.append(self.answer(question, settings))
        return answers

    def readouts(self, question: Question) -> list[list[int]]:
        """The top token of every layer at every position of the prompt."""
        with torch.inference_mode():
            states = self._model(self._prompt(question), output_hidden_states=True).hidden_states[1:]
            # The last one has been normed already.
            normed = [*(self._model.model.norm(each[0]) for each in states[:-1]), states[-1][0]]
            return [self._model.lm_head(each).argmax(-1)[:-1].tolist() for each in normed]

    def traced_readouts(self, question: Question) -> list[list[int]]:
        """The same, read inside an nnsight trace."""
        from nnsight import TransformersModel

        if self._traced is None:
            self._traced = TransformersModel(self._model, tokenizer=self._lm.tokenizer, task="text-generation")
        traced = self._traced
        with torch.inference_mode(), traced.trace(self._prompt(question)):
            tops: Any = torch.stack(
                [traced.lm_head(traced.model.norm(layer.output)).argmax(-1) for layer in traced.model.layers]
            )
            tops = tops.save()
        return tops[:, 0, :-1].tolist()


def prompt_ids(decoder: EngineDecoder, question: Question) -> list[int]:
    """Token ids of the prompt for ``question``."""
    return decoder.parts.lm.tokenize(decoder.prompt_for(question), is_chat=decoder.parts.template.is_chat)


def ours(
    decoder: EngineDecoder, question: Question, settings: SamplingSettings, exit_layer: int | None = None
) -> tuple[int, ...]:
    """Our greedy answer."""
    return ours_of_layers(decoder, question, settings, (exit_layer or decoder.num_hidden_layers,))[0]


def ours_of_layers(
    decoder: EngineDecoder, question: Question, settings: SamplingSettings, layers: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """Our greedy answer at each of ``layers``, in one pass."""
    wave = [(layer, 0) for layer in layers]
    by_layer = {
        sample.exit_layer: sample.completion_token_ids
        for progress in decoder.decode(with_prompt(decoder, question), settings, [wave])
        for sample in progress.finished
    }
    return [by_layer[layer] for layer in layers]


def our_readouts(decoder: EngineDecoder, question: Question) -> list[list[int]]:
    """The token lens's top tokens."""
    token_ids = prompt_ids(decoder, question)
    table = read_layers(decoder.parts.lm, decoder.exit_head, question.id, "", token_ids, first=1, num_top=1)
    return table.top_token_ids[:, :, 0].tolist()


if __name__ == "__main__":
    main()
