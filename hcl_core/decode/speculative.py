"""Self-speculative decoding: early layers draft, the rest verifies, and the answers are the whole model's.

LayerSkip (Elhoushi et al. 2024, arXiv 2404.16710) drafts with the first ``e`` layers of the model and verifies with the
others, which go on from the drafts' own keys, values and hidden states. Acceptance is speculative sampling's (Leviathan
et al. 2023, arXiv 2211.17192; Chen et al. 2023, arXiv 2302.01318): a draft ``x`` from ``q`` is kept with probability
``min(1, p(x) / q(x))``; else a token is drawn from ``max(p - q, 0)``, rescaled. Each token is then a draw from ``p``,
whatever ``e``: the layer decides the speed and never the answer. ``p`` and ``q`` are truncated alike, so this holds for
the truncated distribution of the whole model.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcl_core.decode.engine import TrieDecoder
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.decode.trie.ragged import RaggedTrie, samples_at_once
from hcl_core.decode.trie.sampling import draw_from, truncated_distribution
from hcl_core.decode.trie.session import Running
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.errors import SettingsError
from hcl_core.ports import DecodeProgress
from hcl_core.records import Sample, SamplingSettings, StoredQuestion
from hcl_core.settings.strategies import MOST_SPECULATIONS

# Uniforms a token: for its draft, for keeping it, and for what takes its place.
_DRAFT, _KEEP, _REPLACE = range(3)
# Rows of whole distributions at a time: float64, a vocabulary each.
_ROWS_AT_ONCE = 64


@dataclass
class SpeculationReport:
    """What drafting brought.

    Attributes:
        proposed: Drafts made, by their place after the last verified token.
        accepted: Those of them that were kept.
        num_tokens: Tokens emitted.
        num_verifications: Rounds of draft and verification, summed over the samples.
        blocks_run: Decoder blocks run, each node's once; what samples share counts once.
    """

    proposed: IntArray = field(default_factory=lambda: np.zeros(MOST_SPECULATIONS, dtype=np.int64))
    accepted: IntArray = field(default_factory=lambda: np.zeros(MOST_SPECULATIONS, dtype=np.int64))
    num_tokens: int = 0
    num_verifications: int = 0
    blocks_run: int = 0

    @property
    def acceptance_rates(self) -> NDArray[np.float64]:
        """By place, in [0, 1]; NaN where none was proposed."""
        made = self.proposed > 0
        return np.divide(self.accepted, self.proposed, out=np.full(len(made), np.nan), where=made)

    @property
    def tokens_per_verification(self) -> float:
        """From 1 to one more than the drafts; NaN before the first."""
        return self.num_tokens / self.num_verifications if self.num_verifications else float("nan")

    @property
    def blocks_per_token(self) -> float:
        """Decoder blocks run over tokens emitted; the whole model alone runs all of its blocks for each."""
        return self.blocks_run / self.num_tokens if self.num_tokens else float("nan")


class _Drafting(Running):
    """The samples of one exit layer that still run, each with how far it drafts; its noise is ``[s, steps, 3]``."""

    def __init__(
        self, keys: Sequence[tuple[int, int]], question_id: str, settings: SamplingSettings, num_drafts: int
    ) -> None:
        super().__init__(keys, question_id, settings, uniforms_per_token=3)
        self.uniforms = self.uniforms.reshape(len(keys), -1, 3)
        self.num_drafts: IntArray = np.full(len(keys), num_drafts, dtype=np.int64)


class SelfSpeculativeDecoder(TrieDecoder):
    """Answers of the whole model, drafted by the exit layer that a sample asks for.

    Args:
        decoder: Its model, exit head and template are taken.
        num_speculations: Drafts before each verification, from 1 to ``MOST_SPECULATIONS``; 0 adapts their number to
            how many were kept.

    Attributes:
        report: Of everything decoded so far.
    """

    def __init__(self, decoder: TrieDecoder, num_speculations: int = 0) -> None:
        super().__init__(decoder.lm, decoder.exit_head, decoder.template, decoder._memory_budget)
        if not 0 <= num_speculations <= MOST_SPECULATIONS:
            raise SettingsError(
                f"drafts must be from 1 to {MOST_SPECULATIONS}, or 0 to adapt their number; got {num_speculations}"
            )
        self.num_speculations = num_speculations
        self.report = SpeculationReport()

    @torch.inference_mode()
    def decode(
        self, stored: StoredQuestion, settings: SamplingSettings, waves: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[DecodeProgress]:
        """Sample answers wave by wave; see ``ports.Decoder``. A wave's exit layers are taken one after another."""
        prompt_token_ids = self.tokenize_checked(stored, settings)
        with explain_out_of_memory("decoding"):
            for wave in waves:
                self.check_layers(exit_layer for exit_layer, _ in wave)
                by_layer: dict[int, list[int]] = {}
                for exit_layer, sample_idx in wave:
                    by_layer.setdefault(exit_layer, []).append(sample_idx)
                num_left = len(wave)
                # Each round adds its drafts, the refused among them, and one token more.
                num_nodes = settings.max_new_tokens * (1 + (self.num_speculations or MOST_SPECULATIONS))
                at_once = samples_at_once(self.lm, self.memory_budget(), num_nodes)
                groups = [
                    (exit_layer, sample_idxs[start : start + at_once])
                    for exit_layer, sample_idxs in by_layer.items()
                    for start in range(0, len(sample_idxs), at_once)
                ]
                for exit_layer, some in groups:
                    session = _Session(
                        self, settings, stored.question.id, prompt_token_ids, exit_layer, len(some) * num_nodes
                    )
                    for finished in session.run(some):
                        num_left -= len(finished)
                        yield DecodeProgress(finished, num_left, session.num_nodes, wave_done=num_left == 0)


class _Session:
    """The samples of one prompt and one exit layer."""

    def __init__(
        self,
        decoder: SelfSpeculativeDecoder,
        settings: SamplingSettings,
        question_id: str,
        prompt_token_ids: list[int],
        exit_layer: int,
        num_nodes: int,
    ) -> None:
        self._settings, self._question_id = settings, question_id
        self._exit_layer, self._last = exit_layer, decoder.num_hidden_layers
        self._fixed, self._report = decoder.num_speculations, decoder.report
        self._ragged = RaggedTrie(decoder.lm, decoder.exit_head, prompt_token_ids, num_nodes)

    @property
    def num_nodes(self) -> int:
        """Distinct token prefixes, rejected drafts among them."""
        return len(self._ragged.trie)

    def run(self, sample_idxs: Sequence[int]) -> Iterator[tuple[Sample, ...]]:
        """Decode to the end; each round's finished samples."""
        steps = self._settings.max_new_tokens
        keys = [(self._exit_layer, sample_idx) for sample_idx in sample_idxs]
        drafting = _Drafting(keys, self._question_id, self._settings, self._fixed or 4)
        while len(drafting):
            before = self._ragged.blocks_run
            drafts = self._draft(drafting)
            self._verify(drafting, drafts)
            self._report.blocks_run += self._ragged.blocks_run - before
            ended = self._ragged.trie.is_final[drafting.nodes] | (self._ragged.depth(drafting.nodes) == steps)
            rows = np.flatnonzero(ended).tolist()
            finished = tuple(self._ragged.sample(drafting, row, self._question_id) for row in rows)
            self._report.num_tokens += sum(len(sample.completion_token_ids) for sample in finished)
            drafting.keep(~ended)
            yield finished

    def _draft(self, drafting: _Drafting) -> IntArray:
        """Draft ahead with the exit layer: ``[s, k]`` nodes, -1 where a sample drafts no further."""
        ragged, steps = self._ragged, self._settings.max_new_tokens
        room = steps - ragged.depth(drafting.nodes) - 1  # the token after the last draft is the verifier's
        lengths = np.minimum(drafting.num_drafts, room)
        drafts = np.full((len(drafting), max(int(lengths.max()), 0)), -1, dtype=np.int64)
        at = drafting.nodes.copy()
        for place in range(drafts.shape[1]):
            rows = np.flatnonzero((lengths > place) & ~ragged.trie.is_final[at])
            if not len(rows):
                break
            unique, which = np.unique(at[rows], return_inverse=True)
            ragged.bring_to(unique, self._exit_layer)
            uniforms = drafting.uniforms[rows, ragged.depth(at[rows]), _DRAFT]
            tokens = self._draw_rows(unique, which.reshape(-1), uniforms)
            at[rows] = ragged.children(at[rows], tokens)
            drafts[rows, place] = at[rows]
        return drafts

    def _draw_rows(self, nodes: IntArray, which: IntArray, uniforms: NDArray[np.float64]) -> IntArray:
        """Draw from the drafting distributions of ``nodes``, for sample ``i`` from that of ``nodes[which[i]]``."""
        tokens = np.empty(len(which), dtype=np.int64)
        for begin in range(0, len(nodes), _ROWS_AT_ONCE):
            inside = np.flatnonzero((which >= begin) & (which < begin + _ROWS_AT_ONCE))
            probs = self._distribution(nodes[begin : begin + _ROWS_AT_ONCE], self._exit_layer)
            rows = torch.from_numpy(which[inside] - begin).to(probs.device)
            for some in np.array_split(np.arange(len(inside)), -(-len(inside) // _ROWS_AT_ONCE)):
                chosen = torch.from_numpy(uniforms[inside[some]]).to(probs.device)
                drawn = draw_from(probs[rows[torch.from_numpy(some).to(rows.device)]], chosen)
                tokens[inside[some]] = drawn.cpu().numpy()
        return tokens

    def _verify(self, drafting: _Drafting, drafts: IntArray) -> None:
        """Keep each sample's drafts up to the first that is refused, and put one more token after them."""
        ragged = self._ragged
        asked = np.unique(np.concatenate([drafting.nodes, drafts[drafts >= 0]]))
        # An end needs no further word, and a node that was asked before has its states.
        asked = asked[~ragged.trie.is_final[asked]]
        ragged.bring_to(asked, self._exit_layer)  # one that was never drafted from stops there on its way
        ragged.bring_to(asked, self._last)
        self._report.num_verifications += len(drafting)
        is_open = np.ones(len(drafting), dtype=bool)
        num_kept = np.zeros(len(drafting), dtype=np.int64)
        for place in range(drafts.shape[1] + 1):
            drafted = drafts[:, place] if place < drafts.shape[1] else np.full(len(drafting), -1)
            rows = np.flatnonzero(is_open)
            for some in np.array_split(rows, max(1, -(-len(rows) // _ROWS_AT_ONCE))):
                if len(some):
                    kept = self._decide(drafting, some, drafted[some], place)
                    num_kept[some] += kept
                    is_open[some] = kept & ~ragged.trie.is_final[drafting.nodes[some]]
        if not self._fixed:
            drafting.num_drafts = np.clip(num_kept + 1, 1, MOST_SPECULATIONS)

    def _decide(self, drafting: _Drafting, rows: IntArray, drafted: IntArray, place: int) -> NDArray[np.bool_]:
        """One more token for each of ``rows``: the draft, where it is kept, else one of the verifier's.

        Returns:
            ``[r]`` whether it was the draft.
        """
        ragged = self._ragged
        nodes = drafting.nodes[rows]
        unique, which = np.unique(nodes, return_inverse=True)
        logits = ragged.logits(unique, self._last)
        device = logits.device
        where = torch.from_numpy(which.reshape(-1)).to(device)
        wanted = truncated_distribution(logits, self._settings)[where]  # p: [r, vocab_size]
        depth = ragged.depth(nodes)
        uniforms = torch.from_numpy(drafting.uniforms[rows, depth]).to(device)  # [r, 3]
        has_draft = torch.from_numpy(drafted >= 0).to(device)
        tokens = torch.from_numpy(ragged.trie.tokens[np.maximum(drafted, 0)]).clamp_min(0).to(device)
        is_kept = torch.zeros_like(has_draft)
        if bool(has_draft.any()):
            offered = self._distribution(unique, self._exit_layer)[where]  # q
            ours, theirs = (each.gather(1, tokens[:, None])[:, 0] for each in (wanted, offered))
            is_kept = has_draft & (uniforms[:, _KEEP] * theirs < ours)
            rest = (wanted - offered).clamp_min(0)
            # Where p and q are one, nothing is refused but by rounding.
            wanted = torch.where((has_draft & (rest.sum(-1) > 0))[:, None], rest, wanted)
            self._report.proposed[place] += int(has_draft.sum())
            self._report.accepted[place] += int(is_kept.sum())
        replaced = draw_from(wanted, uniforms[:, _REPLACE])
        chosen = torch.where(is_kept, tokens, replaced)
        logprobs = logits[where].log_softmax(-1).gather(1, chosen[:, None])[:, 0]
        drafting.logprobs[rows, depth] = logprobs.double().cpu().numpy()
        drafting.nodes[rows] = ragged.children(nodes, chosen.cpu().numpy())
        kept: NDArray[np.bool_] = is_kept.cpu().numpy()
        return kept

    def _distribution(self, nodes: IntArray, exit_layer: int) -> Tensor:
        """``[n, vocab_size]`` float64, truncated as the settings say."""
        return truncated_distribution(self._ragged.logits(nodes, exit_layer), self._settings)
