"""Serve a node over HTTP until a signal ends it.

The address is taken before anything else, so that a port in use is one clear line and not a
traceback; and a stop is over within five seconds: answers may go on for two, then each is ended
with a last word, then the engines' processes are.
"""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress

import uvicorn

from puna.net import Caller, Unreachable
from puna.node.api.app import make_app
from puna.node.api.desk import Desk
from puna.node.api.guard import check_exposure
from puna.node.api.listening import (
    BACKLOG,
    IDLE_CONNECTION_S,
    PortInUse,
    allow_many_connections,
    bound,
    listen_at,
    loop_factory,
    say,
)
from puna.node.cards import tell_cards
from puna.node.keys import KeyRing
from puna.node.node import open_node
from puna.settings import Address, NodeSettings
from puna.units import Span
from puna.version import __version__
from puna.world import RealWorld, World

FINISHING = Span.of(seconds=2)
"""How long answers may go on after a signal to stop."""
_LAST_WORDS = Span.of(seconds=1)
_ENGINES_END = Span.of(seconds=1)
_CONNECTION = "puna.node.api.connection:ClientConnection"  # needs what does not exist on Windows
_PROBE_S = 1.0


def serve(settings: NodeSettings, *, world: World | None = None) -> None:
    """Run a node until SIGINT or SIGTERM. Blocks. Raises what keeps it from starting."""
    chance = world or RealWorld()
    check_exposure(settings, KeyRing(settings.home, chance))
    allow_many_connections()
    with (
        take_address(settings.host) as listener,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.run(_serve(settings, listener, chance))


def take_address(address: Address) -> AbstractContextManager[socket.socket]:
    """Listen at an address. Raises `PortInUse` or `CannotListen`."""
    return listen_at(address, in_use=port_in_use, variable="PUNA_HOST")


def port_in_use(address: Address) -> PortInUse:
    """Ask who is there, and return the error that says so."""
    who, hint = "another program", "stop it, or choose another address with PUNA_HOST"
    try:
        greeting, server = _greeting(address.for_client())
    except Unreachable:
        greeting, server = b"", ""
    if server.startswith("puna"):
        who, hint = "puna", "that one can be used as it is; `puna ps` shows what it runs"
    elif greeting.strip() == b"Ollama is running":
        who = "Ollama"
        hint = (
            "stop Ollama (`systemctl stop ollama`, or quit its app), or choose another address "
            "with PUNA_HOST, such as PUNA_HOST=127.0.0.1:11435"
        )
    return PortInUse(f"{address.host}:{address.port} is in use by {who}", hint=hint)


def _greeting(address: Address) -> tuple[bytes, str]:
    caller = Caller(address.scheme, address.host, address.port)
    with caller.request("GET", "/", timeout_s=_PROBE_S) as answer:
        return answer.read(), answer.headers.get("server", "")


async def _serve(settings: NodeSettings, listener: socket.socket, world: World) -> None:
    node = await open_node(settings, world)
    desk = Desk(node)
    server = _Server(uvicorn_config(desk))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: uvicorn's own way has to do
            loop.add_signal_handler(number, server.stop)
    await desk.batches.resume()
    say(f"puna {__version__} listens on {bound(settings.host, listener).url}")
    ending = asyncio.create_task(_end_answers(server, desk, world))
    telling = asyncio.create_task(tell_cards(settings, node.cards, say))
    try:
        await server.serve(sockets=[listener])
    finally:
        ending.cancel()
        telling.cancel()
        await desk.batches.close()
        await node.close(limit=_ENGINES_END)


@asynccontextmanager
async def serving(settings: NodeSettings, world: World) -> AsyncIterator[str]:
    """Serve a node on a free port of this machine, in this process; it ends with the block."""
    node = await open_node(settings, world)
    desk = Desk(node)
    server = _Server(uvicorn_config(desk))
    with take_address(Address(port=0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield bound(Address(port=0), listener).url
        finally:
            server.stop()
            desk.answers.cut_short()
            await asyncio.wait({task})
            await desk.batches.close()
            await node.close(limit=_ENGINES_END)


def uvicorn_config(desk: Desk) -> uvicorn.Config:
    """Return how uvicorn serves a node: no access log, since paths and times tell on people."""
    return uvicorn.Config(
        make_app(desk),
        http="auto" if sys.platform == "win32" else _CONNECTION,
        ws="none",
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        log_level=logging.ERROR,  # its warnings are what any stranger's bytes can provoke
        server_header=False,
        headers=[("server", f"puna/{__version__}")],
        timeout_keep_alive=IDLE_CONNECTION_S,
        timeout_graceful_shutdown=round(FINISHING.seconds + _LAST_WORDS.seconds),
        backlog=BACKLOG,
    )


class _Server(uvicorn.Server):
    """uvicorn, told to stop by us: a second signal does not wait any longer."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopped = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone; the loop has handlers for them."""
        yield

    def stop(self) -> None:
        """Stop listening, and end when the answers under way have ended."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self.stopped.set()


async def _end_answers(server: _Server, desk: Desk, world: World) -> None:
    """Cut the answers short that go on for too long after a signal."""
    await server.stopped.wait()
    await world.wait(FINISHING)
    desk.answers.cut_short()
