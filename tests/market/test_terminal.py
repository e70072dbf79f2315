"""The web terminal: its page, its tickets, its socket, and once in a real browser."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from puna.market.domain.pods import Action
from puna.units import Span
from tests.market.instant import MEMORY
from tests.market.podweb import Front, a_front

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Front]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with a_front(Path(folder)) as opened:
            yield opened


@pytest.fixture
def front(shared: Front) -> Front:
    shared.reach.asked.clear()
    shared.reach.shells.clear()
    shared.reach.typed.clear()
    shared.reach.greeting = b""
    return shared


async def ticket(front: Front, key: str = "") -> str:
    path = f"/v2/puna/pods/{front.pod.id}/terminal"
    reply = await front.serving.ask("POST", path, key=key or front.key)
    assert reply.status == 201
    return str(reply.json["ticket"])


@asynccontextmanager
async def terminal(
    front: Front, *, secret: str = "", origin: str = "", pod: str = ""
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a terminal as the page does."""
    url = f"{front.serving.url}/terminal/{pod or front.pod.id}/socket"
    protocols = ["puna-terminal", f"ticket.{secret or await ticket(front)}"]
    own = origin or front.serving.url
    call = front.serving.session.ws_connect(url, protocols=protocols, origin=own)
    async with call as socket:
        yield socket


async def shown(socket: aiohttp.ClientWebSocketResponse, until: bytes) -> bytes:
    """Return what the terminal shows until some words are among it."""
    seen = b""
    async with asyncio.timeout(60):
        while until not in seen:
            seen += await socket.receive_bytes()
    return seen


async def test_what_is_typed_is_run_in_the_pod(front: Front) -> None:
    async with terminal(front) as socket:
        assert socket.protocol == "puna-terminal"
        await socket.send_bytes(b"echo $((6*7))\n")
        assert b"42" in await shown(socket, b"42")
        (ask,) = front.reach.asked
    assert (ask.kind, ask.words, ask.terminal) == ("shell", (), "xterm-256color")


async def test_a_terminal_has_the_size_of_its_page(front: Front) -> None:
    async with terminal(front) as socket:
        await socket.send_str(json.dumps({"columns": 132, "rows": 43}))
        assert await shown(socket, b"132x43")
        await socket.send_str("no size")
        await socket.send_str(json.dumps({"columns": 0, "rows": 43}))
        await socket.send_str(json.dumps({"columns": 80, "rows": 25}))
        assert b"0x43" not in await shown(socket, b"80x25")


async def test_a_shell_that_ends_closes_the_terminal_and_says_how(front: Front) -> None:
    async with terminal(front) as socket:
        await socket.send_bytes(b"exit 3\n")
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1000)
        assert message.extra == "the shell ended with 3"


async def test_a_page_that_is_closed_ends_its_shell(front: Front) -> None:
    async with terminal(front) as socket:
        await socket.send_bytes(b"echo there\n")
        await shown(socket, b"there")
    async with asyncio.timeout(60):
        await front.reach.shells[0].closed.wait()


async def test_pings_are_answered_and_large_pastes_arrive(front: Front) -> None:
    async with terminal(front) as socket:
        await socket.ping(b"still?")
        await socket.send_bytes(b"echo ready; exec cat\n")
        await shown(socket, b"ready")
        await socket.send_bytes(b"x" * 60_000 + b"\n")
        seen = await shown(socket, b"x\n")
    assert seen.count(b"x") == 60_000


@pytest.mark.parametrize(
    "origin",
    ["https://evil.com", "null", "http://localhost:1", "http://127.0.0.1.evil.com", "file://"],
)
async def test_a_page_of_another_origin_opens_no_terminal(front: Front, origin: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with terminal(front, origin=origin):
            raise AssertionError
    assert caught.value.status == 403
    assert front.reach.asked == []


async def test_a_request_without_an_origin_opens_no_terminal(front: Front) -> None:
    url = f"{front.serving.url}/terminal/{front.pod.id}/socket"
    protocols = ["puna-terminal", f"ticket.{await ticket(front)}"]
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await front.serving.session.ws_connect(url, protocols=protocols)
    assert caught.value.status == 403


async def test_a_ticket_opens_one_terminal(front: Front) -> None:
    secret = await ticket(front)
    async with terminal(front, secret=secret):
        pass
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with terminal(front, secret=secret):
            raise AssertionError
    assert caught.value.status == 401


async def test_a_ticket_is_good_for_a_minute_and_for_its_pod(front: Front) -> None:
    secret = await ticket(front)
    for pod, wait in (("nosuchpod00000", 0), ("", 61)):
        await front.serving.world.advance(Span.of(seconds=wait))
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with terminal(front, secret=secret, pod=pod):
                raise AssertionError
        assert caught.value.status == 401


async def test_a_key_is_no_ticket(front: Front) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with terminal(front, secret=front.key):
            raise AssertionError


async def test_tickets_are_for_keys_that_may_write_to_the_pod(front: Front) -> None:
    path = f"/v2/puna/pods/{front.pod.id}/terminal"
    for key, status in ((front.stranger, 404), (front.reading_key, 403), ("", 401)):
        assert (await front.serving.ask("POST", path, key=key)).status == status


async def test_what_is_no_websocket_is_refused(front: Front) -> None:
    path = f"/terminal/{front.pod.id}/socket"
    reply = await front.send("GET", path, {"Origin": front.serving.url})
    assert reply.status == 401


@pytest.mark.parametrize(
    "sent",
    [
        b"\x82\x03abc",
        b"\xc2\x80\0\0\0\0",
        b"\x82\xff" + b"\xff" * 8 + b"\0" * 4,
        b"\x83\x80\0\0\0\0",
    ],
    ids=["not masked", "an extension", "endless", "unknown kind"],
)
async def test_what_is_no_frame_ends_the_terminal(front: Front, sent: bytes) -> None:
    head = (
        f"GET /terminal/{front.pod.id}/socket HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: puna-terminal, ticket.{await ticket(front)}\r\n\r\n"
    )
    received = await front.raw(head.encode() + sent)
    assert b"101 Switching Protocols" in received
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in received
    assert b"\x88\x02\x03\xe9" in received


async def test_a_pod_that_is_stopped_says_so_in_the_terminal(front: Front) -> None:
    await front.serving.report(front.host)
    pod = await front.serving.rent(front.caller)
    path = f"/v2/puna/pods/{pod.id}/terminal"
    secret = (await front.serving.ask("POST", path, key=front.key)).json["ticket"]
    await front.serving.act(front.caller, pod, Action.STOP)
    async with terminal(front, secret=secret, pod=pod.id) as socket:
        assert "is EXITED" in await socket.receive_str()
        assert (await socket.receive()).data == 1008


async def test_the_page_loads_nothing_from_elsewhere_and_is_in_no_frame(front: Front) -> None:
    reply = await front.serving.ask("GET", f"/terminal/{front.pod.id}")
    assert reply.status == 200
    assert reply.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert b"http://" not in reply.body
    assert b"https://" not in reply.body
    for name in ("xterm.js", "xterm.css", "addon-fit.js", "terminal.js", "terminal.css"):
        assert f"/terminal/assets/{name}".encode() in reply.body
        assert (await front.serving.ask("GET", f"/terminal/assets/{name}")).status == 200


@pytest.mark.parametrize("name", ["terminal.html", "LICENSE", "..%2fterminal.py", "nothing.js"])
async def test_there_are_no_other_files(front: Front, name: str) -> None:
    assert (await front.serving.ask("GET", f"/terminal/assets/{name}")).status == 404


async def test_a_page_is_for_something_that_looks_like_a_pod(front: Front) -> None:
    assert (await front.serving.ask("GET", "/terminal/x")).status == 404


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.journey
async def test_a_real_browser_shows_a_terminal_and_answers_as_one(front: Front) -> None:
    """The shell asks what the terminal can do; xterm.js in Chromium says it, as if typed."""
    front.reach.greeting = b"\x1b[c"
    page = f"{front.serving.url}/terminal/{front.pod.id}#{await ticket(front)}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = await asyncio.create_subprocess_exec(
            str(CHROMIUM),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            "--remote-debugging-port=0",
            page,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        try:
            async with asyncio.timeout(60):
                await front.reach.typed.wait()
        finally:
            browser.terminate()
            await browser.wait()
    assert bytes(front.reach.shells[0].typed).startswith(b"\x1b[?1;2c")
