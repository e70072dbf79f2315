"""`puna pods` from offer to bill: on a cloud of RunPod's kind, and on a market of puna's."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from puna.cli.cloud.pods import ssh_command
from puna.cli.cloud.reach import narrow, price, session_on, wait_for_answer
from puna.cli.session import Session
from puna.cloud.values import CloudPod
from puna.cloud.ways import NoWay, Way
from puna.node.replies import Fields
from puna.settings import Address
from puna.units import Money, Span
from tests.fakes.console import Ran, a_terminal, puna
from tests.fakes.runpod import KEY, FakeRunPod, running_runpod
from tests.market.serving import MarketServing, market_serving

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of a random name in it
CREATE = ("pods", "create", "--name", "bench", "--card", "4090", "--image", "img:1")


@pytest.fixture
def runpod() -> Iterator[FakeRunPod]:
    with running_runpod() as fake:
        yield fake


def on_runpod(
    cloud: FakeRunPod, home: Path, *words: str, typed: str = "", keys: bool = False
) -> Ran:
    environ = {
        "PUNA_HOME": str(home),
        "PUNA_CLOUD_ADDRESS": cloud.url,
        "PUNA_CLOUD_KEY": KEY,
    }
    return puna(*words, environ=environ, terminal=a_terminal(typed, keys=keys))


def test_a_pod_on_runpod_is_shown_with_its_price_and_asked_for(
    runpod: FakeRunPod, tmp_path: Path
) -> None:
    ran = on_runpod(runpod, tmp_path, *CREATE, "--secure", typed="n\n", keys=True)
    assert ran.err.splitlines() == [
        "bench: 1 x RTX 4090",
        "$0.69274 an hour, $16.63 a day",
        "Rent it? [y/N]: nothing is rented",
    ]
    assert (ran.code, runpod.pods) == (0, {})


def test_nobody_to_ask_needs_a_yes(runpod: FakeRunPod, tmp_path: Path) -> None:
    ran = on_runpod(runpod, tmp_path, *CREATE)
    assert ran.code == 1
    assert ran.err.splitlines()[-2:] == ["Error: nobody is here to be asked", "say --yes"]
    assert runpod.pods == {}


def test_a_whole_rental_on_runpod(runpod: FakeRunPod, tmp_path: Path) -> None:
    made = on_runpod(runpod, tmp_path, *CREATE, "--yes", "--port", "8888/http", "--env", "A=b=c")
    assert made.code == 0, made.err
    assert runpod.asked[-2].method == "GET"
    (body,) = [each.body for each in runpod.asked if each.method == "POST"]
    assert body == {
        "name": "bench",
        "image": "img:1",
        "gpu": {"id": "NVIDIA GeForce RTX 4090", "count": 1},
        "ports": ["8888/http"],
        "env": {"A": "b=c"},
    }
    listed = on_runpod(runpod, tmp_path, "pods", "list")
    assert listed.lines[1].split() == [
        *("bench", "pod1", "RUNNING", "1", "x", "RTX", "4090", "$0.69", "About", "an", "hour"),
        "ago",
    ]
    stopped = on_runpod(runpod, tmp_path, "pods", "stop", "bench")
    assert stopped.out == "bench is stopped, $0.00 an hour\n"
    started = on_runpod(runpod, tmp_path, "pods", "start", "bench", "--detach")
    assert started.out == "bench: start asked for\n"
    gone = on_runpod(runpod, tmp_path, "pods", "terminate", "bench", "--yes")
    assert gone.out == "bench is gone: nothing of it is left on its host\n"
    assert "puna bill --by pod" in gone.err
    assert runpod.pods == {}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--spot",), "RunPod has no tenure: leave it out"),
        (("--stop-after", "2h"), "RunPod has no stopAfter: leave it out"),
        (("--budget", "5"), "RunPod has no budget: leave it out"),
        (("--country", "PL"), "RunPod has no countries: leave it out"),
        (("--open", "8888"), "RunPod has no access: leave it out"),
        (("--env", "AB"), '"AB" is not NAME=VALUE'),
        (("--count", "0"), "'--count'"),
    ],
    ids=str,
)
def test_what_runpod_has_not_is_refused_before_anything_is_rented(
    runpod: FakeRunPod, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    ran = on_runpod(runpod, tmp_path, *CREATE, "--yes", *words)
    assert (ran.code, runpod.pods) == (1, {})
    assert says in ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("pods", "show", "none"), 'there is no pod "none"'),
        (("pods", "stop", "none"), 'there is no pod "none"'),
        (("pods", "ssh", "none"), 'there is no pod "none"'),
        (("pods", "terminate", "none", "--yes"), 'there is no pod "none"'),
        (("pods", "create", "--card", "4090", "--yes"), "a pod needs --image or --template"),
        (("pods", "create", "--image", "i", "--yes"), "say which card"),
        (("pods", "create", "--image", "i", "--card", "9999", "--yes"), 'no card here is a "9999"'),
        (("budget", "list"), "RunPod has no budgets"),
        (("cloud", "keys", "list"), "RunPod has no keys by way of its API"),
        (("bill", "--lines"), "RunPod has no lines of bills"),
        (("bill", "--by", "project"), "RunPod does not sum bills by project"),
    ],
    ids=str,
)
def test_what_cannot_be_gets_one_line(
    runpod: FakeRunPod, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    ran = on_runpod(runpod, tmp_path, *words)
    assert (ran.code, ran.out) == (1, "")
    assert says in ran.err.splitlines()[-1 if "create" in words and "card" in says else 0] + (
        ran.err
    )


def test_runpods_catalog_is_its_offers(runpod: FakeRunPod, tmp_path: Path) -> None:
    ran = on_runpod(runpod, tmp_path, "offers")
    assert ran.lines == [
        "CARD      MEMORY  STOCK  COMMUNITY  SECURE",
        "RTX 4090  24 GB   HIGH   $0.34      $0.69",
        "H100 SXM  80 GB   LOW    -          $2.69",
    ]
    found = json.loads(on_runpod(runpod, tmp_path, "offers", "--memory", "48", "--json").out)
    assert [each["name"] for each in found] == ["H100 SXM"]


def test_runpods_bill_is_drawn_too(runpod: FakeRunPod, tmp_path: Path) -> None:
    ran = on_runpod(runpod, tmp_path, "bill")
    assert ran.lines[0].startswith("2026-07-31      $1.25  ███")
    assert ran.lines[1:] == ["2026-08-01  $0.000001  █", "total       $1.250001"]
    by_pod = on_runpod(runpod, tmp_path, "bill", "--by", "pod", "--json")
    assert json.loads(by_pod.out)["total"] == "1.250001"


def test_templates_are_listed_and_shown(runpod: FakeRunPod, tmp_path: Path) -> None:
    ran = on_runpod(runpod, tmp_path, "templates")
    assert ran.lines == [
        "ID            NAME     IMAGE    DISK   PORTS",
        "runpod-torch  PyTorch  torch:1  40 GB  8888/http",
    ]
    shown = on_runpod(runpod, tmp_path, "templates", "show", "PyTorch")
    assert any(line.split() == ["image", "torch:1"] for line in shown.lines)
    as_json = on_runpod(runpod, tmp_path, "templates", "show", "PyTorch", "--json")
    assert json.loads(as_json.out)["disk"] == 40


def test_a_template_fills_in_the_price(runpod: FakeRunPod, tmp_path: Path) -> None:
    words = ("pods", "create", "--card", "4090", "--secure", "--template", "pytorch")
    ran = on_runpod(runpod, tmp_path, *words, typed="no\n", keys=True)
    assert "PyTorch: 1 x RTX 4090" in ran.err
    assert f"{price(Money(690_000 + 5480))} an hour" in ran.err


@pytest.mark.parametrize(("status", "name"), [("RUNNING", "last end"), ("ERROR", "reason")])
def test_how_a_pod_ended_before_is_not_why_it_runs(
    runpod: FakeRunPod, tmp_path: Path, status: str, name: str
) -> None:
    on_runpod(runpod, tmp_path, *CREATE, "--yes", "--detach")
    runpod.pods["pod1"] |= {"status": status, "puna": {"reason": "the container ended with 1"}}
    shown = on_runpod(runpod, tmp_path, "pods", "show", "bench")
    assert f"{name:<16}the container ended with 1" in shown.lines


def test_logs_are_printed_as_they_are(runpod: FakeRunPod, tmp_path: Path) -> None:
    on_runpod(runpod, tmp_path, *CREATE, "--yes", "--detach")
    runpod.log = ["one", "two\x1b[31m"]
    ran = on_runpod(runpod, tmp_path, "pods", "logs", "bench", "--tail", "7", "--container")
    assert ran.lines == ["one", "two�[31m"]
    assert runpod.asked[-1].query == {"source": "container", "tail": "7", "follow": "false"}
    as_json = on_runpod(runpod, tmp_path, "pods", "logs", "bench", "--json")
    assert '"line": "one"' in as_json.out


def test_keys_for_ssh_are_added_and_removed(runpod: FakeRunPod, tmp_path: Path) -> None:
    file = tmp_path / "id.pub"
    file.write_text("ssh-ed25519 AAAA me@laptop\n")
    words = ("cloud", "ssh-keys")
    assert on_runpod(runpod, tmp_path, *words, "--add", str(file)).lines == [
        "ssh-ed25519 AAAA me@laptop"
    ]
    assert on_runpod(runpod, tmp_path, *words, "--add", str(file)).code == 0
    assert runpod.keys == ["ssh-ed25519 AAAA me@laptop"]
    assert on_runpod(runpod, tmp_path, *words, "--remove", "nobody").code == 1
    assert on_runpod(runpod, tmp_path, *words, "--remove", "laptop").out == ""
    assert runpod.keys == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "is not a public key"),
        ("hello", "is not a public key"),
        ("ssh-rsa A\nssh-rsa B", "is not a public key"),
        (None, "cannot be read"),
    ],
)
def test_a_private_key_never_leaves_the_machine(
    runpod: FakeRunPod, tmp_path: Path, text: str | None, says: str
) -> None:
    file = tmp_path / "id"
    if text is not None:
        file.write_text(text)
    ran = on_runpod(runpod, tmp_path, "cloud", "ssh-keys", "--add", str(file))
    assert (ran.code, runpod.keys) == (1, [])
    assert says in ran.err


def a_pod(**ssh: object) -> CloudPod:
    return CloudPod.of(Fields({"id": "p", "name": "a", "status": "RUNNING", "ssh": {"proxy": ssh}}))


def test_ssh_is_the_systems_own() -> None:
    pod = a_pod(host="market.example", port=11522, username="p")
    assert ssh_command(pod, (), known=Path("/k"), identity="/id") == [
        *("ssh", "-p", "11522", "-o", "StrictHostKeyChecking=accept-new"),
        *("-o", "UserKnownHostsFile=/k", "-i", "/id", "-t", "p@market.example"),
    ]
    assert ssh_command(pod, ("echo", "a b"), known=Path("/k"))[-3:] == [
        "-T",
        "p@market.example",
        "echo 'a b'",
    ]


def test_the_direct_way_is_taken_where_there_is_no_other() -> None:
    ssh = {"direct": {"host": "203.0.113.7", "port": 17740, "username": "root"}}
    pod = CloudPod.of(Fields({"id": "p", "ssh": ssh}))
    assert ssh_command(pod, (), known=Path("/k"))[-1] == "root@203.0.113.7"


def test_a_table_is_cut_to_80_columns() -> None:
    rows = [("x" * 100, "y" * 50, "z"), ("a", "ł" * 9, "żółw")]
    lines = narrow(("NAME", "IMAGE", "ID"), rows).splitlines()
    assert max(map(len, lines)) == 80
    assert lines[1].count("…") == 2
    assert lines[2].endswith("żółw")


@dataclass
class Ann:
    """A renter at a market, and her folder."""

    market: MarketServing
    home: Path
    environ: dict[str, str]
    ticking: list[asyncio.Task[None]] = field(default_factory=list)

    async def type(self, *words: str, typed: str = "", keys: bool = False) -> Ran:
        """Run a command while the market's hosts and loops go on."""
        terminal = a_terminal(typed, keys=keys)
        running = asyncio.create_task(
            asyncio.to_thread(puna, *words, environ=self.environ, terminal=terminal)
        )
        while not running.done():
            await self.market.tick(10)
            await asyncio.wait([running], timeout=0.05)
        return await running

    async def read(self, *words: str) -> Any:  # noqa: ANN401 - whatever the command prints
        ran = await self.type(*words, "--json")
        assert ran.code == 0, ran.err
        return json.loads(ran.out)


@asynccontextmanager
async def renting(home: Path, credit: str = "25") -> AsyncIterator[Ann]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with market_serving(Path(folder)) as market:
            environ = {
                "PUNA_HOME": str(home),
                "PUNA_CLOUD_ADDRESS": market.url,
                "PUNA_CLOUD_KEY": await market.key("ann@example.org", credit),
            }
            yield Ann(market, home, environ)


@pytest_asyncio.fixture
async def ann(tmp_path: Path) -> AsyncIterator[Ann]:
    async with renting(tmp_path) as renter:
        await renter.market.host(country="PL")
        yield renter


async def test_a_rental_from_offer_to_bill(ann: Ann) -> None:
    ran = await ann.type(*CREATE, "--port", "11434/http", "--stop-after", "2h", "--yes")
    assert ran.code == 0, ran.err
    said = ran.err.splitlines()
    assert said[:2] == [
        "bench: 1 x RTX 4090 on demand, 20 GB of disk",
        "$0.36274 an hour, $8.71 a day; it stops after 2h, by when it has cost $0.73",
    ]
    assert said[-1].endswith("runs for $0.36274 an hour")
    (pod,) = await ann.read("pods", "list")
    assert ran.lines == [
        f"  11434  {pod['urls']['11434']}",
        "  puna run MODEL --on bench",
        "  puna pods ssh bench",
        "  puna pods terminate bench",
    ]
    assert (pod["status"], pod["an_hour"]) == ("RUNNING", "0.36274")
    shown = await ann.type("pods", "show", "bench")
    assert any(line.split() == ["tenure", "on_demand"] for line in shown.lines)
    stopped = await ann.type("pods", "stop", "bench")
    assert stopped.out == "bench is stopped, $0.00 an hour\n"
    started = await ann.type("pods", "start", "bench")
    assert started.out == "bench is started, $0.36274 an hour\n"
    gone = await ann.type("pods", "terminate", "bench", "--yes")
    assert gone.lines[0] == "bench is gone: nothing of it is left on its host"
    assert "nothing of it is left on its host: closed" in gone.err
    bill = await ann.read("bill", "--by", "pod")
    assert gone.lines[1].startswith(f"it cost ${bill['total']} in ")
    assert await ann.read("pods", "list") == []


async def test_a_spot_pod_bids_what_is_asked(ann: Ann) -> None:
    made = await ann.read(*CREATE, "--spot", "--yes")
    assert (made["extras"]["tenure"], made["extras"]["bid"]) == ("spot", "0.10")
    assert made["an_hour"] == "0.10274"


async def test_what_is_asked_for_travels(ann: Ann) -> None:
    words = ("--project", "web", "--budget", "1.5", "--country", "pl", "--open", "8888")
    made = await ann.read(*CREATE, *words, "--port", "8888/http", "--yes")
    assert made["extras"]["project"] == "web"
    assert made["extras"]["access"] == {"8888": "open"}
    (limit,) = await ann.read("budget", "list")
    assert (limit["scope"], limit["limit"], limit["owner"]) == ("pod", "1.50", made["id"])


async def test_no_offer_says_why(ann: Ann) -> None:
    ran = await ann.type(*CREATE, "--count", "8", "--yes")
    assert (ran.code, ran.err) == (
        1,
        "Error: no machine does\nmore do not do: 1; too small (1)\n",
    )


async def test_too_little_money_is_said_before_anything_runs(tmp_path: Path) -> None:
    async with renting(tmp_path, "0.10") as poor:
        await poor.market.host()
        ran = await poor.type(*CREATE, "--yes")
    assert ran.code == 1
    assert "an hour of this pod costs $0.36274 and the balance is $0.10" in ran.err


async def test_a_pod_that_fails_is_told_with_its_end(ann: Ann) -> None:
    host = ann.market.hosts[0]
    made = await ann.read(*CREATE, "--volume", "10", "--yes", "--detach")
    host.does[made["id"]] = "failed"
    for _ in range(3):
        await ann.market.tick()
    (pod,) = await ann.read("pods", "list")
    assert (pod["status"], pod["extras"]["reason"]) == ("ERROR", "as the test says")
    assert (await ann.type("pods", "ssh", "bench")).err == (
        "Error: bench is ERROR and cannot be reached by ssh\n"
    )


async def test_a_pod_that_is_kept_is_not_ended(ann: Ann) -> None:
    await ann.type(*CREATE, "--yes")
    ran = await ann.type("pods", "terminate", "bench", typed="n\n", keys=True)
    assert "bench and all that is on it will be lost. End it? [y/N]: bench goes on" in ran.err
    assert len(await ann.read("pods", "list")) == 1


async def test_a_port_is_opened_by_its_number(ann: Ann) -> None:
    await ann.type(*CREATE, "--port", "8888/http", "--port", "22/tcp", "--yes")
    (pod,) = await ann.read("pods", "list")
    plain = await ann.type("pods", "open", "bench", "--plain")
    assert plain.out == pod["urls"]["8888"] + "\n"
    ran = await ann.type("pods", "open", "bench", "8888", "--lasts", "2h")
    assert ran.err == "whoever has this link may call port 8888 for 2h\n"
    assert ran.out.startswith(f"{ann.market.url}/s/")
    ran = await ann.type("pods", "open", "bench", "9999")
    assert "bench has no port 9999; it has 8888" in ran.err


async def test_a_model_is_run_where_the_pod_is(ann: Ann) -> None:
    await ann.type(*CREATE, "--port", "11434/http", "--yes")
    (pod,) = await ann.read("pods", "list")
    session = Session(a_terminal(), ann.environ)
    there = await asyncio.to_thread(session_on, session, "bench")
    assert there.settings.host.url == pod["urls"]["11434"].rstrip("/")
    assert there.settings.api_key == ann.environ["PUNA_CLOUD_KEY"]


@pytest.mark.parametrize("waits", [0, 2, 500])
async def test_a_pod_that_starts_is_waited_for(ann: Ann, waits: int) -> None:
    server = await asyncio.start_server(starting(waits), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pauses: list[Span] = []
    terminal = a_terminal()
    there = Address(host="127.0.0.1", port=port)
    async with server:
        waiting = asyncio.to_thread(
            wait_for_answer,
            Session(terminal, ann.environ),
            "bench",
            Way(there, "k"),
            wait=pauses.append,
        )
        if waits == 500:
            with pytest.raises(NoWay, match="nothing in bench answers"):
                await waiting
        else:
            await waiting
    assert len(pauses) == min(waits, 120)
    assert isinstance(terminal.err, io.StringIO)
    assert ("bench is starting" in terminal.err.getvalue()) is bool(waits)


def starting(waits: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Answer as a gateway does: so often that nothing is there, then with a page."""
    left = [waits]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        left[0] -= 1
        body = b'{"error": "not yet", "code": "nothing_there"}' if left[0] >= 0 else b"a page"
        status = b"502 Bad Gateway" if left[0] >= 0 else b"200 OK"
        head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        writer.write(head % (status, len(body)) + body)
        writer.close()
        await writer.wait_closed()

    return answer


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cpus", "1"), "--cpus is 2, 4, 8 or so on, and not 1"),
        (("--cpus", "6"), "--cpus is 2, 4, 8 or so on, and not 6"),
        (("--cpus", "2", "--volume", "20"), "a pod without a card has no volume"),
        (("--volume", "5"), "--volume is at least 10 GB"),
    ],
    ids=str,
)
async def test_sizes_that_cannot_be_had_are_refused_in_words(
    ann: Ann, words: tuple[str, ...], said: str
) -> None:
    ran = await ann.type("pods", "create", "--image", "img", *words, "--yes")
    assert ran.code == 1
    assert ran.err.startswith(f"Error: {said}")


async def test_a_pod_without_a_port_runs_no_model(ann: Ann) -> None:
    await ann.type(*CREATE, "--yes")
    ran = await ann.type("run", "smollm2", "--on", "bench", "hi")
    assert ran.err == ("Error: bench has no HTTP port for a model\nmake it with --template puna\n")


@pytest.mark.journey
def test_ctrl_c_leaves_the_pod_going_and_says_what_it_costs(
    runpod: FakeRunPod, tmp_path: Path
) -> None:
    runpod.born = "STARTING"
    command = [sys.executable, "-m", "puna", *CREATE, "--secure", "--yes"]
    environ = os.environ | {
        "PUNA_HOME": str(tmp_path),
        "PUNA_CLOUD_ADDRESS": runpod.url,
        "PUNA_CLOUD_KEY": KEY,
        "LC_ALL": "C",
    }
    with subprocess.Popen(
        command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        said = [running.stderr.readline().strip() for _ in range(4)]
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
        code = running.wait(timeout=30)
    assert said[2:] == ["pod pod1 is rented", "STARTING"]
    assert rest.strip() == (
        "pod pod1 goes on and costs $0.69274 an hour once it runs; "
        "end it with: puna pods terminate pod1"
    )
    assert (code, list(runpod.pods)) == (130, ["pod1"])
