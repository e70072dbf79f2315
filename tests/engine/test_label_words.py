"""Where labels part, and what their logarithms are there."""

import math

import numpy as np
import pytest

from puna.node.engine.label_words import LabelWords
from puna.node.engine.row_tree import Tokens

ENDS = (98, 99)
CAR, CARS, SHOE = (5,), (5, 6), (7, 8, 9)


def words(*labels: Tokens) -> LabelWords:
    return LabelWords(labels, lambda: ENDS)


def logits(
    of: LabelWords, **by_token: float
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Return one row in which every place has the same logit for a token."""
    row = [by_token.get(f"t{token}", 0.0) for token in of.columns]
    return np.array([[row] * len(of.beginnings)])


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
    over, longer = np.exp(found.logprobs(logits(found, t6=math.log(4)))[0])
    assert over == pytest.approx(2 / 6)
    assert longer == pytest.approx(4 / 6)


@pytest.mark.parametrize("labels", [(CAR, CARS, SHOE), (CAR, SHOE), ((1, 2), (1, 3), (1, 4))])
def test_probabilities_add_up_to_one(labels: tuple[Tokens, ...]) -> None:
    found = words(*labels)
    numbers = np.random.default_rng(1).normal(size=(3, len(found.beginnings), len(found.columns)))
    assert np.exp(found.logprobs(numbers)).sum(1) == pytest.approx([1, 1, 1])


def test_shares_multiply_along_a_label() -> None:
    found = words((5, 1), (5, 2), (7,))
    row = np.exp(found.logprobs(logits(found, t5=math.log(3), t1=math.log(4)))[0])
    assert row == pytest.approx([3 / 4 * 4 / 5, 3 / 4 * 1 / 5, 1 / 4])
