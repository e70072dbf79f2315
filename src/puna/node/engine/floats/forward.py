"""One core's forward pass over a tree of rows behind a prefix, in 32-bit floats.

Nearly all time is in a few large products, so the rest is kept small: arrays are made once,
everything goes on in place, and what can be multiplied into the weights is (see `weights`). In the
last layer only the nodes that are read go on after attention.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from puna.node.engine.floats.attention import TOGETHER, Attention, Mixed, Past, Sight
from puna.node.engine.floats.scratch import Scratch
from puna.node.engine.floats.shape import FloatShape
from puna.node.engine.floats.weights import Floats, LayerWeights
from puna.node.engine.row_tree import RowTree

_BLOCK = 64
"""Nodes whose inner numbers stay in the cache between the steps of the activation."""
Turns = NDArray[np.complex64]


class Forward:
    """A model behind one prefix. Not for two threads at once."""

    def __init__(
        self,
        shape: FloatShape,
        layers: Sequence[LayerWeights],
        embed: Callable[[Sequence[int]], Floats],
        norm: Floats,
    ) -> None:
        self._shape = shape
        self._layers = layers
        self._embed = embed
        self._norm = norm
        self._scratch = Scratch()
        self._attention = Attention(shape, self._scratch)
        self._past: list[Past] = []
        self._prefix = 0

    def begin(self, prefix: Sequence[int]) -> None:
        """Compute the prefix, and keep its keys and values."""
        count = self._prefix = len(prefix)
        states = self._embed(prefix)
        turns = self._turns_at(np.arange(count))
        self._past = []
        for layer in self._layers:
            mixed = self._project(layer, states, turns)
            self._past.append(Past.of(mixed, count, self._shape))
            self._add(states, self._attention.look_back(mixed, count), layer.merge)
            self._inner(layer, states)
        self._scratch.clear()

    def hidden(self, tree: RowTree) -> Floats:
        """Return the last state behind each node that is read, ready for the output matrix."""
        states = self._embed(tree.tokens)
        turns = self._turns_at(np.asarray(tree.depths) + self._prefix)
        sight = Sight.of(tree)
        reads = np.asarray(tree.reads)
        with np.errstate(over="ignore", invalid="ignore"):
            for layer, past in zip(self._layers, self._past, strict=True):
                mixed = self._project(layer, states, turns)
                seen = self._attention.look(mixed, past, sight)
                if layer is self._layers[-1]:
                    states, seen = states[reads], seen[reads]
                self._add(states, seen, layer.merge)
                self._inner(layer, states)
        return self._normed(states) * self._norm

    def _turns_at(self, positions: NDArray[np.intp]) -> Turns:
        """Return by how much each pair of numbers turns at each position."""
        head = self._shape.head
        speeds = self._shape.frequency ** (-np.arange(0, head, 2) / head)
        turns: Turns = np.exp(1j * (positions[:, None, None] * speeds)).astype(np.complex64)
        return turns

    def _normed(self, states: Floats) -> Floats:
        room = self._scratch.room("normed", *states.shape)
        lengths = np.vecdot(states, states)
        lengths /= states.shape[1]
        lengths += np.float32(self._shape.epsilon)
        np.sqrt(lengths, out=lengths)
        np.divide(states, lengths[:, None], out=room)
        return room

    def _project(self, layer: LayerWeights, states: Floats, turns: Turns) -> Mixed:
        """Return queries, keys and values, turned by position; rows of no meaning fill up."""
        shape, count = self._shape, len(states)
        rows = -(-count // TOGETHER) * TOGETHER
        whole = self._scratch.room("mixed", rows, shape.projected)
        mixed = whole[:count]
        np.matmul(self._normed(states), layer.project, out=mixed)
        if shape.has_bias:
            mixed += layer.bias
        turning = shape.heads + shape.groups
        heads = mixed[:, : turning * shape.head].reshape((count, turning, shape.head), copy=False)
        if shape.has_head_norms:
            lengths = np.vecdot(heads, heads) / np.float32(shape.head)
            heads /= np.sqrt(lengths + np.float32(shape.epsilon))[..., None]
            heads *= layer.head_norms
        pairs = heads.view(np.complex64)
        np.multiply(pairs, turns, out=pairs)
        return Mixed.of(whole, shape)

    def _add(self, states: Floats, seen: Floats, weights: Floats) -> None:
        more = self._scratch.room("more", *states.shape)
        np.matmul(seen, weights, out=more)
        states += more

    def _inner(self, layer: LayerWeights, states: Floats) -> None:
        """Add the inner part: what the states are widened to, through gates that they open."""
        count, inner = len(states), self._shape.inner
        wide = self._scratch.room("wide", count, 2 * inner)
        np.matmul(self._normed(states), layer.widen, out=wide)
        gates, rest = wide[:, :inner], wide[:, inner:]
        room = self._scratch.room("opening", _BLOCK, inner)
        for start in range(0, count, _BLOCK):
            gate = gates[start : start + _BLOCK]
            opening = np.exp(gate, out=room[: len(gate)])
            opening += 1
            gate /= opening
            gate *= rest[start : start + _BLOCK]
        self._add(states, gates, layer.narrow)
