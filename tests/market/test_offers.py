"""Looking at offers, limits and one's own money, as a renter does before and while renting."""

from dataclasses import replace
from datetime import timedelta

import pytest

from puna.market.actions.accounts import KeyWish, NoSuchKey, identify, make_key, revoke_key
from puna.market.actions.budgets import (
    BoundedKey,
    BudgetWish,
    InvalidBudget,
    NoSuchBudget,
    budgets_of,
    named_key,
    remove_budget,
    set_budget,
)
from puna.market.actions.offers import Offers, Search, look_at_offers
from puna.market.actions.spending import NoSuchLine, explain_line, standing_of
from puna.market.db.accounts import Caller
from puna.market.db.spending import Spending, lines_of, projects_of
from puna.market.domain.budgets import Period, Scope, Spent
from puna.market.domain.hosts import Tenure
from puna.market.domain.placement import Why
from puna.market.domain.pods import Status
from puna.units import Money, Size, Span
from tests.market.lots import GB
from tests.market.stage import SPEC, Stage


async def look(market: Stage, *, after: str = "", limit: int = 100, **changes: object) -> Offers:
    spec = replace(SPEC, **changes)  # type: ignore[arg-type]
    async with market.database.transaction() as tx:
        return await look_at_offers(tx, market.world, Search(spec=spec), after=after, limit=limit)


async def limit_of(market: Stage, caller: Caller, scope: Scope, amount: int, owner: str) -> Spent:
    wish = BudgetWish(scope=scope, owner=owner, period=Period.DAY, limit=Money(amount))
    async with market.database.transaction() as tx:
        return await set_budget(tx, market.world, caller, wish)


async def test_an_offer_has_its_price_and_how_many_are_free(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    await market.rent(ann)
    (offer,) = (await look(market)).offers
    assert (offer.price, offer.hour, offer.free, offer.displaces) == (360_000, 362_740, 1, 0)


async def test_each_refused_offer_has_its_reason(market: Stage) -> None:
    await market.host("pl", country="PL")
    await market.host("de", country="DE")
    await market.host("paused", country="PL", is_paused=True)
    found = await look(market, countries=("PL",))
    assert len(found.offers) == 1
    assert sorted(each.why for each in found.refused) == [Why.COUNTRY, Why.CLOSED]


async def test_what_spot_pods_hold_is_within_reach(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    await market.rent(ann, cards=2, tenure=Tenure.SPOT, bid=Money(150_000))
    (offer,) = (await look(market)).offers
    assert (offer.free, offer.within_reach, offer.displaces) == (0, 2, 1)


async def test_a_pod_without_a_card_is_offered_processors_of_any_machine(market: Stage) -> None:
    await market.host()
    (offer,) = (await look(market, cards=0, processors=4)).offers
    assert (offer.free, offer.within_reach) == (16, 16)


async def test_spot_without_a_bid_shows_what_is_asked(market: Stage) -> None:
    await market.host()
    await market.host("never", least_bid=None)
    found = await look(market, tenure=Tenure.SPOT)
    assert [each.price for each in found.offers] == [100_000]
    assert [each.why for each in found.refused] == [Why.NO_SPOT]


async def test_memory_of_a_card_is_asked_for(market: Stage) -> None:
    await market.host()
    search = Search(spec=SPEC, card_memory=Size(48 * GB))
    async with market.database.transaction() as tx:
        found = await look_at_offers(tx, market.world, search)
    assert [each.why for each in found.refused] == [Why.CARD]


async def test_offers_come_in_pages(market: Stage) -> None:
    for name in ("a", "b", "c"):
        await market.host(name)
    first = await look(market, limit=2)
    rest = await look(market, limit=2, after=first.after)
    hosts = [each.host.id for each in (*first.offers, *rest.offers)]
    assert (hosts, rest.after) == (sorted(host.id for host in market.hosts), "")


async def test_a_limit_replaces_the_one_before_and_shows_how_it_stands(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await limit_of(market, ann, Scope.PROJECT, 1, "p")
    stands = await limit_of(market, ann, Scope.PROJECT, 2_000_000, "p")
    async with market.database.transaction() as tx:
        (only,) = await budgets_of(tx, market.world, ann)
    assert only == stands
    assert (stands.charged, stands.left) == (0, 2_000_000)


async def test_a_limit_of_a_day_stops_a_pod(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    await limit_of(market, ann, Scope.POD, 20_000, pod.id)
    await market.tick(times=6)
    assert await market.status(pod) is Status.EXITED
    async with market.database.transaction() as tx:
        (stands,) = await budgets_of(tx, market.world, ann)
    assert 0 < stands.charged + stands.held <= 20_000


async def test_a_key_with_a_limit_cannot_free_itself(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    bounded = await limit_of(market, ann, Scope.KEY, 5, "")
    with pytest.raises(BoundedKey, match="has a budget of its own"):
        await limit_of(market, ann, Scope.ACCOUNT, 5, "")
    async with market.database.transaction() as tx:
        with pytest.raises(BoundedKey):
            await remove_budget(tx, ann, bounded.budget.id)
        other = await identify(
            tx, market.world, (await make_key(tx, market.world, ann.account.id)).secret
        )
        await remove_budget(tx, other, bounded.budget.id)


@pytest.mark.parametrize("scope", [Scope.POD, Scope.KEY])
async def test_a_limit_of_what_is_not_there_is_refused(market: Stage, scope: Scope) -> None:
    ann = await market.account("ann@example.org")
    with pytest.raises(NoSuchBudget, match=f"no {scope} nothing"):
        await limit_of(market, ann, scope, 5, "nothing")
    with pytest.raises(InvalidBudget):
        await limit_of(market, ann, Scope.ACCOUNT, -1, "")
    async with market.database.transaction() as tx:
        with pytest.raises(NoSuchBudget):
            await remove_budget(tx, ann, "bud_x")


async def test_keys_are_found_by_name_and_end(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    async with market.database.transaction() as tx:
        made = await make_key(
            tx, market.world, ann.account.id, KeyWish(name="ci", lives=timedelta(days=1))
        )
        found = await named_key(tx, ann.account.id, "ci")
        assert found == await named_key(tx, ann.account.id, made.key.prefix + "...") == made.key.id
        await revoke_key(tx, market.world, ann.account.id, found)
        with pytest.raises(NoSuchKey):
            await revoke_key(tx, market.world, ann.account.id, found)


async def test_an_account_sees_how_long_its_money_lasts(market: Stage) -> None:
    ann = await market.account("ann@example.org", "3.6274")
    await market.host()
    await market.rent(ann)
    await market.tick()
    async with market.database.transaction() as tx:
        stands = await standing_of(tx, ann.account.id)
    assert (stands.pods, stands.running, stands.an_hour) == (1, 1, 362_740)
    assert stands.balance + stands.held == 3_627_400
    assert stands.lasts == Span.of(hours=10)


async def test_a_line_is_explained_by_its_product_and_its_entry(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    await market.rent(ann)
    await market.tick(times=2)
    now = market.world.now()
    which = Spending(account=ann.account.id, start=now - timedelta(hours=1), end=now)
    async with market.database.transaction() as tx:
        line, *_ = await lines_of(tx, which)
        found = await explain_line(tx, ann.account.id, line.entry)
        assert sum(amount for _, amount in found.posted.postings) == 0
        with pytest.raises(NoSuchLine):
            await explain_line(tx, "another", line.entry)
        projects = await projects_of(tx, ann.account.id)
    assert "60.000000 s of cards at $0.36 an hour are 0.006000000, charged $0.006" in found.words
    assert [(each.name, each.open_pods) for each in projects] == [("", 1)]
