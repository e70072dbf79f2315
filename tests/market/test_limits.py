"""Each kind of budget bounds what it says, for as long as it says, and nothing else."""

from collections.abc import Callable

import pytest

from puna.market.actions.renting import Wish, rent_pod
from puna.market.db import bills
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.domain.budgets import Budget, Period, Scope
from puna.market.domain.pods import Desired
from puna.units import Money, Span
from tests.market.stage import SPEC, Stage


async def set_limit(
    market: Stage, caller: Caller, scope: Scope, owner: str, period: Period = Period.EVER
) -> None:
    """Five cents: not quite nine minutes of a pod."""
    budget = Budget(
        id=f"{scope}", scope=scope, owner=owner, period=period, limit=Money.parse("0.05")
    )
    async with market.database.transaction() as tx:
        await bills.add_budget(tx, caller.account.id, budget, market.world.now())


async def rent_for(market: Stage, caller: Caller, project: str) -> Pod:
    wish = Wish(name="mine", spec=SPEC, project=project)
    async with market.database.transaction() as tx:
        return await rent_pod(tx, market.world, caller, wish)


async def is_stopped(market: Stage, pod: Pod) -> bool:
    return (await market.look(pod)).state.desired is Desired.STOP


@pytest.mark.parametrize(
    ("scope", "owner"),
    [
        (Scope.ACCOUNT, lambda pod: pod.account),
        (Scope.KEY, lambda pod: pod.key),
        (Scope.PROJECT, lambda pod: pod.project),
        (Scope.POD, lambda pod: pod.id),
    ],
    ids=lambda value: str(value) if isinstance(value, Scope) else "",
)
async def test_a_budget_stops_what_it_bounds(
    market: Stage, scope: Scope, owner: Callable[[Pod], str]
) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await rent_for(market, ann, "thesis")
    await set_limit(market, ann, scope, owner(pod))
    await market.tick(times=7)
    assert not await is_stopped(market, pod)
    await market.tick(times=5)
    assert await is_stopped(market, pod)
    assert sum(each.line.amount for each in await market.bill(ann)) <= 50_000


async def test_a_budget_leaves_other_projects_alone(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    bounded, free = [await rent_for(market, ann, name) for name in ("thesis", "hobby")]
    await set_limit(market, ann, Scope.PROJECT, "thesis")
    await market.tick(times=12)
    assert await is_stopped(market, bounded)
    assert not await is_stopped(market, free)


async def test_another_accounts_budget_bounds_nobody_else(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    bob = await market.account("bob@example.org", "5")
    await market.host()
    pod = await rent_for(market, ann, "thesis")
    await set_limit(market, bob, Scope.PROJECT, "thesis")
    await market.tick(times=12)
    assert not await is_stopped(market, pod)


async def test_two_pods_share_a_budget(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    both = [await rent_for(market, ann, "thesis") for _ in range(2)]
    await set_limit(market, ann, Scope.PROJECT, "thesis")
    await market.tick(times=8)
    assert all([await is_stopped(market, pod) for pod in both])
    assert 35_000 < sum(each.line.amount for each in await market.bill(ann)) <= 50_000


async def test_a_days_budget_is_new_after_midnight(market: Stage) -> None:
    """It is noon when the market opens."""
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await rent_for(market, ann, "thesis")
    await set_limit(market, ann, Scope.PROJECT, "thesis", Period.DAY)
    await market.tick(times=12)
    assert await is_stopped(market, pod)
    await market.world.advance(Span.of(hours=12))
    await market.tick()
    again = await rent_for(market, ann, "thesis")
    await market.tick(times=3)
    assert not await is_stopped(market, again)


async def test_a_bill_is_asked_for_by_pod_and_by_time(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    one, two = [await rent_for(market, ann, name) for name in ("a", "b")]
    await market.tick(times=4)
    middle = market.world.now()
    await market.tick(times=4)
    start, end = middle.replace(year=2020), market.world.now()
    async with market.database.transaction() as tx:
        whole = await bills.bill_of(tx, ann.account.id, start, end)
        of_one = await bills.bill_of(tx, ann.account.id, start, end, pod=one.id)
        before, after = [
            await bills.bill_of(tx, ann.account.id, *span)
            for span in ((start, middle), (middle, end))
        ]
    assert {each.pod for each in whole} == {one.id, two.id}
    assert {each.pod for each in of_one} == {one.id}
    assert [*before, *after] == list(whole)
    assert {each.project for each in whole} == {"a", "b"}
