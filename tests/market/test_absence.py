"""Hosts that are gone for ten seconds, for ten minutes, for ever; and what they bring back."""

from dataclasses import replace
from datetime import timedelta

import pytest

from puna.market.db import notices, orphans
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.domain.ledger import BookKind
from puna.market.domain.pods import Action, Status
from puna.market.domain.rules import Rules
from tests.market.stage import FakeHost, Stage

DAY = 24 * 3600


@pytest.fixture(autouse=True)
def strict(market: Stage) -> None:
    market.tariff = replace(market.tariff, rules=Rules())


async def on_the_cheaper_of_two(
    market: Stage, **changes: object
) -> tuple[Caller, Pod, FakeHost, FakeHost]:
    ann = await market.account("ann@example.org", "9")
    cheap, dear = await market.host("cheap", price=200_000), await market.host("dear")
    pod = await market.rent(ann, **changes)
    await market.tick(times=2)
    assert (await market.look(pod)).host == cheap.id
    market.hosts.remove(cheap)
    return ann, pod, cheap, dear


async def charged_on(market: Stage, caller: Caller, host: FakeHost) -> timedelta:
    lines = [each for each in await market.bill(caller) if each.line.item == "cards"]
    spans = [each.line.end - each.line.start for each in lines if each.host == host.id]
    return sum(spans, timedelta(0))


async def test_ten_minutes_without_a_word_move_a_pod_that_no_volume_binds(market: Stage) -> None:
    ann, pod, cheap, dear = await on_the_cheaper_of_two(market)
    before = await market.look(pod)
    await market.tick(times=10)
    after = await market.look(pod)
    assert (after.id, after.name, after.host) == (before.id, before.name, dear.id)
    assert after.state.status is Status.RUNNING
    assert f"its host is away: taken off host {cheap.id}" in await market.log(pod)
    assert await charged_on(market, ann, cheap) <= timedelta(minutes=2)


async def test_what_a_host_brings_back_is_removed_and_not_paid(market: Stage) -> None:
    ann, pod, cheap, dear = await on_the_cheaper_of_two(market)
    old = dict(cheap.shown)
    await market.tick(times=10)
    cheap.shown = old
    cheap.orders = cheap.orders.model_copy(update={"pods": []})
    await market.report(cheap, pods=list(old.values()))
    assert await market.broken() == []
    assert [(each.pod, each.want) for each in cheap.orders.pods] == [(pod.id, "terminate")]
    market.hosts.append(cheap)
    await market.tick(times=3)
    async with market.database.reading() as tx:
        assert await orphans.orphans_page(tx) == []
    assert cheap.orders.pods == []
    assert (await market.look(pod)).host == dear.id
    assert await charged_on(market, ann, cheap) <= timedelta(minutes=2)


async def test_a_volume_binds_a_pod_to_its_host(market: Stage) -> None:
    ann, pod, cheap, _ = await on_the_cheaper_of_two(market, volume_gb=10)
    await market.tick(times=10)
    found = await market.look(pod)
    assert (found.host, found.reason) == (cheap.id, "its host is away")
    market.hosts.append(cheap)
    await market.tick(times=4)
    assert await market.status(pod) is Status.RUNNING
    assert await charged_on(market, ann, cheap) <= timedelta(minutes=6)


async def test_a_host_that_never_comes_back_is_not_waited_for_for_ever(market: Stage) -> None:
    ann, pod, cheap, _ = await on_the_cheaper_of_two(market, volume_gb=10)
    await market.tick(DAY, times=8)
    found = await market.look(pod)
    assert found.state.status is Status.EXITED
    assert found.reason == "its host is lost, and its volume with it"
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=2)
    spent = sum(each.line.amount for each in await market.bill(ann))
    assert await market.balance(BookKind.RENTER, ann.account.id) == 9_000_000 - spent
    async with market.database.reading() as tx:
        (orphan,) = await orphans.orphans_page(tx)
        kinds = {each.kind for each in await notices.notices_page(tx)}
    assert (orphan.host, orphan.pod) == (cheap.id, pod.id)
    assert kinds == {notices.Kind.GONE}


async def test_a_pod_that_was_terminated_while_its_host_was_gone_is_settled(market: Stage) -> None:
    ann, pod, cheap, _ = await on_the_cheaper_of_two(market, volume_gb=10)
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=9)
    assert await market.balance(BookKind.ESCROW, pod.id) == 0
    market.hosts.append(cheap)
    await market.tick(times=3)
    assert cheap.shown == {}
    assert await market.broken() == []


async def test_a_pod_that_comes_back_to_the_host_it_left_is_no_orphan(market: Stage) -> None:
    ann = await market.account("ann@example.org", "9")
    host = await market.host()
    pod = await market.rent(ann)
    await market.tick(times=2)
    market.hosts.clear()
    await market.tick(times=8)
    market.hosts.append(host)
    await market.tick(times=4)
    assert (await market.look(pod)).host == host.id
    assert await market.status(pod) is Status.RUNNING
    async with market.database.reading() as tx:
        assert await orphans.orphans_page(tx) == []


async def test_a_pod_that_waits_for_a_place_costs_nothing(market: Stage) -> None:
    """Its first host is gone, and no other has come: what was held for it stays its renter's."""
    ann = await market.account("ann@example.org", "9")
    await market.host()
    pod = await market.rent(ann)
    await market.tick(times=2)
    market.hosts.clear()
    await market.tick(times=8)
    before = sum(each.line.amount for each in await market.bill(ann))
    await market.tick(times=10)
    assert sum(each.line.amount for each in await market.bill(ann)) == before
    assert await market.status(pod) is Status.PROVISIONING
    left = await market.balance(BookKind.RENTER, ann.account.id)
    held = await market.balance(BookKind.ESCROW, pod.id)
    assert left + held + before == 9_000_000
