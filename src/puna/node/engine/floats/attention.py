"""Attention of a tree of rows: to the prefix that all stand behind, and to each other.

To the prefix it is a plain product for each head. Among the rows, nodes are taken 32 at a time:
whatever those see stands among the same 32 or on the path to the first of them.

Softmax needs no largest score here. Subtracting one vector from all keys changes nothing but moves
the scores, so the first key of the prefix is subtracted, whose score is 0 from then on and most
often the largest. Only where a sum overflows all the same is it computed again the careful way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puna.node.engine.floats.scratch import Scratch
from puna.node.engine.floats.shape import FloatShape
from puna.node.engine.floats.weights import Floats
from puna.node.engine.row_tree import RowTree

TOGETHER = 32
_ALIGNED = 16
_HIDDEN = np.float32(-1e30)
_MOST_SCORES = 2**21
_BACK = 256
_MOST_FAR = 2**18
"""Scores that stay in the cache from one step to the next."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """Queries, keys and values of some tokens, a row each, as views of one array."""

    queries: Floats
    keys: Floats
    values: Floats

    @classmethod
    def of(cls, projected: Floats, shape: FloatShape) -> "Mixed":
        """Split what was projected."""
        first, second = shape.heads * shape.head, (shape.heads + shape.groups) * shape.head
        return cls(projected[:, :first], projected[:, first:second], projected[:, second:])


@dataclass(frozen=True, slots=True)
class Past:
    """The prefix in one layer, by groups of heads, filled up with zeros to an even width."""

    keys: Floats
    """Less the first one; numbers by tokens, as the product wants them."""
    values: Floats
    first: Floats
    """The first key, to be subtracted from every other, too."""
    count: Floats
    """1 for each token and 0 for each place that is only filled up."""

    @classmethod
    def of(cls, mixed: Mixed, count: int, shape: FloatShape) -> "Past":
        """Keep the keys and values of the first `count` tokens."""
        wide = max(_ALIGNED, -(-count // _ALIGNED) * _ALIGNED)
        keys = np.zeros((shape.groups, shape.head, wide), np.float32)
        values = np.zeros((shape.groups, wide, shape.head), np.float32)
        first = mixed.keys[0].copy() if count else np.zeros(mixed.keys.shape[1], np.float32)
        by_group = (count, shape.groups, shape.head)
        keys[:, :, :count] = (mixed.keys[:count] - first).reshape(by_group).transpose(1, 2, 0)
        values[:, :count] = mixed.values[:count].reshape(by_group).transpose(1, 0, 2)
        return cls(keys, values, first, (np.arange(wide) < count).astype(np.float32))


@dataclass(frozen=True, slots=True)
class Sight:
    """Which nodes each 32 nodes look at, and which of these each may see."""

    keys: NDArray[np.intp]
    bias: Floats
    """0 where a node sees a key, else so low that nothing is left of it."""
    count: int
    """How many nodes there are; the last 32 may be filled up."""

    def parts(self, heads: int) -> Iterator[slice]:
        """Cut the blocks so that the scores of each part stay small."""
        blocks, wide = self.keys.shape
        step = max(1, _MOST_SCORES // (heads * TOGETHER * wide))
        return (slice(start, start + step) for start in range(0, blocks, step))

    @classmethod
    def of(cls, tree: RowTree) -> "Sight":
        """Return what the nodes of a tree see of it."""
        paths = list(_paths(tree))
        widest = max(map(len, paths))
        above = -(-widest // 8) * 8
        keys = np.zeros((len(paths), above + TOGETHER), np.intp)
        nodes = np.arange(len(paths) * TOGETHER).reshape(-1, TOGETHER)
        keys[:, above:] = nodes
        is_there = np.ones(keys.shape, bool)
        for place, path in enumerate(paths):
            keys[place, : len(path)] = path
            is_there[place, len(path) : above] = False
        is_there &= keys < len(tree)
        keys[~is_there] = 0
        ends = np.asarray(tree.ends)[keys]
        sees = is_there[:, None] & (keys[:, None] <= nodes[..., None])
        sees &= nodes[..., None] < ends[:, None]
        bias = np.where(sees, np.float32(0), _HIDDEN)
        return cls(keys, bias[:, None, None], len(tree))


def _paths(tree: RowTree) -> Sequence[list[int]]:
    """Return the path to the first of each 32 nodes, without that node."""
    path: list[int] = []
    found = []
    for node, depth in enumerate(tree.depths):
        del path[depth:]
        if node % TOGETHER == 0:
            found.append(path.copy())
        path.append(node)
    return found


class Attention:
    """Attention in one model's layers, with room that is used again."""

    def __init__(self, shape: FloatShape, scratch: Scratch) -> None:
        self._shape = shape
        self._scratch = scratch

    def look_back(self, mixed: Mixed, count: int) -> Floats:
        """Return what each token of a prefix sees of it up to itself."""
        shape = self._shape
        seen = self._scratch.room("seen", count, shape.heads * shape.head)
        for start in range(0, count, _BACK):
            some = slice(start, min(start + _BACK, count))
            self._look_back(mixed, some, seen[some])
        return seen

    def _look_back(self, mixed: Mixed, some: slice, seen: Floats) -> None:
        """Write down what some tokens in a row see."""
        width = some.stop - some.start
        later = np.triu(np.full((width, width), _HIDDEN, np.float32), 1)
        ones = np.ones(some.stop, np.float32)
        room = self._scratch.room("back", width, some.stop)
        for head in range(self._shape.heads):
            asked, kept = self._columns(head)
            keys = mixed.keys[: some.stop, kept].T
            scores = np.matmul(mixed.queries[some, asked], keys, out=room)
            scores[:, some] += later
            scores -= scores.max(-1, keepdims=True)
            np.exp(scores, out=scores)
            np.matmul(scores, mixed.values[: some.stop, kept], out=seen[:, asked])
            seen[:, asked] /= (scores @ ones)[:, None]

    def look(self, mixed: Mixed, past: Past, sight: Sight) -> Floats:
        """Return what each node sees of the prefix and of its row up to itself.

        The first key is subtracted from the keys in place.
        """
        mixed.keys[: sight.count] -= past.first
        seen, totals = self._look(mixed, past, sight, None)
        if np.isfinite(totals).all() and totals.min() > 0:
            return seen
        return self._look(mixed, past, sight, self._tops(mixed, past, sight))[0]

    def _look(
        self, mixed: Mixed, past: Past, sight: Sight, tops: Floats | None
    ) -> tuple[Floats, Floats]:
        """Return the values by their scores, and what each node's scores add up to.

        `tops` is subtracted from the scores, by nodes and heads.
        """
        shape, count = self._shape, sight.count
        rows = len(sight.keys) * TOGETHER
        seen = self._scratch.room("seen", rows, shape.heads * shape.head)
        totals = self._scratch.room("totals", rows, shape.heads)
        for some in sight.parts(shape.heads):
            scores, values = self._near(mixed, sight, some)
            if tops is not None:
                scores -= self._by_head(tops, 1)[some]
            np.exp(scores, out=scores)
            np.matmul(scores, values, out=self._by_head(seen, shape.head)[some])
            sums = scores @ np.ones(scores.shape[-1], np.float32)
            self._by_head(totals, 1)[some] = sums[..., None]
        step = max(TOGETHER, _MOST_FAR // len(past.count))
        for start in range(0, count, step):
            some = slice(start, min(start + step, count))
            part = None if tops is None else tops[some]
            self._see_far(mixed.queries[some], past, part, (seen[some], totals[some]))
        return seen[:count], totals[:count]

    def _see_far(
        self, queries: Floats, past: Past, tops: Floats | None, found: tuple[Floats, Floats]
    ) -> None:
        """Add what some nodes see of the prefix, and divide by what all scores add up to."""
        shape = self._shape
        seen, totals = found
        more = self._scratch.room("far seen", len(queries), shape.head)
        for head in range(shape.heads):
            scores = self._far(queries, past, head)
            if tops is not None:
                scores -= tops[:, head, None]
                scores[:, past.count == 0] = _HIDDEN
            np.exp(scores, out=scores)
            total = totals[:, head]
            total += scores @ past.count
            np.matmul(scores, past.values[head * shape.groups // shape.heads], out=more)
            mine = seen[:, self._columns(head)[0]]
            mine += more
            mine /= total[:, None]

    def _tops(self, mixed: Mixed, past: Past, sight: Sight) -> Floats:
        """Return each node's largest score at each head."""
        shape, count = self._shape, sight.count
        tops = np.empty((len(sight.keys) * TOGETHER, shape.heads), np.float32)
        for some in sight.parts(shape.heads):
            scores, _ = self._near(mixed, sight, some)
            self._by_head(tops, 1)[some] = scores.max(-1, keepdims=True)
        real = int(past.count.sum())
        for head in range(shape.heads if real else 0):
            scores = self._far(mixed.queries[:count], past, head)[:, :real]
            np.maximum(tops[:count, head], scores.max(-1), out=tops[:count, head])
        return tops

    def _near(self, mixed: Mixed, sight: Sight, some: slice) -> tuple[Floats, Floats]:
        """Return the scores among some of the nodes, and the values that go with them."""
        shape, places = self._shape, sight.keys[some]
        blocks, wide = places.shape
        keys, values = (
            self._scratch.room(name, blocks * wide, shape.groups * shape.head)
            for name in ("near keys", "near values")
        )
        np.take(mixed.keys, places.ravel(), axis=0, out=keys, mode="clip")
        np.take(mixed.values, places.ravel(), axis=0, out=values, mode="clip")
        by_group = (blocks, wide, shape.groups, 1, shape.head)
        size = (blocks, shape.groups, shape.heads // shape.groups, TOGETHER, wide)
        scores = self._scratch.room("near", *size)
        asked = self._by_head(mixed.queries, shape.head)[some]
        np.matmul(asked, keys.reshape(by_group).transpose(0, 2, 3, 4, 1), out=scores)
        scores += sight.bias[some]
        return scores, values.reshape(by_group).transpose(0, 2, 3, 1, 4)

    def _far(self, queries: Floats, past: Past, head: int) -> Floats:
        """Return the scores of one head for the prefix."""
        asked = queries[:, self._columns(head)[0]]
        keys = past.keys[head * self._shape.groups // self._shape.heads]
        return np.matmul(asked, keys, out=self._scratch.room("far", len(asked), keys.shape[1]))

    def _columns(self, head: int) -> tuple[slice, slice]:
        """Return where the queries of a head stand, and where the keys that it looks at."""
        width = self._shape.head
        group = head * self._shape.groups // self._shape.heads
        return slice(head * width, (head + 1) * width), slice(group * width, (group + 1) * width)

    def _by_head(self, rows: Floats, width: int) -> Floats:
        """View rows of nodes as blocks, groups, heads of a group, nodes, numbers of a head."""
        shape = self._shape
        size = (-1, TOGETHER, shape.groups, shape.heads // shape.groups, width)
        return rows.reshape(size, copy=False).transpose(0, 2, 3, 1, 4)
