"""The gateway's SSH server: agents dial tunnels here, renters visit pods, and processes pass on.

Who comes is told by the user name: `host-` and a host's id, `market` for another process of this
market, or a pod. Each shows a key: the one that the host registered, the gateway's own, or one of
the account's. There are no passwords.
"""

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

import asyncssh

from puna.errors import PunaError
from puna.market.db import tunnels as db
from puna.market.gateway.keys import public_line
from puna.market.gateway.peers import USER as MARKET, Peers
from puna.market.gateway.pump import join
from puna.market.gateway.tunnels import HostAway, SshLink, Stream, Tunnels
from puna.wire.carried import Carried
from puna.wire.links import make_lean, notice_silence
from puna.wire.tunnel import AGENT, CIPHERS, KEEPALIVE_S, LISTEN, MISSES, PACKET, WINDOW
from puna.world import World

if TYPE_CHECKING:
    import socket

_LOG = logging.getLogger("puna.market.gateway")
_LOGIN_S = 20
_MOST_STRANGERS, _MOST_FROM_ONE = 1000, 250
"""Agents of one office dial from one address, all at once where the market starts again."""
Session = asyncssh.SSHTCPSession[bytes]


class Visits(Protocol):
    """What renters may do over SSH."""

    async def keys_of(self, pod: str) -> tuple[str, ...]:
        """Return the public keys, in one line each, by which a pod can be visited."""

    def session(self, pod: str) -> asyncssh.SSHServerSession[bytes]:
        """Return a visitor's new shell or command in a pod."""

    async def open(self, pod: str, port: int) -> Stream:
        """Open a stream to a port of the pod for its renter."""


class Door:
    """Knows who may come in, and keeps the links of agents."""

    def __init__(self, peers: Peers, tunnels: Tunnels, visits: Visits, world: World) -> None:
        self._database, self._keys, self._peers = peers.database, peers.keys, peers
        self._world = world
        self.tunnels = tunnels
        self.visits = visits
        self.visitors: set[asyncssh.SSHServerConnection] = set()
        self.strangers: dict[asyncssh.SSHServerConnection, str] = {}
        """Who has not shown a key yet, by address."""
        self._notes: set[asyncio.Future[None]] = set()

    async def listen(self, host: str, port: int) -> asyncssh.SSHAcceptor:
        """Begin to take connections."""
        return await asyncssh.listen(host, port, options=await self._options())

    async def welcome(self, carried: Carried) -> None:
        """Take a connection that comes over a WebSocket; it is as any other from then on.

        Raises what SSH has against it, `OSError` too.
        """
        no_socket = cast("socket.socket", None)  # what it would be for goes over the tunnel
        await asyncssh.run_server(no_socket, options=await self._options(), tunnel=carried)

    async def _options(self) -> asyncssh.SSHServerConnectionOptions:
        made = await asyncssh.SSHServerConnectionOptions.construct(
            server_factory=lambda: _Visitor(self),
            server_host_keys=[self._keys.ssh],
            encryption_algs=CIPHERS,
            compression_algs=None,
            keepalive_interval=KEEPALIVE_S,
            keepalive_count_max=MISSES,
            login_timeout=_LOGIN_S,
            line_editor=False,
            allow_scp=False,
            agent_forwarding=False,
            x11_forwarding=False,
        )
        return cast("asyncssh.SSHServerConnectionOptions", made)

    async def keys_of(self, user: str) -> tuple[str, ...]:
        """Return the keys that a user may show."""
        if user == MARKET:
            return (self._keys.public,)
        if not user.startswith(AGENT):
            return await self.visits.keys_of(user)
        async with self._database.reading() as tx:
            tunnel = await db.tunnel_of(tx, user.removeprefix(AGENT))
        return () if tunnel is None else (tunnel.public_key,)

    def has_room(self, address: str) -> bool:
        """Tell whether one more may come who has shown no key yet."""
        from_there = sum(each == address for each in self.strangers.values())
        return len(self.strangers) < _MOST_STRANGERS and from_there < _MOST_FROM_ONE

    async def begin(self, host: str, link: SshLink) -> None:
        """Take an agent's link into use."""
        async with self._database.transaction() as tx:
            await db.tunnel_begins(tx, host, self._peers.here, self._world.now())
        self.tunnels.add(host, link)
        if link.is_open:
            _LOG.info("host %s has opened a tunnel", host)
        else:  # it went away while the database was asked, and nobody would say so again
            self.end(host, link)

    def end(self, host: str, link: SshLink) -> None:
        """Forget an agent's link."""
        if not self.tunnels.discard(host, link):
            return
        _LOG.info("host %s has no tunnel any more", host)
        note = asyncio.ensure_future(self._note_end(host))
        self._notes.add(note)
        note.add_done_callback(self._notes.discard)

    async def close(self) -> None:
        """Hang up on everybody, and wait until the ends of links are noted."""
        for each in tuple(self.visitors):
            each.abort()
        while self.visitors:
            await asyncio.wait(
                {asyncio.ensure_future(each.wait_closed()) for each in self.visitors}
            )
        while self._notes:
            await asyncio.wait(self._notes)

    async def _note_end(self, host: str) -> None:
        with suppress(PunaError):  # a database that is away: the note is wrong until the next link
            async with self._database.transaction() as tx:
                await db.tunnel_is_gone(tx, host, self._peers.here)


class _Visitor(asyncssh.SSHServer):
    """One SSH connection, whoever it is."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._connection: asyncssh.SSHServerConnection | None = None
        self._link: SshLink | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._door.visitors.add(conn)
        notice_silence(conn)
        address = str((conn.get_extra_info("peername") or ("",))[0])
        if self._door.has_room(address):
            self._door.strangers[conn] = address
        else:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._connection is not None:
            self._door.visitors.discard(self._connection)
            self._door.strangers.pop(self._connection, None)
        if self._link is not None:
            self._door.end(self._host, self._link)

    def auth_completed(self) -> None:
        if self._connection is None:
            return
        self._door.strangers.pop(self._connection, None)
        if self._connection.get_extra_info("send_cipher") in CIPHERS:
            make_lean(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        try:
            return public_line(key) in await self._door.keys_of(username)
        except PunaError:
            _LOG.exception("nobody can be let in now")
            return False

    def server_requested(
        self, listen_host: str, listen_port: int
    ) -> bool | Coroutine[None, None, asyncssh.SSHListener]:
        if not self._user.startswith(AGENT) or (listen_host, listen_port) != LISTEN or self._link:
            return False
        return self._begin()

    def session_requested(
        self,
    ) -> bool | tuple[asyncssh.SSHServerChannel[bytes], asyncssh.SSHServerSession[bytes]]:
        if self._connection is None or self._user.startswith(AGENT) or self._user == MARKET:
            return False
        channel = self._connection.create_server_channel(None, "strict", WINDOW, PACKET)
        return channel, self._door.visits.session(self._user)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool | Coroutine[None, None, Session]:
        del orig_host, orig_port
        if self._user.startswith(AGENT):
            return False
        if self._user == MARKET:
            host, _, pod = dest_host.partition("/")
            return _joined(self._door.tunnels.open_here(host, pod, dest_port))
        if dest_host not in {"localhost", "127.0.0.1", "::1", self._user} or not dest_port:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED,
                "only ports of the pod are forwarded, as localhost:PORT",
            )
        return _joined(self._door.visits.open(self._user, dest_port))

    @property
    def _user(self) -> str:
        assert self._connection is not None  # noqa: S101 - asked only of connections that are made
        return str(self._connection.get_extra_info("username"))

    @property
    def _host(self) -> str:
        return self._user.removeprefix(AGENT)

    async def _begin(self) -> asyncssh.SSHListener:
        assert self._connection is not None  # noqa: S101 - see above
        self._link = SshLink(self._connection)
        await self._door.begin(self._host, self._link)
        return asyncssh.SSHListener()


async def _joined(opening: Awaitable[Stream]) -> Session:
    """Return a session that is joined to a stream once that is open."""
    try:
        stream = await opening
    except HostAway as error:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, error.message) from error
    except PunaError as error:
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, error.message) from error
    return asyncssh.stream.SSHTCPStreamSession(
        lambda reader, writer: join(Stream(reader, writer), stream)
    )
