"""The market's promises hold on SQLite and on PostgreSQL, also when many ask at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Connection, MetaData, inspect

from puna.errors import PunaError
from puna.market.actions.bidding import bid_again
from puna.market.actions.editing import PodChange, edit_pod
from puna.market.actions.extras import ExtrasChange, change_extras
from puna.market.actions.registries import RegistryWish, create_registry, registries_of
from puna.market.actions.renting import find_place, take_seat
from puna.market.actions.secrets import SecretWish, create_secret, secrets_of
from puna.market.actions.templates import create_template, own_templates
from puna.market.db import bills
from puna.market.db.catalog import Shelves, shelves
from puna.market.db.database import Database, sqlite_address
from puna.market.db.hosts import hosts_for, hosts_of
from puna.market.db.migrate import upgrade
from puna.market.db.notices import Kind, notices_page
from puna.market.db.orphans import orphans_page
from puna.market.db.pods import Pod
from puna.market.db.spending import By, Spending, lines_of, sums_of
from puna.market.db.tables import metadata
from puna.market.domain.billing import Bucket
from puna.market.domain.budgets import Budget, Period, Scope
from puna.market.domain.hosts import Tenure
from puna.market.domain.ledger import BookKind
from puna.market.domain.pods import Action, Status
from puna.market.domain.templates import Preset, TemplateWish
from puna.units import Money
from puna.wire.agent import Credential
from tests.databases import Cluster, postgresql
from tests.market.lots import CARD
from tests.market.stage import SEAL, SPEC, Stage
from tests.worlds import FakeWorld


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster | None]:
    with postgresql() as running:
        yield running


@pytest_asyncio.fixture(params=["sqlite", "postgresql"])
async def market(
    request: pytest.FixtureRequest, tmp_path: Path, cluster: Cluster | None
) -> AsyncIterator[Stage]:
    if request.param == "postgresql" and cluster is None:
        pytest.skip("PostgreSQL is not installed")
    address = (
        cluster.address()
        if cluster and request.param == "postgresql"
        else sqlite_address(tmp_path / "market.db")
    )
    database = await Database.open(address)
    yield Stage(database, FakeWorld())
    await database.close()


async def test_a_rental_from_beginning_to_end(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann, volume_gb=10)
    await market.tick(times=3)
    assert await market.status(pod) is Status.RUNNING
    await market.act(ann, pod, Action.TERMINATE)
    await market.tick(times=2)
    paid = sum(each.line.amount for each in await market.bill(ann))
    assert await market.balance(BookKind.RENTER, ann.account.id) == 5_000_000 - paid
    assert 18_000 < paid < 20_000


async def test_of_ten_who_want_two_cards_at_once_two_get_one_each(market: Stage) -> None:
    renters = [await market.account(f"r{number}@example.org", "5") for number in range(10)]
    await market.host()

    async def try_to_rent(number: int) -> Pod | None:
        try:
            return await market.rent(renters[number])
        except PunaError:
            return None

    rented = await asyncio.gather(*(try_to_rent(number) for number in range(10)))
    async with market.database.transaction() as tx:
        (host,) = await hosts_for(tx)
    seated = [pod for pod in rented if pod is not None and pod.host is not None]
    assert host.free.cards == 0
    assert len(seated) == 2


@pytest.mark.parametrize("dearer_by", [0, 1000])
async def test_a_crowd_that_rents_at_once_gets_a_card_each(market: Stage, dearer_by: int) -> None:
    """Nobody is told that another was in the way, whether the hosts ask the same or not."""
    renters = [await market.account(f"r{number}@example.org", "5") for number in range(8)]
    for number in range(8):
        await market.host(f"h{number}", price=300_000 + number * dearer_by, cards=1)
    pods = await asyncio.gather(*(market.rent(each) for each in renters))
    await market.tick()
    places = {(await market.look(pod)).host for pod in pods}
    assert places == {host.id for host in market.hosts}


async def test_a_place_found_before_others_came_is_not_taken_after(market: Stage) -> None:
    """The turn was read at the claim and not with the tenants: two could get one card."""
    ann = await market.account("ann@example.org", "5")
    await market.host()
    async with market.database.transaction() as tx:
        seat = (await find_place(tx, market.world, SPEC)).seat
    pod = await market.rent(ann, cards=2)
    assert seat is not None
    async with market.database.transaction() as tx:
        assert not await take_seat(tx, market.world, pod.id, seat)


async def test_an_action_asked_for_ten_times_at_once_is_done_once(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    await market.tick()

    async def try_to_restart() -> bool:
        try:
            await market.act(ann, pod, Action.RESTART)
        except PunaError:
            return False
        return True

    done = await asyncio.gather(*(try_to_restart() for _ in range(10)))
    assert sum(done) == 1
    assert (await market.look(pod)).state.run == 2


async def test_of_changes_to_one_pod_at_once_none_is_lost(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann, ports=("80/http",))
    hour = timedelta(hours=1)

    async def patch(change: PodChange | ExtrasChange) -> None:
        async with market.database.transaction() as tx:
            if isinstance(change, PodChange):
                await edit_pod(tx, market.world, ann, pod.id, change)
            else:
                await change_extras(tx, market.world, ann, pod.id, change)

    for round_ in range(1, 6):
        times = ("stop_after", "terminate_after", "idle_stop")
        access = "open" if round_ % 2 else "closed"
        changes: list[PodChange | ExtrasChange] = [PodChange(access={"80": access})]
        changes += [ExtrasChange(times={name: hour * round_}) for name in times]
        await asyncio.gather(*map(patch, changes))
        spec = (await market.look(pod)).spec
        assert [getattr(spec, name) for name in times] == [hour * round_] * 3
        assert spec.access == {"80": access}


async def test_reports_and_loops_at_once_keep_the_books(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    hosts = [await market.host(name) for name in ("a", "b", "c")]
    for _ in range(6):
        await market.rent(ann)
    await market.tick()
    for _ in range(3):
        await asyncio.gather(*(market.report(host) for host in hosts))
        await market.tick()
    paid = sum(each.line.amount for each in await market.bill(ann))
    earned = [await market.balance(BookKind.HOST, host.owner) for host in hosts]
    assert sum(earned) + await market.balance(BookKind.FEE) == paid


def tables_of(connection: Connection) -> dict[str, set[str]]:
    inspector = inspect(connection)
    return {
        table: {column["name"] for column in inspector.get_columns(table)}
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


async def test_the_migrations_make_the_tables_that_the_code_knows(market: Stage) -> None:
    async with market.database.transaction() as tx:
        made = await tx.run_sync(tables_of)
    assert made == known(metadata)


def known(tables: MetaData) -> dict[str, set[str]]:
    return {table.name: set(table.columns.keys()) for table in tables.sorted_tables}


async def test_a_filled_database_is_upgraded_again_without_loss(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    pod = await market.rent(ann)
    async with market.database.transaction() as tx:
        await tx.run_sync(upgrade)
    assert (await market.look(pod)).name == "mine"
    assert await market.balance(BookKind.RENTER, ann.account.id) == 5_000_000


async def test_sums_by_day_and_pod_are_those_of_the_lines(market: Stage) -> None:
    ann = await market.account("ann@example.org", "50")
    await market.host()
    pods = [await market.rent(ann, volume_gb=10), await market.rent(ann)]
    await market.tick(3600, times=15)  # from noon to three in the morning
    now = market.world.now()
    which = Spending(account=ann.account.id, start=now - timedelta(days=2), end=now)
    async with market.database.transaction() as tx:
        lines = await lines_of(tx, which, limit=1000)
        second = await lines_of(tx, which, after=lines[9].entry, limit=5)
        by_day = await sums_of(tx, which, By.POD, Bucket.DAY)
        by_month = await sums_of(tx, which, By.NOTHING, Bucket.MONTH)
    assert [each.entry for each in second] == [each.entry for each in lines[10:15]]
    assert {each.name for each in by_day} == {pod.id for pod in pods}
    assert len(by_day) == 4
    assert sum(each.total for each in by_day) == sum(each.line.amount for each in lines)
    assert sum(each.total for each in by_month) == sum(each.total for each in by_day)


async def test_what_is_free_is_counted_by_the_database(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host(country="PL")
    await market.host("big", cards=8, price=300_000, country="PL")
    await market.host("closed", cards=8, price=1, country="PL", is_paused=True)
    await market.rent(ann, ceiling=Money(300_000))
    async with market.database.transaction() as tx:
        (shelf,) = await shelves(tx, Shelves(count=8), market.world.now())
        none = await shelves(tx, Shelves(card=""), market.world.now())
    assert (shelf.card, shelf.hosts, shelf.free, shelf.fits, shelf.most) == (CARD, 3, 9, 0, 8)
    assert (shelf.price, shelf.memory) == (300_000, 24 * 10**9)
    assert none == []


async def test_pods_that_share_a_budget_and_settle_at_once_do_not_pass_it(market: Stage) -> None:
    """Each sees what is left; only one at a time may hold it."""
    ann = await market.account("ann@example.org", "5")
    await market.host(cards=8, processors=99)
    both = [await market.rent(ann, project="thesis") for _ in range(8)]
    budget = Budget(
        id="b", scope=Scope.PROJECT, owner="thesis", period=Period.EVER, limit=Money(40_000)
    )
    async with market.database.transaction() as tx:
        await bills.add_budget(tx, ann.account.id, budget, market.world.now())
    for _ in range(4):
        market.world.jump(timedelta(seconds=30))
        await market.report(market.hosts[0])
        await asyncio.gather(*(market.settle() for _ in range(4)))
        await market.report(market.hosts[0])
        assert await market.broken() == []
    lines = await market.bill(ann)
    held = [await market.balance(BookKind.ESCROW, pod.id) for pod in both]
    assert sum(each.line.amount for each in lines) + sum(held) <= 40_000


async def test_an_owner_finds_every_machine_and_a_renter_bids_again_in_both(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host("box")
    async with market.database.transaction() as tx:
        assert [each.name for each in await hosts_of(tx, host.owner)] == ["box"]
        assert await hosts_of(tx, host.owner, after=host.id) == []
    low, high = Money.parse("0.15"), Money.parse("0.30")
    pod = await market.rent(ann, tenure=Tenure.SPOT, bid=low, volume_gb=10)
    await market.tick()
    await market.act(ann, pod, Action.STOP)
    await market.tick()
    async with market.database.transaction() as tx:
        await bid_again(tx, market.world, ann, pod.id, high)
    await market.tick(times=2)
    after = await market.look(pod)
    assert (after.state.status, after.price) == (Status.RUNNING, high)


async def test_what_renters_keep_here_is_kept_in_both(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    account = ann.account.id
    async with market.database.transaction() as tx:
        wish = TemplateWish(name="mine", preset=Preset(image="img"))
        template = await create_template(tx, market.world, account, wish)
        secret = SecretWish(name="token", value="s3cret")
        await create_secret(tx, market.world, SEAL, account, secret)
        login = RegistryWish("hub", Credential(username="u", password="p"))
        registry = await create_registry(tx, market.world, SEAL, account, login)
    async with market.database.reading() as tx:
        assert await own_templates(tx, account) == [template]
        assert [each.name for each in await secrets_of(tx, account)] == ["token"]
        assert await registries_of(tx, account) == [registry]


async def test_absent_hosts_and_strays_are_dealt_with_in_both(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    cheap = await market.host("cheap", price=200_000)
    dear = await market.host("dear")
    pod = await market.rent(ann)
    await market.tick(times=2)
    market.hosts.remove(cheap)
    await market.tick(times=8)
    assert (await market.look(pod)).host == dear.id
    async with market.database.reading() as tx:
        assert [each.host for each in await orphans_page(tx)] == [cheap.id]
        (notice,) = await notices_page(tx)
    assert (notice.kind, notice.subject) == (Kind.GONE, cheap.id)
    market.hosts.append(cheap)
    await market.tick(times=2)
    async with market.database.reading() as tx:
        assert await orphans_page(tx) == []


async def test_limits_are_found_in_both(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    stopped = await market.rent(ann, stop_after=timedelta(minutes=2))
    idle = await market.rent(ann, idle_stop=timedelta(minutes=3))
    await market.tick(times=3)
    assert await market.status(stopped) is Status.EXITED
    assert await market.status(idle) is Status.RUNNING
    await market.tick(times=3)
    assert await market.status(idle) is Status.EXITED
