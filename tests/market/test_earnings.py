"""A host is told what it earned, after the fee, and only what is its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from puna.market.actions.earning import earned
from puna.market.domain.pods import Status
from puna.units import Span
from puna.wire.agent import PATH, SAMPLE, Earnings
from tests.market.serving import MarketServing, market_serving
from tests.market.stage import FakeHost, Stage


async def earnings_of(stage: Stage, host: FakeHost) -> Earnings:
    async with stage.database.transaction() as tx:
        return await earned(tx, stage.world, host.key)


@pytest.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    async with market_serving(tmp_path) as served:
        yield served


async def test_what_a_host_earned_is_what_its_owner_has(market: Stage) -> None:
    stage = market
    host, idle = await stage.host(), await stage.host("idle", cards=0, card="")
    pod = await stage.rent(await stage.account("ann@example.org", "5"))
    await stage.tick(times=5)
    assert await stage.status(pod) is Status.RUNNING
    earnings = await earnings_of(stage, host)
    assert earnings.today == earnings.month == earnings.ever == earnings.balance > 0
    assert await earnings_of(stage, idle) == Earnings(today=0, month=0, ever=0, balance=0)


async def test_yesterday_is_not_today(market: Stage) -> None:
    stage = market
    host = await stage.host()
    await stage.rent(await stage.account("ann@example.org", "5"))
    await stage.tick(times=3)
    before = await earnings_of(stage, host)
    stage.hosts.clear()
    await stage.world.advance(Span.of(hours=24))
    after = await earnings_of(stage, host)
    assert (after.today, after.ever) == (0, before.ever)
    await stage.world.advance(Span.of(hours=24 * 31))
    assert (await earnings_of(stage, host)).month == 0


async def test_over_http_only_a_host_asks(serving: MarketServing) -> None:
    host = await serving.host()
    assert (await serving.ask("POST", f"{PATH}/earnings", {}, key=host.key)).json["ever"] == 0
    assert (await serving.ask("POST", f"{PATH}/earnings", {}, key="nobody")).status == 401


async def test_a_host_measures_its_line(serving: MarketServing) -> None:
    host = await serving.host()
    down = await serving.ask("GET", f"{PATH}/speed", key=host.key)
    assert (down.status, len(down.body)) == (200, SAMPLE)
    assert (await serving.ask("GET", f"{PATH}/speed", key="nobody")).status == 401
    assert (await serving.ask("POST", f"{PATH}/speed", "x" * 1000, key=host.key)).status == 200
    assert (await serving.ask("POST", f"{PATH}/speed", "x", key="nobody")).status == 401
