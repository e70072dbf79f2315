"""`puna agent`: what an owner is shown and asked, and what he can change while it runs."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from puna.agent.notebook import Identity, Notebook, Offer
from puna.wire.agent import PATH, SAMPLE
from tests.fakes.console import NOW, Ran, a_terminal, puna
from tests.fakes.container_engine import ContainerEngine
from tests.worlds import FakeWorld


@dataclass
class Surroundings:
    """A container engine and a market that owners join, on threads of their own."""

    home: Path
    socket: Path
    market: str = ""
    joined: list[dict[str, Any]] = field(default_factory=list)
    refuses: str = ""

    @property
    def notebook(self) -> Notebook:
        return Notebook(self.home / "agent")

    def agent(self, *words: str, typed: str = "", keys: bool = False, **more: str) -> Ran:
        environ = {"PUNA_HOME": str(self.home), "PUNA_AGENT_ENGINE": f"unix://{self.socket}"}
        terminal = a_terminal(typed, keys=keys)
        return puna("agent", *words, environ=environ | more, terminal=terminal)

    def join(self, *words: str) -> Ran:
        needed = ("--token", "t0ken", "--price", "0.36", "--detach")
        return self.agent("join", self.market, *needed, *words)

    async def serve(self, ready: threading.Event, end: asyncio.Event) -> None:
        async with ContainerEngine(FakeWorld()).served(self.socket):
            runner = web.AppRunner(self._app())
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.market = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await end.wait()
            await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=2 * SAMPLE)
        app.router.add_post(f"{PATH}/join", self._join)
        app.router.add_post(f"{PATH}/earnings", self._earnings)
        app.router.add_get(f"{PATH}/speed", self._sample)
        app.router.add_post(f"{PATH}/speed", self._sample)
        return app

    async def _join(self, request: web.Request) -> web.Response:
        if self.refuses:
            return web.json_response({"detail": self.refuses}, status=401)
        self.joined.append(await request.json())
        return web.json_response({"host": "h0st", "key": "host_secret"})

    async def _earnings(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer host_secret"
        earned = {"today": 1, "month": 2_500_000, "ever": 3_000_000, "balance": 4_000_000}
        return web.json_response(earned)

    async def _sample(self, request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=bytes(1000))


@pytest.fixture
def around(tmp_path: Path) -> Iterator[Surroundings]:
    around = Surroundings(tmp_path / "puna", tmp_path / "engine.sock")
    ready, ends = threading.Event(), []

    async def live() -> None:
        end = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(end.set))
        await around.serve(ready, end)

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    assert ready.wait(90)
    yield around
    ends[0]()
    thread.join(90)


def test_the_owner_sees_what_is_offered_and_what_renters_may_not(around: Surroundings) -> None:
    ran = around.join(
        "--yes", "--accept-gaps", "--memory", "8GB", "--disk", "5GB", "--country", "pl"
    )
    assert ran.code == 0, ran.err
    for words in ("memory       8 GB", "disk         5 GB", "$0.36 for a processor and hour"):
        assert words in ran.out
    assert "They may not:" in ran.out
    assert "Not enforced on this machine:" in ran.out
    assert "Joined as host h0st." in ran.err
    [told] = around.joined
    assert (told["token"], told["machine"]["memory"], told["machine"]["country"]) == (
        "t0ken",
        8 * 10**9,
        "PL",
    )
    assert all(len(line) <= 80 for line in ran.out.splitlines())


def test_what_is_written_is_the_owners_alone(around: Surroundings) -> None:
    around.join("--yes", "--accept-gaps", "--least-bid", "0.1", "--hours", "22:00-07:00", "--yield")
    notebook = around.notebook
    assert notebook.identity() == Identity(
        market=around.market, host="h0st", key="host_secret", name=notebook.identity().name
    )
    offer = notebook.offer()
    assert (offer.price, offer.least_bid, offer.opens, offer.yields) == (
        360_000,
        100_000,
        "22:00",
        True,
    )
    assert offer.machine.down_mbps > 0
    texts = [file.read_text() for file in notebook.folder.iterdir() if file.suffix == ".json"]
    assert not any("t0ken" in text for text in texts)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "nobody is here to be asked"),
        (("--yes",), "not enforced on this machine"),
        (("--yes", "--accept-gaps", "--hours", "late"), "not a part of the day"),
        (("--yes", "--accept-gaps", "--country", "Poland"), "not a country"),
        (("--yes", "--price", "-1"), "below zero"),
        (("--yes", "--price", "cheap"), "not an amount of dollars"),
        (("--yes", "--memory", "much"), "not a number of bytes"),
    ],
)
def test_a_mistake_joins_nothing(
    around: Surroundings, words: tuple[str, ...], complaint: str
) -> None:
    ran = around.join(*words)
    assert ran.code != 0
    assert complaint in ran.err
    assert around.joined == []
    assert not around.notebook.has_joined


AGREED = ("--price", "0.36", "--detach", "--yes", "--accept-gaps")


@pytest.mark.parametrize("keys", [True, False])
def test_a_token_is_asked_for_or_piped_in(around: Surroundings, *, keys: bool) -> None:
    ran = around.agent("join", around.market, *AGREED, typed="t0ken\n", keys=keys)
    assert (ran.code, around.joined[0]["token"]) == (0, "t0ken"), ran.err
    asked = f"Token of {around.market}, which is not shown: "
    assert ran.err.startswith(asked) is keys


def test_a_token_is_in_a_file_or_the_environment(around: Surroundings, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("in-a-file\n")
    words = ("join", around.market, *AGREED)
    assert around.agent(*words, "--token-file", str(file), PUNA_AGENT_TOKEN="no").code == 0
    around.notebook.forget()
    assert around.agent(*words, PUNA_AGENT_TOKEN="in-the-environment").code == 0
    assert [each["token"] for each in around.joined] == ["in-a-file", "in-the-environment"]


@pytest.mark.parametrize(
    ("words", "typed", "complaint"),
    [
        ((), "", "that is no token"),
        ((), "two words", "that is no token"),
        (("--token", "a b"), "", "that is no token"),
        (("--token-file", "/etc/nothing"), "", "does not exist"),
        (("--token-file", "/dev/null"), "", "that is no token"),
        (("--token-file", "/dev/null", "--token", "t"), "", "not both"),
    ],
)
def test_without_a_token_nothing_is_joined(
    around: Surroundings, words: tuple[str, ...], typed: str, complaint: str
) -> None:
    ran = around.agent("join", around.market, *AGREED, *words, typed=typed)
    assert ran.code != 0
    assert complaint in ran.err
    assert around.joined == []


def test_a_market_that_refuses_leaves_nothing_behind(around: Surroundings) -> None:
    around.refuses = "the token is unknown, used or over"
    ran = around.join("--yes", "--accept-gaps")
    assert ran.code == 1
    assert "unknown, used or over" in ran.err
    assert not around.notebook.has_joined


def test_a_machine_may_be_reached_by_everybody(around: Surroundings) -> None:
    words = ("--public-ip", "203.0.113.7", "--public-ports", "40000-40999")
    ran = around.join("--yes", "--accept-gaps", *words)
    assert "reached      203.0.113.7, ports 40000-40999" in ran.out
    assert around.joined[0]["machine"]["public_ip"] == "203.0.113.7"
    assert around.notebook.offer().open_ports == "40000-40999"


def test_a_machine_lends_on_one_market(around: Surroundings) -> None:
    assert around.join("--yes", "--accept-gaps").code == 0
    ran = around.join("--yes", "--accept-gaps")
    assert "lends on" in ran.err
    assert "puna agent leave" in ran.err


def test_no_engine_is_said_with_what_to_do(around: Surroundings) -> None:
    around.socket = around.home / "none.sock"
    ran = around.join("--yes", "--accept-gaps")
    assert "the container engine does not answer" in ran.err
    assert "start Podman" in ran.err


def test_earnings(around: Surroundings) -> None:
    around.join("--yes", "--accept-gaps")
    assert "last 30 days                    $2.50" in around.agent("earnings").out
    assert json.loads(around.agent("earnings", "--json").out)["balance"] == 4_000_000


def a_host(home: Path) -> Notebook:
    notebook = Notebook(home / "agent")
    notebook.write(Identity(market="http://127.0.0.1:1", host="h1", key="k", name="box"), "1")
    notebook.write(Offer(price=5), "2")
    return notebook


def agent(home: Path, *words: str) -> Ran:
    return puna("agent", *words, environ={"PUNA_HOME": str(home)})


@pytest.mark.parametrize("command", ["status", "earnings", "pause", "resume", "leave", "run"])
def test_a_machine_that_joined_nothing_is_told_how(tmp_path: Path, command: str) -> None:
    ran = agent(tmp_path, command)
    assert ran.code == 1
    assert "puna agent join ADDRESS --price DOLLARS" in ran.err


def test_pause_and_resume_change_the_offer_alone(tmp_path: Path) -> None:
    notebook = a_host(tmp_path)
    assert "go on" in agent(tmp_path, "pause").err
    assert notebook.offer() == Offer(price=5, is_paused=True)
    agent(tmp_path, "resume")
    assert notebook.offer() == Offer(price=5)


def told(**changes: object) -> str:
    pods = [{"pod": "p1", "run": 1, "state": "running", "reason": ""}]
    at = NOW.isoformat()
    return json.dumps({"at": at, "heard": at, "trouble": "", "pods": pods} | changes)


def test_status_shows_pods_and_trouble(tmp_path: Path) -> None:
    notebook = a_host(tmp_path)
    assert "no agent runs" in agent(tmp_path, "status").out
    notebook.write_status(told(), "1")
    out = agent(tmp_path, "status").out
    assert "the market answered less than a second ago" in out
    assert "p1     1      running" in out
    notebook.write_status(told(trouble="it is away", is_paused=True, engine_is_gone=True), "2")
    out = agent(tmp_path, "status").out
    for words in ("it is away", "paused", "engine does not answer"):
        assert words in out


@pytest.mark.parametrize(
    ("tunnel", "words"),
    [
        ({"links": 2, "way": "WebSocket"}, "Pods are reached by WebSocket."),
        ({"links": 0, "way": "SSH"}, "No tunnel is open: nobody reaches the ports of pods here"),
    ],
)
def test_status_tells_how_pods_are_reached(
    tmp_path: Path, tunnel: dict[str, object], words: str
) -> None:
    a_host(tmp_path).write_status(told(tunnel=tunnel), "1")
    assert words in agent(tmp_path, "status").out


@pytest.mark.parametrize(("count", "words"), [(1, "1 image, 2 GB"), (3, "3 images, 2 GB")])
def test_status_shows_images_that_no_pod_needs(tmp_path: Path, count: int, words: str) -> None:
    images = {"count": count, "size": 2 * 10**9, "limit": 50 * 10**9, "removed": 1}
    a_host(tmp_path).write_status(told(images=images), "1")
    assert f"No pod needs {words}; they may take 50 GB" in agent(tmp_path, "status").out
    assert json.loads(agent(tmp_path, "status", "--json").out)["images"] == images


def test_an_old_status_is_no_running_agent(tmp_path: Path) -> None:
    notebook = a_host(tmp_path)
    old = (NOW - timedelta(minutes=5)).isoformat()
    notebook.write_status(told(at=old), "1")
    assert json.loads(agent(tmp_path, "status", "--json").out)["runs"] is False


def test_nobody_leaves_while_pods_are_here_unless_he_says_so(tmp_path: Path) -> None:
    notebook = a_host(tmp_path)
    notebook.write_status(told(), "1")
    assert "1 pods are on this machine" in agent(tmp_path, "leave").err
    assert notebook.has_joined
    assert agent(tmp_path, "leave", "--force").code == 0
    assert not notebook.has_joined


def test_a_unit_for_systemd(tmp_path: Path) -> None:
    out = agent(tmp_path, "unit").out
    assert "puna agent run" in out
    assert f"PUNA_HOME={tmp_path}" in out
    assert "KillMode=process" in out
