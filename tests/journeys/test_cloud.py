"""A cloud as people use it: a pod with puna in it is rented, talked to, killed around, and paid."""

import asyncio
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import ollama
import psutil
import pytest

from puna.market.db.accounts import account_of
from puna.market.db.bills import bill_of
from puna.market.db.database import Database, sqlite_address
from puna.market.db.ledger import balance_of, imbalance
from puna.market.domain.ledger import FEE, Book, BookKind
from puna.market.domain.metering import Item, Line
from puna.units import Money
from tests.clouds import Cloud, a_cloud
from tests.images import pack_puna
from tests.networks import Wire, a_wire, why_no_wire
from tests.podman import IMAGE as TINY, Podman, a_podman, why_no_podman
from tests.serving import runs

REASON = why_no_podman() or why_no_wire()
pytestmark = [
    pytest.mark.journey,
    pytest.mark.model,
    pytest.mark.skipif(bool(REASON), reason=REASON or "never"),
]

IMAGE = "localhost/puna:1"
RENTER, INSIDE = "ada@example.org", "a key that only the pod knows"
CREDIT = Money.parse("10")
EVER, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
WISH = {
    "name": "chat",
    "image": IMAGE,
    "args": "puna serve",
    "cpu": {"id": "cpu3c", "vcpuCount": 2},
    "disk": 5,
    "env": {"PUNA_HOST": "0.0.0.0:11434", "PUNA_API_KEY": INSIDE},
    "ports": ["11434/http"],
    "puna": {"access": {"11434": "open"}, "terminateAfter": "1h", "budget": "1.00"},
}


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """A machine of the test's own, whose networks and packet filters are nobody else's."""
    with a_wire(1) as joined:
        yield joined


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory, wire: Wire) -> Iterator[Podman]:
    with a_podman(wire.machines[0]) as served:
        tar = pack_puna(tmp_path_factory.mktemp("image") / "puna.tar")
        served.run("import", str(tar), IMAGE)
        tar.unlink()
        yield served


@pytest.fixture
def cloud(tmp_path: Path, wire: Wire) -> Iterator[Cloud]:
    settings = {"PUNA_MARKET_TICK": "20s", "PUNA_MARKET_FEE_SHARE": "10%"}
    with a_cloud(tmp_path, wire.address, **settings) as one:
        yield one


def becomes(cloud: Cloud, pod: str, status: str, key: str) -> Mapping[str, Any]:
    """Wait until the renter sees a status, and return the pod."""
    cloud.until(
        lambda: cloud.ask("GET", f"/v2/pods/{pod}", key=key)["status"] == status,
        f"{status} pod",
    )
    found = cloud.ask("GET", f"/v2/pods/{pod}", key=key)
    assert isinstance(found, dict)
    return found


def answer(cloud: Cloud, url: str) -> str:
    """Chat with the model in the pod, through the gateway, by Ollama's own client."""
    with ollama.Client(url, headers={"Authorization": f"Bearer {INSIDE}"}, timeout=60) as client:
        cloud.until(lambda: lists(client), "puna in the pod")
        said = client.chat(
            "smollm2",
            [{"role": "user", "content": "Say hi"}],
            options={"num_predict": 8, "num_ctx": 512},
        )
    return said.message.content or ""


async def typed(cloud: Cloud, pod: str, key: str, command: str) -> str:
    """Type a command in the pod's web terminal, and return what is shown up to its end."""
    ticket = cloud.ask("POST", f"/v2/puna/pods/{pod}/terminal", key=key)["ticket"]
    protocols = ("puna-terminal", f"ticket.{ticket}")
    shown = ""
    async with (
        asyncio.timeout(60),
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"{cloud.url}/terminal/{pod}/socket", protocols=protocols, origin=cloud.url
        ) as line,
    ):
        await line.send_bytes(f"{command}\n".encode())
        while "ended with 0" not in shown:
            shown += (await line.receive_bytes()).decode(errors="replace")
    return shown


def lists(client: ollama.Client) -> bool:
    try:
        return bool(client.list().models)
    except (ollama.ResponseError, ConnectionError):
        return False


def test_a_pod_is_rented_used_and_paid_through_kills(
    cloud: Cloud, podman: Podman, wire: Wire
) -> None:
    agent = cloud.host("box", podman.socket, wire.machines[0])
    key = cloud.account(RENTER, str(CREDIT))
    pod = cloud.ask("POST", "/v2/pods", WISH, key=key)["id"]
    seen = becomes(cloud, pod, "RUNNING", key)["puna"]["urls"]["11434"]
    url = seen.replace(cloud.for_hosts, cloud.url)
    assert answer(cloud, url)
    shown = asyncio.run(typed(cloud, pod, key, "puna run smollm2 'Say hi'; echo ended with $?"))
    assert "runs on CPU" in shown
    containers = podman.run("ps", "--format", "{{.ID}}")

    agent.kill()
    cloud.restart()
    agent.start()
    assert answer(cloud, url)
    assert podman.run("ps", "--format", "{{.ID}}") == containers

    cloud.ask("POST", f"/v2/pods/{pod}/action", {"action": "stop"}, key=key)
    becomes(cloud, pod, "EXITED", key)
    cloud.restart()
    cloud.ask("POST", f"/v2/pods/{pod}/action", {"action": "start"}, key=key)
    assert becomes(cloud, pod, "RUNNING", key)["puna"]["urls"]["11434"] == seen
    assert answer(cloud, url)

    cloud.ask("DELETE", f"/v2/pods/{pod}", key=key)
    cloud.until(lambda: not podman.run("ps", "--all", "--quiet"), "end of the container")
    cloud.until(lambda: is_settled(cloud), "last line of the bill")
    asyncio.run(check_bill(cloud, pod))


def test_one_command_is_a_whole_cloud(tmp_path: Path, podman: Podman, wire: Wire) -> None:
    """`puna market serve --with-agent`: a pod runs here, is seen by the gateway, and goes."""
    here = wire.address.removesuffix(".1") + ".2"
    engine = {"PUNA_AGENT_ENGINE": f"unix://{podman.socket}", "PUNA_AGENT_LOCAL_IMAGES": "true"}
    with a_cloud_alone(Cloud(tmp_path, here, engine), wire.machines[0]) as cloud:
        key = cloud.account(RENTER, str(CREDIT))
        cloud.until(lambda: hosts_seen(cloud) == 1, "agent beside the market")
        pod = cloud.ask("POST", "/v2/pods", PAGE, key=key)["id"]
        url = becomes(cloud, pod, "RUNNING", key)["puna"]["urls"]["8080"]
        cloud.until(lambda: page(url) == "hello", "page of the pod")
        assert cloud.market.process is not None
        family = psutil.Process(cloud.market.process.pid).children(recursive=True)
        assert family
        cloud.ask("DELETE", f"/v2/pods/{pod}", key=key)
        cloud.until(lambda: not podman.run("ps", "--all", "--quiet"), "end of the container")
        cloud.until(lambda: is_settled(cloud), "last line of the bill")
    assert [each for each in family if runs(each)] == []


PAGE = {
    "name": "page",
    "image": TINY,
    "args": "sh -c 'echo hello > /tmp/index.html; busybox httpd -f -p 8080 -h /tmp'",
    "cpu": {"id": "cpu3c", "vcpuCount": 2},
    "disk": 1,
    "ports": ["8080/http"],
    "puna": {"access": {"8080": "open"}},
}


@contextmanager
def a_cloud_alone(cloud: Cloud, machine: str) -> Iterator[Cloud]:
    """Run a market with an agent beside it, both on one machine of a wire."""
    inside = ("nsenter", f"--net=/run/netns/{machine}")
    alone = ("--with-agent", "--price", "0.36", "--accept-gaps")
    cloud.market.words = (*inside, *cloud.market.words, *alone)
    cloud.url = cloud.for_hosts
    try:
        cloud.open()
        yield cloud
    finally:
        cloud.close()


def hosts_seen(cloud: Cloud) -> int:
    return len(cloud.ask("GET", "/operator/v1/hosts")["hosts"])


def page(url: str) -> str:
    """Return what a pod says over HTTP; empty where it cannot be reached yet."""
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:  # noqa: S310 - ours
            return str(reply.read().decode().strip())
    except OSError:
        return ""


def is_settled(cloud: Cloud) -> bool:
    held = cloud.ask("GET", "/operator/v1/status")["money"].get("escrow", "0")
    return Decimal(held) == 0


async def check_bill(cloud: Cloud, pod: str) -> None:
    """What the renter has no more stands in lines, and the host or the market has it."""
    database = await Database.open(sqlite_address(cloud.home / "market" / "market.db"))
    async with database.transaction() as tx:
        account, owner = await account_of(tx, RENTER), await account_of(tx, "box@example.org")
        assert account is not None
        assert owner is not None
        lines = [each.line for each in await bill_of(tx, account.id, EVER, END, pod=pod)]
        left = await balance_of(tx, Book(BookKind.RENTER, account.id))
        held = await balance_of(tx, Book(BookKind.ESCROW, pod))
        earned = await balance_of(tx, Book(BookKind.HOST, owner.id))
        fees = await balance_of(tx, FEE)
        assert await imbalance(tx) == 0
    await database.close()
    assert held == 0
    assert CREDIT - left == sum(line.amount for line in lines) == earned + fees > 0
    assert fees == sum(line.amount // 10 for line in lines)
    assert all(paid == price for paid, price in stretches(lines))
    # A short life owes less than a micro-dollar for its disk, and pays nothing for it.
    assert Item.PROCESSORS in {line.item for line in lines} <= {Item.PROCESSORS, Item.DISK}


def stretches(lines: Sequence[Line]) -> Iterator[tuple[int, int]]:
    """Yield for each time without a gap at one price what was paid and what that time costs."""
    for item, an_hour in {(line.item, line.an_hour) for line in lines}:
        same = [line for line in lines if (line.item, line.an_hour) == (item, an_hour)]
        same.sort(key=lambda line: line.start)
        while same:
            first = same.pop(0)
            paid, end = first.amount, first.end
            while same and same[0].start == end:
                following = same.pop(0)
                paid, end = Money(paid + following.amount), following.end
            yield paid, an_hour * (end - first.start) // timedelta(hours=1)
