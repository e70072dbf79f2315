"""What is done to every connection that the gateway moves bytes over, at both of its ends.

A machine that vanishes says nothing: no end, no reset. TCP alone would wait for a quarter of an
hour where something was sent and for ever where nothing was, so it is told to ask, and to give up.
"""

import socket
from contextlib import suppress
from typing import Any, Protocol

import asyncssh
from asyncssh.packet import SSHPacketLogger

VANISHED_S = 25
"""How long a machine may leave what was sent, or asked, without an answer."""
_ASK_AFTER_S, _ASK_EVERY_S = 10, 5
_OPTIONS = {
    "TCP_KEEPIDLE": _ASK_AFTER_S,
    "TCP_KEEPALIVE": _ASK_AFTER_S,  # the same on macOS
    "TCP_KEEPINTVL": _ASK_EVERY_S,
    "TCP_KEEPCNT": (VANISHED_S - _ASK_AFTER_S) // _ASK_EVERY_S,
    "TCP_USER_TIMEOUT": VANISHED_S * 1000,
}
_IGNORED = 2
_BITE = 8 * 1024


class Line(Protocol):
    """A connection of any kind."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's own
        """Return what is known of it."""


def notice_silence(transport: Line) -> None:
    """Let the system end a connection whose other machine has vanished."""
    line = transport.get_extra_info("socket")
    if line is None or line.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS.items():
        if hasattr(socket, name):  # systems know different ones
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def make_lean(connection: asyncssh.SSHServerConnection | asyncssh.SSHClientConnection) -> None:
    """Let an SSH connection send no more than it must, and what it sends at once in one piece.

    asyncssh sends an empty message before each other one, against an attack on ciphers in CBC mode
    (RFC 4251, 9.3.1). Tunnels use none, and it doubles the work of both ends. It also hands each
    message to the system by itself: of a hundred streams that is a hundred calls where one does.
    And it copies what has come and is not read yet with each message that it reads, which takes
    more time than all else where much comes at once.
    """
    _Lean(connection)


class _Lean:
    """Holds what a connection sends until the turn of the loop is over, and feeds it in bites."""

    def __init__(
        self, connection: asyncssh.SSHServerConnection | asyncssh.SSHClientConnection
    ) -> None:
        line = connection._transport  # noqa: SLF001 - asyncssh has no other place for it; a test tells when it moves
        assert line is not None  # noqa: S101 - a connection that is made has one
        self._line = line
        self._soon = connection._loop.call_soon  # noqa: SLF001 - as above
        self._held: list[bytes] = []
        self._message = connection.send_packet
        connection.send_packet = self._send  # type: ignore[method-assign,assignment]
        connection._send = self._hold  # type: ignore[method-assign]  # noqa: SLF001 - as above
        self._receive = connection.data_received
        connection.data_received = self._feed  # type: ignore[method-assign,assignment]
        line.set_protocol(connection)  # loops remember the methods of a protocol

    def _send(self, kind: int, *words: bytes, handler: SSHPacketLogger | None = None) -> None:
        if kind != _IGNORED:
            self._message(kind, *words, handler=handler)

    def _hold(self, data: bytes) -> None:
        if not self._held:
            self._soon(self._flush)
        self._held.append(data)

    def _feed(self, data: bytes, kind: int | None = None) -> None:
        for start in range(0, len(data), _BITE):
            self._receive(data[start : start + _BITE], kind)

    def _flush(self) -> None:
        held, self._held = self._held, []
        if not self._line.is_closing():
            with suppress(ConnectionError):
                self._line.write(b"".join(held))
