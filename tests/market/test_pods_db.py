"""Pods in the database: pages, guards against what is old, and a log that is kept."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from puna.market.db import pods as db
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod, Sighting
from puna.market.domain.pods import Action, Desired, Intent, Observed, Status
from tests.market.stage import Stage


async def some_pods(market: Stage, count: int) -> tuple[Caller, list[Pod]]:
    ann = await market.account("ann@example.org", "50")
    for number in range(count):
        await market.host(f"h{number}")
    return ann, [await market.rent(ann) for _ in range(count)]


async def page(market: Stage, caller: Caller, after: str = "") -> Sequence[str]:
    async with market.database.transaction() as tx:
        found = await db.pods_of(tx, caller.account.id, after=after, limit=2)
    return [pod.id for pod in found]


async def test_lists_come_in_pages(market: Stage) -> None:
    ann, rented = await some_pods(market, 5)
    first = await page(market, ann)
    second = await page(market, ann, first[-1])
    third = await page(market, ann, second[-1])
    assert [*first, *second, *third] == sorted(pod.id for pod in rented)


async def test_what_is_terminated_leaves_the_list(market: Stage) -> None:
    ann, (pod,) = await some_pods(market, 1)
    await market.act(ann, pod, Action.TERMINATE)
    assert await page(market, ann) == []
    assert await market.status(pod) is Status.TERMINATED


async def test_an_account_lists_its_own(market: Stage) -> None:
    await some_pods(market, 1)
    bob = await market.account("bob@example.org")
    assert await page(market, bob) == []


async def want(market: Stage, pod: Pod, desired: Desired) -> bool:
    async with market.database.transaction() as tx:
        return await db.want(tx, pod, Intent(desired, pod.state.run), market.world.now())


async def test_an_intent_that_was_decided_on_old_facts_is_not_written(market: Stage) -> None:
    _, (pod,) = await some_pods(market, 1)
    assert await want(market, pod, Desired.STOP)
    assert not await want(market, pod, Desired.TERMINATE)
    assert (await market.look(pod)).state.desired is Desired.STOP


async def test_a_lock_comes_between_an_intent_and_its_facts(market: Stage) -> None:
    ann, (pod,) = await some_pods(market, 1)
    async with market.database.transaction() as tx:
        await db.lock(tx, pod.id, is_locked=True)
        await db.rename(tx, pod.id, "keep me")
    assert not await want(market, pod, Desired.STOP)
    found = await market.look(pod)
    assert (found.name, found.state.is_locked) == ("keep me", True)
    assert found.account == ann.account.id


@pytest.mark.parametrize(
    ("run", "is_seen"), [(1, True), (2, True), (0, False)], ids=["same", "newer", "older"]
)
async def test_a_sighting_of_an_earlier_run_is_late(
    market: Stage, run: int, *, is_seen: bool
) -> None:
    _, (pod,) = await some_pods(market, 1)
    await market.tick()
    async with market.database.transaction() as tx:
        host = (await market.look_in(tx, pod)).host or ""
        sighting = Sighting(pod=pod.id, run=run, observed=Observed.EXITED, reason="over")
        assert await db.see(tx, host, sighting) is is_seen
    assert ((await market.look(pod)).reason == "over") is is_seen


async def test_a_seat_is_given_once(market: Stage) -> None:
    _, (pod,) = await some_pods(market, 1)
    async with market.database.transaction() as tx:
        assert not await db.seat_pod(tx, pod.id, market.hosts[0].id, pod.price)
        assert await db.unseat_pod(tx, pod, market.world.now(), reason="moved", failed=True)
        assert not await db.unseat_pod(tx, pod, market.world.now(), reason="moved", failed=True)
        assert await db.seat_pod(tx, pod.id, market.hosts[0].id, pod.price)
    assert (await market.look(pod)).failed_hosts == {pod.host}


async def test_the_log_keeps_its_order_and_is_read_from_its_end(market: Stage) -> None:
    _, (pod,) = await some_pods(market, 1)
    async with market.database.transaction() as tx:
        for number in range(30):
            await db.say(tx, pod.id, f"line {number}", market.world.now())
        last = await db.said(tx, pod.id, last=3)
    assert [text for _, text in last] == ["line 27", "line 28", "line 29"]


async def test_a_line_longer_than_a_log_should_have_is_cut(market: Stage) -> None:
    _, (pod,) = await some_pods(market, 1)
    async with market.database.transaction() as tx:
        await db.say(tx, pod.id, "x" * 5000, market.world.now())
        ((_, text),) = await db.said(tx, pod.id, last=1)
    assert len(text) == 2000


async def test_a_closed_pod_is_nobodys_concern(market: Stage) -> None:
    _, (pod,) = await some_pods(market, 1)
    async with market.database.transaction() as tx:
        await db.close_pods(tx, [pod.id], market.world.now() + timedelta(days=1))
        assert await db.open_pods(tx) == []
        assert await db.pods_on(tx, pod.host or "") == []
