"""Dynamic early exit: each token leaves at the first layer that is sure enough, and the model decides how deep.

The rules are those of CALM (Schuster et al. 2022, arXiv 2207.07061): the top token's probability, or the saturation of
successive layers; entropy as in BranchyNet (Teerapittayanon et al. 2016, arXiv 1709.01686). What a later token needs of
one that left early is not guessed by copying its state upwards, as CALM does: the skipped blocks are run then, on the
state that was kept, as in FREE (Bae et al. 2023, arXiv 2310.05424). So a token's state at a layer is the whole model's,
and only the place where it is read is early.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.engine import TrieDecoder
from hcl_core.decode.memory import explain_out_of_memory
from hcl_core.decode.ragged import RaggedTrie
from hcl_core.decode.sampling import draw_tokens, sample_uniforms
from hcl_core.decode.trie import ROOT, IntArray
from hcl_core.errors import SettingsError
from hcl_core.ports import DecodeProgress
from hcl_core.records import FinishReason, Question, Sample, SamplingSettings
from hcl_core.strategies import ExitRule


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


@dataclass
class _Running:
    """The samples of a wave that still run, one row each."""

    first_layers: IntArray
    sample_idxs: IntArray
    nodes: IntArray
    uniforms: NDArray[np.float64]
    logprobs: NDArray[np.float64]
    tokens: list[list[int]] = field(default_factory=list)

    def keep(self, alive: NDArray[np.bool_]) -> None:
        self.tokens = [tokens for tokens, is_alive in zip(self.tokens, alive, strict=True) if is_alive]
        for name in ("first_layers", "sample_idxs", "nodes", "uniforms", "logprobs"):
            setattr(self, name, getattr(self, name)[alive])


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
        super().__init__(decoder.lm, decoder.exit_head, decoder.template)
        self.rule, self.compares = rule, compares
        self.report = DynamicReport(np.zeros(self.num_hidden_layers, dtype=np.int64))

    @torch.inference_mode()
    def decode(
        self, question: Question, settings: SamplingSettings, waves: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[DecodeProgress]:
        """Sample answers wave by wave; see ``ports.Decoder``."""
        prompt_token_ids = self.tokenize_checked(question, settings)
        with explain_out_of_memory("decoding"):
            for wave in waves:
                for exit_layer, _ in wave:
                    if not 1 <= exit_layer <= self.num_hidden_layers:
                        raise SettingsError(f"exit layer {exit_layer} is not from 1 to {self.num_hidden_layers}")
                yield from self._run(prompt_token_ids, question.id, settings, wave)

    def _run(
        self, prompt_token_ids: list[int], question_id: str, settings: SamplingSettings, wave: Sequence[tuple[int, int]]
    ) -> Iterator[DecodeProgress]:
        ragged = RaggedTrie(self.lm, self.exit_head, prompt_token_ids)
        # A trie of its own for the whole model's tokens: what they cost is no cost of leaving early.
        whole = RaggedTrie(self.lm, self.exit_head, prompt_token_ids) if self.compares else None
        steps = settings.max_new_tokens
        layers, idxs = (np.array(column, dtype=np.int64) for column in zip(*wave, strict=True))
        uniforms = np.stack([sample_uniforms(settings.seed, question_id, *key, steps) for key in wave])
        nodes = np.full(len(wave), ROOT, dtype=np.int64)
        running = _Running(layers, idxs, nodes, uniforms, np.zeros((len(wave), steps)), [[] for _ in wave])
        for step in range(steps):
            self._step(ragged, whole, running, settings, step)
            ended = ragged.trie.is_final[running.nodes] | (step + 1 == steps)
            finished = tuple(self._sample(ragged, running, row, question_id) for row in np.flatnonzero(ended).tolist())
            running.keep(~ended)
            yield DecodeProgress(finished, len(running.nodes), len(ragged.trie), wave_done=not len(running.nodes))
            if not len(running.nodes):
                return

    def _step(
        self, ragged: RaggedTrie, whole: RaggedTrie | None, running: _Running, settings: SamplingSettings, step: int
    ) -> None:
        """Read every sample's node where it leaves, and move the sample on."""
        places, which = np.unique(np.stack([running.first_layers, running.nodes]), axis=1, return_inverse=True)
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
            self._bring_to(ragged, np.unique(nodes[asking]), layer)
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

    def _bring_to(self, ragged: RaggedTrie, nodes: IntArray, layer: int) -> None:
        """Have the states of ``nodes`` at ``layer`` kept; one that has gone past it unkept is run anew."""
        new = np.array([node for node in nodes.tolist() if not ragged.is_kept(node, layer)], dtype=np.int64)
        passed = new[ragged.trie.num_computed[new] > layer]
        if len(passed):
            ragged.rewind(passed)
        if len(new):
            ragged.advance(new, layer)
            ragged.keep(new, layer)

    def _compare(
        self, ragged: RaggedTrie, nodes: IntArray, uniforms: Tensor, settings: SamplingSettings, tokens: Tensor
    ) -> None:
        """Count the tokens that the whole model would have put otherwise."""
        last = self.num_hidden_layers
        unique, which = np.unique(nodes, return_inverse=True)
        self._bring_to(ragged, unique, last)
        rows = torch.from_numpy(which.reshape(-1)).to(tokens.device)
        theirs, _ = draw_tokens(ragged.logits(unique, last), rows, uniforms, settings)
        self.report.num_different += int((theirs != tokens).sum())
        self.report.num_compared += len(tokens)

    def _sample(self, ragged: RaggedTrie, running: _Running, row: int, question_id: str) -> Sample:
        token_ids = ragged.token_ids(int(running.nodes[row]))
        text = self.lm.detokenize(list(token_ids))
        is_final = bool(ragged.trie.is_final[running.nodes[row]])
        finish_reason: FinishReason = "stop" if is_final else "length"
        return Sample(
            question_id=question_id,
            exit_layer=int(running.first_layers[row]),
            sample_idx=int(running.sample_idxs[row]),
            answer=next((line.strip() for line in text.split("\n") if line.strip()), ""),
            completion_text=text,
            completion_token_ids=token_ids,
            token_logprobs=tuple(running.logprobs[row, : len(token_ids)].tolist()),
            finish_reason=finish_reason,
        )
