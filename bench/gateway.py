"""The gateway against a direct connection: requests a second, added time, echo, memory.

One process serves the pod, one is the market with its gateway, one is the agent, and one asks, so
that each has an interpreter of its own. `python bench/gateway.py [SECONDS]` prints a table.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import psutil
import uvloop

from puna.agent.tunnel import Tunnel
from puna.wire.tunnel import Ask, Door, Kind, frame, read_frame
from puna.world import RealWorld
from tests.fakes.reach import FakeReach
from tests.market.instant import MEMORY
from tests.market.serving import MarketServing, market_serving

PORT = 80
CONNECTIONS = (1, 100, 1000)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 64
IDLE_TUNNELS = 200


@dataclass(frozen=True)
class Figures:
    """What one way of asking gave."""

    a_second: float
    median_ms: float
    p99_ms: float


def pod(pipe: Connection) -> None:
    """Answer 64 bytes to each request, as fast as one process can."""

    class Pod(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = cast("asyncio.Transport", transport)

        def data_received(self, data: bytes) -> None:
            self._transport.write(ANSWER * data.count(b"\r\n\r\n"))

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Pod, "127.0.0.1", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    uvloop.run(serve())


def market(pipe: Connection) -> None:
    """Serve a market with one pod whose port is open."""

    async def serve() -> None:
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            async with market_serving(Path(folder), in_real_time=True) as serving:
                host = await serving.host()
                caller = await serving.account("ada@example.org", "10")
                rented = await serving.rent(
                    caller, ports=(f"{PORT}/http",), access={str(PORT): "open"}
                )
                await serving.tick(0, times=2)
                keys = serving.gateway
                pipe.send((serving.url, host.id, host.key, rented.id, keys.port, keys.keys.public))
                await answer(serving, host.id, rented.id)

    async def answer(serving: MarketServing, host: str, name: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wish = await loop.run_in_executor(None, pipe.recv)
            if wish == "echo":
                pipe.send(await echo(serving, host, name))
            elif wish == "memory":
                pipe.send(psutil.Process().memory_info().rss)

    uvloop.run(serve())


async def echo(serving: MarketServing, host: str, name: str) -> list[float]:
    """Type single letters into a shell in the pod, and measure when they are shown."""
    ask = Ask(kind="shell", words=("/bin/cat",))
    stream = await serving.gateway.tunnels.ask(host, name, ask)
    took = []
    for _ in range(500):
        start = time.perf_counter()
        stream.writer.write(frame(Kind.INPUT, b"x"))
        await read_frame(stream.reader)
        took.append(time.perf_counter() - start)
    stream.close()
    return took


def agent(pipe: Connection) -> None:
    """Dial the market as a host that has the pod."""

    async def dial() -> None:
        url, host, key, name, port, gateway_key, pod_port, links = pipe.recv()

        async def door(public_key: str) -> Door:
            import aiohttp  # noqa: PLC0415 - in this process alone

            async with aiohttp.ClientSession() as session:
                told = {"public_key": public_key}
                headers = {"Authorization": f"Bearer {key}"}
                reply = await session.post(f"{url}/agent/v1/tunnel", json=told, headers=headers)
                await reply.read()
            return Door(host="127.0.0.1", port=port, user=f"host-{host}", gateway_key=gateway_key)

        reach = FakeReach({(name, PORT): pod_port}, lines={name: []})
        tunnel = Tunnel(RealWorld(), reach, door, links=links)
        running = asyncio.ensure_future(tunnel.run())
        while tunnel.links < links:
            tunnel.changed.clear()
            await tunnel.changed.wait()
        pipe.send("dialled")
        await running

    uvloop.run(dial())


async def ask(address: tuple[str, int], host: str, connections: int, seconds: float) -> Figures:
    """Ask over so many connections at once, each one request after the other."""
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    took: list[float] = []
    opening = asyncio.Semaphore(100)

    async def one(end: float, began: asyncio.Barrier) -> None:
        async with opening:
            reader, writer = await asyncio.open_connection(*address)
            await exchange(reader, writer)
        await began.wait()
        end += time.perf_counter()
        while time.perf_counter() < end:
            start = time.perf_counter()
            await exchange(reader, writer)
            took.append(time.perf_counter() - start)
        writer.close()

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head)
        await reader.readexactly(64)

    barrier = asyncio.Barrier(connections)
    await asyncio.gather(*(one(seconds, barrier) for _ in range(connections)))
    took.sort()
    return Figures(
        a_second=len(took) / seconds,
        median_ms=statistics.median(took) * 1000,
        p99_ms=took[int(len(took) * 0.99)] * 1000,
    )


def begun(target: Callable[[Connection], None]) -> Connection:
    """Start a process that ends with this one, and return the way to talk to it."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    spawn.Process(target=target, args=(there,), daemon=True).start()
    return here


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("seconds", type=float, nargs="?", default=3)
    seconds = parser.parse_args().seconds
    pods, markets, agents = begun(pod), begun(market), begun(agent)
    pod_port = pods.recv()
    url, host, key, name, ssh_port, gateway_key = markets.recv()
    markets.send("memory")
    before = markets.recv()
    idle = begun(agent)
    idle.send((url, host, key, name, ssh_port, gateway_key, pod_port, IDLE_TUNNELS))
    idle.recv()
    markets.send("memory")
    grown = (markets.recv() - before) / IDLE_TUNNELS / 1024
    print(f"memory of the market for an idle link: {grown:.0f} KiB")
    agents.send((url, host, key, name, ssh_port, gateway_key, pod_port, 2))
    agents.recv()
    gateway = ("127.0.0.1", int(url.rpartition(":")[2]))
    ways = (("direct", ("127.0.0.1", pod_port)), ("gateway", gateway))
    print(f"{'connections':>11} {'way':>8} {'requests/s':>11} {'median ms':>10} {'99th ms':>9}")
    for connections in CONNECTIONS:
        found = {}
        for way, address in ways:
            found[way] = uvloop.run(ask(address, f"{name}-{PORT}.localhost", connections, seconds))
            each = found[way]
            print(
                f"{connections:>11} {way:>8} {each.a_second:>11.0f} "
                f"{each.median_ms:>10.2f} {each.p99_ms:>9.2f}"
            )
        added = found["gateway"].median_ms - found["direct"].median_ms
        worst = found["gateway"].p99_ms - found["direct"].p99_ms
        print(f"{'':>11} {'added':>8} {'':>11} {added:>10.2f} {worst:>9.2f}")
    markets.send("echo")
    typed = sorted(markets.recv())
    print(f"terminal echo: median {typed[250] * 1000:.2f} ms, 99th {typed[495] * 1000:.2f} ms")
    for each in multiprocessing.active_children():
        each.kill()


if __name__ == "__main__":
    main()
