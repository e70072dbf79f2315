"""Tunnels over WebSockets: for hosts whose network lets HTTPS out and no SSH."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from puna.agent.link import MarketGone, MarketLink, NotAHost
from puna.agent.ways import Way
from puna.units import Span
from puna.wire.carried import PROTOCOL
from puna.wire.tunnel import SOCKET_PATH
from tests.market.instant import MEMORY
from tests.market.podweb import Front, a_front
from tests.market.tunnelling import linked
from tests.ports import free_port
from tests.proxies import a_company_proxy

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front() -> AsyncIterator[Front]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with a_front(Path(folder), hosts=("market.test",), is_detoured=True) as opened:
            yield opened


async def test_pods_are_reached_where_no_ssh_is_let_out(front: Front) -> None:
    assert front.tunnel.ways.known is Way.WEBSOCKET
    body = bytes(range(256)) * 4000
    reply = await front.ask("/x", key=front.key, method="POST", data=body)
    assert reply.json["body"].encode("latin-1") == body


async def test_a_link_that_was_cut_is_dialled_again_the_same_way(front: Front) -> None:
    front.tunnel.cut()
    await linked(front.tunnel, 0)
    await front.serving.world.advance(Span.of(seconds=2))
    await linked(front.tunnel, 2)
    assert (await front.ask("/x", key=front.key)).status == 200


async def test_what_ends_at_the_market_ends_at_the_host(front: Front) -> None:
    await front.serving.gateway.connections.close()
    await linked(front.tunnel, 0)
    await front.serving.world.advance(Span.of(seconds=2))
    await linked(front.tunnel, 2)


async def test_behind_a_proxy_everything_goes_by_it(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_company_proxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        port = front.address[1]
        async with MarketLink(f"http://market.test:{port}", front.host.key) as link:
            assert link.is_proxied
            assert (await link.earnings()).ever >= 0
    assert proxy.asked == [f"POST http://market.test:{port}/agent/v1/earnings"]
    assert proxy.credentials == ["Basic YWRhOnNAZmU="]


@pytest.mark.parametrize(
    ("headers", "protocols", "status"),
    [
        ({}, (PROTOCOL,), 401),
        ({"Authorization": "Bearer rpa_wrong"}, (PROTOCOL,), 401),
        ({"Authorization": "KEY"}, ("chat",), 426),
    ],
    ids=["no key", "a wrong key", "another protocol"],
)
async def test_only_hosts_are_let_in(
    front: Front, headers: dict[str, str], protocols: tuple[str, ...], status: int
) -> None:
    own = f"Bearer {front.host.key}"
    told = {name: value.replace("KEY", own) for name, value in headers.items()}
    session, url = front.serving.session, front.serving.url + SOCKET_PATH
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect(url, protocols=protocols, headers=told)
    assert caught.value.status == status


async def test_what_asks_without_a_websocket_is_told(front: Front) -> None:
    reply = await front.send("GET", SOCKET_PATH, {"Authorization": f"Bearer {front.host.key}"})
    assert (reply.status, json.loads(reply.body)["code"]) == (426, "not_a_socket")


async def test_a_host_that_is_not_known_is_told_so(front: Front) -> None:
    async with MarketLink(front.serving.url, "host_wrong") as link:
        with pytest.raises(NotAHost):
            await link.socket()


async def test_a_market_that_is_away_is_said_to_be(front: Front) -> None:
    async with MarketLink(f"http://127.0.0.1:{free_port()}", front.host.key) as link:
        with pytest.raises(MarketGone, match="no WebSocket to"):
            await link.socket()


async def test_a_host_that_speaks_no_ssh_is_hung_up_on(front: Front) -> None:
    async with MarketLink(front.serving.url, front.host.key) as link:
        socket = await link.socket()
        assert (await socket.receive_bytes()).startswith(b"SSH-2.0-")
        await socket.send_bytes(b"GET / HTTP/1.1\r\n\r\n" * 100)
        async with asyncio.timeout(60):
            while not socket.closed:
                await socket.receive()
