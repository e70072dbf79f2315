"""A host that knows its orders waits for others: woken by changes, here and in other processes."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from puna.market.bells import Waiting
from puna.market.domain.pods import Action, Status
from puna.units import Span
from puna.wire.agent import PodReport
from tests.databases import Cluster, postgresql
from tests.market.serving import MarketServing, market_serving
from tests.market.stage import FakeHost
from tests.worlds import becomes, settle


@pytest_asyncio.fixture
async def serving(tmp_path: Path) -> AsyncIterator[MarketServing]:
    """A market whose loops run by themselves, in real time."""
    async with market_serving(tmp_path, in_real_time=True, runs_loops=True) as market:
        yield market


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgresql() as started:
        if started is None:
            pytest.skip("PostgreSQL is not installed")
        yield started


async def wait_for_orders(serving: MarketServing, host: FakeHost, wait_s: int = 20) -> float:
    """Report once more and return how long the answer took, in seconds."""
    start = time.monotonic()
    await serving.report(host, knows=host.orders.version, wait_s=wait_s)
    return time.monotonic() - start


async def test_a_host_without_news_waits(serving: MarketServing) -> None:
    host = await serving.host()
    await serving.report(host)
    known = host.orders.version
    assert await wait_for_orders(serving, host, wait_s=1) >= 1
    assert host.orders.version == known


async def test_a_host_that_knows_nothing_is_answered_at_once(serving: MarketServing) -> None:
    host = await serving.host()
    start = time.monotonic()
    await serving.report(host, knows="", wait_s=20)
    assert time.monotonic() - start < 15


async def test_a_waiting_host_is_told_of_a_new_pod(serving: MarketServing) -> None:
    ann = await serving.account("ann@example.org", "3")
    host = await serving.host()
    await serving.report(host)
    asked = asyncio.create_task(wait_for_orders(serving, host))
    pod = await serving.rent(ann)
    serving.market.nudge()
    assert await asked < 10
    assert [order.pod for order in host.orders.pods] == [pod.id]


async def test_a_pod_lives_and_dies_by_the_loops_alone(serving: MarketServing) -> None:
    ann = await serving.account("ann@example.org", "3")
    host = await serving.host()
    pod = await serving.rent(ann)
    serving.market.nudge()
    await until_status(serving, host, pod, Status.RUNNING)
    await serving.act(ann, pod, Action.TERMINATE)
    serving.market.nudge()
    await until_status(serving, host, pod, Status.TERMINATED)
    assert await serving.log(pod)


async def until_status(serving: MarketServing, host: FakeHost, pod: object, wanted: Status) -> None:
    end = time.monotonic() + 60
    while await serving.status(pod) is not wanted:  # type: ignore[arg-type]
        assert time.monotonic() < end, "it did not come to that"
        await wait_for_orders(serving, host, wait_s=1)


async def test_who_asks_again_lets_the_older_request_go(serving: MarketServing) -> None:
    host = await serving.host()
    await serving.report(host)
    older = asyncio.create_task(wait_for_orders(serving, host))
    await becomes(lambda: serving.market.waiting.count)
    younger = asyncio.create_task(wait_for_orders(serving, host, wait_s=1))
    assert await older < 10
    await younger


async def test_a_market_that_ends_lets_hosts_go(serving: MarketServing) -> None:
    host = await serving.host()
    await serving.report(host)
    asked = asyncio.create_task(wait_for_orders(serving, host))
    await becomes(lambda: serving.market.waiting.count)
    serving.market.bells.ending.set()
    assert await asked < 10


async def test_a_change_in_another_process_wakes_it(tmp_path: Path, cluster: Cluster) -> None:
    address = cluster.address()
    async with (
        market_serving(tmp_path, in_real_time=True, runs_loops=True, database=address) as one,
        market_serving(tmp_path, in_real_time=True, runs_loops=True, database=address) as other,
    ):
        ann = await one.account("ann@example.org", "3")
        host = await one.host()
        await one.report(host)
        asked = asyncio.create_task(wait_for_orders(one, host))
        await becomes(lambda: one.market.waiting.count)
        pod = await other.rent(ann)
        other.market.nudge()
        assert await asked < 4
        assert [order.pod for order in host.orders.pods] == [pod.id]


class TestWaiting:
    def test_a_wait_begins_set_when_there_is_news_already(self) -> None:
        waiting = Waiting()
        waiting.see({"a": 1})
        assert not waiting.begin("a", 1).is_set()
        assert waiting.begin("a", None).is_set()

    def test_only_hosts_with_news_wake(self) -> None:
        waiting = Waiting()
        first, second = waiting.begin("a", None), waiting.begin("b", None)
        waiting.see({"b": 1})
        assert (first.is_set(), second.is_set()) == (False, True)

    def test_a_host_whose_last_pod_goes_wakes(self) -> None:
        waiting = Waiting()
        waiting.see({"a": 1})
        wait = waiting.begin("a", 1)
        waiting.see({})
        assert wait.is_set()

    def test_an_older_wait_ends_no_younger_one(self) -> None:
        waiting = Waiting()
        older = waiting.begin("a", None)
        younger = waiting.begin("a", None)
        assert older.is_set()
        assert not waiting.end("a", older)
        assert waiting.end("a", younger)
        assert waiting.count == 0

    def test_pods_that_are_shown_as_before_are_no_news(self) -> None:
        waiting = Waiting()
        shown = [PodReport(pod="p", run=1, observed="running")]
        assert waiting.shows_news("a", shown)
        assert not waiting.shows_news("a", shown)
        assert waiting.shows_news("a", [PodReport(pod="p", run=1, observed="exited")])
        assert waiting.shows_news("a", [])


async def test_time_that_a_test_owns_ends_a_wait(tmp_path: Path) -> None:
    async with market_serving(tmp_path) as serving:
        host = await serving.host()
        await serving.report(host)
        asked = asyncio.create_task(wait_for_orders(serving, host, wait_s=60))
        await becomes(lambda: serving.market.waiting.count)
        await settle()
        await serving.world.advance(Span.of(seconds=25))
        assert await asked < 10
