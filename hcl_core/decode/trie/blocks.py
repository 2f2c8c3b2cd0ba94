"""Decoder blocks over the nodes of many trees: matrix products once over all rows, attention as ``attending`` says."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.linear import MIN_ROWS
from hcl_core.decode.trie.attending import Attention, TreeRows, attention_of
from hcl_core.decode.trie.slot_pool import PooledKv, index_of
from hcl_core.decode.trie.token_trie import IntArray
from hcl_core.decode.trie.tree import Growth, PromptTree
from hcl_core.models.footprint import scratch_bytes


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Rows of one tree's growth that run together with rows of others: those from ``begin`` to ``end``."""

    tree: PromptTree
    growth: Growth
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def of(self, column: IntArray) -> IntArray:
        """The piece's entries of a column of the growth."""
        return column[self.begin : self.end]

    def stored(self) -> tuple[IntArray, IntArray]:
        """Rows, from 0, and exit layers of the states to store."""
        growth = self.growth
        inside = (growth.stored_rows >= self.begin) & (growth.stored_rows < self.end)
        return growth.stored_rows[inside] - self.begin, growth.stored_layers[inside]


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """Successive layers that the same rows run.

    Attributes:
        layers: The layers.
        rows: Which of all rows: the first ones if all others are done, else numbers ``[k]``.
        rotary: Cosines and sines of their positions.
        attention: Of the rows.
        stored: ``[m]`` of the segment's rows, whose states are stored after the last layer.
    """

    layers: range
    rows: slice | Tensor
    rotary: tuple[Tensor, Tensor]
    attention: Attention
    stored: Tensor


def grow(lm: CausalLM, asked: Sequence[tuple[PromptTree, IntArray, IntArray]]) -> None:
    """Compute and store the states of nodes after their exit layers, those of all trees together.

    Args:
        lm: The model of all trees.
        asked: A tree, nodes ``[m]`` of it and their exit layers ``[m]``; no tree twice.
    """
    growths = [(tree, growth) for tree, nodes, layers in asked if (growth := tree.growth(nodes, layers)) is not None]
    for tree, growth in growths:
        tree.kv.place(growth.nodes, len(tree.trie))
    for of_pool in _by_pool(growths):
        for pieces in _chunks(of_pool, scratch_bytes(lm.layer_devices[0].type)):
            _run(lm, pieces)
    for tree, growth in growths:
        computed = tree.trie.num_computed
        computed[growth.nodes] = np.maximum(computed[growth.nodes], growth.stops)
        tree.blocks_run += int((growth.stops - growth.starts).sum())


def _by_pool(growths: Sequence[tuple[PromptTree, Growth]]) -> Iterable[list[tuple[PromptTree, Growth]]]:
    """The growths whose keys and values lie in one pool, or in none, together: usually all."""
    pools: dict[int, list[tuple[PromptTree, Growth]]] = {}
    for tree, growth in growths:
        pools.setdefault(id(tree.kv.pool) if isinstance(tree.kv, PooledKv) else 0, []).append((tree, growth))
    return pools.values()


def _chunks(growths: Sequence[tuple[PromptTree, Growth]], scratch: int) -> Iterator[list[_Piece]]:
    """The rows of all growths, in pieces that fit ``scratch`` bytes together."""
    pieces: list[_Piece] = []
    left, num_rows = scratch, 0
    for tree, growth in growths:
        row_bytes, begin = tree.prompt.scratch_bytes(growth.paths.shape[1]), 0
        while begin < len(growth.nodes):
            fitting = max(left // row_bytes, MIN_ROWS - num_rows)
            if fitting < 1:
                yield pieces
                pieces, left, num_rows = [], scratch, 0
                continue
            end = min(begin + fitting, len(growth.nodes))
            pieces.append(_Piece(tree, growth, begin, end))
            left, num_rows, begin = left - (end - begin) * row_bytes, num_rows + end - begin, end
    if pieces:
        yield pieces


def _run(lm: CausalLM, pieces: Sequence[_Piece]) -> None:
    """Run the blocks of all pieces, and store the states."""
    # Every upload comes before the layer loop, so that the loop never synchronises with a GPU.
    hidden = _starting_states(lm, pieces)  # [n, hidden_size]
    stored = [piece.stored() for piece in pieces]
    segments = list(_segments(lm, pieces, stored))
    states = []
    for segment in segments:
        moving = hidden[segment.rows]
        for layer in segment.layers:
            attend = partial(segment.attention, layer)
            moving = lm.block(layer, moving.to(lm.layer_devices[layer]), segment.rotary, attend)
        states.append(moving[segment.stored.to(moving.device)].to(lm.readout_device))
        moving = moving.to(hidden.device)
        hidden = moving if isinstance(segment.rows, slice) else hidden.index_copy_(0, segment.rows, moving)
    _store(pieces, stored, torch.cat(states))


def _starting_states(lm: CausalLM, pieces: Sequence[_Piece]) -> Tensor:
    """``[n, hidden_size]``: a node's embedding if it starts at block 0, else its stored state."""
    tokens = np.concatenate([piece.tree.trie.tokens[piece.of(piece.growth.nodes)] for piece in pieces])
    hidden, offset = lm.embed(torch.from_numpy(tokens), torch.from_numpy(_positions(pieces))), 0
    for piece in pieces:
        starts = piece.of(piece.growth.starts)
        if len(resumed := np.flatnonzero(starts)):
            states = piece.tree.states(piece.of(piece.growth.nodes)[resumed], starts[resumed]).to(hidden.device)
            hidden.index_copy_(0, torch.from_numpy(offset + resumed).to(hidden.device), states)
        offset += len(piece)
    return hidden


def _segments(
    lm: CausalLM, pieces: Sequence[_Piece], stored: Sequence[tuple[IntArray, IntArray]]
) -> Iterator[_Segment]:
    """The layers in order, cut where rows begin or end, or where states are stored."""
    starts, stops = (
        np.concatenate([piece.of(getattr(piece.growth, name)) for piece in pieces]) for name in ("starts", "stops")
    )
    offsets = np.cumsum([0, *map(len, pieces)])
    stored_rows = np.concatenate([rows + offset for (rows, _), offset in zip(stored, offsets, strict=False)])
    stored_layers = np.concatenate([layers for _, layers in stored])
    cos, sin = lm.rotary(torch.from_numpy(_positions(pieces)))
    rows_of_trees = [
        TreeRows(piece.tree.kv, piece.of(piece.growth.paths), piece.of(piece.growth.padding)) for piece in pieces
    ]
    attend_with = attention_of(rows_of_trees, set(lm.layer_devices[: int(stops.max())]))
    cuts, last_start = np.unique(np.concatenate([starts, stops, stored_layers])).tolist(), starts.max()
    for begin, end in zip(cuts, cuts[1:], strict=False):
        moving = np.flatnonzero((starts <= begin) & (stops > begin))
        if not len(moving):
            continue
        devices = {lm.layer_devices[layer] for layer in range(begin, end)}
        # Rows that start later must be kept.
        rows = index_of(moving, cos.device) if begin >= last_start else torch.from_numpy(moving).to(cos.device)
        kept = np.searchsorted(moving, stored_rows[stored_layers == end])
        stored_there = torch.from_numpy(kept).to(lm.layer_devices[end - 1])
        attention = attend_with.select(moving, devices)
        yield _Segment(range(begin, end), rows, (cos[rows], sin[rows]), attention, stored_there)


def _positions(pieces: Sequence[_Piece]) -> IntArray:
    """``[n]`` position of each row's token in its text."""
    return np.concatenate(
        [piece.tree.prompt.num_tokens + piece.tree.trie.depths[piece.of(piece.growth.nodes)] - 1 for piece in pieces]
    )


def _store(pieces: Sequence[_Piece], stored: Sequence[tuple[IntArray, IntArray]], states: Tensor) -> None:
    """Give each tree its rows of ``states``, which are ordered by layer, then by piece, then by row."""
    layers = np.concatenate([layers for _, layers in stored])
    place = np.empty(len(layers), dtype=np.int64)
    place[np.argsort(layers, kind="stable")] = np.arange(len(layers))
    begin = 0
    for piece, (rows, exit_layers) in zip(pieces, stored, strict=True):
        of_piece = torch.from_numpy(place[begin : begin + len(rows)]).to(states.device)
        piece.tree.store(piece.of(piece.growth.nodes)[rows], exit_layers, states[of_piece])
        begin += len(rows)
