"""A pod from its renting to its end, as renter, owner and operator see it."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from puna.market.actions.renting import NoCapacity, NoSuchPod
from puna.market.db import bills
from puna.market.domain.budgets import Budget, Period, Scope
from puna.market.domain.hosts import Tenure
from puna.market.domain.ledger import BookKind, NotEnoughMoney
from puna.market.domain.metering import Item
from puna.market.domain.pods import Action, Desired, Status, WrongState
from puna.market.domain.rules import Rules
from puna.market.domain.specs import InvalidPod
from puna.units import Money
from tests.market.stage import Stage


async def test_a_pod_runs_is_paid_to_the_second_and_ends(market: Stage) -> None:
    """36 cents for the card and one for its disk an hour; one hour and two minutes of them."""
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann, disk_gb=73)
    assert pod.state.status is Status.STARTING
    await market.tick()
    assert await market.status(pod) is Status.RUNNING
    await market.tick(times=61)
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=2)
    paid = 370_000 * 62 // 60
    assert await market.balance(BookKind.RENTER, ann.account.id) == 5_000_000 - paid
    assert await market.balance(BookKind.ESCROW, pod.id) == 0
    owner = (await market.look(pod)).host
    assert owner is None
    assert host.orders.pods == []


async def test_every_micro_dollar_stands_on_a_line_of_the_bill(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    await market.tick(47, times=30)
    lines = [each.line for each in await market.bill(ann)]
    spent = 5_000_000 - await market.balance(BookKind.RENTER, ann.account.id)
    held = await market.balance(BookKind.ESCROW, pod.id)
    assert sum(line.amount for line in lines) == spent - held
    cards = [line for line in lines if line.item is Item.CARDS]
    assert all(one.end == two.start for one, two in itertools.pairwise(cards))


async def test_the_owner_and_the_market_share_what_is_paid(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host("joe")
    await market.rent(ann)
    await market.tick(times=7)
    paid = sum(each.line.amount for each in await market.bill(ann))
    fee = await market.balance(BookKind.FEE)
    owner = market.hosts[0].owner
    earned = await market.balance(BookKind.HOST, owner)
    assert fee + earned == paid
    assert paid // 11 < fee <= paid // 10


async def test_nothing_is_charged_before_the_container_runs(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    host.does[pod.id] = "pulling"
    await market.tick(times=5)
    assert await market.bill(ann) == []
    host.does.clear()
    await market.tick()
    assert await market.status(pod) is Status.RUNNING


async def test_a_stopped_pod_pays_for_its_volume_alone(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann, volume_gb=73)
    await market.tick(times=2)
    await market.act(ann, pod, Action.STOP)
    await market.tick(times=61)
    kept = sum(
        each.line.amount for each in await market.bill(ann) if each.line.item is Item.KEPT_VOLUME
    )
    assert 19_900 <= kept <= 20_700
    await market.act(ann, pod, Action.START)
    await market.tick(times=2)
    assert await market.status(pod) is Status.RUNNING


async def test_the_last_card_goes_to_one_and_the_other_is_told_why(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    await market.rent(ann, cards=2)
    with pytest.raises(NoCapacity, match="no longer any instances available") as refused:
        await market.rent(ann)
    assert refused.value.hint == "1 offers were looked at: taken"


async def test_whoever_cannot_pay_an_hour_gets_nothing(market: Stage) -> None:
    ann = await market.account("ann@example.org", "0.10")
    await market.host()
    with pytest.raises(NotEnoughMoney, match=r"costs \$0.36274 and the balance is \$0.10"):
        await market.rent(ann)


async def test_an_empty_balance_stops_the_pod_and_keeps_its_volume(market: Stage) -> None:
    ann = await market.account("ann@example.org", "0.40")
    await market.host()
    pod = await market.rent(ann, volume_gb=10)
    await market.tick(times=75)
    found = await market.look(pod)
    assert found.state.desired is Desired.STOP
    assert found.reason == "out of money"
    assert found.host is not None
    assert await market.balance(BookKind.RENTER, ann.account.id) < 20_000
    assert "stopped: its balance or a budget is used up" in await market.log(pod)


async def test_a_budget_is_never_passed(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    limit = Budget(
        id="b",
        scope=Scope.ACCOUNT,
        owner=ann.account.id,
        period=Period.DAY,
        limit=Money.parse("0.05"),
    )
    async with market.database.transaction() as tx:
        await bills.add_budget(tx, ann.account.id, limit, market.world.now())
    await market.rent(ann)
    await market.tick(times=12)
    spent = sum(each.line.amount for each in await market.bill(ann))
    assert 42_000 < spent <= 50_000


async def test_on_demand_displaces_spot_which_comes_back_when_there_is_room(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    bob = await market.account("bob@example.org", "5")
    await market.host()
    bid = Money.parse("0.20")
    spot = await market.rent(bob, cards=2, tenure=Tenure.SPOT, bid=bid, returns=True)
    await market.tick()
    pod = await market.rent(ann)
    assert pod.state.status is Status.PROVISIONING
    await market.tick(times=2)
    assert await market.status(pod) is Status.RUNNING
    assert (await market.look(spot)).reason in {"outbid", ""}
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=4)
    assert await market.status(spot) is Status.RUNNING


async def test_a_host_that_fails_the_image_is_left_for_the_next(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    first = await market.host("a")
    await market.host("b", price=900_000)
    pod = await market.rent(ann)
    first.does[pod.id] = "failed"
    await market.tick(times=3)
    assert await market.status(pod) is Status.RUNNING
    found = await market.look(pod)
    assert found.failed_hosts == {first.id}
    assert f"host {first.id} gave up: as the test says" in await market.log(pod)


async def test_another_accounts_pod_is_not_there(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    eve = await market.account("eve@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    with pytest.raises(NoSuchPod):
        await market.act(eve, pod, Action.TERMINATE)


async def test_what_is_terminated_cannot_be_terminated_again(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    await market.act(ann, pod, Action.TERMINATE)
    with pytest.raises(NoSuchPod, match=pod.id):
        await market.act(ann, pod, Action.TERMINATE)
    with pytest.raises(WrongState, match="TERMINATED"):
        await market.act(ann, pod, Action.START)
    await market.tick(times=2)
    with pytest.raises(NoSuchPod):
        await market.act(ann, pod, Action.TERMINATE)


async def test_a_pod_that_waits_for_a_place_can_be_terminated(market: Stage) -> None:
    """Found by the simulation: the action was taken back, for its answer had no host."""
    ann = await market.account("ann@example.org", "5")
    await market.host()
    bid = Money.parse("0.20")
    await market.rent(ann, cards=2, tenure=Tenure.SPOT, bid=bid)
    await market.tick()
    waiting = await market.rent(ann)
    ended = await market.act(ann, waiting, Action.TERMINATE)
    assert ended.state.status is Status.TERMINATED
    assert await market.status(waiting) is Status.TERMINATED


@pytest.mark.parametrize("volume_gb", [0, 10])
async def test_a_stopped_pod_gets_no_place_that_others_have_taken(
    market: Stage, volume_gb: int
) -> None:
    """Found by the simulation: it came back to cards that somebody else had by then."""
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann, cards=2, volume_gb=volume_gb)
    await market.tick()
    await market.act(ann, pod, Action.STOP)
    await market.tick()
    other = await market.rent(ann, cards=2)
    await market.tick()
    if volume_gb:
        with pytest.raises(NoCapacity):
            await market.act(ann, pod, Action.START)
    else:
        await market.act(ann, pod, Action.START)
        assert await market.status(pod) is Status.PROVISIONING
    await market.act(ann, other, Action.TERMINATE)
    await market.tick()
    if volume_gb:
        await market.act(ann, pod, Action.START)
    await market.tick(times=2)
    assert await market.status(pod) is Status.RUNNING


async def test_a_host_that_is_away_is_not_paid_for_that_time(market: Stage) -> None:
    """It keeps `paid_until` by itself: it stops the pod, and says when."""
    market.tariff = replace(market.tariff, rules=Rules())
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    await market.rent(ann)
    await market.tick(times=3)
    market.hosts.clear()
    await market.tick(times=10)
    market.hosts.append(host)
    await market.tick(times=3)
    cards = sum(each.line.amount for each in await market.bill(ann) if each.line.item is Item.CARDS)
    assert 6000 * 3 <= cards <= 6000 * 9


async def test_a_late_report_changes_nothing(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    await market.tick()
    await market.report(host, sequence=1, pods=[])
    assert await market.status(pod) is Status.RUNNING


async def test_a_pod_that_a_report_leaves_out_is_not_there(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    await market.tick()
    await market.report(host, pods=[])
    assert await market.status(pod) is Status.STARTING


async def test_deadlines_travel_with_the_orders(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    await market.rent(ann, stop_after=timedelta(hours=2))
    began = market.world.now()
    assert (await market.report(host)).pods == []
    await market.tick()
    assert host.orders.pods[0].stop_at == began + timedelta(hours=2)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"image": " "}, "needs an image"),
        ({"ports": ("8888",)}, "not a port"),
        ({"ports": ("70000/tcp",)}, "not a port"),
        ({"env": {"A=B": "1"}}, "not the name of a variable"),
        ({"env": {str(each): "" for each in range(51)}}, "more than 50"),
        ({"tenure": Tenure.SPOT}, "needs a bid"),
        ({"bid": Money(1)}, "only a spot pod"),
        ({"disk_gb": 0}, "cannot be had"),
        ({"processors": 0}, "no machine"),
        ({"ports": tuple(f"{port}/http" for port in range(1, 12))}, "more than 10 HTTP ports"),
    ],
)
async def test_what_cannot_be_a_pod_is_refused(
    market: Stage, changes: dict[str, object], complaint: str
) -> None:
    ann = await market.account("ann@example.org", "5")
    with pytest.raises(InvalidPod, match=complaint):
        await market.rent(ann, **changes)
