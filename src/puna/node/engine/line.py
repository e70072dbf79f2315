"""One HTTP connection to the child, read as its bytes arrive.

Nothing stands between the socket and whoever waits: the loop hands over the bytes, a parser written
in C takes the chunks off, and the waiting task is woken only by a body. A general client costs each
token three times as much, and the first one a millisecond: docs/decisions/0022-lean-line.md.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httptools

_CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where a child listens: on a path, or at a port of this machine behind a key."""

    path: Path | None = None
    host: str = ""
    port: int = 0
    key: str = ""

    @classmethod
    def at(cls, url: str, *, key: str) -> Self:
        """Return the door at an address such as `http://127.0.0.1:8080`."""
        parts = urlsplit(url)
        return cls(host=parts.hostname or "", port=parts.port or 80, key=key)

    async def enter(self) -> "Line":
        """Connect. Raises `OSError`, also when nobody opens within five seconds."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            if self.path is not None:
                _, line = await loop.create_unix_connection(Line, str(self.path))
            else:
                _, line = await loop.create_connection(Line, self.host, self.port)
        return line

    def request(self, method: str, target: str, body: bytes | None, *, keeps: bool) -> bytes:
        """Return the bytes of a request; without `keeps` the connection ends with its answer."""
        lines = [f"{method} {target} HTTP/1.1", "Host: engine"]
        if self.key:
            lines.append(f"Authorization: Bearer {self.key}")
        if not keeps:
            lines.append("Connection: close")
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join((*lines, "", "")).encode() + (body or b"")


class Line(asyncio.Protocol):
    """A connection. Ask one thing at a time: `send`, `status`, then `blocks` to their end."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._blocks: list[bytes] = []
        self._has_head = self._is_whole = self._is_lost = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent."""
        return not self._is_lost

    def send(self, request: bytes) -> None:
        """Send a request."""
        if self._transport is None or self._is_lost:
            raise ConnectionResetError
        self._parser = httptools.HttpResponseParser(self)
        self._has_head = self._is_whole = False
        self._transport.write(request)

    async def status(self) -> int:
        """Return the status once the head of the answer is here. Raises `ConnectionError`."""
        while not self._has_head:
            await self._news()
        return int(self._parser.get_status_code())

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes. Raises `ConnectionError` if it breaks off."""
        while True:
            if self._blocks:
                block = b"".join(self._blocks)
                self._blocks.clear()
                yield block
            elif self._is_whole:
                return
            else:
                await self._news()

    async def body(self) -> bytes:
        """Return the whole body. Raises `ConnectionError` if it breaks off."""
        return b"".join([block async for block in self.blocks()])

    def close(self) -> None:
        """Drop the connection; the child stops what it computes for it."""
        self._is_lost = True
        if self._transport is not None:
            self._transport.abort()

    async def _news(self) -> None:
        if self._is_lost:
            raise ConnectionResetError
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- called by the loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        del error
        self._is_lost = True
        self._wake()

    # --- called by the parser

    def on_headers_complete(self) -> None:
        """The status is known."""
        self._has_head = True
        self._wake()

    def on_body(self, body: bytes) -> None:
        """A part of the body came."""
        self._blocks.append(body)
        self._wake()

    def on_message_complete(self) -> None:
        """The answer is complete."""
        self._is_whole = True
        if not self._parser.should_keep_alive():
            self._is_lost = True
        self._wake()
