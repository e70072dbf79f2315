"""A spot pod that had to go bids again."""

import pytest

from puna.market.actions.bidding import bid_again
from puna.market.actions.renting import NoCapacity
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.domain.hosts import Tenure
from puna.market.domain.pods import Action, Status, WrongState
from puna.market.domain.specs import InvalidPod
from puna.units import Money
from tests.market.stage import Stage

LOW, HIGH = Money.parse("0.15"), Money.parse("0.30")


async def a_stopped_spot_pod(market: Stage, caller: Caller, **changes: object) -> Pod:
    pod = await market.rent(caller, tenure=Tenure.SPOT, bid=LOW, **changes)
    await market.tick()
    await market.act(caller, pod, Action.STOP)
    await market.tick()
    return pod


async def bid(market: Stage, caller: Caller, pod: Pod, amount: Money) -> Pod:
    async with market.database.transaction() as tx:
        return await bid_again(tx, market.world, caller, pod.id, amount)


@pytest.mark.parametrize("volume", [0, 10], ids=["without a volume", "with one"])
async def test_it_runs_again_and_pays_the_new_bid(market: Stage, volume: int) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await a_stopped_spot_pod(market, ann, volume_gb=volume)
    await bid(market, ann, pod, HIGH)
    await market.tick(times=2)
    after = await market.look(pod)
    assert (after.state.status, after.spec.bid, after.price) == (Status.RUNNING, HIGH, HIGH)
    assert f"ann@example.org bids {HIGH} an hour" in await market.log(pod)


async def test_a_bid_below_what_the_owner_takes_finds_no_place(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await a_stopped_spot_pod(market, ann, volume_gb=10)
    with pytest.raises(NoCapacity):
        await bid(market, ann, pod, Money.parse("0.01"))
    assert (await market.look(pod)).spec.bid == LOW


async def test_a_pod_that_runs_keeps_its_bid(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann, tenure=Tenure.SPOT, bid=LOW)
    await market.tick()
    with pytest.raises(WrongState):
        await bid(market, ann, pod, HIGH)
    assert (await market.look(pod)).price == LOW


async def test_only_a_spot_pod_has_a_bid(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    with pytest.raises(InvalidPod, match="only a spot pod"):
        await bid(market, ann, pod, HIGH)
