"""A real market is killed, cut off from its database and flooded; money and pods stay whole."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from sqlalchemy import text

from puna.market.db.database import Database, sqlite_address
from tests.databases import Cluster, postgresql
from tests.market.lots import CARD
from tests.market.processes import Refused, Restless, ServingMarket, ask, obey
from tests.serving import until

pytestmark = pytest.mark.journey

CREDIT = "20"
KILLS = 3
POD = {
    "image": "img",
    "gpu": {"id": CARD, "count": 1},
    "cloud": "COMMUNITY",
    "disk": 20,
    "env": {},
}

LAST = {**POD, "name": "last"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with postgresql() as started:
        if started is None:
            pytest.skip("PostgreSQL is not installed")
        yield started


class Town:
    """An operator, a renter and two hosts of one market, whichever process serves it now."""

    def __init__(self, market: ServingMarket) -> None:
        self.market = market
        self.admin = market.admin_key
        self.key = market.account("ann@example.org", CREDIT, admin=self.admin)
        self.hosts = [market.host(f"box{number}", admin=self.admin) for number in range(2)]
        self.dice = random.Random(7)  # noqa: S311 - chance that repeats
        self.made: list[str] = []
        self.tried = 0

    def obey(self) -> bool:
        for host in self.hosts:
            obey(self.market.url, host)
        return True

    def rent(self) -> None:
        """Rent a pod with a name that no other has, or stop, start or terminate one."""
        if self.made and self.dice.random() < 0.6:
            verb = self.dice.choice(["terminate", "terminate", "stop", "start"])
            pod = self.made.pop() if verb == "terminate" else self.dice.choice(self.made)
            ask(self.market.url, f"/v2/pods/{pod}/action", {"action": verb}, key=self.key)
            return
        self.tried += 1
        wanted = {**POD, "name": f"pod{self.tried}"}
        self.made.append(ask(self.market.url, "/v2/pods", wanted, key=self.key)["id"])

    def pods(self) -> list[Any]:
        found = ask(self.market.url, "/v2/pods", key=self.key)["pods"]
        assert isinstance(found, list)
        return found

    def status(self) -> Any:  # noqa: ANN401 - JSON
        return self.market.operate("/status", key=self.admin)

    def check(self) -> None:
        """The books are whole, and no pod is there twice."""
        status = self.status()
        assert status["imbalance"] == "0.00"
        assert sum(float(each) for each in status["money"].values()) == pytest.approx(0, abs=1e-9)
        names = Counter(pod["name"] for pod in self.pods())
        assert max(names.values(), default=1) == 1
        told = [each for host in self.hosts for each in host.orders.pods if each.want == "run"]
        assert len(told) == len({each.pod for each in told})

    def end(self) -> None:
        """Terminate everything, and see that all that was held came back."""

        def is_quiet() -> bool:
            for pod in self.pods():
                ask(self.market.url, f"/v2/pods/{pod['id']}", key=self.key, method="DELETE")
            self.obey()
            is_told = any(host.orders.pods for host in self.hosts)
            return not is_told and not self.status()["pods"]

        eventually(is_quiet)
        money = self.status()["money"]
        assert float(money["escrow"]) == 0
        spent = float(money["host"]) + float(money["fee"])
        assert float(money["renter"]) == pytest.approx(float(CREDIT) - spent, abs=1e-9)


def eventually(is_so: Callable[[], object], within_s: float = 90) -> None:
    """Wait for something of a market that may refuse meanwhile."""

    def attempt() -> object:
        try:
            return is_so()
        except (Refused, OSError):
            return False

    until(attempt, within_s=within_s)


def quick(home: Path, **environ: str) -> ServingMarket:
    """Start a market whose ticks are short."""
    settings = {"PUNA_MARKET_TICK": "2s", "PUNA_MARKET_FEE_SHARE": "10%", **environ}
    return ServingMarket(home, **{"PUNA_MARKET_RATE_LIMIT": "0", **settings})


async def doubled(address: str) -> list[Any]:
    """Return what was charged twice: a second of a pod's item in two lines."""
    lines = (
        "select a.pod from bill_lines a join bill_lines b on a.pod = b.pod"
        ' and a.item = b.item and a.entry < b.entry and a.start < b."end" and b.start < a."end"'
    )
    database = await Database.open(address)
    try:
        async with database.reading() as tx:
            return list(await tx.execute(text(lines)))
    finally:
        await database.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_at_any_time_it_goes_on_and_nothing_is_doubled(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    address = sqlite_address(tmp_path / "market.db")
    if kind == "postgresql":
        address = request.getfixturevalue("cluster").address()
    market = quick(tmp_path, PUNA_MARKET_DATABASE=address)
    town = Town(market)
    with Restless(town.obey), Restless(town.rent):
        for _ in range(KILLS):
            time.sleep(town.dice.uniform(0.2, 1.2))
            with market:
                market.end(signal.SIGKILL)
            market = town.market = quick(tmp_path, PUNA_MARKET_DATABASE=address)
    with market:
        town.check()
        town.end()
        town.check()
        assert market.end() == 0
    assert town.tried > KILLS
    assert asyncio.run(doubled(address)) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, with room for little."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=6m", "puna", str(folder)]
    if os.geteuid() or subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be made here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def refusal_of(town: Town) -> Refused | None:
    """Open some accounts; return what is said against it, if anything."""
    for number in range(20):
        wanted = {"email": f"{town.dice.random()}{'x' * 200}@b{number}.org"}
        try:
            ask(town.market.url, "/operator/v1/accounts", wanted, key=town.admin)
        except Refused as refused:
            return refused
    return None


def test_a_full_disk_is_said_and_over_when_there_is_room(tmp_path: Path, small_disk: Path) -> None:
    """SQLite: what cannot be kept is refused whole; who only looks is answered."""
    address = sqlite_address(small_disk / "market.db")
    with quick(tmp_path, PUNA_MARKET_DATABASE=address) as market:
        town = Town(market)
        town.obey()
        town.rent()
        filler = small_disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        with Restless(town.obey):
            eventually(lambda: refusal_of(town) is not None)
            refused = refusal_of(town)
        assert refused is not None
        assert "is full" in str(refused)
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert town.pods()
        filler.unlink()
        eventually(lambda: market.operate("/accounts", {"email": "b@b.org"}, key=town.admin))
        eventually(town.obey)
        town.check()
        town.end()
        assert market.end() == 0
    assert asyncio.run(doubled(address)) == []


def test_a_database_that_is_gone_is_survived(tmp_path: Path, cluster: Cluster) -> None:
    with quick(tmp_path, PUNA_MARKET_DATABASE=cluster.address()) as market:
        town = Town(market)
        with Restless(town.obey) as hosts, Restless(town.rent):
            eventually(lambda: len(town.pods()) > 1)
            cluster.stop()
            try:
                with pytest.raises(Refused) as refused:
                    market.ask("/health")
                time.sleep(4)
            finally:
                cluster.start()
            assert refused.value.status == 503
            assert refused.value.headers["retry-after"] == "5"
            eventually(lambda: market.ask("/health")["status"] == "ok")
            eventually(lambda: any(pod["status"] == "RUNNING" for pod in town.pods()))
        assert hosts.failure is None
        town.check()
        town.end()
        assert market.process.poll() is None
        assert market.end() == 0


def test_two_processes_on_one_postgresql_are_one_market(tmp_path: Path, cluster: Cluster) -> None:
    address = cluster.address()
    starts: list[ServingMarket] = []

    def start() -> None:
        starts.append(quick(tmp_path, PUNA_MARKET_DATABASE=address))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with starts[0] as one, starts[1] as other:
        with_key, without = (one, other) if one.admin_key else (other, one)
        assert with_key.admin_key
        assert not without.admin_key
        town = Town(with_key)
        assert sorted(of_the_last_card(town, [one, other])) == [201, 400]
        with Restless(town.obey), Restless(town.rent):
            eventually(lambda: len(town.pods()) > 1)
            town.market = without
            time.sleep(1)
            with_key.end(signal.SIGKILL)
            time.sleep(2)
        town.check()
        town.end()


def of_the_last_card(town: Town, markets: list[ServingMarket]) -> list[int]:
    """Let one renter ask each process at once for what is left; return what they were told."""
    town.obey()
    for _ in range(3):
        town.made.append(ask(town.market.url, "/v2/pods", LAST, key=town.key)["id"])
    told: list[int] = []
    start = threading.Barrier(len(markets))

    def rent(market: ServingMarket) -> None:
        start.wait()
        try:
            town.made.append(ask(market.url, "/v2/pods", LAST, key=town.key)["id"])
            told.append(201)
        except Refused as refused:
            told.append(refused.status)

    threads = [threading.Thread(target=rent, args=(each,)) for each in markets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for pod in town.made:
        ask(town.market.url, f"/v2/pods/{pod}", key=town.key, method="DELETE")
    town.made.clear()
    return told


def test_one_process_has_a_file_and_a_stop_lets_waiting_hosts_go(tmp_path: Path) -> None:
    with ServingMarket(tmp_path) as market:
        with ServingMarket(tmp_path) as second:
            assert second.process.wait(timeout=90) == 1
            assert second.said[0].startswith("Error: another market works on ")
            assert "postgresql" in second.said[1]
        host = market.host("box", admin=market.admin_key)
        obey(market.url, host)
        message = {
            "sequence": 9,
            "now": "2026-01-01T00:00:00Z",
            "machine": host.machine.model_dump(),
            "terms": host.terms.model_dump(),
            "knows": host.orders.version,
            "wait_s": 25,
        }
        answers: list[Any] = []

        def wait() -> None:
            answers.append(ask(market.url, "/agent/v1/report", message, key=host.key))

        waiting = threading.Thread(target=wait)
        waiting.start()
        eventually(lambda: market.operate("/status", key=market.admin_key)["hosts_waiting"])
        start = time.monotonic()
        assert market.end() == 0
        assert time.monotonic() - start < 20
        waiting.join()
    assert answers[0]["version"] == host.orders.version


def test_a_flood_of_strangers_leaves_it_answering(tmp_path: Path) -> None:
    with ServingMarket(tmp_path) as market:
        place = urlsplit(market.url)
        where = (str(place.hostname), int(place.port or 0))
        before = memory_of(market)
        head = b"POST /v2/pods HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{"
        slow = [socket.create_connection(where, timeout=30) for _ in range(300)]
        for number, client in enumerate(slow):
            client.sendall(head if number % 2 else b"GET /health HTTP/1.1\r\nX-A: ")
        assert market.ask("/health")["status"] == "ok"
        stranger = socket.create_connection(where, timeout=30)
        stranger.sendall(b"GET /health HTTP/1.1\r\nHost: [::1].evil.org\r\n\r\n")
        assert stranger.recv(12) == b"HTTP/1.1 403"
        huge = socket.create_connection(where, timeout=30)
        huge.sendall(
            b"POST /v2/pods HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n"
        )
        assert huge.recv(12) == b"HTTP/1.1 413"
        endless = socket.create_connection(where, timeout=30)
        with suppress(OSError):  # closed in any of several ways
            endless.sendall(b"GET / HTTP/1.1\r\nX-Header: " + b"a" * 2**26)
        with suppress(OSError):
            assert endless.recv(12) in {b"", b"HTTP/1.1 431"}
        made_up = Counter(status_of(market, f"rpa_{number}") for number in range(700))
        assert set(made_up) == {401, 429}
        assert status_of(market, market.admin_key) in {200, 429}
        for client in (*slow, stranger, huge, endless):
            client.close()
        assert memory_of(market) < before + 60 * 2**20
        eventually(lambda: market.ask("/health")["status"] == "ok")


def memory_of(market: ServingMarket) -> int:
    return int(psutil.Process(market.process.pid).memory_info().rss)


def status_of(market: ServingMarket, key: str) -> int:
    try:
        ask(market.url, "/v2/pods", key=key)
    except Refused as refused:
        return refused.status
    return 200
