"""Streams to pods, over connections that their hosts have dialled.

A host holds one or several links to some process of the market. A stream is opened by the gateway
only, names a pod and a port, and goes to the host that the database says the pod is on: what a host
says of other hosts' pods is never asked. Where no link of that host ends in this process, the
stream goes through the process where one does.

A link is anything that can `open`: SSH today, a WebSocket where SSH does not get through.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Protocol

import asyncssh
from pydantic import ValidationError

from puna.errors import Unavailable
from puna.text import one_line
from puna.wire.tunnel import (
    LISTEN,
    PACKET,
    WINDOW,
    Answer,
    Ask,
    Kind,
    Reads,
    Writes,
    frame,
    read_frame,
)

OPEN_S = 15.0
"""How long a host may take to open a stream."""
_ANSWER_S = 30.0


class HostAway(Unavailable):
    """No tunnel leads to the pod's host now; it dials again by itself."""

    code = "host_away"
    status = 503
    retry_after_s = 5


class HostSilent(Unavailable):
    """The pod's host has a tunnel and says nothing over it in time."""

    code = "host_silent"
    status = 504
    retry_after_s = 5


class NothingThere(Unavailable):
    """The host is there, and nothing in the pod answers at that port."""

    code = "nothing_there"
    status = 502
    retry_after_s = 2


@dataclass(frozen=True, slots=True)
class Stream:
    """Bytes both ways. Whoever opened it closes it."""

    reader: Reads
    writer: Writes

    @property
    def has_ended(self) -> bool:
        """Whether the other side has ended it."""
        return self.reader.at_eof()

    def close(self) -> None:
        """End it."""
        self.writer.close()


class Link(Protocol):
    """One connection over which streams can be opened."""

    async def open(self, pod: str, port: int) -> Stream:
        """Open a stream. Raises `NothingThere`, `HostAway`."""


FindProcess = Callable[[str], Awaitable[Link | None]]
"""Returns a link to the process of the market where a host's tunnel ends."""


class Tunnels:
    """All links that end in this process, by host."""

    def __init__(self, elsewhere: FindProcess) -> None:
        self._links: dict[str, list[Link]] = {}
        self._elsewhere = elsewhere
        self._turn = 0

    @property
    def hosts(self) -> tuple[str, ...]:
        """Whose tunnels end here."""
        return tuple(self._links)

    def add(self, host: str, link: Link) -> None:
        """Take a link into use."""
        self._links.setdefault(host, []).append(link)

    def discard(self, host: str, link: Link) -> bool:
        """Forget a link; tell whether it was the host's last."""
        left = [each for each in self._links.get(host, ()) if each is not link]
        if left:
            self._links[host] = left
            return False
        return self._links.pop(host, None) is not None

    async def open(self, host: str, pod: str, port: int) -> Stream:
        """Open a stream to a port of a pod. Raises `HostAway`, `HostSilent`, `NothingThere`."""
        if host in self._links:
            return await self.open_here(host, pod, port)
        link = await self._elsewhere(host)
        if link is None:
            raise HostAway(
                "the pod's host cannot be reached now", hint="it dials again by itself: try again"
            )
        return await link.open(pod, port)

    async def open_here(self, host: str, pod: str, port: int) -> Stream:
        """Open a stream over a link that ends in this process. Raises as `open`.

        A link that goes away meanwhile is no reason to fail while the host has another.
        """
        failure = HostAway("the host's tunnel has just gone", hint="try again")
        tried: list[Link] = []
        while link := self._pick(host, port, tried):
            try:
                return await link.open(pod, port)
            except HostAway as error:
                failure = error
                tried.append(link)
        raise failure

    async def ask(self, host: str, pod: str, ask: Ask) -> Stream:
        """Ask the agent for a shell or a log of a pod; its frames follow. Raises as `open`."""
        stream = await self.open(host, pod, 0)
        try:
            stream.writer.write(frame(Kind.ASK, ask))
            async with asyncio.timeout(_ANSWER_S):
                kind, payload = await read_frame(stream.reader)
            answer = Answer.model_validate_json(payload)
        except (EOFError, OSError, ValueError, asyncssh.Error, ValidationError) as error:
            stream.close()
            raise HostAway("the host broke off before it answered") from error
        if kind is not Kind.ANSWER or answer.code:
            stream.close()
            raise NothingThere(one_line(answer.reason) or "the host answered what is no answer")
        return stream

    def _pick(self, host: str, port: int, tried: Sequence[Link]) -> Link | None:
        """Return the first link for what people type, another in turn for what programs move."""
        links = self._links.get(host)
        if links and tried:
            links = [each for each in links if each not in tried]
        if not links:
            return None
        if port == 0 or len(links) == 1:
            return links[0]
        self._turn += 1
        return links[1 + self._turn % (len(links) - 1)]


class SshLink:
    """A link over the SSH connection that an agent has dialled."""

    def __init__(
        self, connection: asyncssh.SSHServerConnection, *, patience_s: float = OPEN_S
    ) -> None:
        self._connection = connection
        self._patience_s = patience_s

    @property
    def is_open(self) -> bool:
        """Whether the agent is still there."""
        return not self._connection.is_closed()

    async def open(self, pod: str, port: int) -> Stream:
        """Open a stream to what the agent forwards. Raises `NothingThere`, `HostAway`."""
        opening = self._connection.open_connection(
            *LISTEN, pod, port, encoding=None, window=WINDOW, max_pktsize=PACKET
        )
        return await opened(opening, self._connection, self._patience_s)


Connection = asyncssh.SSHServerConnection | asyncssh.SSHClientConnection
Ends = tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]


async def opened(
    opening: Coroutine[None, None, Ends], over: Connection, patience_s: float = OPEN_S
) -> Stream:
    """Wait for a stream to open, and say in our words why it does not.

    One that opens when nobody waits for it any more is closed: its other end would wait for ever.
    """
    soon = asyncio.ensure_future(opening)
    try:
        async with asyncio.timeout(patience_s):
            reader, writer = await asyncio.shield(soon)
    except asyncssh.ChannelOpenError as error:
        if error.code == asyncssh.OPEN_RESOURCE_SHORTAGE:
            raise HostAway(one_line(error.reason)) from error
        if over.is_closed():
            raise HostAway("the pod's host has just gone away") from error
        raise NothingThere(one_line(error.reason)) from error
    except TimeoutError as error:
        soon.add_done_callback(_close_late)
        raise HostSilent(
            f"the pod's host opened no connection to the pod within {patience_s:g} s"
        ) from error
    except (asyncssh.Error, OSError) as error:
        raise HostAway("the pod's host has just gone away") from error
    except asyncio.CancelledError:
        soon.add_done_callback(_close_late)
        raise
    return Stream(reader, writer)


def _close_late(opened_late: asyncio.Future[Ends]) -> None:
    if not opened_late.cancelled() and opened_late.exception() is None:
        opened_late.result()[1].close()
