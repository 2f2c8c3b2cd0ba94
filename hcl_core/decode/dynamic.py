"""Dynamic early exit: each token leaves at the first layer that is sure enough, and the model decides how deep.

The rules are those of CALM (Schuster et al. 2022, arXiv 2207.07061): the top token's probability, or the saturation of
successive layers; entropy as in BranchyNet (Teerapittayanon et al. 2016, arXiv 1709.01686). What a later token needs of
one that left early is not guessed by copying its state upwards, as CALM does: the skipped blocks are run then, on the
state that was kept, as in FREE (Bae et al. 2023, arXiv 2310.05424). So a token's state at a layer is the whole model's,
and only the place where it is read is early.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.engine import TrieDecoder
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.decode.trie.ragged import RaggedTrie, samples_at_once
from hcl_core.decode.trie.sampling import draw_tokens
from hcl_core.decode.trie.session import Running
from hcl_core.decode.trie.token_trie import ROOT, IntArray
from hcl_core.ports import DecodeProgress
from hcl_core.records import SamplingSettings, StoredQuestion
from hcl_core.settings.strategies import ExitRule


def leaves(rule: ExitRule, logits: Tensor, streak: IntArray) -> NDArray[np.bool_]:
    """Which rows of ``logits [n, vocab_size]`` leave; ``streak [n]`` layers have had their top token so far."""
    if rule.name == "agreement":
        agrees: NDArray[np.bool_] = streak >= rule.threshold
        return agrees
    log_probs = logits.log_softmax(-1)
    if rule.name == "probability":
        sure = log_probs.amax(-1).exp() > rule.threshold
    else:
        sure = torch.special.entr(log_probs.exp()).sum(-1) < rule.threshold
    leaving: NDArray[np.bool_] = sure.cpu().numpy()
    return leaving


@dataclass
class DynamicReport:
    """Where tokens left.

    Attributes:
        exits: Tokens by the layer they were read at, ``[num_hidden_layers]``; the place 0 is layer 1.
        num_different: Tokens that the whole model, with the same noise, would have put otherwise.
        num_compared: Tokens for which that was looked at.
        blocks_run: Decoder blocks run, each node's once, those that later tokens asked of earlier ones among them.
        nodes: Distinct token prefixes that were read, but for the prompt.
    """

    exits: IntArray
    num_different: int = 0
    num_compared: int = 0
    blocks_run: int = 0
    nodes: int = 0

    @property
    def blocks_saved(self) -> float:
        """Share of the blocks that the whole model would have run; NaN before the first token."""
        return 1 - self.blocks_run / (len(self.exits) * self.nodes) if self.nodes else math.nan


class DynamicExitDecoder(TrieDecoder):
    """Answers whose tokens leave at the first layer that is sure enough, from a sample's exit layer on.

    Args:
        decoder: Its model, exit head and template are taken.
        rule: When a token leaves.
        compares: Whether each token is compared with the whole model's, which costs the blocks that were saved.

    Attributes:
        report: Of everything decoded so far.
    """

    def __init__(self, decoder: TrieDecoder, rule: ExitRule, compares: bool = False) -> None:
        super().__init__(decoder.lm, decoder.exit_head, decoder.template, decoder._memory_budget)
        self.rule, self.compares = rule, compares
        self.report = DynamicReport(np.zeros(self.num_hidden_layers, dtype=np.int64))

    @torch.inference_mode()
    def decode(
        self, stored: StoredQuestion, settings: SamplingSettings, waves: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[DecodeProgress]:
        """Sample answers wave by wave; see ``ports.Decoder``."""
        prompt_token_ids = self.tokenize_checked(stored, settings)
        with explain_out_of_memory("decoding"):
            for wave in waves:
                self.check_layers(exit_layer for exit_layer, _ in wave)
                steps, tries = settings.max_new_tokens, 2 if self.compares else 1
                # Each has a row of logits at the layer where it leaves, and one at the layer that is looked at.
                at_once = samples_at_once(self.lm, self.memory_budget(), tries * steps, 2 * 4 * self.lm.vocab_size)
                for start in range(0, len(wave), at_once):
                    some, num_waiting = wave[start : start + at_once], max(0, len(wave) - start - at_once)
                    yield from self._run(prompt_token_ids, stored.question.id, settings, some, num_waiting)

    def _run(
        self,
        prompt_token_ids: list[int],
        question_id: str,
        settings: SamplingSettings,
        keys: Sequence[tuple[int, int]],
        num_waiting: int,
    ) -> Iterator[DecodeProgress]:
        """Decode the samples ``keys`` to their ends; ``num_waiting`` more follow in this wave."""
        steps = settings.max_new_tokens
        num_nodes = len(keys) * steps
        ragged = RaggedTrie(self.lm, self.exit_head, prompt_token_ids, num_nodes)
        # A trie of its own for the whole model's tokens: what they cost is no cost of leaving early.
        whole = RaggedTrie(self.lm, self.exit_head, prompt_token_ids, num_nodes) if self.compares else None
        running = Running(keys, question_id, settings)
        for step in range(steps):
            self._step(ragged, whole, running, settings, step)
            ended = ragged.trie.is_final[running.nodes] | (step + 1 == steps)
            finished = tuple(ragged.sample(running, row, question_id) for row in np.flatnonzero(ended).tolist())
            running.keep(~ended)
            num_running = len(running) + num_waiting
            yield DecodeProgress(finished, num_running, len(ragged.trie), wave_done=num_running == 0)
            if not len(running):
                return

    def _step(
        self, ragged: RaggedTrie, whole: RaggedTrie | None, running: Running, settings: SamplingSettings, step: int
    ) -> None:
        """Read every sample's node where it leaves, and move the sample on."""
        places, which = np.unique(np.stack([running.exit_layers, running.nodes]), axis=1, return_inverse=True)
        which = which.reshape(-1)
        before = ragged.blocks_run
        logits, exits = self._read(ragged, places[1], places[0])
        self.report.blocks_run += ragged.blocks_run - before
        self.report.nodes += int((np.unique(places[1]) != ROOT).sum())
        np.add.at(self.report.exits, exits[which] - 1, 1)
        rows = torch.from_numpy(which).to(logits.device)
        uniforms = torch.from_numpy(running.uniforms[:, step]).to(logits.device)
        tokens, logprobs = draw_tokens(logits, rows, uniforms, settings)
        if whole is not None:
            self._compare(whole, running.nodes, uniforms, settings, tokens)
            whole.children(running.nodes, tokens.cpu().numpy())  # both tries number their nodes alike
        running.logprobs[:, step] = logprobs.cpu().numpy()
        running.nodes = ragged.children(running.nodes, tokens.cpu().numpy())

    def _read(self, ragged: RaggedTrie, nodes: IntArray, first_layers: IntArray) -> tuple[Tensor, IntArray]:
        """Logits ``[n, vocab_size]`` of each node at the layer where it leaves, and that layer ``[n]``."""
        last = self.num_hidden_layers
        read = torch.empty(len(nodes), self.lm.vocab_size, device=self.lm.readout_device)
        exits = np.full(len(nodes), last, dtype=np.int64)
        tops, streak = np.full(len(nodes), -1, dtype=np.int64), np.zeros(len(nodes), dtype=np.int64)
        waiting = np.arange(len(nodes))
        for layer in range(int(first_layers.min()), last + 1):
            asking = waiting[first_layers[waiting] <= layer]
            if not len(asking):
                continue
            ragged.bring_to(np.unique(nodes[asking]), layer)
            logits = ragged.logits(nodes[asking], layer)
            top = logits.argmax(-1).cpu().numpy()
            streak[asking] = np.where(top == tops[asking], streak[asking] + 1, 1)
            tops[asking] = top
            leaving = leaves(self.rule, logits, streak[asking]) if layer < last else np.ones(len(asking), dtype=bool)
            read[torch.from_numpy(asking[leaving])] = logits[torch.from_numpy(leaving)]
            exits[asking[leaving]] = layer
            waiting = np.setdiff1d(waiting, asking[leaving])
            if not len(waiting):
                break
        return read, exits

    def _compare(
        self, ragged: RaggedTrie, nodes: IntArray, uniforms: Tensor, settings: SamplingSettings, tokens: Tensor
    ) -> None:
        """Count the tokens that the whole model would have put otherwise."""
        last = self.num_hidden_layers
        unique, which = np.unique(nodes, return_inverse=True)
        ragged.bring_to(unique, last)
        rows = torch.from_numpy(which.reshape(-1)).to(tokens.device)
        theirs, _ = draw_tokens(ragged.logits(unique, last), rows, uniforms, settings)
        self.report.num_different += int((theirs != tokens).sum())
        self.report.num_compared += len(tokens)
