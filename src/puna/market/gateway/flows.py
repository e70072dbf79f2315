"""Bytes that come in: heads, lines and bodies cut out of them, never more held than one piece."""

from collections.abc import AsyncIterator
from typing import Protocol

from puna.errors import Invalid
from puna.market.gateway.heads import END, LONGEST, Body, Framing

PIECE = 64 * 1024
_LONGEST_LINE = 4096
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")
_LONGEST_SIZE = 15


class TooLong(Invalid):
    """A head, or a line, without end."""

    code = "too_long"
    status = 431


class BadChunk(Invalid):
    """What should be a chunk of a body is none."""

    code = "bad_chunk"


class Source(Protocol):
    """Where bytes come from."""

    async def read(self, n: int = -1, /) -> bytes:
        """Return what is there, at most `n` bytes; nothing at the end."""


class Inflow:
    """One direction of a connection."""

    def __init__(self, source: Source, held: bytes = b"") -> None:
        self._source = source
        self._held = bytearray(held)

    @property
    def held(self) -> bytes:
        """What has come and was not asked for."""
        return bytes(self._held)

    @property
    def has_begun(self) -> bool:
        """Whether something has come that was not asked for."""
        return bool(self._held)

    @property
    def has_head(self) -> bool:
        """Whether the next head has come whole."""
        return END in self._held

    async def more(self) -> bool:
        """Wait until something has come; tell whether it is not the end."""
        piece = await self._source.read(PIECE)
        self._held += piece
        return bool(piece)

    async def head(self) -> bytes | None:
        """Return the next head without its empty line; None where the end comes before it.

        Raises `TooLong`, and `EOFError` where the end comes within it.
        """
        while (end := self._held.find(END)) < 0:
            if len(self._held) > LONGEST:
                raise TooLong("the head of a message has no end")
            if not (piece := await self._source.read(PIECE)):
                if self._held.strip(b"\r\n"):
                    raise EOFError
                return None
            self._held += piece
        if end > LONGEST:
            raise TooLong("the head of a message is too long")
        return self._take(end, len(END))

    async def piece(self, most: int = PIECE) -> bytes:
        """Return what comes next, nothing at the end."""
        if self._held:
            return self._take(min(most, len(self._held)))
        return await self._source.read(most)

    async def exactly(self, length: int) -> bytes:
        """Return so many bytes; only for few. Raises `EOFError`."""
        return b"".join([piece async for piece in self._exactly(length)])

    async def read(self, n: int = -1, /) -> bytes:
        """Return what comes next, nothing at the end."""
        return await self.piece(PIECE if n < 0 else n)

    def has_more(self, body: Body) -> bool:
        """Whether the next of a body is here already, be it its end."""
        is_empty = body.framing is Framing.LENGTH and not body.length
        return bool(self._held) or is_empty or body.framing is Framing.NONE

    async def body(self, body: Body) -> AsyncIterator[bytes]:
        """Yield a body in pieces. Raises `BadChunk`, and `EOFError` where it is cut short."""
        if body.framing is Framing.LENGTH:
            async for piece in self._exactly(body.length):
                yield piece
        elif body.framing is Framing.CHUNKS:
            async for piece in self._chunks():
                yield piece
        elif body.framing is Framing.CLOSE:
            while piece := await self.piece():
                yield piece

    async def _exactly(self, length: int) -> AsyncIterator[bytes]:
        while length:
            piece = await self.piece(min(length, PIECE))
            if not piece:
                raise EOFError
            length -= len(piece)
            yield piece

    async def _chunks(self) -> AsyncIterator[bytes]:
        """Yield what is in chunks. Extensions and trailers are read and left out."""
        while size := _size(await self._line()):
            async for piece in self._exactly(size):
                yield piece
            if await self._line():
                raise BadChunk("a chunk is longer than it says")
        trailers = 0
        while line := await self._line():
            trailers += len(line)
            if trailers > LONGEST:
                raise TooLong("the trailers of a body have no end")

    async def _line(self) -> bytes:
        while (end := self._held.find(b"\r\n")) < 0:
            if len(self._held) > _LONGEST_LINE:
                raise TooLong("a line of a body has no end")
            if not (piece := await self._source.read(PIECE)):
                raise EOFError
            self._held += piece
        return self._take(end, 2)

    def _take(self, length: int, end: int = 0) -> bytes:
        taken = bytes(memoryview(self._held)[:length])
        del self._held[: length + end]
        return taken


def chunk(piece: bytes) -> bytes:
    """Return a piece of a body as a chunk."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


LAST_CHUNK = b"0\r\n\r\n"


def _size(line: bytes) -> int:
    digits = line.partition(b";")[0].rstrip(b" \t")
    if not 0 < len(digits) <= _LONGEST_SIZE or not _HEXADECIMAL.issuperset(digits):
        raise BadChunk("a chunk has no size")
    return int(digits, 16)
