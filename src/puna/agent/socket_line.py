"""The WebSocket to the market that carries a link where SSH does not get through."""

import asyncio
from contextlib import suppress

import aiohttp

from puna.wire.carried import Carried


class SocketLine:
    """Moves bytes between an open WebSocket and the SSH connection on top of it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Needs a running event loop."""
        self._socket = socket
        self._outbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.carried = Carried(self._outbox.put_nowait, lambda: self._outbox.put_nowait(None))
        self._moving = asyncio.ensure_future(self._move())

    async def _move(self) -> None:
        sending = asyncio.ensure_future(self._send())
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    self.carried.feed(message.data)
        finally:
            sending.cancel()
            self.carried.lost()
            await asyncio.gather(sending, return_exceptions=True)
            await self._socket.close()

    async def _send(self) -> None:
        with suppress(ConnectionError):
            while (piece := await self._outbox.get()) is not None:
                await self._socket.send_bytes(piece)
        await self._socket.close()
