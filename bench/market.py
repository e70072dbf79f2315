"""What a market costs: actions a second, memory of a host that waits, and a placement decision.

Usage: python bench/market.py [--quick]

A real `puna market serve` answers over HTTP, on SQLite (a file, every commit on the disk) and on
PostgreSQL where it is installed (its own defaults but for `fsync`, which is said). Renters rent and
terminate pods by RunPod's version 2, others look, and hosts report. Then so many idle hosts hold a
request open. A decision is measured by itself, over 100 to 10,000 hosts.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from puna.market.actions.renting import find_place
from puna.market.db.database import Database, sqlite_address
from puna.market.db.hosts import hosts_for
from puna.market.domain.placement import place
from puna.wire.agent import PATH, Report
from tests.databases import postgresql
from tests.market.lots import CARD
from tests.market.processes import ServingMarket
from tests.market.stage import MACHINE, SPEC, TERMS, FakeHost, Stage
from tests.worlds import FakeWorld

CLIENTS = 16
POD = {"name": "p", "image": "img", "gpu": {"id": CARD}, "cloud": "COMMUNITY", "disk": 20}


@contextmanager
def serving(address: str) -> Iterator[ServingMarket]:
    with tempfile.TemporaryDirectory(prefix="puna-bench-") as folder:
        settings = {"PUNA_MARKET_RATE_LIMIT": "0", "PUNA_MARKET_MOST_CONNECTIONS": "0"}
        if address:
            settings["PUNA_MARKET_DATABASE"] = address
        with ServingMarket(Path(folder), **settings) as market:
            yield market


async def rate(
    market: ServingMarket, act: Callable[[int], Awaitable[None]], seconds: float
) -> tuple[float, float, float]:
    """Let clients act without a pause; return acts a second, the median time, and CPU time each."""
    times: list[float] = []
    process = psutil.Process(market.process.pid)
    worked = sum(process.cpu_times()[:2])
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        while (start := time.perf_counter()) < end:
            await act(number)
            times.append(time.perf_counter() - start)

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    worked = sum(process.cpu_times()[:2]) - worked
    return len(times) / seconds, statistics.median(times) * 1000, worked / len(times) * 1000


def must(found: object, expected: object, told: object) -> None:
    """End the measurement where the market does not do what is measured."""
    if found != expected:
        raise SystemExit(f"{found} instead of {expected}: {told}")


async def join_hosts(
    session: aiohttp.ClientSession, market: ServingMarket, count: int
) -> list[FakeHost]:
    """Let machines of the operator's join."""
    hosts: list[FakeHost] = []
    bearer = {"Authorization": f"Bearer {market.admin_key}"}
    for number in range(count):
        url = f"{market.url}/operator/v1/tokens"
        async with session.post(url, json={"account": "admin@localhost"}, headers=bearer) as reply:
            token = (await reply.json())["secret"]
        wanted = {
            "token": token,
            "name": f"box{number}",
            "machine": MACHINE.model_dump(mode="json"),
            "terms": TERMS.model_dump(mode="json"),
        }
        async with session.post(f"{market.url}{PATH}/join", json=wanted) as reply:
            joined = await reply.json()
        hosts.append(FakeHost(joined["host"], joined["key"], "", MACHINE, TERMS))
    return hosts


async def report(  # hosts show no pods: what is terminated is gone, and closed
    session: aiohttp.ClientSession, url: str, host: FakeHost, wait_s: int = 0
) -> None:
    host.sequence += 1
    told = Report(
        sequence=host.sequence,
        now=FakeWorld().now(),
        machine=host.machine,
        terms=host.terms,
        knows=host.orders.version,
        wait_s=wait_s,
    )
    headers = {"Authorization": f"Bearer {host.key}", "Content-Type": "application/json"}
    body = told.model_dump_json()
    async with session.post(f"{url}{PATH}/report", data=body, headers=headers) as reply:
        answer = await reply.json()
        must(reply.status, 200, answer)
    host.orders = host.orders.model_copy(update={"version": answer["version"]})


async def measure_actions(market: ServingMarket, name: str, seconds: float) -> None:
    key = market.account("ann@example.org", "100000", admin=market.admin_key)
    bearer = {"Authorization": f"Bearer {key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        hosts = await join_hosts(session, market, 32)

        async def rent(_: int) -> None:
            async with session.post(f"{market.url}/v2/pods", json=POD, headers=bearer) as reply:
                pod = await reply.json()
                must(reply.status, 201, pod)
            url = f"{market.url}/v2/pods/{pod['id']}"
            async with session.delete(url, headers=bearer) as reply:
                must(reply.status, 204, await reply.text())

        async def look(_: int) -> None:
            async with session.get(f"{market.url}/v2/pods", headers=bearer) as reply:
                must(reply.status, 200, "")

        async def show(number: int) -> None:
            await report(session, market.url, hosts[number])

        async def serve_pods() -> None:
            while True:
                for host in hosts:
                    await report(session, market.url, host)
                await asyncio.sleep(0.5)

        obeying = asyncio.create_task(serve_pods())
        rented, rent_ms, cpu = await rate(market, rent, seconds)
        obeying.cancel()
        await asyncio.wait({obeying})
        print(
            f"{name}: rent and terminate {2 * rented:.0f} actions/s, median {rent_ms / 2:.1f} ms,"
            f" {cpu / 2:.1f} ms of CPU each, loops included"
        )
        for what, act in (("looks at the list of pods", look), ("reports of hosts", show)):
            many, ms, cpu = await rate(market, act, seconds)
            print(f"{name}: {what} {many:.0f}/s, median {ms:.1f} ms, {cpu:.1f} ms of CPU")


async def measure_memory(market: ServingMarket, count: int) -> None:
    process = psutil.Process(market.process.pid)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        hosts = await join_hosts(session, market, count)
        for host in hosts:
            await report(session, market.url, host)
        before, worked = process.memory_info().rss, sum(process.cpu_times()[:2])
        held = [asyncio.create_task(report(session, market.url, host, wait_s=25)) for host in hosts]
        await asyncio.sleep(20)
        after = process.memory_info().rss
        used = sum(process.cpu_times()[:2]) - worked
        await asyncio.gather(*held)
    print(f"{count} idle hosts: {(after - before) / count / 1024:.1f} KiB each while they wait")
    print(f"{count} idle hosts: {used / 20 * 100:.1f} % of a core, their reports included")


async def measure_placement(counts: tuple[int, ...]) -> None:
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="puna-bench-") as folder:
            database = await Database.open(sqlite_address(Path(folder) / "market.db"))
            stage = Stage(database, FakeWorld())
            for number in range(count):
                await stage.host(f"box{number}", price=300_000 + number)
            whole, alone = [], []
            for _ in range(10):
                start = time.perf_counter()
                async with database.reading() as tx:
                    found = await find_place(tx, stage.world, SPEC)
                whole.append(time.perf_counter() - start)
                must(found.seat is None, expected=False, told=found)
            async with database.reading() as tx:
                hosts = await hosts_for(tx, SPEC.card_models)
            for _ in range(10):
                start = time.perf_counter()
                place(SPEC.demand(), hosts, stage.world.now())
                alone.append(time.perf_counter() - start)
            await database.close()
        with_database, decision = statistics.median(whole) * 1000, statistics.median(alone) * 1000
        print(
            f"{count} hosts: a decision {decision:.2f} ms, with the database {with_database:.1f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    seconds, idle = (2.0, 200) if quick else (8.0, 1000)
    with serving("") as market:
        asyncio.run(measure_actions(market, "SQLite", seconds))
    with postgresql() as cluster:
        if cluster is None:
            print("PostgreSQL is not installed")
        else:
            with serving(cluster.address()) as market:
                asyncio.run(measure_actions(market, "PostgreSQL, fsync off", seconds))
    with serving("") as market:
        asyncio.run(measure_memory(market, idle))
    asyncio.run(measure_placement((100, 1000) if quick else (100, 1000, 10_000)))


if __name__ == "__main__":
    main()
