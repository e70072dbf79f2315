"""A pod's web server, and a market with a gateway before it, all in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web
from yarl import URL

from puna.agent.link import MarketLink
from puna.agent.socket_line import SocketLine
from puna.agent.tunnel import Detour, Tunnel
from puna.market.actions.accounts import KeyWish, identify, make_key
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.wire.carried import Carried
from puna.wire.tunnel import Door, Registration
from tests.fakes.reach import FakeReach
from tests.market.serving import MarketServing, Reply, market_serving
from tests.market.stage import FakeHost
from tests.market.tunnelling import linked
from tests.ports import free_port

CLOSED, OPEN = 8888, 80


@dataclass
class PodWeb:
    """A server that tells what it was asked."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def begin_anew(self) -> None:
        """Forget what was asked."""
        self.asked.clear()
        self.gate.clear()
        self.gone.clear()

    async def tell(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        body = await request.read()
        told = {
            "method": request.method,
            "target": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": body.decode("latin-1"),
        }
        return web.json_response(told)

    async def say(self, request: web.Request) -> web.Response:
        """Answer with the headers that stand in the query."""
        headers = [(name, value) for name, value in request.query.items() if name != "status"]
        reply = web.Response(status=int(request.query.get("status", "200")), text="said")
        for name, value in headers:
            reply.headers.add(name, value)
        return reply

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Say one, wait for the gate, say two."""
        reply = web.StreamResponse()
        await reply.prepare(request)
        await reply.write(b"one")
        try:
            await self.gate.wait()
            await reply.write(b"two")
        except (asyncio.CancelledError, ConnectionError):
            self.gone.set()
            raise
        return reply

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """Send back what comes."""
        socket = web.WebSocketResponse(protocols=("chat",))
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(f"{message.data}!")
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        self.gone.set()
        return socket


@asynccontextmanager
async def a_pod_web() -> AsyncIterator[PodWeb]:
    """Serve on a free port of this machine until the block ends."""
    served = PodWeb()
    app = web.Application(client_max_size=2**28)
    app.router.add_get("/say", served.say)
    app.router.add_get("/stream", served.stream)
    app.router.add_get("/socket", served.socket)
    app.router.add_route("*", "/{rest:.*}", served.tell)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.port = runner.addresses[0][1]
    try:
        yield served
    finally:
        served.gate.set()
        await runner.cleanup()


@dataclass
class Front:
    """A market with one pod that runs and whose ports are served."""

    serving: MarketServing
    web: PodWeb
    host: FakeHost
    reach: FakeReach
    tunnel: Tunnel
    pod: Pod
    caller: Caller
    key: str
    reading_key: str
    stranger: str

    @property
    def address(self) -> tuple[str, int]:
        place = urlsplit(self.serving.url)
        return place.hostname or "", place.port or 0

    def name(self, port: int = CLOSED, pod: str = "") -> str:
        """Return the Host of a port of the pod."""
        return f"{pod or self.pod.id}-{port}.localhost"

    async def ask(
        self,
        path: str,
        *,
        port: int = CLOSED,
        key: str = "",
        method: str = "GET",
        **more: Any,  # noqa: ANN401 - what aiohttp takes
    ) -> Reply:
        """Ask by host name."""
        headers = {"Host": self.name(port), **more.pop("headers", {})}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        return await self.send(method, path, headers, **more)

    async def send(self, method: str, path: str, headers: dict[str, str], **more: Any) -> Reply:  # noqa: ANN401 - what aiohttp takes
        """Send a request as it is, and follow nothing."""
        url = URL(self.serving.url + path, encoded=True)
        more.setdefault("allow_redirects", False)
        call = self.serving.session.request(method, url, headers=headers, **more)
        async with call as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def raw(self, text: bytes, *, patience_s: float = 60) -> bytes:
        """Send bytes, and return all that comes until the connection closes or patience ends."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(text)
        received = b""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(patience_s):
                while piece := await reader.read(2**16):
                    received += piece
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        return received


@asynccontextmanager
async def a_front(
    folder: Path,
    *,
    domain: str = "",
    is_detoured: bool = False,
    **settings: Any,  # noqa: ANN401 - what a market is served with
) -> AsyncIterator[Front]:
    """Serve a market whose one pod answers on a closed and on an open port.

    A host that is detoured is in a network that lets no SSH out.
    """
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(a_pod_web())
        serving = await stack.enter_async_context(market_serving(folder, domain=domain, **settings))
        host = await serving.host(cards=8, processors=64)
        key = await serving.key("ada@example.org", "10")
        async with serving.database.transaction() as tx:
            caller = await identify(tx, serving.world, key)
            made = await make_key(tx, serving.world, caller.account.id, KeyWish(may_write=False))
        ports = (f"{CLOSED}/http", f"{OPEN}/http", "22/tcp")
        pod = await serving.rent(caller, ports=ports, access={str(OPEN): "open"})
        await serving.tick(times=2)
        reach = FakeReach({(pod.id, CLOSED): served.port, (pod.id, OPEN): served.port})
        reach.lines[pod.id] = []
        link = await stack.enter_async_context(MarketLink(serving.url, host.key))
        by = link if is_detoured else None
        tunnel = await stack.enter_async_context(a_dialled_tunnel(serving, host, reach, by=by))
        yield Front(
            serving,
            served,
            host,
            reach,
            tunnel,
            pod,
            caller,
            key,
            made.secret,
            await serving.key("eve@example.org"),
        )


@asynccontextmanager
async def a_dialled_tunnel(
    serving: MarketServing,
    host: FakeHost,
    reach: FakeReach,
    *,
    by: MarketLink | None = None,
) -> AsyncIterator[Tunnel]:
    """Let a host register over HTTP and dial, until the block ends: SSH, or `by` a WebSocket."""

    async def open_socket() -> Carried:
        assert by is not None
        return SocketLine(await by.socket()).carried

    async def find_door(public_key: str) -> Door:
        told = Registration(public_key=public_key).model_dump()
        reply = await serving.ask("POST", "/agent/v1/tunnel", told, key=host.key)
        door = Door.model_validate_json(reply.body)
        port = free_port() if by else door.port
        return door.model_copy(update={"host": door.host or "127.0.0.1", "port": port})

    tunnel = Tunnel(
        serving.world,
        reach,
        find_door,
        detour=Detour(open_socket, by.is_proxied) if by else None,
    )
    running = asyncio.create_task(tunnel.run())
    try:
        await linked(tunnel, 2)
        yield tunnel
    finally:
        running.cancel()
        await asyncio.wait({running})
