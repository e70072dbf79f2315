"""Move bytes from one stream to another, no faster than they are read at the far end."""

import asyncio
from contextlib import suppress

import asyncssh

from puna.market.gateway.flows import PIECE, Source
from puna.market.gateway.tunnels import Stream
from puna.wire.tunnel import Writes

BROKEN = (OSError, EOFError, asyncssh.Error)
"""What a stream raises that breaks off."""


async def join(one: Stream, other: Stream) -> None:
    """Move bytes both ways until both have ended or one breaks off; then both are closed."""
    try:
        with suppress(*BROKEN, ExceptionGroup):
            async with asyncio.TaskGroup() as both:
                both.create_task(pump(one.reader, other.writer))
                both.create_task(pump(other.reader, one.writer))
    finally:
        one.close()
        other.close()


async def pump(reader: Source, writer: Writes) -> None:
    """Move bytes one way until they end, and pass the end on."""
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
