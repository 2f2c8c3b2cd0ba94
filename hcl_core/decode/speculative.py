"""Self-speculative decoding: early layers draft, the others verify, and the answers are the whole model's.

LayerSkip (Elhoushi et al. 2024, arXiv 2404.16710) drafts with the first ``e`` layers of the model and verifies with the
others, which go on from the drafts' own keys, values and hidden states. Acceptance is speculative sampling's (Leviathan
et al. 2023, arXiv 2211.17192; Chen et al. 2023, arXiv 2302.01318): a draft ``x`` from ``q`` is accepted with
probability ``min(1, p(x) / q(x))``; else a token is drawn from ``max(p - q, 0)``, rescaled. Each token is then a draw
from ``p``, whatever ``e``: the layer decides the speed and never the answer. ``p`` and ``q`` are truncated alike, so
this holds for the truncated distribution of the whole model.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.engine import EngineDecoder, EngineParts
from hcl_core.decode.heads.exit_heads import ExitHead
from hcl_core.decode.trie.prompt_cache import PromptCache
from hcl_core.decode.trie.requests import Admit, Compute, Policy, Read, Request
from hcl_core.decode.trie.running import LayerSample, Running
from hcl_core.decode.trie.sampling import draw_from, truncated_distribution
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.decode.trie.tree import PromptTree, node_bytes
from hcl_core.errors import SettingsError
from hcl_core.ports import DecodeProgress
from hcl_core.records import Sample, SamplingSettings
from hcl_core.settings.strategies import MAX_SPECULATIONS

# Uniform numbers of a token: for its draft, for accepting it, and for the token that replaces a refused one.
_DRAFT, _ACCEPT, _REPLACE = range(3)
_FIRST_ADAPTIVE = 4  # drafts of the first round where their number adapts
# Whole distributions held at a time: float64, one number a token of the vocabulary.
_MAX_DISTRIBUTIONS = 64


@dataclass
class SpeculationReport:
    """What drafting brought.

    Attributes:
        proposed: ``[MAX_SPECULATIONS]`` drafts made, by their position after the last verified token.
        accepted: ``[MAX_SPECULATIONS]`` those of them that were accepted.
        num_tokens: Tokens emitted.
        num_verifications: Rounds of draft and verification, summed over the samples.
        blocks_run: Decoder blocks run, each node's once; a node that samples share counts once.
    """

    proposed: IntArray = field(default_factory=lambda: np.zeros(MAX_SPECULATIONS, dtype=np.int64))
    accepted: IntArray = field(default_factory=lambda: np.zeros(MAX_SPECULATIONS, dtype=np.int64))
    num_tokens: int = 0
    num_verifications: int = 0
    blocks_run: int = 0

    @property
    def acceptance_rates(self) -> NDArray[np.float64]:
        """``[MAX_SPECULATIONS]`` by position, in [0, 1]; NaN where none was proposed."""
        made = self.proposed > 0
        return np.divide(self.accepted, self.proposed, out=np.full(len(made), np.nan), where=made)

    @property
    def tokens_per_verification(self) -> float:
        """From 1 to one more than the number of drafts; NaN before the first verification."""
        return self.num_tokens / self.num_verifications if self.num_verifications else float("nan")

    @property
    def blocks_per_token(self) -> float:
        """Decoder blocks run over tokens emitted; the whole model alone runs all of its blocks for each."""
        return self.blocks_run / self.num_tokens if self.num_tokens else float("nan")


class _Drafting(Running):
    """Samples of one exit layer that still run, with the number of drafts of each one's next round.

    ``uniforms`` is ``[s, max_new_tokens, 3]``.
    """

    def __init__(
        self, samples: Sequence[LayerSample], question_id: str, settings: SamplingSettings, num_drafts: int
    ) -> None:
        super().__init__(samples, question_id, settings, uniforms_per_token=3)
        self.num_drafts: IntArray = np.full(len(samples), num_drafts, dtype=np.int64)


class SelfSpeculativeDecoder(EngineDecoder):
    """Answers of the whole model, drafted by each sample's exit layer.

    Args:
        parts: Model, exit head, template and memory budget.
        num_speculations: Drafts before each verification, from 1 to ``MAX_SPECULATIONS``; 0 adapts their number to
            how many were accepted.

    Attributes:
        report: Of everything decoded so far.
    """

    def __init__(self, parts: EngineParts, num_speculations: int = 0) -> None:
        super().__init__(parts)
        if not 0 <= num_speculations <= MAX_SPECULATIONS:
            raise SettingsError(
                f"drafts must be from 1 to {MAX_SPECULATIONS}, or 0 to adapt their number; got {num_speculations}"
            )
        self.num_speculations = num_speculations
        self.report = SpeculationReport()

    def _decode_waves(
        self,
        prompt: PromptCache,
        question_id: str,
        settings: SamplingSettings,
        waves: Iterable[list[LayerSample]],
    ) -> Policy:
        # A round adds its drafts, refused ones among them, and one token more.
        num_nodes = settings.max_new_tokens * (1 + (self.num_speculations or MAX_SPECULATIONS))
        for wave in waves:
            num_running = len(wave)
            for waiting in _by_layer(wave):
                while waiting:
                    tree = PromptTree(prompt)
                    count = yield Admit(
                        tree, np.full(len(waiting), node_bytes(prompt.lm) * num_nodes + prompt.text_bytes)
                    )
                    group, waiting = waiting[:count], waiting[count:]
                    tree.reserve_for(np.full(len(group), prompt.lm.num_hidden_layers), num_nodes, num_states=2)
                    drafting = _Drafting(group, question_id, settings, self.num_speculations or _FIRST_ADAPTIVE)
                    rounds = _Rounds(tree, self.exit_head, drafting, settings, self.report, not self.num_speculations)
                    while len(drafting):
                        finished = yield from rounds.run_one()
                        num_running -= len(finished)
                        yield DecodeProgress(finished, num_running, len(tree.trie), wave_done=num_running == 0)


def _by_layer(wave: list[LayerSample]) -> list[list[LayerSample]]:
    """``wave`` by exit layer, in the order of their first samples."""
    by_layer: dict[int, list[LayerSample]] = {}
    for exit_layer, sample_idx in wave:
        by_layer.setdefault(exit_layer, []).append((exit_layer, sample_idx))
    return list(by_layer.values())


class _Rounds:
    """Rounds of draft and verification for samples of one exit layer.

    Args:
        tree: An empty tree of the prompt.
        head: How early layers are read.
        drafting: The samples.
        settings: How tokens are drawn.
        report: Counted into.
        is_adaptive: Whether a round drafts one token more than were accepted in the round before.
    """

    def __init__(
        self,
        tree: PromptTree,
        head: ExitHead,
        drafting: _Drafting,
        settings: SamplingSettings,
        report: SpeculationReport,
        is_adaptive: bool,
    ) -> None:
        self._tree, self._trie, self._head, self._drafting = tree, tree.trie, head, drafting
        self._settings, self._report, self._is_adaptive = settings, report, is_adaptive
        self._exit_layer, self._last_layer = int(drafting.exit_layers[0]), tree.prompt.lm.num_hidden_layers

    def run_one(self) -> Generator[Request, Any, tuple[Sample, ...]]:
        """One round; its finished samples."""
        blocks_before = self._tree.blocks_run
        drafts = yield from self._draft()
        yield from self._verify(drafts)
        self._report.blocks_run += self._tree.blocks_run - blocks_before
        finished = self._drafting.pop_finished(self._trie)
        self._report.num_tokens += sum(len(sample.completion_token_ids) for sample in finished)
        return finished

    def _draft(self) -> Generator[Request, Any, IntArray]:
        """Draft with the exit layer: ``[s, k]`` nodes, -1 where a sample drafts no further."""
        drafting, trie = self._drafting, self._trie
        # The token after the last draft is the verifier's.
        num_left = self._settings.max_new_tokens - trie.depths[drafting.nodes] - 1
        num_drafts = np.minimum(drafting.num_drafts, num_left)
        drafts = np.full((len(drafting), max(int(num_drafts.max()), 0)), -1, dtype=np.int64)
        nodes = drafting.nodes.copy()
        for position in range(drafts.shape[1]):
            rows = np.flatnonzero((num_drafts > position) & ~trie.is_final[nodes])
            if not len(rows):
                break
            unique, node_of_row = np.unique(nodes[rows], return_inverse=True)
            uniforms = drafting.uniforms[rows, trie.depths[nodes[rows]], _DRAFT]
            tokens = yield from self._draw_drafts(unique, node_of_row.reshape(-1), uniforms)
            nodes[rows] = self._tree.children(nodes[rows], tokens)
            drafts[rows, position] = nodes[rows]
        return drafts

    def _draw_drafts(
        self, nodes: IntArray, node_of_row: IntArray, uniforms: NDArray[np.float64]
    ) -> Generator[Request, Any, IntArray]:
        """Draw from the exit layer's distributions: ``[r]``, row ``i`` from that of ``nodes[node_of_row[i]]``."""
        tokens = np.empty(len(node_of_row), dtype=np.int64)
        for begin in range(0, len(nodes), _MAX_DISTRIBUTIONS):
            rows = np.flatnonzero((node_of_row >= begin) & (node_of_row < begin + _MAX_DISTRIBUTIONS))
            probs = yield from self._distribution(nodes[begin : begin + _MAX_DISTRIBUTIONS], self._exit_layer)
            for part in np.array_split(rows, -(-len(rows) // _MAX_DISTRIBUTIONS)):
                of_part = torch.from_numpy(node_of_row[part] - begin).to(probs.device)
                drawn = draw_from(probs[of_part], torch.from_numpy(uniforms[part]).to(probs.device))
                tokens[part] = drawn.cpu().numpy()
        return tokens

    def _verify(self, drafts: IntArray) -> Generator[Request, Any, None]:
        """Accept each sample's ``drafts [s, k]`` up to the first refused one, and add one token of the verifier's."""
        drafting, trie = self._drafting, self._trie
        nodes = np.unique(np.concatenate([drafting.nodes, drafts[drafts >= 0]]))
        nodes = nodes[~trie.is_final[nodes]]  # nothing follows the end of an answer
        # The last draft's state at the exit layer is needed too.
        exit_layers = np.repeat([self._exit_layer, self._last_layer], len(nodes))
        yield Compute(self._tree, np.tile(nodes, 2), exit_layers)
        self._report.num_verifications += len(drafting)
        is_open = np.ones(len(drafting), dtype=bool)
        num_accepted = np.zeros(len(drafting), dtype=np.int64)
        no_drafts = np.full((len(drafting), 1), -1, dtype=np.int64)
        for position, drafted in enumerate(np.concatenate([drafts, no_drafts], axis=1).T):
            rows = np.flatnonzero(is_open)
            for part in np.array_split(rows, max(1, -(-len(rows) // _MAX_DISTRIBUTIONS))):
                if len(part):
                    accepted = yield from self._accept_or_resample(part, drafted[part], position)
                    num_accepted[part] += accepted
                    is_open[part] = accepted & ~trie.is_final[drafting.nodes[part]]
        if self._is_adaptive:
            drafting.num_drafts = np.clip(num_accepted + 1, 1, MAX_SPECULATIONS)

    def _accept_or_resample(
        self, rows: IntArray, drafted: IntArray, position: int
    ) -> Generator[Request, Any, NDArray[np.bool_]]:
        """Add one token to each sample in ``rows [r]``: its draft if accepted, else one of the verifier's.

        Args:
            rows: Of ``drafting``.
            drafted: ``[r]`` node of each draft, -1 where there is none.
            position: Of the draft after the last verified token.

        Returns:
            ``[r]`` whether the draft was accepted.
        """
        drafting, trie = self._drafting, self._trie
        nodes = drafting.nodes[rows]
        unique, node_of_row = np.unique(nodes, return_inverse=True)
        logits = yield self._read(unique, self._last_layer)
        device = logits.device
        of_row = torch.from_numpy(node_of_row.reshape(-1)).to(device)
        target_probs = truncated_distribution(logits, self._settings)[of_row]  # p: [r, vocab_size]
        depths = trie.depths[nodes]
        uniforms = torch.from_numpy(drafting.uniforms[rows, depths]).to(device)  # [r, 3]
        has_draft = torch.from_numpy(drafted >= 0).to(device)
        tokens = torch.from_numpy(trie.tokens[np.maximum(drafted, 0)]).clamp_min(0).to(device)
        is_accepted = torch.zeros_like(has_draft)
        if bool(has_draft.any()):
            draft_probs = (yield from self._distribution(unique, self._exit_layer))[of_row]  # q: [r, vocab_size]
            p_token, q_token = (probs.gather(1, tokens[:, None])[:, 0] for probs in (target_probs, draft_probs))
            is_accepted = has_draft & (uniforms[:, _ACCEPT] * q_token < p_token)
            residual = (target_probs - draft_probs).clamp_min(0)
            # Where p equals q, only rounding refuses a draft, and the residual is empty: the token is drawn from p.
            resamples = has_draft & (residual.sum(-1) > 0)
            target_probs = torch.where(resamples[:, None], residual, target_probs)
            self._report.proposed[position] += int(has_draft.sum())
            self._report.accepted[position] += int(is_accepted.sum())
        replacements = draw_from(target_probs, uniforms[:, _REPLACE])
        chosen = torch.where(is_accepted, tokens, replacements)
        logprobs = logits[of_row].log_softmax(-1).gather(1, chosen[:, None])[:, 0]
        drafting.logprobs[rows, depths] = logprobs.double().cpu().numpy()
        drafting.nodes[rows] = self._tree.children(nodes, chosen.cpu().numpy())
        accepted: NDArray[np.bool_] = is_accepted.cpu().numpy()
        return accepted

    def _distribution(self, nodes: IntArray, exit_layer: int) -> Generator[Request, Any, Tensor]:
        """``[n, vocab_size]`` float64, truncated as the settings say."""
        logits = yield self._read(nodes, exit_layer)
        return truncated_distribution(logits, self._settings)

    def _read(self, nodes: IntArray, exit_layer: int) -> Read:
        return Read(self._tree, nodes, np.full(len(nodes), exit_layer), self._head)
