"""Many rows of tokens as one tree: what rows begin with alike is there, and computed, once.

The nodes stand in the order of a walk that goes down before it goes on, so the nodes below one are
those right behind it, and a row's tokens are its node's ancestors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Tokens = tuple[int, ...]
_FEW = 8
_FOURTH = 4
"""Many stretches are a multiple of this, so that a few cores end at about the same time."""
_LEAST = 256
"""Nodes below which a product takes longer for what it prepares than for what it computes."""


@dataclass(frozen=True, slots=True)
class RowTree:
    """Nodes by their place: a token each, how deep it stands, where the nodes below it end."""

    tokens: Sequence[int]
    depths: Sequence[int]
    """How many tokens of its rows stand before it."""
    ends: Sequence[int]
    reads: Sequence[int]
    """The nodes behind which something is read, one for each row, in the rows' order."""

    def __len__(self) -> int:
        return len(self.tokens)


def grow(rows: Sequence[Tokens]) -> RowTree:
    """Return the tree of distinct rows that are sorted and not empty."""
    tokens: list[int] = []
    depths: list[int] = []
    ends: list[int] = []
    reads: list[int] = []
    path: list[int] = []
    before: Tokens = ()
    for row in rows:
        same = shared(before, row)
        _close(ends, path, same, len(tokens))
        for depth in range(same, len(row)):
            path.append(len(tokens))
            tokens.append(row[depth])
            depths.append(depth)
            ends.append(0)
        reads.append(path[-1])
        before = row
    _close(ends, path, 0, len(tokens))
    return RowTree(tokens, depths, ends, reads)


def _close(ends: list[int], path: list[int], keep: int, end: int) -> None:
    while len(path) > keep:
        ends[path.pop()] = end


def shared(one: Tokens, other: Tokens) -> int:
    """Return how many tokens both begin with."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return next(place for place in range(most) if one[place] != other[place])


def stretches(
    rows: Sequence[Tokens], most: int, *, most_rows: int = 0, for_many: bool = True
) -> Iterator[Sequence[Tokens]]:
    """Cut sorted rows into stretches whose trees have about as many nodes each, `most` or fewer.

    Only a row that is longer by itself makes a larger tree. `for_many` cuts few rows, too, so that
    several can compute them. Where the cuts are depends on the rows alone, never on the machine.
    """
    new = [len(row) - same for row, same in zip(rows, _sames(rows), strict=True)]
    total = sum(new)
    count = -(-total // most)
    if for_many:
        count = max(count, min(_FEW, total // _LEAST))
        count += -count % _FOURTH if count > _FEW else 0
    first = size = before = 0
    for place, nodes in enumerate(new):
        starts = before * count // total != (before - new[place - 1]) * count // total
        is_full = size + nodes > most or place - first == most_rows > 0
        if place > first and (starts or is_full):
            yield rows[first:place]
            first, size = place, 0
        # What a stretch shares with the one before is computed again.
        size += nodes if place > first else len(rows[place])
        before += nodes
    if rows:
        yield rows[first:]


def _sames(rows: Sequence[Tokens]) -> Iterator[int]:
    before: Tokens = ()
    for row in rows:
        yield shared(before, row)
        before = row
