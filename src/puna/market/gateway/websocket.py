"""A WebSocket's server side, as little of RFC 6455 as terminals and tunnels need.

Pods' own WebSockets never come here: they pass as bytes. Messages are short, so a fragment counts
as a message; there are no extensions.
"""

import base64
import hashlib
from enum import IntEnum

from puna.errors import Invalid
from puna.market.gateway.flows import Inflow
from puna.market.gateway.heads import written
from puna.wire.tunnel import Writes

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LONGEST = 64 * 1024
_MASKED = 0x80
_SHORT, _MIDDLE = 126, 127


class Opcode(IntEnum):
    """What a frame is."""

    MORE = 0
    TEXT = 1
    BYTES = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class BadFrame(Invalid):
    """What the client sent is no frame of a WebSocket."""

    code = "bad_frame"


def accepted(key: str, protocol: str) -> bytes:
    """Return the head that makes a connection a WebSocket. Raises `BadFrame` for a bad key."""
    try:
        is_good = len(base64.b64decode(key, validate=True)) == 16  # noqa: PLR2004 - of RFC 6455
    except ValueError:
        is_good = False
    if not is_good:
        raise BadFrame("the request has no key of a WebSocket")
    proof = hashlib.sha1(f"{key}{_MAGIC}".encode(), usedforsecurity=False).digest()
    headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", base64.b64encode(proof).decode()),
        ("sec-websocket-protocol", protocol),
    ]
    return written("HTTP/1.1 101 Switching Protocols", headers)


def message(opcode: Opcode, payload: bytes) -> bytes:
    """Return a whole message as the server sends it."""
    length = len(payload)
    if length < _SHORT:
        head = bytes((_MASKED | opcode, length))
    elif length < 2**16:
        head = bytes((_MASKED | opcode, _SHORT)) + length.to_bytes(2)
    else:
        head = bytes((_MASKED | opcode, _MIDDLE)) + length.to_bytes(8)
    return head + payload


def closing(code: int, reason: str = "") -> bytes:
    """Return the message that ends a WebSocket, with a reason that people read."""
    return message(Opcode.CLOSE, code.to_bytes(2) + reason.encode()[:123])


class Messages:
    """What a client sends. Pings are answered here."""

    def __init__(self, inflow: Inflow, writer: Writes) -> None:
        self._inflow = inflow
        self._writer = writer

    async def next(self) -> tuple[Opcode, bytes] | None:
        """Return the next message of text or bytes; None when the client closes.

        Raises `BadFrame`, and `EOFError` where the connection just ends.
        """
        while True:
            opcode, payload = await self._frame()
            if opcode is Opcode.CLOSE:
                return None
            if opcode is Opcode.PING:
                self._writer.write(message(Opcode.PONG, payload))
            elif opcode is not Opcode.PONG:
                return opcode, payload

    async def _frame(self) -> tuple[Opcode, bytes]:
        first, second = await self._inflow.exactly(2)
        if first & 0x70 or not second & _MASKED:
            raise BadFrame("a frame has extensions, or is not masked")
        length = second & 0x7F
        if length >= _SHORT:
            length = int.from_bytes(await self._inflow.exactly(2 if length == _SHORT else 8))
        if length > _LONGEST:
            raise BadFrame(f"a message of {length} bytes")
        mask = await self._inflow.exactly(4)
        payload = await self._inflow.exactly(length)
        try:
            return Opcode(first & 0x0F), unmasked(payload, mask)
        except ValueError as error:
            raise BadFrame("a frame of an unknown kind") from error


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """Return a payload without, or with, its mask."""
    repeated = mask * (len(payload) // 4 + 1)
    size = len(payload)
    mixed = int.from_bytes(payload) ^ int.from_bytes(repeated[:size])
    return mixed.to_bytes(size)
