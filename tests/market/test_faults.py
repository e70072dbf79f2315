"""What goes wrong, one thing at a time: nobody pays for it, and nothing is left behind."""

from datetime import timedelta
from itertools import pairwise

import pytest

from puna.errors import PunaError
from puna.market.actions.renting import NoCapacity, NoSuchPod
from puna.market.db import pods
from puna.market.domain.hosts import Tenure
from puna.market.domain.ledger import BookKind
from puna.market.domain.pods import Action, Status
from puna.units import Money, Span
from puna.wire.agent import Report, TermsReport
from tests.market.stage import FakeHost, Stage


async def test_an_image_that_one_host_cannot_have_is_tried_on_the_next(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    cheap = await market.host("cheap", price=100_000)
    dear = await market.host("dear")
    pod = await market.rent(ann)
    cheap.does[pod.id] = "failed"
    await market.tick(times=4)
    found = await market.look(pod)
    assert (found.host, found.state.status) == (dear.id, Status.RUNNING)
    assert found.failed_hosts == {cheap.id}
    assert f"host {cheap.id} gave up: as the test says" in await market.log(pod)
    assert {each.host for each in await market.bill(ann)} == {dear.id}


async def test_who_failed_a_pod_and_still_says_so_stops_no_renting(market: Stage) -> None:
    """The pod went elsewhere meanwhile: what is left of it is on its way out, and not nobody's."""
    ann = await market.account("ann@example.org", "5")
    cheap, _ = await market.host("cheap", price=100_000), await market.host("dear")
    pod = await market.rent(ann)
    cheap.does[pod.id] = "failed"
    await market.tick()
    await market.take_turns()
    assert (await market.look(pod)).host != cheap.id
    await market.deliver(cheap, a_report(market, cheap))
    assert await market.broken() == []
    cheap.does.clear()
    await market.tick(times=2)
    assert cheap.orders.pods == []


def a_report(market: Stage, host: FakeHost) -> Report:
    """Return what a host says that has not heard anything since."""
    host.sequence += 1
    return Report(
        sequence=host.sequence,
        now=market.world.now(),
        machine=host.machine,
        terms=host.terms,
        pods=list(host.shown.values()),
    )


async def test_nothing_is_charged_while_an_image_is_pulled(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    host.does[pod.id] = "pulling"
    await market.tick(times=30)
    assert await market.status(pod) is Status.STARTING
    assert await market.bill(ann) == []


async def test_a_pod_is_terminated_while_its_image_is_pulled(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    host.does[pod.id] = "pulling"
    await market.tick(times=2)
    await market.act(ann, pod, Action.TERMINATE)
    del host.does[pod.id]
    await market.tick(times=2)
    assert host.orders.pods == []
    assert await market.balance(BookKind.RENTER, ann.account.id) == 5_000_000


async def test_terminating_twice_is_as_terminating_once(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    await market.tick(times=2)
    await market.act(ann, pod, Action.TERMINATE)
    with pytest.raises(NoSuchPod):  # though its host has not let go of it yet
        await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=2)
    spent = sum(each.line.amount for each in await market.bill(ann))
    with pytest.raises(NoSuchPod):
        await market.act(ann, pod, Action.TERMINATE)
    assert await market.balance(BookKind.RENTER, ann.account.id) == 5_000_000 - spent


async def test_the_last_card_goes_to_one_of_two(market: Stage) -> None:
    ann, bob = [await market.account(f"{name}@example.org", "5") for name in ("ann", "bob")]
    await market.host()
    await market.rent(ann, cards=2)
    with pytest.raises(NoCapacity) as told:
        await market.rent(bob)
    assert "no longer any instances available" in told.value.message
    assert [str(each.why) for each in told.value.refusals] == ["taken"]


async def test_a_price_holds_for_who_rented_at_it(market: Stage) -> None:
    ann = await market.account("ann@example.org", "50")
    host = await market.host()
    pod = await market.rent(ann)
    await market.tick(times=2)
    host.terms = TermsReport(price=9_000_000)
    await market.tick(times=10)
    assert (await market.look(pod)).price == 360_000
    assert {each.line.an_hour for each in await market.bill(ann)} <= {Money(360_000), Money(2740)}
    assert (await market.rent(ann)).price == 9_000_000


async def test_a_report_that_comes_twice_or_late_changes_nothing(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann)
    await market.tick(times=2)
    old = list(host.shown.values())
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=2)
    host.sequence -= 3
    before = await market.look(pod)
    await market.report(host, pods=old)
    assert await market.look(pod) == before


async def test_a_host_that_is_gone_for_a_moment_is_paid_for_it(market: Stage) -> None:
    """Ten seconds without a word are no absence: the pod ran on, and its renter used it."""
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    await market.rent(ann)
    await market.tick(5, times=4)
    market.hosts.remove(host)
    await market.tick(5, times=2)
    market.hosts.append(host)
    await market.tick(5, times=4)
    (cards,) = {
        each.line.end - each.line.start
        for each in await market.bill(ann)
        if each.line.item == "cards" and each.line.end - each.line.start > timedelta(seconds=5)
    }
    assert cards == timedelta(seconds=15)


async def test_a_clock_that_steps_charges_no_second_twice(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    await market.rent(ann)
    await market.tick(times=5)
    before = await market.balance(BookKind.HOST, host.owner)
    market.world.jump(timedelta(minutes=-3))
    await market.tick(times=2)
    assert await market.balance(BookKind.HOST, host.owner) == before
    await market.tick(times=4)
    lines = [each.line for each in await market.bill(ann) if each.line.item == "cards"]
    assert all(one.end <= two.start for one, two in pairwise(lines))


async def test_a_clock_that_leaps_ahead_charges_what_was_held_and_no_more(market: Stage) -> None:
    """An hour that never was: no host is paid for more of it than was held."""
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    await market.tick(times=3)
    held = await market.balance(BookKind.ESCROW, pod.id)
    before = sum(each.line.amount for each in await market.bill(ann))
    market.world.jump(timedelta(hours=1))
    await market.tick(1)
    after = sum(each.line.amount for each in await market.bill(ann))
    assert after - before <= held


async def test_a_lock_stops_its_owner_and_not_the_market(market: Stage) -> None:
    ann = await market.account("ann@example.org", "0.4")
    await market.host()
    pod = await market.rent(ann)
    async with market.database.transaction() as tx:
        await pods.lock(tx, pod.id, is_locked=True)
    with pytest.raises(PunaError, match="locked"):
        await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=80)
    assert await market.status(pod) is Status.EXITED


@pytest.mark.parametrize("bid", ["0.05", "0.15"])
async def test_a_bid_below_what_is_asked_gets_nothing(market: Stage, bid: str) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host(least_bid=200_000)
    with pytest.raises(NoCapacity) as told:
        await market.rent(ann, tenure=Tenure.SPOT, bid=Money.parse(bid))
    assert [str(each.why) for each in told.value.refusals] == ["asks more than the bid"]


async def test_a_host_that_was_not_seen_lately_gets_no_pod(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    await market.world.advance(Span.of(seconds=46))
    with pytest.raises(NoCapacity) as told:
        await market.rent(ann)
    assert "not seen lately" in told.value.hint
