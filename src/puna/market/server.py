"""Serve a market over HTTP until a signal ends it.

The address is taken first, so that one in use is one clear line. A stop lets answers go on for a
moment; whatever is cut off was either kept whole by the database or not at all.
"""

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

import uvicorn
from fastapi import APIRouter

from puna.market.actions.accounts import first_admin
from puna.market.actions.beginning import begin
from puna.market.bells import Bells
from puna.market.clock import SteadyWorld
from puna.market.companion import Companion, keep_company
from puna.market.db.database import Database, sole_use
from puna.market.gateway.bounds import Bounds, as_files_allow
from puna.market.gateway.front import Front
from puna.market.gateway.gateway import Gateway, Place, gateway
from puna.market.gateway.logbook import Line, Note
from puna.market.gateway.places import LOCAL
from puna.market.gateway.proxy import Manner
from puna.market.http.app import build_app
from puna.market.loops.runner import run_loops
from puna.market.market import Market, seal_of, tariff_of
from puna.market.settings import MarketSettings
from puna.node.api.listening import (
    BACKLOG,
    IDLE_CONNECTION_S,
    PortInUse,
    allow_many_connections,
    bound,
    files_allowed,
    listen_at,
    loop_factory,
    say,
)
from puna.node.api.watch import AccessLog
from puna.settings import Address
from puna.units import Span
from puna.version import __version__
from puna.wire.ollama import rfc3339
from puna.world import RealWorld, World

FINISHING = Span.of(seconds=2)
_OF_PODS = "(pods)"


def serve(
    settings: MarketSettings, *, world: World | None = None, companion: Companion | None = None
) -> None:
    """Run one process of a market until SIGINT or SIGTERM, with an agent if given. Blocks."""
    allow_many_connections()
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        sole_use(settings.database),
        listen_at(settings.address, in_use=_in_use, variable="PUNA_MARKET_ADDRESS") as listener,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.run(_serve(settings, listener, world or RealWorld(), companion))


def _in_use(address: Address) -> PortInUse:
    return PortInUse(
        f"{address.host}:{address.port} is in use by another program",
        hint="stop it, or choose another address with PUNA_MARKET_ADDRESS",
    )


async def _serve(
    settings: MarketSettings, listener: socket.socket, world: World, companion: Companion | None
) -> None:
    async with opened(settings, world) as market, gateway_of(market) as gateway:
        server = Server(uvicorn_config(market, gateway), market.bells)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, server.stop)
        await _greet(market)
        address = bound(settings.address, listener)
        say(f"puna market {__version__} listens on {address.url}")
        duties = {asyncio.create_task(run_loops(market))}
        if companion is not None:
            url = address.for_client().url
            duties.add(asyncio.create_task(keep_company(market, companion, url)))
        try:
            await server.serve(sockets=[listener])
        finally:
            for duty in duties:
                duty.cancel()
            await asyncio.wait(duties)


@asynccontextmanager
async def opened(settings: MarketSettings, world: World) -> AsyncIterator[Market]:
    """Open a market: its folder, its database with tables of this version, its time."""
    database, tariff = await Database.open(settings.database), tariff_of(settings)
    try:
        async with database.transaction() as tx:
            began = await begin(tx, world, tariff.rules)
        if began.ahead > tariff.rules.clock_error:
            say(
                f"The books end {began.ahead} after the time of this machine's clock; "
                "the market's time goes on from there."
            )
        yield Market(
            database=database,
            world=SteadyWorld(world, began.now),
            tariff=tariff,
            settings=settings,
            seal=seal_of(settings),
            since=began.now,
        )
    finally:
        await database.close()


async def _greet(market: Market) -> None:
    """Make the operator's key at the first start, and show it this once."""
    async with market.database.transaction() as tx:
        made = await first_admin(tx, market.world)
    if made is not None:
        say(f"The operator's key, shown only now: {made.secret}")


@asynccontextmanager
async def gateway_of(market: Market) -> AsyncIterator[Gateway]:
    """Open a market's gateway. Raises `PortInUse`."""
    settings = market.settings
    at = settings.ssh_address
    try:
        derive = market.seal.derive
        place, note = _place(settings), note_of(market)
        async with gateway(market.database, market.world, derive, place, note) as opened:
            yield opened
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortInUse(
            f"{at.host}:{at.port} is in use by another program",
            hint="stop it, or choose another address with PUNA_MARKET_SSH_ADDRESS",
        ) from error


def _place(settings: MarketSettings) -> Place:
    return Place(
        host=settings.ssh_address.host,
        port=settings.ssh_address.port,
        known_as=settings.ssh_peer_address,
        public=settings.ssh_public_address,
        manner=Manner(
            domains=frozenset({LOCAL, settings.domain} - {""}),
            scheme=settings.url.partition(":")[0],
            bounds=Bounds(
                most_clients=as_files_allow(settings.most_clients, files_allowed()),
                most_from_one=settings.most_clients_from_one,
                refusals=settings.rate_limit,
            ),
        ),
    )


def note_of(market: Market) -> Note:
    """Return what counts a request to a pod, and logs it where the market logs requests."""
    settings = market.settings
    log = AccessLog(settings.home / "access.log") if settings.access_log else None

    def note(line: Line, seconds: float) -> None:
        request = line.request
        market.tally.count(request.method, _OF_PODS, line.status)
        if log is not None:
            by = line.admitted.by if line.admitted else ""
            number, now = market.world.token()[:16], rfc3339(market.world.now())
            words = f"{request.method} {line.port} {line.status} {seconds:.3f}s key={by or '-'}"
            log.write(f"{now} {number} {words}")

    return note


def uvicorn_config(market: Market, gateway: Gateway, *first: APIRouter) -> uvicorn.Config:
    """Return how uvicorn serves a market: no access log of its own, since paths hold secrets.

    WebSockets are the gateway's alone, which takes over the connections that ask for pods.
    """
    return uvicorn.Config(
        build_app(market, gateway, *first),
        http=partial(Front, gateway.connections),  # type: ignore[arg-type]  # it is called as a type is
        ws="none",
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        log_level=logging.ERROR,
        server_header=False,
        headers=[("server", f"puna-market/{__version__}")],
        timeout_keep_alive=IDLE_CONNECTION_S,
        timeout_graceful_shutdown=round(FINISHING.seconds),
        backlog=BACKLOG,
    )


class Server(uvicorn.Server):
    """uvicorn, told to stop by us: a second signal does not wait any longer."""

    def __init__(self, config: uvicorn.Config, bells: Bells) -> None:
        super().__init__(config)
        self._bells = bells

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone; the loop has handlers for them."""
        yield

    def stop(self) -> None:
        """Stop listening, and end when the answers under way have ended."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._bells.ending.set()
