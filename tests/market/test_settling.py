"""Pods are settled together: each pays what it would pay alone, and none holds the others up."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import event, insert

from puna.market.db import bills
from puna.market.db.database import DatabaseAway, DatabaseClash, Transaction
from puna.market.db.ledger import escrow, post_all, renter
from puna.market.db.pods import Pod, open_pods
from puna.market.db.tables import entries
from puna.market.domain.budgets import Budget, Period, Scope
from puna.market.domain.ledger import BookKind, NotEnoughMoney, hold
from puna.market.loops import pages
from puna.market.loops.pages import settle_pods
from puna.units import Money
from tests.market.stage import Stage


async def rented(market: Stage, count: int, credit: str = "5") -> list[Pod]:
    ann = await market.account("ann@example.org", credit)
    await market.host(cards=count, processors=99)
    pods = [await market.rent(ann, project="thesis") for _ in range(count)]
    await market.tick()
    return pods


async def statements_of_a_turn(market: Stage) -> int:
    said: list[object] = []
    engine = market.database._engine.sync_engine

    def hear(*told: object) -> None:
        said.append(told[2])

    event.listen(engine, "before_cursor_execute", hear)
    await market.settle()
    event.remove(engine, "before_cursor_execute", hear)
    return len(said)


async def test_a_turn_takes_as_many_statements_for_eight_pods_as_for_two(market: Stage) -> None:
    await rented(market, 2)
    market.world.jump(timedelta(minutes=1))
    await market.report(market.hosts[0])
    of_two = await statements_of_a_turn(market)
    bob = await market.account("bob@example.org", "5")
    await market.host("other", cards=6, processors=99)
    for _ in range(6):
        await market.rent(bob)
    await market.tick()
    market.world.jump(timedelta(minutes=1))
    for host in market.hosts:
        await market.report(host)
    assert await statements_of_a_turn(market) == of_two
    assert await market.broken() == []


async def test_what_one_holds_the_next_of_the_same_account_has_not(market: Stage) -> None:
    pods = await rented(market, 4, credit="0.37")
    for _ in range(20):
        await market.tick()
        held = [await market.balance(BookKind.ESCROW, pod.id) for pod in pods]
        assert await market.balance(BookKind.RENTER, pods[0].account) >= 0
        assert min(held) >= 0
    assert {(await market.look(pod)).state.desired for pod in pods} == {"stop"}


async def test_a_budget_is_shared_by_those_who_are_settled_together(market: Stage) -> None:
    pods = await rented(market, 4)
    limit = Money(60_000)
    budget = Budget(id="b", scope=Scope.PROJECT, owner="thesis", period=Period.DAY, limit=limit)
    async with market.database.transaction() as tx:
        await bills.add_budget(tx, pods[0].account, budget, market.world.now())
    await market.tick(times=10)
    async with market.database.reading() as tx:
        stands = await bills.stand_of(tx, pods[0].account, budget, market.world.now())
    assert 0 < stands.charged + stands.held <= limit


async def test_one_that_cannot_be_settled_holds_up_no_other(market: Stage) -> None:
    bad, *good = sorted(pod.id for pod in await rented(market, 3))
    settled: list[str] = []

    async def act(tx: Transaction, found: Sequence[Pod]) -> int:
        del tx
        if bad in {pod.id for pod in found}:
            raise NotEnoughMoney("its book is short")
        settled.extend(pod.id for pod in found)
        return len(found)

    with pytest.raises(NotEnoughMoney):
        await settle_pods(market.database, act, open_pods)
    assert settled == good


@pytest.mark.parametrize(("error", "tries"), [(DatabaseAway, 1), (DatabaseClash, 4)])
async def test_a_database_that_is_away_ends_the_turn(
    market: Stage, error: type[DatabaseAway], tries: int
) -> None:
    await rented(market, 3)
    asked: list[int] = []

    async def act(tx: Transaction, found: Sequence[Pod]) -> int:
        del tx
        asked.append(len(found))
        raise error("as the test says")

    with pytest.raises(error):
        await settle_pods(market.database, act, open_pods)
    assert len(asked) == tries


async def test_more_pods_than_fit_come_page_by_page(
    market: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "TOGETHER", 2)
    known = {pod.id for pod in await rented(market, 5)}
    groups: list[list[str]] = []

    async def act(tx: Transaction, found: Sequence[Pod]) -> int:
        del tx
        groups.append([pod.id for pod in found])
        return len(found)

    assert await settle_pods(market.database, act, open_pods) == 5
    assert [len(each) for each in groups] == [2, 2, 1]
    assert {pod for each in groups for pod in each} == known


async def test_entries_that_ask_too_much_together_change_nothing(market: Stage) -> None:
    ann = (await market.account("ann@example.org", "1")).account.id
    now = market.world.now()
    both = [hold(ann, pod, Money(600_000), key=pod, at=now) for pod in ("p1", "p2")]
    with pytest.raises(NotEnoughMoney, match=str(renter(ann))):
        async with market.database.transaction() as tx:
            await post_all(tx, both)
    assert await market.balance(BookKind.RENTER, ann) == 1_000_000
    assert await market.balance(BookKind.ESCROW, "p1") == 0


async def test_an_entry_that_stands_is_not_posted_again(market: Stage) -> None:
    """A clock that went back makes the same key: the same fact, and a turn that goes on."""
    (pod,) = await rented(market, 1)
    market.world.jump(timedelta(minutes=1))
    await market.report(market.hosts[0])
    key = f"hold:{pod.id}:{market.world.now().timestamp():.6f}"
    async with market.database.transaction() as tx:
        row = {"key": key, "at": market.world.now(), "reason": "from another time"}
        await tx.execute(insert(entries).values(row))
    before = await market.balance(BookKind.RENTER, pod.account)
    await market.settle()
    assert await market.balance(BookKind.RENTER, pod.account) == before
    assert str(escrow(pod.id)) not in str(await market.broken())
    await market.tick(times=2)
    assert (await market.look(pod)).state.desired == "run"
