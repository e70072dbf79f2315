"""Transactions in each other's way: the request is answered again, from its beginning."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from fastapi import APIRouter, Request

from puna.market.db.accounts import set_public_keys
from puna.market.db.database import Database, DatabaseClash
from puna.market.http.auth import ThisMarket
from tests.databases import Cluster, postgresql
from tests.market.serving import MarketServing, market_serving
from tests.market.stage import Stage
from tests.worlds import FakeWorld

router = APIRouter()
clashes: list[int] = []
bodies: list[bytes] = []


@router.post("/test/clash")
async def clash(request: Request) -> int:
    bodies.append(await request.body())
    if clashes and clashes.pop():
        raise DatabaseClash("another transaction was in the way")
    return len(bodies)


@router.post("/v2/test/clash")
async def clash_in_version_2(market: ThisMarket) -> None:
    del market
    bodies.append(b"")
    raise DatabaseClash("another transaction was in the way")


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    clashes.clear()
    bodies.clear()
    async with market_serving(tmp_path, extra=router, in_real_time=True) as market:
        yield market


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgresql() as started:
        if started is None:
            pytest.skip("PostgreSQL is not installed")
        yield started


async def test_a_clash_is_answered_again_with_the_same_body(serving: MarketServing) -> None:
    clashes.extend([1, 1])
    reply = await serving.ask("POST", "/test/clash", {"name": "x" * 2000})
    assert (reply.status, reply.json) == (200, 3)
    assert len(set(bodies)) == 1
    assert len(bodies[0]) > 2000


async def test_one_that_goes_on_is_told_in_the_end(serving: MarketServing) -> None:
    reply = await serving.ask("POST", "/v2/test/clash", {})
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    assert reply.json["detail"] == "another transaction was in the way"
    assert len(bodies) == 6


async def test_each_request_is_counted_once(serving: MarketServing) -> None:
    clashes.append(1)
    await serving.ask("POST", "/test/clash", {})
    assert serving.market.tally.requests["POST", "/test/clash", 200] == 1


async def test_postgresql_that_ends_a_deadlock_is_a_clash(cluster: Cluster) -> None:
    database = await Database.open(cluster.address())
    both = asyncio.Barrier(2)

    async def lock(*accounts: str) -> None:
        first, second = accounts
        async with database.transaction() as tx:
            await set_public_keys(tx, first, ["x"])
            await both.wait()
            await set_public_keys(tx, second, ["x"])

    stage = Stage(database, FakeWorld())
    one = (await stage.account("ann@example.org")).account.id
    other = (await stage.account("bob@example.org")).account.id
    done = await asyncio.gather(lock(one, other), lock(other, one), return_exceptions=True)
    await database.close()
    assert sorted(type(each).__name__ for each in done) == ["DatabaseClash", "NoneType"]
