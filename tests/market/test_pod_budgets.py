"""A budget that goes with a pod from its renting on."""

from dataclasses import replace

from puna.market.actions.renting import Wish, rent_pod
from puna.market.domain.pods import Desired
from puna.units import Money
from tests.market.stage import SPEC, Stage


async def test_a_pod_with_a_budget_never_costs_more(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    wish = Wish(name="n", spec=SPEC, budget=Money.parse("0.03"))
    async with market.database.transaction() as tx:
        pod = await rent_pod(tx, market.world, ann, wish)
    await market.tick(times=12)
    found = await market.look(pod)
    assert found.state.desired is Desired.STOP
    assert 24_000 < found.spent <= 30_000


async def test_another_pod_of_the_account_is_not_bound_by_it(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    wish = Wish(name="n", spec=replace(SPEC, disk_gb=1), budget=Money.parse("0.01"))
    async with market.database.transaction() as tx:
        await rent_pod(tx, market.world, ann, wish)
    other = await market.rent(ann)
    await market.tick(times=12)
    assert (await market.look(other)).state.desired is Desired.RUN
