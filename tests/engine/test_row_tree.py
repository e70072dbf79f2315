"""Rows of tokens as a tree, and rows cut into stretches."""

import pytest
from hypothesis import given, settings, strategies as st

from puna.node.engine.row_tree import RowTree, Tokens, grow, stretches

ROWS = st.sets(st.lists(st.integers(0, 3), min_size=1, max_size=6).map(tuple), min_size=1).map(
    sorted
)


def rows_in(tree: RowTree) -> list[Tokens]:
    """Read each row off the tree: the tokens of all nodes that its node is below."""
    return [
        tuple(tree.tokens[node] for node in range(place + 1) if node <= place < tree.ends[node])
        for place in tree.reads
    ]


@given(ROWS)
@settings(max_examples=60)
def test_every_row_can_be_read_off_the_tree(rows: list[Tokens]) -> None:
    assert rows_in(grow(rows)) == rows


@given(ROWS)
@settings(max_examples=60)
def test_no_beginning_stands_in_a_tree_twice(rows: list[Tokens]) -> None:
    beginnings = {row[:depth] for row in rows for depth in range(1, len(row) + 1)}
    assert len(grow(rows)) == len(beginnings)


@given(ROWS, st.integers(6, 40), st.integers(0, 5), st.booleans())
@settings(max_examples=100)
def test_stretches_hold_all_rows_in_order_and_no_more_than_they_may(
    rows: list[Tokens], most: int, most_rows: int, for_many: bool
) -> None:
    found = list(stretches(rows, most, most_rows=most_rows, for_many=for_many))
    assert [row for some in found for row in some] == rows
    assert all(len(grow(some)) <= most for some in found)
    assert all(len(some) <= most_rows for some in found) or not most_rows


def test_stretches_are_about_as_large() -> None:
    rows = [(a, b, c) for a in range(30) for b in range(8) for c in range(8)]
    sizes = [len(grow(some)) for some in stretches(rows, 600)]
    assert max(sizes) <= 600
    assert min(sizes) > 0.8 * max(sizes)


@pytest.mark.parametrize(("count", "parts"), [(40, 1), (600, 2), (3000, 8)])
def test_few_rows_are_cut_for_several_to_compute(count: int, parts: int) -> None:
    rows = [(number,) for number in range(count)]
    assert len(list(stretches(rows, 768))) == parts


def test_one_row_that_is_too_long_stands_alone() -> None:
    rows = [(1,), (1, *range(50)), (2,)]
    assert [len(some) for some in stretches(rows, 20, for_many=False)] == [1, 1, 1]
    assert list(stretches([], 20)) == []
