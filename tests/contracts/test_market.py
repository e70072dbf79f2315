"""The market's promises hold on SQLite and on PostgreSQL, also when many ask at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Connection, MetaData, inspect

from puna.errors import PunaError
from puna.market.actions.renting import find_place, take_seat
from puna.market.db.database import Database, sqlite_address
from puna.market.db.hosts import hosts_for
from puna.market.db.migrate import upgrade
from puna.market.db.pods import Pod
from puna.market.db.tables import metadata
from puna.market.domain.ledger import BookKind
from puna.market.domain.pods import Action, Status
from tests.databases import Cluster, postgresql
from tests.market.stage import SPEC, Stage
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
