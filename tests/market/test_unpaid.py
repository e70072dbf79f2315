"""Who has no money left: stopped, told, kept for a while, and only then gone."""

from dataclasses import replace
from itertools import pairwise

import pytest

from puna.market.actions.renting import Wish, rent_pod
from puna.market.db import bills, pods
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.domain.budgets import BudgetReached
from puna.market.domain.ledger import BookKind, NotEnoughMoney
from puna.market.domain.pods import Action, Status
from puna.market.domain.specs import InvalidPod
from puna.units import Money
from tests.market.stage import SPEC, Stage

DAY = 24 * 3600


async def a_frozen_pod(market: Stage, volume_gb: int = 400) -> tuple[Caller, Pod]:
    """Its budget is used up after a few minutes, by running and then by its volume."""
    ann = await market.account("ann@example.org", "5")
    await market.host()
    spec = replace(SPEC, volume_gb=volume_gb)
    pod = await rent(market, ann, Wish(name="mine", spec=spec, budget=Money.parse("0.02")))
    await market.tick(times=10)
    assert await market.status(pod) is Status.EXITED
    return ann, pod


async def rent(market: Stage, caller: Caller, wish: Wish) -> Pod:
    async with market.database.transaction() as tx:
        return await rent_pod(tx, market.world, caller, wish)


async def test_a_volume_that_nobody_pays_for_is_kept_for_a_week_and_then_gone(
    market: Stage,
) -> None:
    _, pod = await a_frozen_pod(market)
    await market.tick(DAY, times=6)
    assert await market.status(pod) is Status.EXITED
    assert "its volume goes within a day, for nobody pays" in await market.log(pod)
    await market.tick(DAY, times=3)
    found = await market.look(pod)
    assert found.state.status is Status.TERMINATED
    assert any("nobody paid for its volume" in line for line in await market.log(pod))
    assert await market.balance(BookKind.ESCROW, pod.id) == 0


async def test_the_warning_is_given_once(market: Stage) -> None:
    _, pod = await a_frozen_pod(market)
    await market.tick(DAY, times=6)
    await market.tick(times=5)
    told = [line for line in await market.log(pod) if "within a day" in line]
    assert len(told) == 1


async def test_money_thaws_a_pod_and_what_is_owed_is_paid_first(market: Stage) -> None:
    ann, pod = await a_frozen_pod(market)
    await market.tick(DAY, times=3)
    async with market.database.transaction() as tx:
        (stands,) = await bills.budgets_of(tx, ann.account.id, market.world.now())
        await bills.remove_budget(tx, ann.account.id, stands.budget.id)
    await market.tick(times=3)
    found = await market.look(pod)
    assert found.frozen is None
    kept = [each.line for each in await market.bill(ann) if each.line.item == "kept volume"]
    assert all(one.end == two.start for one, two in pairwise(kept))
    await market.act(ann, pod, Action.START)
    await market.tick(times=2)
    assert await market.status(pod) is Status.RUNNING


async def test_a_pod_without_a_volume_is_never_deleted_for_money(market: Stage) -> None:
    _, pod = await a_frozen_pod(market, volume_gb=0)
    await market.tick(DAY, times=9)
    assert await market.status(pod) is Status.EXITED


async def test_nothing_starts_again_without_an_hour_of_money(market: Stage) -> None:
    ann = await market.account("ann@example.org", "0.37")
    await market.host()
    pod = await market.rent(ann)
    await market.tick(times=3)
    await market.act(ann, pod, Action.STOP)
    await market.tick(times=2)
    with pytest.raises(NotEnoughMoney, match="an hour of this pod"):
        await market.act(ann, pod, Action.START)


async def test_a_budget_of_a_pod_stops_it(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    wish = Wish(name="mine", spec=SPEC, budget=Money.parse("0.05"))
    pod = await rent(market, ann, wish)
    await market.tick(times=12)
    assert await market.status(pod) is Status.EXITED
    spent = sum(each.line.amount for each in await market.bill(ann))
    assert 42_000 < spent <= 50_000
    with pytest.raises(BudgetReached, match="budget of pod"):
        await market.act(ann, pod, Action.START)


@pytest.mark.parametrize(
    ("budget", "refused"), [("0.001", BudgetReached), ("0", InvalidPod), ("-1", InvalidPod)]
)
async def test_a_budget_that_lets_nothing_run_is_refused(
    market: Stage, budget: str, refused: type[Exception]
) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    wish = Wish(name="mine", spec=SPEC, budget=Money(int(float(budget) * 1e6)))
    with pytest.raises(refused):
        await rent(market, ann, wish)
    async with market.database.reading() as tx:
        assert await pods.open_pods(tx) == []
