"""A bill is the same however time was cut, to the micro-dollar."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from puna.market.domain.metering import (
    RUNPODS_STORAGE,
    Footprint,
    Item,
    Meter,
    Rate,
    rates,
    read,
)
from puna.units import Money
from tests.market.lots import NOON

PLENTY = Money(10**12)


def a_meter(an_hour: int = 690_000) -> Meter:
    return Meter(rate=Rate(Item.CARDS, Money(an_hour)), began=NOON, charged_until=NOON)


def total(meter: Meter, moments: list[datetime]) -> int:
    amount = 0
    for moment in moments:
        meter, line = read(meter, moment, most=PLENTY)
        amount += line.amount if line else 0
    return amount


def test_an_hour_costs_the_price() -> None:
    _, line = read(a_meter(), NOON + timedelta(hours=1), most=PLENTY)
    assert line is not None
    assert (line.start, line.end, line.amount) == (NOON, NOON + timedelta(hours=1), 690_000)


@given(an_hour=st.integers(1, 10**8), cuts=st.lists(st.integers(0, 86_400_000), max_size=30))
def test_any_cutting_of_a_day_costs_the_same(an_hour: int, cuts: list[int]) -> None:
    end = NOON + timedelta(days=1)
    moments = [NOON + timedelta(milliseconds=cut) for cut in sorted(cuts)]
    assert total(a_meter(an_hour), [*moments, end]) == total(a_meter(an_hour), [end])


@given(cuts=st.lists(st.integers(-5000, 5000), max_size=30))
def test_a_clock_that_steps_back_charges_nothing_twice(cuts: list[int]) -> None:
    moments = [NOON + timedelta(seconds=cut) for cut in cuts]
    furthest = max([NOON, *moments])
    assert total(a_meter(), moments) == total(a_meter(), [furthest])


def test_less_than_a_micro_dollar_waits_for_the_next_line() -> None:
    meter, line = read(a_meter(1), NOON + timedelta(minutes=59), most=PLENTY)
    assert line is None
    _, line = read(meter, NOON + timedelta(minutes=60), most=PLENTY)
    assert line is not None
    assert (line.start, line.amount) == (NOON, 1)


def test_what_is_not_held_is_due_with_the_next_line() -> None:
    later = NOON + timedelta(hours=2)
    meter, first = read(a_meter(), NOON + timedelta(hours=1), most=Money(400_000))
    assert first is not None
    assert first.amount == 400_000
    _, second = read(meter, later, most=PLENTY)
    assert second is not None
    assert (second.start, second.end, second.amount) == (first.end, later, 2 * 690_000 - 400_000)


def test_an_empty_escrow_is_charged_nothing() -> None:
    meter, line = read(a_meter(), NOON + timedelta(hours=1), most=Money(0))
    assert (meter, line) == (a_meter(), None)


@pytest.mark.parametrize(
    ("footprint", "runs", "expected"),
    [
        pytest.param(
            Footprint(cards=2, processors=8, disk_gb=73, volume_gb=0),
            True,
            {Item.CARDS: 800_000, Item.DISK: 10_000},
            id="cards and disk",
        ),
        pytest.param(
            Footprint(cards=0, processors=8, disk_gb=0, volume_gb=73),
            True,
            {Item.PROCESSORS: 3_200_000, Item.VOLUME: 10_000},
            id="processors alone have a price where there is no card",
        ),
        pytest.param(
            Footprint(cards=2, processors=8, disk_gb=73, volume_gb=73),
            False,
            {Item.KEPT_VOLUME: 20_000},
            id="stopped, only the volume costs, and more",
        ),
        pytest.param(
            Footprint(cards=2, processors=8, disk_gb=73, volume_gb=0),
            False,
            {},
            id="stopped without a volume costs nothing",
        ),
        pytest.param(
            Footprint(cards=1, processors=1, disk_gb=1, volume_gb=0),
            True,
            {Item.CARDS: 400_000, Item.DISK: 137},
            id="rounded up to a micro-dollar an hour",
        ),
    ],
)
def test_what_a_pod_takes_has_its_rates(
    footprint: Footprint, *, runs: bool, expected: dict[Item, int]
) -> None:
    each = rates(footprint, Money(400_000), RUNPODS_STORAGE, runs=runs)
    assert {rate.item: rate.an_hour for rate in each} == expected
