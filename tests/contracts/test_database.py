"""One suite, two databases: money is posted once and whole, keys end, tokens are taken once."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.exc import IntegrityError

from puna.errors import Invalid
from puna.market.db.accounts import (
    Account,
    ApiKey,
    JoinToken,
    account_of,
    add_account,
    add_join_token,
    add_key,
    caller_by,
    has_admin,
    revoke_key,
    set_public_keys,
    use_join_token,
)
from puna.market.db.database import Database, DatabaseAway, sqlite_address
from puna.market.db.ledger import balance_of, balances_of, escrow, imbalance, post, renter
from puna.market.domain.hosts import Cloud
from puna.market.domain.ledger import MARKET, Entry, NotEnoughMoney, grant, hold, release
from puna.units import Money
from tests.databases import Cluster, postgresql

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
ANN = Account(id="acc1", email="ann@example.org", is_admin=False, created=NOON)
KEY = ApiKey(
    id="key1",
    account="acc1",
    name="laptop",
    prefix="puna_abc",
    digest="d" * 64,
    may_write=True,
    created=NOON,
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster | None]:
    with postgresql() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path, cluster: Cluster | None) -> str:
    if request.param == "sqlite":
        return sqlite_address(tmp_path / "market.db")
    if cluster is None:
        pytest.skip("PostgreSQL is not installed")
    return cluster.address()


@pytest_asyncio.fixture
async def database(address: str) -> AsyncIterator[Database]:
    opened = await Database.open(address)
    yield opened
    await opened.close()


async def post_together(database: Database, *entries: Entry) -> None:
    async with database.transaction() as tx:
        for entry in entries:
            await post(tx, entry)


async def test_what_was_posted_is_there_after_a_restart(address: str) -> None:
    first = await Database.open(address)
    async with first.transaction() as tx:
        await post(tx, grant("ann", Money(500), key="k", at=NOON))
    await first.close()
    second = await Database.open(address)
    async with second.transaction() as tx:
        assert await balances_of(tx, [renter("ann"), MARKET]) == {renter("ann"): 500, MARKET: -500}
    await second.close()


async def test_what_no_database_keeps_is_the_askers_mistake(database: Database) -> None:
    wrong = ["\ud800", "a\0b"] if database.is_shared else ["\ud800"]  # SQLite keeps a zero byte
    for each in wrong:
        with pytest.raises(Invalid, match="a value cannot be kept"):
            async with database.transaction() as tx:
                await add_account(tx, replace(ANN, id=each))
    with pytest.raises(Invalid, match="a value cannot be kept"):
        async with database.transaction() as tx:
            await post(tx, grant("ann", Money(2**63), key="k", at=NOON))


async def test_an_error_of_the_database_tells_no_values(database: Database) -> None:
    async with database.transaction() as tx:
        await add_account(tx, ANN)
    with pytest.raises(IntegrityError) as refused:
        async with database.transaction() as tx:
            await add_account(tx, replace(ANN, email="s3cret@example.org"))
    assert "s3cret" not in str(refused.value)


async def test_a_mistake_of_the_markets_own_stays_one(database: Database) -> None:
    with pytest.raises(OverflowError):
        async with database.transaction():
            raise OverflowError("of the market")


async def test_an_entry_is_posted_once(database: Database) -> None:
    entry = grant("ann", Money(500), key="same", at=NOON)
    async with database.transaction() as tx:
        posted = [await post(tx, entry), await post(tx, entry)]
    async with database.transaction() as tx:
        assert posted == [True, False]
        assert await balance_of(tx, renter("ann")) == 500


async def test_an_entry_that_asks_too_much_changes_nothing(database: Database) -> None:
    async with database.transaction() as tx:
        await post(tx, grant("ann", Money(100), key="1", at=NOON))
    gift = grant("bob", Money(50), key="2", at=NOON)
    with pytest.raises(NotEnoughMoney, match="renter:ann is short"):
        await post_together(database, gift, hold("ann", "p", Money(101), key="3", at=NOON))
    async with database.transaction() as tx:
        books = [renter("ann"), renter("bob"), escrow("p")]
        assert await balances_of(tx, books) == {renter("ann"): 100}
        assert await imbalance(tx) == 0


async def test_of_twenty_that_want_the_last_money_at_once_one_gets_it(database: Database) -> None:
    async with database.transaction() as tx:
        await post(tx, grant("ann", Money(150), key="credit", at=NOON))

    async def try_to_hold(number: int) -> bool:
        try:
            async with database.transaction() as tx:
                await post(tx, hold("ann", f"p{number}", Money(100), key=f"h{number}", at=NOON))
        except NotEnoughMoney:
            return False
        return True

    held = await asyncio.gather(*(try_to_hold(number) for number in range(20)))
    async with database.transaction() as tx:
        assert sum(held) == 1
        assert await balance_of(tx, renter("ann")) == 50
        assert await imbalance(tx) == 0


async def test_moves_both_ways_at_once_never_wait_for_each_other(database: Database) -> None:
    async with database.transaction() as tx:
        await post(tx, grant("ann", Money(10_000), key="credit", at=NOON))
        await post(tx, hold("ann", "p", Money(5000), key="start", at=NOON))

    async def move(number: int) -> None:
        turn = hold if number % 2 else release
        async with database.transaction() as tx:
            await post(tx, turn("ann", "p", Money(10), key=f"m{number}", at=NOON))

    await asyncio.gather(*(move(number) for number in range(40)))
    async with database.transaction() as tx:
        assert await balance_of(tx, escrow("p")) == 5000
        assert await imbalance(tx) == 0


async def test_a_key_says_who_asks(database: Database) -> None:
    async with database.transaction() as tx:
        await add_account(tx, ANN)
        await add_key(tx, KEY)
    async with database.transaction() as tx:
        caller = await caller_by(tx, KEY.digest, NOON)
        assert caller is not None
        assert (caller.account, caller.key) == (ANN, KEY)
        assert await caller_by(tx, "e" * 64, NOON) is None


async def test_a_key_ends_when_it_is_revoked_or_over(database: Database) -> None:
    later = NOON + timedelta(seconds=1)
    async with database.transaction() as tx:
        await add_account(tx, ANN)
        await add_key(tx, replace(KEY, expires=later))
        await add_key(tx, replace(KEY, id="key2", digest="e" * 64))
        assert await revoke_key(tx, "acc1", "key2", NOON)
        assert not await revoke_key(tx, "acc1", "key2", NOON)
        assert not await revoke_key(tx, "another", "key1", NOON)
    async with database.transaction() as tx:
        assert await caller_by(tx, KEY.digest, NOON) is not None
        assert await caller_by(tx, KEY.digest, later) is None
        assert await caller_by(tx, "e" * 64, NOON) is None


async def test_an_account_is_found_by_its_id_and_its_address(database: Database) -> None:
    async with database.transaction() as tx:
        assert not await has_admin(tx)
        await add_account(tx, replace(ANN, is_admin=True))
        await set_public_keys(tx, "acc1", ["ssh-ed25519 AAAA ann"])
    async with database.transaction() as tx:
        assert await has_admin(tx)
        by_id, by_email = [await account_of(tx, name) for name in ("acc1", "ann@example.org")]
        assert by_id == by_email
        assert by_id is not None
        assert by_id.public_keys == ("ssh-ed25519 AAAA ann",)
        assert await account_of(tx, "nobody") is None


async def test_of_ten_machines_with_one_token_one_joins(database: Database) -> None:
    token = JoinToken(
        digest="t" * 64,
        account="acc1",
        cloud=Cloud.COMMUNITY,
        created=NOON,
        expires=NOON + timedelta(hours=1),
    )
    async with database.transaction() as tx:
        await add_account(tx, ANN)
        await add_join_token(tx, token)

    async def join(moment: datetime) -> JoinToken | None:
        async with database.transaction() as tx:
            return await use_join_token(tx, token.digest, moment)

    assert await join(NOON + timedelta(hours=1)) is None
    joined = await asyncio.gather(*(join(NOON) for _ in range(10)))
    assert [each for each in joined if each] == [token]


@pytest.mark.parametrize("wrong", ["mysql://x/y", "not an address"])
async def test_another_database_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid, match="database"):
        await Database.open(wrong)


async def answers(database: Database) -> None:
    """Open an account whose name nobody has, in a whole transaction."""
    async with database.transaction() as tx:
        assert await account_of(tx, "nobody@example.org") is None


async def test_one_that_hangs_is_waited_for_for_a_while_and_no_longer(
    cluster: Cluster | None,
) -> None:
    """Its connections stand, so that no error comes: a renter would never learn anything."""
    if cluster is None:
        pytest.skip("PostgreSQL is not installed")
    database = await Database.open(cluster.address(), patience_s=0.3)
    await answers(database)
    with cluster.frozen():
        for _ in range(3):
            with pytest.raises(DatabaseAway, match="in vain"):
                await answers(database)
    await becomes_usable(database)
    await database.close()


async def becomes_usable(database: Database) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                return await answers(database)
            except DatabaseAway:
                await asyncio.sleep(0.1)


async def add_a_key_and_be_cut_off(database: Database, cluster: Cluster) -> None:
    async with database.transaction() as tx:
        await add_key(tx, KEY)
        cluster.kill()
        await account_of(tx, ANN.email)


async def test_one_that_is_killed_keeps_what_it_has_said_yes_to(cluster: Cluster | None) -> None:
    if cluster is None:
        pytest.skip("PostgreSQL is not installed")
    database = await Database.open(cluster.address())
    async with database.transaction() as tx:
        await add_account(tx, ANN)
    with pytest.raises(DatabaseAway):
        await add_a_key_and_be_cut_off(database, cluster)
    cluster.start()
    await becomes_usable(database)
    async with database.transaction() as tx:
        assert await account_of(tx, ANN.email) == ANN
        assert await caller_by(tx, KEY.digest, NOON) is None
    await database.close()


async def test_a_file_that_another_program_has_locked_is_waited_for_likewise(
    tmp_path: Path,
) -> None:
    """Who only looks is answered all the same."""
    path = tmp_path / "market.db"
    database = await Database.open(sqlite_address(path), patience_s=0.2)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseAway, match="locked"):
            await answers(database)
        async with database.reading() as tx:
            assert await account_of(tx, ANN.email) is None
        other.execute("ROLLBACK")
    await answers(database)
    await database.close()


async def test_a_database_that_is_away_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway, match="does not answer"):
        await Database.open(f"postgresql://nobody@/puna?host={tmp_path}")
    with pytest.raises(DatabaseAway, match="does not answer"):
        await Database.open(sqlite_address(tmp_path / "no" / "folder.db"))
