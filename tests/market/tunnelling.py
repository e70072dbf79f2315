"""A gateway over a test's market, and agents' tunnels to it, all in this process."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from puna.agent.tunnel import Tunnel
from puna.market.actions.tunnels import register_tunnel
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.gateway.gateway import Gateway, Place, gateway
from puna.market.gateway.keys import GatewayKeys
from puna.wire.tunnel import Door
from tests.fakes.reach import FakeReach
from tests.market.stage import FakeHost, Stage


def derive(purpose: str) -> str:
    return hashlib.sha256(purpose.encode()).hexdigest()


@asynccontextmanager
async def a_gateway(stage: Stage, port: int = 0) -> AsyncIterator[Gateway]:
    """Open a gateway of one process of the market."""
    async with gateway(stage.database, stage.world, derive, Place(port=port)) as opened:
        yield opened


@asynccontextmanager
async def a_tunnel(
    stage: Stage, host: FakeHost, port: int, reach: FakeReach, *, links: int = 2
) -> AsyncIterator[Tunnel]:
    """Let a host dial the gateway that listens at `port`, until the block ends."""

    async def find_door(public_key: str) -> Door:
        async with stage.database.transaction() as tx:
            await register_tunnel(tx, host.key, public_key)
        key = GATEWAY_KEY
        return Door(host="127.0.0.1", port=port, user=f"host-{host.id}", gateway_key=key)

    tunnel = Tunnel(stage.world, reach, find_door, links=links)
    running = asyncio.create_task(tunnel.run())
    try:
        await linked(tunnel, links)
        yield tunnel
    finally:
        running.cancel()
        await asyncio.wait({running})


async def linked(tunnel: Tunnel, links: int) -> None:
    """Wait until a tunnel has so many links."""
    async with asyncio.timeout(60):
        while tunnel.links != links:
            tunnel.changed.clear()
            await tunnel.changed.wait()


@dataclass
class Rented:
    """A pod that runs on a host whose tunnel is open."""

    stage: Stage
    gateway: Gateway
    tunnel: Tunnel
    reach: FakeReach
    host: FakeHost
    caller: Caller
    pod: Pod


@asynccontextmanager
async def a_rented_pod(stage: Stage, **changes: object) -> AsyncIterator[Rented]:
    """Rent a pod, let it run, and open the way to it; its ports are for the test to fill in."""
    host = await stage.host()
    caller = await stage.account("ada@example.org", "10")
    pod = await stage.rent(caller, **changes)
    await stage.tick(times=2)
    reach = FakeReach()
    async with (
        a_gateway(stage) as opened,
        a_tunnel(stage, host, opened.port, reach) as tunnel,
    ):
        yield Rented(stage, opened, tunnel, reach, host, caller, pod)


@asynccontextmanager
async def an_echo() -> AsyncIterator[int]:
    """Listen on a port that sends back what it gets, and ends when its client has."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while text := await reader.read(2**16):
            writer.write(text)
            await writer.drain()
        writer.close()

    async with a_server(echo) as port:
        yield port


@asynccontextmanager
async def a_server(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Listen on a port of this machine until the block ends."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


GATEWAY_KEY = GatewayKeys.of(derive).public
