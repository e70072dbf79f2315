"""The other processes of one market: streams to hosts whose tunnels end there are passed on.

Any process may be reached by a request, and a host's agent dials only one of them, whichever the
balancer gives it. So each tunnel's end is noted in the database, and a process that has not got it
opens the stream over an SSH connection to the one that has, known by the key that all share.
"""

import asyncio
from contextlib import suppress

import asyncssh

from puna.errors import Invalid
from puna.market.db import tunnels as db
from puna.market.db.database import Database, DatabaseAway
from puna.market.gateway.keys import GatewayKeys
from puna.market.gateway.tunnels import HostAway, Stream, opened
from puna.settings import read_address
from puna.wire.links import make_lean, notice_silence
from puna.wire.tunnel import CIPHERS, KEEPALIVE_S, MISSES, PACKET, WINDOW

USER = "market"
_LOGIN_S = 10


class Peers:
    """Connections to other processes, made when they are needed."""

    def __init__(self, database: Database, keys: GatewayKeys) -> None:
        self.database = database
        self.keys = keys
        self.here = ""
        """The address under which others reach this process."""
        self._connections: dict[str, asyncssh.SSHClientConnection] = {}
        self._dialling = asyncio.Lock()

    async def find(self, host: str) -> "PeerLink | None":
        """Return a link to where a host's tunnel ends, if that is somewhere else.

        Raises `HostAway` if that process does not answer.
        """
        try:
            async with asyncio.timeout(_LOGIN_S), self.database.reading() as tx:
                tunnel = await db.tunnel_of(tx, host)
        except TimeoutError as error:
            raise DatabaseAway("the database does not answer") from error
        if tunnel is None or tunnel.ends_at in {"", self.here}:
            return None
        return PeerLink(await self._connection(tunnel.ends_at), host)

    async def close(self) -> None:
        """Drop all connections."""
        for each in self._connections.values():
            each.abort()
        self._connections.clear()

    async def _connection(self, address: str) -> asyncssh.SSHClientConnection:
        async with self._dialling:
            known = self._connections.get(address)
            if known is None or known.is_closed():
                known = self._connections[address] = await self._dial(address)
            return known

    async def _dial(self, address: str) -> asyncssh.SSHClientConnection:
        with suppress(OSError, asyncssh.Error, Invalid):
            place = read_address(address)
            made = await asyncssh.connect(
                place.host,
                place.port,
                username=USER,
                config=None,
                agent_path=None,
                client_keys=[self.keys.ssh],
                known_hosts=([self.keys.ssh.convert_to_public()], [], []),
                encryption_algs=CIPHERS,
                compression_algs=None,
                keepalive_interval=KEEPALIVE_S,
                keepalive_count_max=MISSES,
                login_timeout=_LOGIN_S,
                connect_timeout=_LOGIN_S,
            )
            notice_silence(made)
            make_lean(made)
            return made
        raise HostAway("the process of the market that reaches the pod's host does not answer")


class PeerLink:
    """A link by way of another process."""

    def __init__(self, connection: asyncssh.SSHClientConnection, host: str) -> None:
        self._connection = connection
        self._host = host

    async def open(self, pod: str, port: int) -> Stream:
        """Open a stream. Raises `NothingThere`, `HostAway`."""
        opening = self._connection.open_connection(
            f"{self._host}/{pod}", port, encoding=None, window=WINDOW, max_pktsize=PACKET
        )
        return await opened(opening, self._connection)
