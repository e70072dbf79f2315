"""Tunnels that are half dead: links that went unnoticed, hosts that say nothing, late answers."""

import asyncio

import pytest

from puna.agent.tunnel import Tunnel
from puna.market.db import tunnels as db
from puna.market.gateway.directory import Directory
from puna.market.gateway.door import Door as FrontDoor
from puna.market.gateway.keys import GatewayKeys
from puna.market.gateway.peers import Peers
from puna.market.gateway.tunnels import (
    HostAway,
    HostSilent,
    NothingThere,
    SshLink,
    Stream,
    Tunnels,
)
from puna.market.gateway.visits import Visits
from puna.units import Span
from tests.fakes.reach import FakeReach
from tests.market.stage import Stage
from tests.market.tunnelling import a_gateway, a_rented_pod, a_server, a_tunnel, derive, linked


class Waiting(FakeReach):
    """A host that takes its time to find a pod."""

    def __init__(self, ports: dict[tuple[str, int], int] | None = None) -> None:
        super().__init__(ports or {})
        self.asked_for = asyncio.Event()
        self.may_find = asyncio.Event()

    async def address(self, pod: str, port: int) -> tuple[str, int]:
        self.asked_for.set()
        await self.may_find.wait()
        return await super().address(pod, port)


async def test_a_stream_that_opens_when_nobody_waits_any_more_is_closed(market: Stage) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""
        ended.set()
        writer.close()

    host = await market.host()
    async with a_server(serve) as port, a_gateway(market) as gateway:
        reach = Waiting({("pod", 80): port})
        async with a_tunnel(market, host, gateway.port, reach):
            opening = asyncio.ensure_future(gateway.tunnels.open(host.id, "pod", 80))
            await reach.asked_for.wait()
            opening.cancel()
            await asyncio.wait({opening})
            reach.may_find.set()
            async with asyncio.timeout(10):
                await ended.wait()


async def test_an_engine_that_does_not_answer_is_not_waited_for(market: Stage) -> None:
    async with a_rented_pod(market) as rented:
        host, reach = await market.host("slow"), Waiting()
        async with a_tunnel(market, host, rented.gateway.port, reach) as tunnel:
            tunnel.opens_within_s = 0.02
            tunnel.cut()
            await dialled_again(market, tunnel)
            with pytest.raises(NothingThere, match="no answer within"):
                await rented.gateway.tunnels.open(host.id, "pod", 80)


async def dialled_again(market: Stage, tunnel: Tunnel) -> None:
    await linked(tunnel, 0)
    again = asyncio.ensure_future(linked(tunnel, 2))
    while not again.done():
        await market.world.advance(Span.of(seconds=1))
        await asyncio.wait({again}, timeout=0.02)


async def test_a_host_that_says_nothing_is_not_waited_for() -> None:
    class Silent:
        def is_closed(self) -> bool:
            return False

        async def open_connection(self, *words: object, **options: object) -> None:
            del words, options
            await asyncio.Event().wait()

    link = SshLink(Silent(), patience_s=0.01)  # type: ignore[arg-type]  # of a connection it needs no more
    with pytest.raises(HostSilent, match=r"within 0\.01 s") as caught:
        await link.open("pod", 80)
    assert caught.value.status == 504


class Going:
    """A link that may have gone."""

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open

    async def open(self, pod: str, port: int) -> Stream:
        if not self.is_open:
            raise HostAway("gone")
        raise NothingThere(f"{pod} {port}")


async def test_a_link_that_has_gone_is_passed_by(market: Stage) -> None:
    async with a_gateway(market) as gateway:
        for is_open in (False, False, True):
            gateway.tunnels.add("host", Going(is_open=is_open))
        for port in (0, 80, 80, 80):
            with pytest.raises(NothingThere, match=f"pod {port}"):
                await gateway.tunnels.open("host", "pod", port)


async def test_when_all_links_have_gone_it_is_said_at_once(market: Stage) -> None:
    async with a_gateway(market) as gateway:
        for _ in range(2):
            gateway.tunnels.add("host", Going(is_open=False))
        with pytest.raises(HostAway):
            await gateway.tunnels.open("host", "pod", 80)


async def test_an_agent_that_goes_while_it_is_let_in_leaves_no_link(market: Stage) -> None:
    """Or half of all requests would be led to nobody for as long as the market runs."""
    host = await market.host()
    peers = Peers(market.database, GatewayKeys.of(derive))
    peers.here = "here:1"
    tunnels = Tunnels(peers.find)
    door = FrontDoor(
        peers, tunnels, Visits(Directory(market.database, market.world), tunnels), market.world
    )
    async with market.database.transaction() as tx:
        await db.set_tunnel_key(tx, host.id, "ssh-ed25519 x")
    await door.begin(host.id, Going(is_open=False))  # type: ignore[arg-type]  # a link of a test
    await door.close()
    async with market.database.reading() as tx:
        noted = await db.tunnel_of(tx, host.id)
    assert tunnels.hosts == ()
    assert noted is not None
    assert noted.ends_at == ""
