"""The agent's end of the tunnel: it dials out, and lets the gateway reach this machine's pods.

Only the gateway can open streams, since the tunnel is dialled with its key pinned, and only to what
`Reach` resolves: pods of this agent. When a connection is lost the agent dials again, each time
after a pause of chance, so that a gateway that starts again is not met by all hosts at once. Pods
do not notice.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import asyncssh
from asyncssh.forward import SSHForwarder
from pydantic import ValidationError

from puna.agent.ways import Way, Ways
from puna.errors import NotFound, PunaError, Unavailable
from puna.text import one_line
from puna.units import Span
from puna.wire.carried import Carried
from puna.wire.links import make_lean, notice_silence
from puna.wire.tunnel import (
    AGENT,
    CIPHERS,
    KEEPALIVE_S,
    LISTEN,
    MISSES,
    PACKET,
    SIGNALS,
    WINDOW,
    Answer,
    Ask,
    Door,
    Exited,
    Kind,
    LogLine,
    Size,
    frame,
    read_frame,
)
from puna.world import World

_LOG = logging.getLogger("puna.agent")
LINKS = 2
"""One for what people type, one for what programs move."""
_FIRST_PAUSE, _LONGEST_PAUSE = Span.of(seconds=1), Span.of(seconds=30)
_LOGIN_S = 20
_CONNECT_S = 10
_OPEN_S = 10.0
"""Less than the gateway waits, so that the reason is told."""
_CHANCE = 2**31
_BROKEN = (OSError, EOFError, asyncssh.Error)
_PIECE = 32 * 1024


class NoSuchPod(NotFound):
    """No container of that pod runs on this host."""

    code = "no_such_pod"


class NotDialled(Unavailable):
    """No way leads to the gateway now."""

    code = "not_dialled"


class Shell(Protocol):
    """Something that runs in a container, and its ends."""

    async def read(self) -> tuple[bool, bytes] | None:
        """Return whether it is an error output and what it wrote; None at the end."""

    async def write(self, data: bytes) -> None:
        """Let it read some bytes."""

    async def end_input(self) -> None:
        """Let it read the end."""

    async def resize(self, size: Size) -> None:
        """Tell it the size of its terminal."""

    async def signal(self, name: str) -> None:
        """Send it a signal of `SIGNALS`; one that has ended does not mind."""

    async def exit_code(self) -> int:
        """Return how it ended, once it has."""

    async def close(self) -> None:
        """End it if it has not ended."""


class Reach(Protocol):
    """What the gateway reaches on this machine."""

    async def address(self, pod: str, port: int) -> tuple[str, int]:
        """Return where a port of a pod is on this machine. Raises `NoSuchPod`."""

    async def shell(self, pod: str, ask: Ask) -> Shell:
        """Begin a shell or a command in a pod. Raises `NoSuchPod`, and what the engine says."""

    async def logs(self, pod: str, ask: Ask) -> AsyncIterator[LogLine]:
        """Return what the pod's container wrote, and writes. Raises as `shell`."""


FindDoor = Callable[[str], Awaitable[Door]]
"""Registers a public key with the market and returns where to dial, with the host filled in."""


@dataclass(frozen=True, slots=True)
class Detour:
    """The way around a network that lets no SSH out."""

    open: Callable[[], Awaitable[Carried]]
    """Opens a WebSocket to the market that carries a link."""
    is_first: bool = False
    """Whether it is tried first."""


class Tunnel:
    """Keeps several links to the gateway."""

    def __init__(
        self,
        world: World,
        reach: Reach,
        find_door: FindDoor,
        *,
        detour: Detour | None = None,
        links: int = LINKS,
    ) -> None:
        self._world = world
        self._reach = reach
        self._find_door = find_door
        self._detour = detour
        is_first = detour is not None and detour.is_first
        self.ways = Ways(has_socket=detour is not None, is_proxied=is_first)
        self._links = links
        self.opens_within_s = _OPEN_S
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._door: Door | None = None
        self._finding = asyncio.Lock()
        self._open: set[asyncssh.SSHClientConnection] = set()
        self.changed = asyncio.Event()
        """Set whenever a link opens or closes."""

    @property
    def links(self) -> int:
        """How many links are open."""
        return len(self._open)

    def cut(self) -> None:
        """Drop every link; `run` dials again."""
        for each in self._open:
            each.abort()

    async def run(self) -> None:
        """Hold the links until cancelled."""
        async with asyncio.TaskGroup() as all_links:
            for _ in range(self._links):
                all_links.create_task(self._keep_link())

    async def _keep_link(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                connection = await self.dial()
            except (PunaError, *_BROKEN) as error:
                _LOG.warning("the gateway cannot be dialled: %s", one_line(str(error)))
                self._door = None  # it may have moved, or have forgotten us
            else:
                pause = _FIRST_PAUSE
                await self._hold(connection)
            await self._world.wait(self._jittered(pause))
            pause = min(_LONGEST_PAUSE, Span(pause * 2))

    def _jittered(self, pause: Span) -> Span:
        return Span(pause // 2 + pause * self._world.seed() // _CHANCE)

    async def _hold(self, connection: asyncssh.SSHClientConnection) -> None:
        self._open.add(connection)
        self.changed.set()
        try:
            await connection.wait_closed()
        finally:
            connection.abort()
            self._open.discard(connection)
            self.changed.set()

    async def dial(self) -> asyncssh.SSHClientConnection:
        """Open one link. Raises what the network, SSH or the market says against it."""
        async with asyncio.timeout(_LOGIN_S):
            door = await self._find()
        failures: list[str] = []
        for way in self.ways.to_try():
            try:
                async with asyncio.timeout(_LOGIN_S):
                    connection = await self._dial(door, way)
            except (PunaError, *_BROKEN) as error:
                failures.append(f"by {way}: {one_line(str(error)) or 'no answer in time'}")
            else:
                if self.ways.worked(way):
                    _LOG.info("%s", "; ".join([*failures, f"the tunnel goes by {way}"]))
                return connection
        self.ways.failed()
        raise NotDialled("; ".join(failures))

    async def _dial(self, door: Door, way: Way) -> asyncssh.SSHClientConnection:
        carried = None
        if way is Way.WEBSOCKET and self._detour is not None:
            carried = await self._detour.open()
        connection = await asyncssh.connect(
            door.host,
            door.port,
            tunnel=carried or (),
            connect_timeout=_CONNECT_S,
            username=door.user,
            config=None,
            agent_path=None,
            client_keys=[self._key],
            known_hosts=([asyncssh.import_public_key(door.gateway_key)], [], []),
            encryption_algs=CIPHERS,
            compression_algs=None,
            keepalive_interval=KEEPALIVE_S,
            keepalive_count_max=MISSES,
            login_timeout=_LOGIN_S,
        )
        notice_silence(connection)
        make_lean(connection)
        try:
            streams = _Streams(self._reach, self.opens_within_s)
            await connection.create_server(
                streams.accept, *LISTEN, encoding=None, window=WINDOW, max_pktsize=PACKET
            )
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _find(self) -> Door:
        async with self._finding:
            if self._door is None:
                line = self._key.export_public_key().decode()
                self._door = await self._find_door(line.strip())
            return self._door


class _Streams:
    """Answers what the gateway opens over one link."""

    def __init__(self, reach: Reach, opens_within_s: float) -> None:
        self._reach = reach
        self._within_s = opens_within_s

    async def accept(self, pod: str, port: int) -> asyncssh.SSHTCPSession[bytes]:
        """Return what is at the other end of a new stream. Raises `ChannelOpenError`."""
        if not port:
            return asyncssh.stream.SSHTCPStreamSession(
                lambda reader, writer: self._answer(pod, reader, writer)
            )
        try:
            async with asyncio.timeout(self._within_s):
                host, number = await self._reach.address(pod, port)
                return await _connected(host, number)
        except TimeoutError as error:
            reason = f"no answer within {self._within_s:g} s"
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, reason) from error
        except (PunaError, OSError) as error:
            reason = error.message if isinstance(error, PunaError) else str(error)
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, reason) from error

    async def _answer(
        self,
        pod: str,
        reader: asyncssh.SSHReader[bytes],
        writer: asyncssh.SSHWriter[bytes],
    ) -> None:
        with suppress(*_BROKEN, ExceptionGroup):
            try:
                kind, payload = await read_frame(reader)
                ask = Ask.model_validate_json(payload if kind is Kind.ASK else b"")
                if ask.kind == "shell":
                    await self._shell(pod, ask, reader, writer)
                else:
                    await self._logs(pod, ask, reader, writer)
            except PunaError as error:
                writer.write(frame(Kind.ANSWER, Answer(code=error.code, reason=error.message)))
            except (ValueError, ValidationError):
                writer.write(frame(Kind.ANSWER, Answer(code="invalid", reason="no such question")))
        writer.close()

    async def _shell(
        self,
        pod: str,
        ask: Ask,
        reader: asyncssh.SSHReader[bytes],
        writer: asyncssh.SSHWriter[bytes],
    ) -> None:
        shell = await self._reach.shell(pod, ask)
        typing = asyncio.create_task(_type(shell, reader))
        try:
            writer.write(frame(Kind.ANSWER, Answer()))
            speaking = asyncio.create_task(_speak(shell, writer))
            await asyncio.wait({typing, speaking}, return_when=asyncio.FIRST_COMPLETED)
            if typing.done() and not typing.cancelled() and typing.exception() is not None:
                speaking.cancel()  # the gateway has gone: nobody listens
            await asyncio.wait({speaking})
        finally:
            typing.cancel()
            await shell.close()

    async def _logs(
        self,
        pod: str,
        ask: Ask,
        reader: asyncssh.SSHReader[bytes],
        writer: asyncssh.SSHWriter[bytes],
    ) -> None:
        lines = await self._reach.logs(pod, ask)
        writer.write(frame(Kind.ANSWER, Answer()))
        gone = asyncio.create_task(reader.read(1))
        try:
            writing = asyncio.create_task(_write_lines(lines, writer))
            await asyncio.wait({gone, writing}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                writing.cancel()
            await asyncio.wait({writing})
            if not writing.cancelled() and (error := writing.exception()):
                raise error
        finally:
            gone.cancel()


async def _connected(host: str, port: int) -> asyncssh.SSHTCPSession[bytes]:
    """Connect to a port of a pod. Raises `OSError`.

    A pod whose network is taken away says nothing any more, so its silence is noticed.
    """
    line, peer = await asyncio.get_running_loop().create_connection(SSHForwarder, host, port)
    notice_silence(line)
    return SSHForwarder(peer)  # type: ignore[return-value]  # it is one in all but its name


async def _type(shell: Shell, reader: asyncssh.SSHReader[bytes]) -> None:
    """Hand on what is typed. Raises `EOFError` when the gateway goes away."""
    while True:
        kind, payload = await read_frame(reader)
        if kind is Kind.INPUT:
            await shell.write(payload)
        elif kind is Kind.END:
            await shell.end_input()
        elif kind is Kind.RESIZE:
            await shell.resize(Size.model_validate_json(payload))
        elif kind is Kind.SIGNAL and (name := payload.decode("ascii", "replace")) in SIGNALS:
            await shell.signal(name)


async def _speak(shell: Shell, writer: asyncssh.SSHWriter[bytes]) -> None:
    """Hand on what it writes, and then how it ended."""
    while (said := await shell.read()) is not None:
        is_error, text = said
        kind = Kind.ERRORS if is_error else Kind.OUTPUT
        for start in range(0, len(text), _PIECE):
            writer.write(frame(kind, text[start : start + _PIECE]))
        await writer.drain()
    writer.write(frame(Kind.EXIT, Exited(code=await shell.exit_code())))
    await writer.drain()


async def _write_lines(lines: AsyncIterator[LogLine], writer: asyncssh.SSHWriter[bytes]) -> None:
    async for each in lines:
        writer.write(frame(Kind.LINE, each))
        await writer.drain()


def user_of(host: str) -> str:
    """Return the name under which a host dials."""
    return f"{AGENT}{host}"
