"""The bound on agreement, against the binomial distribution itself."""

import math

import pytest

from puna.batch.bound import lower_bound, rows_to_prove


def chance(agreed: int, of: int, share: float) -> float:
    return math.comb(of, agreed) * share**agreed * (1 - share) ** (of - agreed)


@pytest.mark.parametrize(("agreed", "of"), [(1, 1), (59, 59), (95, 100), (3, 10), (480, 500)])
def test_at_the_bound_so_much_agreement_has_a_chance_of_five_percent(agreed: int, of: int) -> None:
    bound = lower_bound(agreed, of)
    assert sum(chance(k, of, bound) for k in range(agreed, of + 1)) == pytest.approx(0.05)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95, 0.98, 0.999])
@pytest.mark.parametrize("of", [10, 60, 110])
def test_it_promises_too_much_at_most_once_in_twenty(share: float, of: int) -> None:
    wrong = sum(chance(k, of, share) for k in range(of + 1) if lower_bound(k, of) > share)
    assert wrong <= 0.05


def test_all_of_many_agree_is_the_root_of_the_doubt() -> None:
    assert lower_bound(20_000, 20_000) == pytest.approx(0.05 ** (1 / 20_000))


@pytest.mark.parametrize("of", [0, 5])
def test_no_agreement_proves_nothing(of: int) -> None:
    assert lower_bound(0, of) == 0.0


@pytest.mark.parametrize(("target", "rows"), [(0.95, 59), (0.99, 299), (0.5, 5)])
def test_so_many_rows_prove_a_target_and_one_fewer_does_not(target: float, rows: int) -> None:
    assert rows_to_prove(target) == rows
    assert lower_bound(rows, rows) >= target > lower_bound(rows - 1, rows - 1)


@pytest.mark.parametrize(("agreed", "of"), [(2, 1), (-1, 5)])
def test_impossible_counts_are_refused(agreed: int, of: int) -> None:
    with pytest.raises(ValueError, match="cannot agree"):
        lower_bound(agreed, of)
