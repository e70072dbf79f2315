"""Pods that wait for a place get one; who was displaced comes back only if it asked to."""

import pytest

from puna.market.actions.renting import NoCapacity
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.domain.hosts import Tenure
from puna.market.domain.pods import Action, Status
from puna.units import Money
from tests.market.stage import Stage


async def spot(market: Stage, caller: Caller, bid: str, **changes: object) -> Pod:
    return await market.rent(caller, tenure=Tenure.SPOT, bid=Money.parse(bid), cards=2, **changes)


@pytest.mark.parametrize(("returns", "status"), [(True, Status.RUNNING), (False, Status.EXITED)])
async def test_a_displaced_pod_comes_back_if_it_asked_to(
    market: Stage, *, returns: bool, status: Status
) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    low = await spot(market, ann, "0.10", returns=returns)
    await market.tick()
    high = await spot(market, ann, "0.20")
    await market.tick(times=2)
    assert await market.status(high) is Status.RUNNING
    await market.act(ann, high, Action.TERMINATE)
    await market.tick(times=4)
    assert await market.status(low) is status


async def test_a_spot_pod_keeps_its_place_against_the_same_bid(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    first = await spot(market, ann, "0.20")
    await market.tick()
    with pytest.raises(NoCapacity):
        await spot(market, ann, "0.20")
    await market.tick()
    assert await market.status(first) is Status.RUNNING


async def test_a_displaced_pod_pays_until_it_has_left(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    bob = await market.account("bob@example.org", "5")
    await market.host()
    low = await spot(market, bob, "0.10")
    await market.tick(times=3)
    await market.rent(ann, cards=2)
    await market.tick(times=5)
    lines = [each.line for each in await market.bill(bob)]
    left = (await market.look(low)).ended
    assert left is not None
    assert max(line.end for line in lines) == left


async def test_a_renter_who_waits_can_change_his_mind(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    await spot(market, ann, "0.10")
    await market.tick()
    waiting = await market.rent(ann, cards=2)
    await market.act(ann, waiting, Action.STOP)
    await market.tick(times=3)
    assert await market.status(waiting) is Status.EXITED
    assert (await market.look(waiting)).host is None
    await market.act(ann, waiting, Action.START)
    await market.tick(times=2)
    assert await market.status(waiting) is Status.RUNNING


async def test_after_three_hosts_that_fail_a_pod_is_left_as_failed(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    pods_host = [await market.host(f"h{number}") for number in range(4)]
    pod = await market.rent(ann)
    for host in pods_host:
        host.does[pod.id] = "failed"
    await market.tick(times=10)
    found = await market.look(pod)
    assert found.state.status is Status.ERROR
    assert len(found.failed_hosts) == 2
    assert found.reason == "as the test says"
    assert await market.bill(ann) == []


async def test_a_pod_with_a_volume_stays_where_its_volume_is(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    first, _ = [await market.host(name) for name in ("a", "b")]
    pod = await market.rent(ann, volume_gb=10)
    where = (await market.look(pod)).host
    for _ in range(3):
        await market.tick()
        await market.act(ann, pod, Action.STOP)
        await market.tick()
        await market.act(ann, pod, Action.START)
    await market.tick(times=2)
    assert (await market.look(pod)).host == where
    assert where in {host.id for host in market.hosts}
    assert first.sequence > 0
