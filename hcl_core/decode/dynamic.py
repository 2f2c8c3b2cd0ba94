"""Dynamic early exit: each token is read at the first layer that is sure enough, so the model decides how deep to run.

The rules are those of CALM (Schuster et al. 2022, arXiv 2207.07061): the top token's probability, or the agreement of
successive layers; entropy as in BranchyNet (Teerapittayanon et al. 2016, arXiv 1709.01686). A later token attends to
keys and values of blocks that an exited token skipped. CALM copies the exited state upwards for that; here the skipped
blocks are run on it when they are needed, as in FREE (Bae et al. 2023, arXiv 2310.05424). So a token's hidden state at
a layer is the whole model's; only the layer at which it is read is early.
"""

import math
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.early_exit import decode_to_end
from hcl_core.decode.engine import EngineDecoder, EngineParts
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.requests import Admit, Policy, Read, Request
from hcl_core.decode.trie.running import LayerSample, Running
from hcl_core.decode.trie.sampling import draw_tokens
from hcl_core.decode.trie.token_trie import ROOT, IntArray
from hcl_core.decode.trie.tree import PromptTree, node_bytes
from hcl_core.records import SamplingSettings
from hcl_core.settings.strategies import ExitRule


def should_exit(rule: ExitRule, logits: Tensor, num_agreeing: IntArray) -> NDArray[np.bool_]:
    """Which rows exit: ``[n]``.

    Args:
        rule: When a token exits.
        logits: ``[n, vocab_size]`` of the current layer.
        num_agreeing: ``[n]`` consecutive layers with the same top token, the current layer included.
    """
    if rule.name == "agreement":
        agrees: NDArray[np.bool_] = num_agreeing >= rule.threshold
        return agrees
    log_probs = logits.log_softmax(-1)
    if rule.name == "probability":
        is_sure = log_probs.amax(-1).exp() > rule.threshold
    else:
        is_sure = torch.special.entr(log_probs.exp()).sum(-1) < rule.threshold
    exits: NDArray[np.bool_] = is_sure.cpu().numpy()
    return exits


@dataclass
class DynamicReport:
    """At which layers tokens exited.

    Attributes:
        exits: ``[num_hidden_layers]`` tokens by the layer at which they were read; index 0 is layer 1.
        num_different: Tokens that differ from the whole model's token with the same text before and the same noise.
        num_compared: Tokens that were compared so.
        blocks_run: Decoder blocks run, each node's once, those included that later tokens needed of earlier ones.
        num_nodes: Distinct token prefixes that were read, without the prompt.
    """

    exits: IntArray
    num_different: int = 0
    num_compared: int = 0
    blocks_run: int = 0
    num_nodes: int = 0

    @property
    def blocks_saved(self) -> float:
        """Share of the whole model's blocks that were not run; NaN before the first token."""
        return 1 - self.blocks_run / (len(self.exits) * self.num_nodes) if self.num_nodes else math.nan


class DynamicExitDecoder(EngineDecoder):
    """Answers whose tokens exit at the first layer that is sure enough, from the sample's exit layer on.

    Args:
        parts: Model, exit head, template and memory budget.
        rule: When a token exits.
        compares: Whether each token is compared with the whole model's, which runs all blocks for each.

    Attributes:
        report: Of everything decoded so far.
    """

    def __init__(self, parts: EngineParts, rule: ExitRule, compares: bool = False) -> None:
        super().__init__(parts)
        self.rule, self.compares = rule, compares
        self.report = DynamicReport(np.zeros(self.num_hidden_layers, dtype=np.int64))

    def _decode_waves(
        self,
        prompt: PromptCache,
        question_id: str,
        settings: SamplingSettings,
        waves: Iterable[list[LayerSample]],
    ) -> Policy:
        lm, num_nodes = prompt.lm, settings.max_new_tokens
        # A sample has a row of logits from the layer at which it exits, and one from the layer under test.
        most = num_nodes * (2 if self.compares else 1) * node_bytes(lm) + 2 * 4 * lm.vocab_size + prompt.text_bytes
        for wave in waves:
            waiting = wave
            while waiting:
                tree = PromptTree(prompt)
                count = yield Admit(tree, np.full(len(waiting), most))
                running, waiting = Running(waiting[:count], question_id, settings), waiting[count:]
                tree.reserve_for(np.full(count, lm.num_hidden_layers), num_nodes)
                # The whole model's tokens have a tree of their own: their blocks are no cost of dynamic exit.
                whole = PromptTree(prompt) if self.compares else None
                if whole is not None:
                    whole.reserve_for(np.full(count, lm.num_hidden_layers), num_nodes)
                step = partial(self._step, tree, whole, running, settings)
                yield from decode_to_end(tree, running, len(waiting), step, num_nodes)

    def _step(
        self, tree: PromptTree, whole: PromptTree | None, running: Running, settings: SamplingSettings, step: int
    ) -> Policy:
        """Read every sample's node at the layer where it exits, and move the sample on by one token."""
        nodes, first_layers, row_of_sample = running.readouts()
        blocks_before = tree.blocks_run
        logits, exits = yield from self._read(tree, nodes, first_layers)
        self.report.blocks_run += tree.blocks_run - blocks_before
        self.report.num_nodes += int((np.unique(nodes) != ROOT).sum())
        np.add.at(self.report.exits, exits[row_of_sample] - 1, 1)
        rows = torch.from_numpy(row_of_sample).to(logits.device)
        uniforms = torch.from_numpy(running.uniforms[:, step]).to(logits.device)
        drawn, logprobs = draw_tokens(logits, rows, uniforms, settings)
        tokens = drawn.numpy()
        if whole is not None:
            yield from self._compare(whole, running.nodes, uniforms, settings, drawn)
            whole.children(running.nodes, tokens)  # adds the same nodes in the same order, so with the same numbers
        running.logprobs[:, step] = logprobs.numpy()
        running.nodes = tree.children(running.nodes, tokens)

    def _read(
        self, tree: PromptTree, nodes: IntArray, first_layers: IntArray
    ) -> Generator[Request, Any, tuple[Tensor, IntArray]]:
        """Logits ``[n, vocab_size]`` of each node at the layer where it exits, and that layer ``[n]``."""
        last = self.num_hidden_layers
        exit_logits = torch.empty(len(nodes), self.parts.lm.vocab_size, device=self.parts.lm.readout_device)
        exits = np.full(len(nodes), last, dtype=np.int64)
        top_tokens = np.full(len(nodes), -1, dtype=np.int64)
        num_agreeing = np.zeros(len(nodes), dtype=np.int64)
        waiting = np.arange(len(nodes))
        for layer in range(int(first_layers.min()), last + 1):
            rows = waiting[first_layers[waiting] <= layer]
            if not len(rows):
                continue
            logits = yield Read(tree, nodes[rows], np.full(len(rows), layer), self.exit_head)
            top = logits.argmax(-1).cpu().numpy()
            num_agreeing[rows] = np.where(top == top_tokens[rows], num_agreeing[rows] + 1, 1)
            top_tokens[rows] = top
            leaving = np.ones(len(rows), dtype=bool)
            if layer < last:
                leaving = should_exit(self.rule, logits, num_agreeing[rows])
            exit_logits[torch.from_numpy(rows[leaving])] = logits[torch.from_numpy(leaving)]
            exits[rows[leaving]] = layer
            waiting = np.setdiff1d(waiting, rows[leaving])
            if not len(waiting):
                break
        return exit_logits, exits

    def _compare(
        self, whole: PromptTree, nodes: IntArray, uniforms: Tensor, settings: SamplingSettings, tokens: Tensor
    ) -> Policy:
        """Count the samples whose ``tokens [s]`` differ from what the whole model would have drawn."""
        last = self.num_hidden_layers
        unique, row_of_sample = np.unique(nodes, return_inverse=True)
        logits = yield Read(whole, unique, np.full(len(unique), last), self.exit_head)
        rows = torch.from_numpy(row_of_sample.reshape(-1)).to(logits.device)
        whole_tokens, _ = draw_tokens(logits, rows, uniforms, settings)
        self.report.num_different += int((whole_tokens != tokens).sum())
        self.report.num_compared += len(tokens)
