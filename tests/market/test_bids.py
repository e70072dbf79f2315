"""A bid for whoever names none: the least that the owner of the cheapest machine takes."""

from dataclasses import replace

import pytest

from puna.market.actions.bids import with_bid
from puna.market.actions.renting import NoCapacity
from puna.market.domain.hosts import Tenure
from puna.market.domain.specs import PodSpec
from puna.units import Money
from tests.market.stage import SPEC, Stage

SPOT = replace(SPEC, tenure=Tenure.SPOT)


async def bid_for(market: Stage, spec: PodSpec) -> Money | None:
    async with market.database.transaction() as tx:
        return (await with_bid(tx, market.world, spec)).bid


async def test_the_cheapest_owners_least_bid_is_taken(market: Stage) -> None:
    await market.host("a", least_bid=200_000)
    await market.host("b", least_bid=150_000)
    assert await bid_for(market, SPOT) == 150_000


async def test_an_owner_who_takes_anything_gets_a_micro_dollar(market: Stage) -> None:
    await market.host("a", least_bid=0)
    assert await bid_for(market, SPOT) == 1


async def test_owners_who_take_no_bids_are_passed_by(market: Stage) -> None:
    await market.host("a", least_bid=None)
    await market.host("b", least_bid=300_000)
    assert await bid_for(market, SPOT) == 300_000


async def test_a_machine_that_does_not_fit_is_no_measure(market: Stage) -> None:
    await market.host("a", least_bid=1, country="PL")
    await market.host("b", least_bid=300_000, country="JP")
    assert await bid_for(market, replace(SPOT, countries=("JP",))) == 300_000


async def test_a_bid_that_was_named_stays(market: Stage) -> None:
    assert await bid_for(market, replace(SPOT, bid=Money(7))) == 7
    assert await bid_for(market, SPEC) is None


async def test_where_nobody_takes_bids_there_is_no_place(market: Stage) -> None:
    await market.host("a", least_bid=None)
    with pytest.raises(NoCapacity, match="no longer any instances") as refused:
        await bid_for(market, SPOT)
    assert "not offered for spot" in refused.value.hint


async def test_a_pod_with_such_a_bid_is_rented(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host("a", least_bid=120_000)
    bid = await bid_for(market, SPOT)
    pod = await market.rent(ann, tenure=Tenure.SPOT, bid=bid)
    assert pod.price == 120_000
