"""An SSH connection whose bytes another protocol carries: messages of a WebSocket.

A network that lets no SSH out lets HTTPS out. What goes over the WebSocket is the very connection
that would go over TCP: the same keys, the same streams, the same limits of what may be unread. So
nothing else knows of it, and whoever stands between sees no more than over SSH.
"""

import asyncio
from collections.abc import Callable, Iterator

PROTOCOL = "puna-tunnel"
"""The WebSocket's protocol."""
LONGEST_MESSAGE = 32 * 1024


class Carried(asyncio.Transport):
    """What asyncssh takes for its transport, and for the tunnel that it connects by."""

    def __init__(
        self,
        send: Callable[[bytes], None],
        end: Callable[[], None],
        peer: tuple[str, int] = ("", 0),
    ) -> None:
        """`send` takes one message and never waits; `end` is called once, when nothing follows."""
        super().__init__({"peername": peer})
        self._send, self._end = send, end
        self._protocol: asyncio.Protocol | None = None
        self._early = b""
        self._is_closing = False
        self._is_lost = False

    async def create_connection(
        self, make: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple["Carried", asyncio.Protocol]:
        """Put a protocol on top, as an event loop does."""
        del host, port
        self._protocol = made = make()
        made.connection_made(self)
        if self._early:
            made.data_received(self._early)
        if self._is_lost:  # it has gone while asyncssh got ready
            made.connection_lost(None)
        return self, made

    def feed(self, message: bytes) -> None:
        """Hand on what came, or keep it until somebody is on top: both sides speak at once."""
        if self._protocol is None:
            self._early += message
        elif not self._is_closing:
            self._protocol.data_received(message)

    def lost(self) -> None:
        """Tell that the other side has gone, or that this one is closed."""
        self._is_closing = True
        if not self._is_lost:
            self._is_lost = True
            if self._protocol is not None:
                self._protocol.connection_lost(None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send some bytes."""
        if not self._is_closing:
            for piece in _cut(bytes(data)):
                self._send(piece)

    def close(self) -> None:
        """End it once everything is sent."""
        if not self._is_closing:
            self._is_closing = True
            self._end()
            asyncio.get_running_loop().call_soon(self.lost)

    def abort(self) -> None:
        """End it."""
        self.close()

    def is_closing(self) -> bool:
        """Tell whether it has ended, or is about to."""
        return self._is_closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Put another protocol on top."""
        assert isinstance(protocol, asyncio.Protocol)  # noqa: S101 - asyncssh's connections are
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return what is on top."""
        assert self._protocol is not None  # noqa: S101 - asked by it alone
        return self._protocol


def _cut(data: bytes) -> Iterator[bytes]:
    return (data[start : start + LONGEST_MESSAGE] for start in range(0, len(data), LONGEST_MESSAGE))
