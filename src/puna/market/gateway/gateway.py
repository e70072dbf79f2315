"""The gateway of one process of a market, built once: its SSH door and the tunnels behind it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from puna.market.db.database import Database
from puna.market.gateway.admission import Admission
from puna.market.gateway.directory import Directory
from puna.market.gateway.door import Door
from puna.market.gateway.front import Connections
from puna.market.gateway.keys import Derive, GatewayKeys
from puna.market.gateway.logbook import Logbook, Note, nowhere
from puna.market.gateway.peers import Peers
from puna.market.gateway.places import Form
from puna.market.gateway.proxy import Manner, Proxy
from puna.market.gateway.terminals import Terminals
from puna.market.gateway.tunnel_sockets import TunnelSockets
from puna.market.gateway.tunnels import Tunnels
from puna.market.gateway.upstream import Upstreams
from puna.market.gateway.visits import Visits
from puna.settings import read_address
from puna.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the gateway listens for SSH; `known_as` is how other processes reach it."""

    host: str = "127.0.0.1"
    port: int = 0
    known_as: str = ""
    public: str = ""
    """`HOST:PORT` as it is reached from outside; empty where the host is the market's."""
    manner: Manner = field(default_factory=Manner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What the routes of the gateway share."""

    directory: Directory
    tunnels: Tunnels
    visits: Visits
    keys: GatewayKeys
    port: int
    """Where SSH is really listened for."""
    public: tuple[str, int]
    """The host and port that agents and renters are told; no host where it is the market's."""
    admission: Admission
    upstreams: Upstreams
    connections: Connections


@asynccontextmanager
async def gateway(
    database: Database, world: World, derive: Derive, place: Place, note: Note = nowhere
) -> AsyncIterator[Gateway]:
    """Listen for SSH until the block ends. Raises `OSError` for an address that is in use."""
    keys = GatewayKeys.of(derive)
    peers = Peers(database, keys)
    tunnels = Tunnels(peers.find)
    directory = Directory(database, world)
    visits = Visits(directory, tunnels)
    door = Door(peers, tunnels, visits, world)
    refusals = place.manner.bounds.refusals
    admission = Admission(database, directory, keys, world, refusals=refusals)
    upstreams = Upstreams(tunnels, world.elapsed)
    terminals = Terminals(database, world, directory, tunnels)
    logbook = Logbook(world, note)
    sockets = TunnelSockets(database, door)
    own = {Form.TERMINAL: terminals.answer, Form.TUNNEL: sockets.answer}
    proxy = Proxy(admission, upstreams, place.manner, own, logbook)
    connections = Connections(proxy)
    acceptor = await door.listen(place.host, place.port)
    peers.here = place.known_as or f"{place.host}:{acceptor.get_port()}"
    try:
        yield Gateway(
            directory=directory,
            tunnels=tunnels,
            visits=visits,
            keys=keys,
            port=acceptor.get_port(),
            public=_public(place.public, acceptor.get_port()),
            admission=admission,
            upstreams=upstreams,
            connections=connections,
        )
    finally:
        await connections.close()
        upstreams.close()
        acceptor.close()
        await acceptor.wait_closed()
        await door.close()
        await peers.close()


def _public(text: str, port: int) -> tuple[str, int]:
    if not text:
        return "", port
    address = read_address(text, port)
    return address.host, address.port
