"""Several processes on one database: what two do at once is done once, and words travel."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from puna.market.db import pods
from puna.market.db.database import Database, DatabaseAway, DatabaseClash, Transaction
from puna.market.db.hosts import take_free_turn, take_turn
from puna.market.db.pods import Pod
from puna.market.domain.ledger import BookKind
from puna.market.domain.pods import Action, Status
from puna.market.loops.meter_usage import meter_usage
from puna.market.loops.pages import for_each_open_pod
from puna.market.loops.place_pods import place_pods
from tests.databases import Cluster, postgresql
from tests.market.stage import Stage, a_market
from tests.worlds import FakeWorld


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgresql() as started:
        if started is None:
            pytest.skip("PostgreSQL is not installed")
        yield started


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[Database]:
    database = await Database.open(address)
    try:
        yield database
    finally:
        await database.close()


@pytest_asyncio.fixture
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    async with opened(cluster.address()) as database:
        yield Stage(database, FakeWorld())


async def test_two_that_meter_at_once_charge_once(stage: Stage) -> None:
    ann = await stage.account("ann@example.org", "3")
    host = await stage.host()
    for _ in range(2):
        await stage.rent(ann)
    await stage.tick(times=2)
    for _ in range(4):
        await stage.world.advance(stage.tariff.tick)
        await stage.report(host)
        turns = [meter_usage(stage.database, stage.world, stage.tariff) for _ in range(4)]
        await asyncio.gather(*turns)
    lines = await stage.bill(ann)
    spans = {(each.pod, each.line.item, each.line.start) for each in lines}
    assert len(spans) == len(lines)
    paid = sum(each.line.amount for each in lines)
    earned = await stage.balance(BookKind.HOST, host.owner) + await stage.balance(BookKind.FEE)
    assert earned == paid > 0


async def test_two_that_place_at_once_seat_each_pod_once(stage: Stage) -> None:
    ann = await stage.account("ann@example.org", "3")
    host = await stage.host(cards=1)
    first = await stage.rent(ann)
    await stage.tick()
    await stage.act(ann, first, Action.STOP)
    await stage.tick()
    second = await stage.rent(ann)
    turns = [place_pods(stage.database, stage.world) for _ in range(4)]
    await asyncio.gather(*turns)
    await stage.tick()
    assert [order.pod for order in host.orders.pods if order.want == "run"] == [second.id]


async def test_many_terminate_at_once_and_it_closes_once(stage: Stage) -> None:
    ann = await stage.account("ann@example.org", "3")
    await stage.host()
    pod = await stage.rent(ann)
    await stage.tick()
    acts = [stage.act(ann, pod, Action.TERMINATE) for _ in range(4)]
    done = await asyncio.gather(*acts, return_exceptions=True)
    assert any(not isinstance(each, Exception) for each in done)
    await stage.tick(times=2)
    assert await stage.status(pod) is Status.TERMINATED
    assert await stage.balance(BookKind.ESCROW, pod.id) == 0


async def test_a_word_reaches_the_processes_that_listen(cluster: Cluster) -> None:
    address = cluster.address()
    async with opened(address) as one, opened(address) as other:
        heard: list[str] = []
        listening = asyncio.create_task(other.listen(heard.append))
        async with asyncio.timeout(60):
            while not heard:
                await one.tell("changed")
                await asyncio.sleep(0.01)
        assert set(heard) == {"changed"}
        listening.cancel()
        await asyncio.wait({listening})


async def test_a_lost_connection_ends_listening(cluster: Cluster) -> None:
    async with opened(cluster.address()) as database:
        listening = asyncio.create_task(database.listen(lambda _: None))
        async with asyncio.timeout(60):
            while not listening.done():  # before it listens there is nothing to lose
                cluster.run("psql", "-h", str(cluster.folder), "-d", "postgres", "-c", END_ALL)
                await asyncio.sleep(0.05)
        assert not isinstance(listening.exception(), AssertionError)


END_ALL = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"


async def test_on_sqlite_nobody_else_listens(tmp_path: Path) -> None:
    async with a_market(tmp_path) as stage:
        assert not stage.database.is_shared
        await stage.database.tell("changed")


async def test_who_only_looks_waits_for_no_writer(tmp_path: Path) -> None:
    async with a_market(tmp_path) as stage:
        ann = await stage.account("ann@example.org", "3")
        looking = stage.database.reading()
        async with stage.database.transaction(), asyncio.timeout(60), looking as tx:
            assert await pods.pods_of(tx, ann.account.id) == []


async def test_only_pods_that_cannot_wait_are_hurried(tmp_path: Path) -> None:
    async with a_market(tmp_path) as stage:
        ann = await stage.account("ann@example.org", "3")
        host = await stage.host(cards=1)
        pod = await stage.rent(ann)
        async with stage.database.reading() as tx:
            assert await pods.unpaid_pods(tx) == [pod.id]
            assert await pods.unplaced_pods(tx) == []
        await meter_usage(stage.database, stage.world, stage.tariff, pods.unpaid_pods)
        async with stage.database.reading() as tx:
            assert await pods.unpaid_pods(tx) == []
            before = await pods.order_marks(tx)
        await stage.act(ann, pod, Action.TERMINATE)
        async with stage.database.reading() as tx:
            assert await pods.unpaid_pods(tx) == [pod.id]
            assert (await pods.order_marks(tx))[host.id] != before[host.id]


async def test_a_database_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway, match="does not answer"):
        await Database.open(f"postgresql://nobody@/none?host={tmp_path}")


async def test_who_holds_a_pod_does_not_wait_for_its_host(stage: Stage) -> None:
    """Its host may be waiting for the pod: both are undone by somebody, or one gives way."""
    ann = await stage.account("ann@example.org", "3")
    host = await stage.host()
    pod = await stage.rent(ann, volume_gb=10)
    await stage.tick(times=2)
    await stage.act(ann, pod, Action.STOP)
    await stage.tick()
    async with stage.database.transaction() as tx:
        assert await take_turn(tx, host.id, 1)
        with pytest.raises(DatabaseClash):
            await stage.act(ann, pod, Action.START)
    await stage.act(ann, pod, Action.START)
    await stage.tick()
    assert await stage.status(pod) is Status.RUNNING


async def test_a_turn_that_was_missed_holds_nobody_up(stage: Stage) -> None:
    """PostgreSQL would keep the host locked for whoever looked for it in vain."""
    host = await stage.host()
    async with stage.database.transaction() as tx:
        assert not await take_turn(tx, host.id, 7)
        async with stage.database.transaction() as other, asyncio.timeout(60):
            assert await take_turn(other, host.id, 0)


async def test_a_host_at_which_somebody_is_at_work_is_passed_by(stage: Stage) -> None:
    hosts = [(await stage.host(name)).id for name in ("a", "b")]
    turns = dict.fromkeys(hosts, 0)
    async with stage.database.transaction() as one, stage.database.transaction() as two:
        assert await take_free_turn(one, turns) == hosts[0]
        assert await take_free_turn(two, turns) == hosts[1]
        async with stage.database.transaction() as three:
            assert await take_free_turn(three, turns) is None


async def test_a_pod_that_somebody_is_in_the_way_of_comes_once_more(stage: Stage) -> None:
    ann = await stage.account("ann@example.org", "3")
    await stage.host()
    first, second = [await stage.rent(ann) for _ in range(2)]
    seen: list[str] = []

    async def act(tx: Transaction, pod: Pod) -> int:
        del tx
        seen.append(pod.id)
        if len(seen) == 1:
            raise DatabaseClash("another transaction was in the way")
        return 1

    assert await for_each_open_pod(stage.database, act) == 2
    early, late = sorted([first.id, second.id])
    assert seen == [early, late, early]
