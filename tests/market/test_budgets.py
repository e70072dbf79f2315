"""Spent and held together never pass a budget, and a pod stops before its escrow is empty."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from puna.market.domain.budgets import (
    Budget,
    BudgetReached,
    Period,
    Runway,
    Scope,
    Spent,
    check_hold,
    most_to_hold,
    must_freeze,
    wanted_hold,
    window_start,
)
from puna.market.domain.metering import owed
from puna.units import Money, Span
from tests.market.lots import NOON

TICK = Span.of(seconds=10)


def spent(limit: int, charged: int = 0, held: int = 0) -> Spent:
    budget = Budget(
        id="b", scope=Scope.PROJECT, owner="thesis", period=Period.DAY, limit=Money(limit)
    )
    return Spent(budget, Money(charged), Money(held))


@pytest.mark.parametrize(
    ("wanted", "balance", "budgets", "held"),
    [
        (50, 100, [], 50),
        (50, 30, [], 30),
        (50, 100, [spent(60, 20, 10)], 30),
        (50, 100, [spent(60), spent(40, 35)], 5),
        (50, 100, [spent(40, 45)], 0),
    ],
)
def test_what_is_held_stays_under_balance_and_budgets(
    wanted: int, balance: int, budgets: list[Spent], held: int
) -> None:
    assert most_to_hold(Money(wanted), Money(balance), budgets) == held


def test_a_refused_hold_names_the_budget_and_what_is_left() -> None:
    with pytest.raises(BudgetReached, match=r"project thesis \(\$2.00 a day\) has \$0.50 left"):
        check_hold(Money(1_000_000), [spent(2_000_000, 1_000_000, 500_000)])


def test_a_days_budget_begins_at_midnight_utc() -> None:
    late = datetime(2026, 11, 24, 0, 30, tzinfo=UTC).astimezone()
    assert window_start(Period.DAY, late) == datetime(2026, 11, 24, tzinfo=UTC)
    assert window_start(Period.EVER, NOON) is None


@given(an_hour=st.integers(1, 10**8), escrow=st.integers(0, 10**8))
def test_what_is_held_pays_two_ticks(an_hour: int, escrow: int) -> None:
    runway = Runway(escrow=Money(escrow), an_hour=Money(an_hour))
    after = escrow + wanted_hold(runway, TICK)
    assert after >= owed(Money(an_hour), timedelta(seconds=20))


@given(an_hour=st.integers(1, 10**8), escrow=st.integers(0, 10**8))
def test_a_pod_that_goes_on_can_pay_its_next_tick(an_hour: int, escrow: int) -> None:
    runway = Runway(escrow=Money(escrow), an_hour=Money(an_hour))
    assert must_freeze(runway, TICK) or escrow >= owed(Money(an_hour), timedelta(seconds=10))


def test_what_costs_nothing_lasts_for_ever() -> None:
    assert not must_freeze(Runway(escrow=Money(0), an_hour=Money(0)), TICK)
