"""Attention among the nodes of a tree and to the prefix, against the sums as they are defined."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from puna.node.engine.floats.attention import TOGETHER, Attention, Mixed, Past, Sight
from puna.node.engine.floats.scratch import Scratch
from puna.node.engine.floats.shape import FloatShape
from puna.node.engine.floats.weights import Floats
from puna.node.engine.row_tree import RowTree, Tokens, grow

SHAPE = FloatShape(
    layers=1,
    width=32,
    inner=8,
    heads=4,
    groups=2,
    head=8,
    epsilon=1e-5,
    frequency=1e4,
    turns_halves=False,
    has_bias=False,
    has_head_norms=False,
    vocabulary=10,
)
ROWS = st.sets(
    st.lists(st.integers(0, 3), min_size=1, max_size=7).map(tuple), min_size=1, max_size=60
).map(sorted)


def some_mixed(rows: int, loudness: float = 1.0) -> Floats:
    numbers = np.random.default_rng(rows).normal(size=(rows, SHAPE.projected))
    return (numbers * loudness).astype(np.float32)


def is_above(tree: RowTree, one: int, other: int) -> bool:
    return one <= other < tree.ends[one]


def defined(tree: RowTree, nodes: Floats, prefix: Floats) -> NDArray[np.float64]:
    """Return what each node sees, summed up as the definition says."""
    whole = np.concatenate([prefix, nodes]).astype(np.float64)
    one, other = SHAPE.heads * SHAPE.head, (SHAPE.heads + SHAPE.groups) * SHAPE.head
    queries = whole[:, :one].reshape(-1, SHAPE.heads, SHAPE.head)
    keys = whole[:, one:other].reshape(-1, SHAPE.groups, SHAPE.head)
    values = whole[:, other:].reshape(-1, SHAPE.groups, SHAPE.head)
    start = len(prefix)
    found = np.zeros((len(nodes), SHAPE.heads, SHAPE.head))
    for node in range(len(nodes)):
        above = [start + each for each in range(len(nodes)) if is_above(tree, each, node)]
        seen = [*range(start), *above]
        for head in range(SHAPE.heads):
            scores = keys[seen, head // 2] @ queries[start + node, head]
            shares = np.exp(scores - scores.max())
            found[node, head] = shares / shares.sum() @ values[seen, head // 2]
    return found.reshape(len(nodes), -1)


def looked(rows: Sequence[Tokens], prefix: int, loudness: float = 1.0) -> tuple[Floats, Floats]:
    """Return what the code sees, and what the definition says."""
    tree = grow(rows)
    count = -(-len(tree) // TOGETHER) * TOGETHER
    numbers, before = some_mixed(count, loudness), some_mixed(prefix + 1, loudness)[:prefix]
    expected = defined(tree, numbers[: len(tree)], before)
    past = Past.of(Mixed.of(before, SHAPE), prefix, SHAPE)
    attention = Attention(SHAPE, Scratch())
    with np.errstate(over="ignore", invalid="ignore"):
        found = attention.look(Mixed.of(numbers, SHAPE), past, Sight.of(tree))
    return found, expected.astype(np.float32)


@given(ROWS)
@settings(max_examples=40, deadline=None)
def test_a_node_sees_itself_and_what_its_row_begins_with(rows: list[Tokens]) -> None:
    tree = grow(rows)
    sight = Sight.of(tree)
    for node in range(len(tree)):
        block, place = divmod(node, TOGETHER)
        is_seen = sight.bias[block, 0, 0, place] == 0
        seen = sight.keys[block][is_seen].tolist()
        assert sorted(seen) == [each for each in range(len(tree)) if is_above(tree, each, node)]


@given(ROWS, st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_nodes_see_what_the_definition_says(rows: list[Tokens], prefix: int) -> None:
    found, expected = looked(rows, prefix)
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("prefix", [0, 1, 33])
def test_scores_too_large_for_sums_of_floats_are_no_obstacle(prefix: int) -> None:
    rows = sorted((a, b) for a in range(9) for b in range(7))
    found, expected = looked(rows, prefix, loudness=12.0)
    assert np.isfinite(found).all()
    assert found == pytest.approx(expected, abs=2e-2)


def test_long_rows_are_looked_at_in_parts() -> None:
    sight = Sight.of(grow([tuple(range(900)), (*range(450), 1000, 1001)]))
    parts = list(sight.parts(heads=64))
    blocks = len(sight.keys)
    assert len(parts) > 1
    assert sorted(each for some in parts for each in range(blocks)[some]) == list(range(blocks))


def test_room_is_made_once_and_grows() -> None:
    scratch = Scratch()
    first = scratch.room("states", 4, 8)
    assert scratch.room("states", 2, 8).base is first.base
    assert scratch.room("states", 8, 8).shape == (8, 8)
    assert scratch.size == 8 * 8 * 4
    scratch.clear()
    assert scratch.size == 0
