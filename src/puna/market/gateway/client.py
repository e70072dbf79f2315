"""One client's connection while the gateway has it: bytes in and out, neither faster than read."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from puna.market.gateway.flows import PIECE

_MOST_UNREAD = 4 * PIECE


class ClientSide(asyncio.Protocol):
    """The connection as a stream. `on_lost` is called when the client has gone."""

    def __init__(
        self,
        transport: asyncio.Transport,
        on_lost: Callable[[], None],
        *,
        unread_s: float | None = None,
    ) -> None:
        self.transport = transport
        self._on_lost = on_lost
        self._unread_s = unread_s
        self._unread = bytearray()
        self._has_ended = False
        self._is_broken = False
        self._is_paused = False
        self._came = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self.may_be_half_open = False
        """Whether a client that sends no more may still read."""

    def data_received(self, data: bytes) -> None:
        """Keep what came; let no more come than is read."""
        self._unread += data
        self._came.set()
        if len(self._unread) > _MOST_UNREAD and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """Take the end for the client's going away, as most servers do, or note it.

        A client that waits for a long answer and goes away shows nothing else.
        """
        self._has_ended = True
        self._came.set()
        return self.may_be_half_open

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the client has gone."""
        del exc
        self._is_broken = not self._has_ended
        self._has_ended = True
        self._came.set()
        self._may_write.set()
        self._on_lost()

    def pause_writing(self) -> None:
        """Note that the client does not keep up."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Note that it has caught up."""
        self._may_write.set()

    async def read(self, n: int = -1, /) -> bytes:
        """Return what has come, nothing at the end.

        Raises `ConnectionResetError` where the connection broke off.
        """
        while not self._unread and not self._has_ended:
            self._came.clear()
            await self._came.wait()
        if self._is_broken and not self._unread:
            raise ConnectionResetError
        size = len(self._unread) if n < 0 else min(n, len(self._unread))
        piece = bytes(memoryview(self._unread)[:size])
        del self._unread[:size]
        if self._is_paused and not self._unread:
            self._is_paused = False
            self.transport.resume_reading()
        return piece

    def unread(self) -> bytes:
        """Take what has come and was not read; the connection is somebody else's from now on."""
        piece = bytes(self._unread)
        self._unread.clear()
        if self._is_paused:
            self.transport.resume_reading()
        return piece

    async def readexactly(self, n: int, /) -> bytes:
        """Return `n` bytes. Raises `asyncio.IncompleteReadError`."""
        found = bytearray()
        while len(found) < n:
            piece = await self.read(n - len(found))
            if not piece:
                raise asyncio.IncompleteReadError(bytes(found), n)
            found += piece
        return bytes(found)

    def at_eof(self) -> bool:
        """Tell whether the client sends no more and all was read."""
        return self._has_ended and not self._unread

    def write(self, data: bytes) -> None:
        """Send some bytes, at once or later."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def write_eof(self) -> None:
        """Say that no more bytes come."""
        with suppress(OSError, NotImplementedError):
            if self.transport.can_write_eof() and not self.transport.is_closing():
                self.transport.write_eof()

    async def drain(self) -> None:
        """Wait while the client does not keep up. Raises `ConnectionResetError` if it has gone.

        One that takes nothing at all for too long is taken to have gone.
        """
        while not self._may_write.is_set():
            left = self.transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(self._unread_s):
                    await self._may_write.wait()
            except TimeoutError:
                if self.transport.get_write_buffer_size() >= left:
                    self.transport.abort()
                    raise ConnectionResetError from None
        if self.transport.is_closing():
            raise ConnectionResetError

    def close(self) -> None:
        """End the connection once everything is sent."""
        self.transport.close()

    def is_closing(self) -> bool:
        """Tell whether it has ended, or is about to."""
        return self.transport.is_closing()
