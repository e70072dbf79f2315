"""What must never be false is noticed when it is, told to the operator, and stops renting."""

import pytest
from sqlalchemy import insert, update

from puna.market.actions.renting import RentingStopped
from puna.market.db import bills, notices
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.db.tables import balances, bill_lines, entries, hosts, pods, postings
from puna.market.domain.budgets import Budget, Period, Scope
from puna.market.domain.pods import Action, Status
from puna.market.loops.check_promises import check_promises
from puna.market.loops.place_pods import place_pods
from puna.units import Money
from tests.market.stage import Stage


async def a_pod(market: Stage) -> tuple[Caller, Pod]:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    await market.tick(times=2)
    return ann, pod


async def break_it(market: Stage, *changes: object) -> list[str]:
    async with market.database.transaction() as tx:
        for change in changes:
            await tx.execute(change)  # type: ignore[call-overload]
    return await market.broken()


async def test_a_sound_market_has_nothing_to_tell(market: Stage) -> None:
    await a_pod(market)
    assert await market.broken() == []


async def test_books_that_do_not_sum_to_zero_are_noticed(market: Stage) -> None:
    await a_pod(market)
    more = update(balances).where(balances.c.book == "fee").values(amount=balances.c.amount + 7)
    assert (await break_it(market, more))[0] == "all books together are $0.000007"


async def test_a_posting_without_its_balance_is_noticed_by_the_thorough_look(
    market: Stage,
) -> None:
    await a_pod(market)
    at = market.world.now()
    made = insert(entries).values(key="x", at=at, reason="x")
    posted = insert(postings).values(entry="x", book="fee", amount=5)
    assert await break_it(market, made, posted) == ["books and postings differ by $0.000005"]
    assert await check_promises(market.database, market.world) == []


async def test_a_book_below_zero_is_noticed(market: Stage) -> None:
    ann, _ = await a_pod(market)
    book = f"renter:{ann.account.id}"
    less = update(balances).where(balances.c.book == book).values(amount=-3)
    assert f"{book} stands at" in " ".join(await break_it(market, less))


async def test_money_held_for_a_closed_pod_is_noticed(market: Stage) -> None:
    _, pod = await a_pod(market)
    closed = update(pods).where(pods.c.id == pod.id).values(closed=market.world.now())
    assert any("which is closed" in each for each in await break_it(market, closed))


async def test_a_budget_that_is_passed_is_noticed(market: Stage) -> None:
    ann, _ = await a_pod(market)
    await set_budget(market, ann, "1")
    dearer = update(bill_lines).values(amount=2_000_000)
    (told,) = await break_it(market, dearer)
    assert told.endswith("are used")


async def test_a_budget_below_what_was_spent_when_it_was_set_is_no_breach(market: Stage) -> None:
    ann, _ = await a_pod(market)
    await set_budget(market, ann, "0.001")
    await market.tick(times=3)
    assert await market.broken() == []


async def test_a_container_without_an_owner_is_noticed(market: Stage) -> None:
    await a_pod(market)
    (told,) = await break_it(market, update(hosts).values(shown=["stray"]))
    assert told.startswith("nobody owns the container of stray")


async def test_a_pod_that_ends_as_soon_as_it_began_again_leaves_nothing_unowned(
    market: Stage,
) -> None:
    ann, pod = await a_pod(market)
    for action in (Action.STOP, Action.START, Action.TERMINATE):  # before its host says a word
        await market.act(ann, pod, action)
        await place_pods(market.database, market.world)
    await market.settle()
    assert await market.broken() == []
    await market.tick()
    assert market.hosts[0].shown == {}


async def test_nothing_begins_until_the_operator_has_looked(market: Stage) -> None:
    ann, pod = await a_pod(market)
    stopped = await market.rent(ann)
    await market.act(ann, stopped, Action.STOP)
    wrong = update(balances).where(balances.c.book == "fee").values(amount=balances.c.amount + 7)
    right = update(balances).where(balances.c.book == "fee").values(amount=balances.c.amount - 7)
    await break_it(market, wrong)
    with pytest.raises(RentingStopped, match="until its operator has looked"):
        await market.rent(ann)
    with pytest.raises(RentingStopped):
        await market.act(ann, stopped, Action.START)
    assert await place_pods(market.database, market.world) == 0
    assert await market.status(pod) is Status.RUNNING
    assert await break_it(market, right) == []
    async with market.database.transaction() as tx:
        for each in await notices.notices_page(tx):
            await notices.clear(tx, each.number, market.world.now())
    await market.act(ann, stopped, Action.START)


async def set_budget(market: Stage, caller: Caller, limit: str) -> None:
    budget = Budget(
        id="b",
        scope=Scope.ACCOUNT,
        owner=caller.account.id,
        period=Period.EVER,
        limit=Money.parse(limit),
    )
    async with market.database.transaction() as tx:
        await bills.add_budget(tx, caller.account.id, budget, market.world.now())
        (stands,) = await bills.budgets_of(tx, caller.account.id, market.world.now())
        assert stands.budget == budget
