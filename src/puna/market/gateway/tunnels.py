"""Streams to pods, over connections that their hosts have dialled.

A host holds one or several links to some process of the market. A stream is opened by the gateway
only, names a pod and a port, and goes to the host that the database says the pod is on: what a host
says of other hosts' pods is never asked. Where no link of that host ends in this process, the
stream goes through the process where one does.

A link is anything that can `open`: SSH today, a WebSocket where SSH does not get through.
"""

import asyncio
from collections.abc import Awaitable, Callable
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

_OPEN_S = 15.0
_ANSWER_S = 30.0


class HostAway(Unavailable):
    """No tunnel leads to the pod's host now; it dials again by itself."""

    code = "host_away"
    status = 503
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
        """Open a stream to a port of a pod. Raises `HostAway`, `NothingThere`."""
        link = self._pick(host, port) or await self._elsewhere(host)
        if link is None:
            raise HostAway(
                "the pod's host cannot be reached now", hint="it dials again by itself: try again"
            )
        return await link.open(pod, port)

    async def open_here(self, host: str, pod: str, port: int) -> Stream:
        """Open a stream over a link that ends in this process. Raises as `open`."""
        link = self._pick(host, port)
        if link is None:
            raise HostAway("the host's tunnel has just gone")
        return await link.open(pod, port)

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

    def _pick(self, host: str, port: int) -> Link | None:
        """Return the first link for what people type, another in turn for what programs move."""
        links = self._links.get(host)
        if not links:
            return None
        if port == 0 or len(links) == 1:
            return links[0]
        self._turn += 1
        return links[1 + self._turn % (len(links) - 1)]


class SshLink:
    """A link over the SSH connection that an agent has dialled."""

    def __init__(self, connection: asyncssh.SSHServerConnection) -> None:
        self._connection = connection

    async def open(self, pod: str, port: int) -> Stream:
        """Open a stream to what the agent forwards. Raises `NothingThere`, `HostAway`."""
        opening = self._connection.open_connection(
            *LISTEN, pod, port, encoding=None, window=WINDOW, max_pktsize=PACKET
        )
        return await opened(opening)


async def opened(
    opening: Awaitable[tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]],
) -> Stream:
    """Wait for a stream to open, and say in our words why it does not."""
    try:
        async with asyncio.timeout(_OPEN_S):
            reader, writer = await opening
    except asyncssh.ChannelOpenError as error:
        if error.code == asyncssh.OPEN_RESOURCE_SHORTAGE:
            raise HostAway(one_line(error.reason)) from error
        raise NothingThere(one_line(error.reason)) from error
    except (asyncssh.Error, OSError) as error:
        raise HostAway("the pod's host has just gone away") from error
    return Stream(reader, writer)
