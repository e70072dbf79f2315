"""Where labels part, and what their logarithms are there."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from puna.node.engine.label_words import LabelWords
from puna.node.engine.row_tree import Tokens

ENDS = (98, 99)
CAR, CARS, SHOE = (5,), (5, 6), (7, 8, 9)


def words(*labels: Tokens) -> LabelWords:
    return LabelWords(labels, lambda: ENDS)


def told(of: LabelWords, **by_token: float) -> NDArray[np.float64]:
    """Return the labels' probabilities where every fork has the same logit for a token."""
    row = [by_token.get(f"t{token}", 0.0) for token in of.columns]
    shares = of.unknown(1)
    for fork in range(len(of.beginnings)):
        of.learn(shares, fork, [0], np.array([row]))
    chances: NDArray[np.float64] = np.exp(of.logprobs(shares)[0])
    return chances


def test_labels_that_differ_at_once_need_one_place() -> None:
    found = words((5,), (7, 8, 9), (6, 8))
    assert found.beginnings == ((),)
    assert found.columns == (5, 6, 7)


def test_a_shared_beginning_needs_another_place_and_only_there() -> None:
    found = words((5, 1, 2), (5, 1, 3), (7, 8))
    assert found.beginnings == ((), (5, 1))
    assert found.columns == (2, 3, 5, 7)


def test_labels_that_all_begin_alike_need_only_the_place_where_they_part() -> None:
    assert words((5, 1), (5, 2)).beginnings == ((5,),)


def test_a_label_within_a_label_competes_by_its_end() -> None:
    found = words(CAR, CARS)
    assert found.columns == (6, *ENDS)
    assert told(found, t6=math.log(4)) == pytest.approx([2 / 6, 4 / 6])


@pytest.mark.parametrize("labels", [(CAR, CARS, SHOE), (CAR, SHOE), ((1, 2), (1, 3), (1, 4))])
def test_probabilities_add_up_to_one(labels: tuple[Tokens, ...]) -> None:
    found = words(*labels)
    shares = found.unknown(3)
    numbers = np.random.default_rng(1).normal(size=(3, len(found.columns)))
    assert np.exp(found.logprobs(shares)).sum(1) == pytest.approx([1, 1, 1])
    for fork in range(len(found.beginnings)):
        found.learn(shares, fork, [0, 2], numbers[[0, 2]])
    assert np.exp(found.logprobs(shares)).sum(1) == pytest.approx([1, 1, 1])


def test_shares_multiply_along_a_label() -> None:
    found = words((5, 1), (5, 2), (7,))
    expected = [3 / 4 * 4 / 5, 3 / 4 * 1 / 5, 1 / 4]
    assert told(found, t5=math.log(3), t1=math.log(4)) == pytest.approx(expected)


MANY = [(first, second) for first in range(10) for second in range(20, 23)]


def surely(found: LabelWords, *tokens: int) -> NDArray[np.float64]:
    """Return logits by which it is one of these tokens."""
    logits = np.full(len(found.columns), -20.0)
    logits[[found.columns.index(token) for token in tokens]] = 0
    return logits


def test_few_forks_are_all_looked_at_and_of_many_only_the_first() -> None:
    assert words((5, 1), (5, 2), (7,)).first(2).tolist() == [[True, True]] * 2
    assert words(*MANY).first(1).sum() == 1


def test_only_forks_that_much_comes_to_are_looked_at_next() -> None:
    found = words(*MANY)
    shares, seen = found.unknown(2), found.first(2)
    found.learn(shares, 0, [0, 1], np.stack([surely(found, 3), surely(found, 4, 6)]))
    wanted = found.next(shares, seen)
    beginnings = [[found.beginnings[fork] for fork in np.flatnonzero(row)] for row in wanted]
    assert beginnings == [[(3,)], [(4,), (6,)]]
    assert not found.next(shares, seen | wanted).any()


def test_labels_behind_a_fork_that_nobody_looked_at_share_equally() -> None:
    found = words(*MANY)
    shares = found.unknown(1)
    assert np.exp(found.logprobs(shares)[0]) == pytest.approx([1 / 30] * 30)
    found.learn(shares, 0, [0], surely(found, 3)[None])
    chances = np.exp(found.logprobs(shares)[0])
    assert chances[9:12] == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert chances[0] == pytest.approx(chances[1])


def test_a_fork_behind_a_fork_that_little_comes_to_is_not_looked_at() -> None:
    labels = [(first, 50, second) for first in range(4) for second in range(3)]
    found = words(*labels, (1, 50, 9, 1), (1, 50, 9, 2))
    shares, seen = found.unknown(1), found.first(1)
    nested = found.beginnings.index((1, 50, 9))
    found.learn(shares, 0, [0], surely(found, 1)[None])
    assert found.next(shares, seen)[0, nested]
    found.learn(shares, found.beginnings.index((1, 50)), [0], surely(found, 0)[None])
    assert not found.next(shares, seen)[0, nested]
