"""A client's connection while the gateway has it, and bytes moved between two streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from puna.market.gateway.client import ClientSide
from puna.market.gateway.pump import join, pump
from puna.market.gateway.tunnels import Stream


class Pair:
    """One side as the gateway has it, and the client at the other end."""

    def __init__(
        self, side: ClientSide, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.side, self.reader, self.writer = side, reader, writer
        self.lost = asyncio.Event()


@asynccontextmanager
async def a_pair() -> AsyncIterator[Pair]:
    """Connect a client to a `ClientSide`."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[ClientSide] = loop.create_future()
    lost = asyncio.Event()

    class Taken(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            side = ClientSide(transport, lost.set)
            transport.set_protocol(side)
            made.set_result(side)

    server = await loop.create_server(Taken, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    pair = Pair(await made, reader, writer)
    pair.lost = lost
    try:
        yield pair
    finally:
        pair.side.close()
        writer.transport.abort()  # what nobody reads would keep it open
        with suppress(ConnectionError):
            await writer.wait_closed()
        server.close()
        await server.wait_closed()


async def test_what_comes_is_read_in_pieces() -> None:
    async with a_pair() as pair:
        pair.writer.write(b"abcdef")
        assert await pair.side.readexactly(4) == b"abcd"
        assert await pair.side.read(1) == b"e"
        assert await pair.side.read() == b"f"


async def test_a_client_that_sends_much_is_held_up_until_it_is_read() -> None:
    async with a_pair() as pair:
        pair.writer.write(bytes(16 * 2**20))
        await pair.side.readexactly(1)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not pair.side.transport.is_reading()
        assert len(await pair.side.readexactly(16 * 2**20 - 1)) == 16 * 2**20 - 1


async def test_what_was_not_read_is_given_to_who_comes_next() -> None:
    async with a_pair() as pair:
        pair.writer.write(b"one two")
        assert await pair.side.readexactly(4) == b"one "
        assert pair.side.unread() == b"two"
        assert pair.side.unread() == b""


async def test_a_client_that_goes_away_is_noticed() -> None:
    async with a_pair() as pair:
        pair.writer.close()
        async with asyncio.timeout(60):
            await pair.lost.wait()
        assert await pair.side.read() == b""
        assert pair.side.at_eof()
        with pytest.raises(ConnectionResetError):
            await pair.side.drain()
        pair.side.write(b"into nothing")


async def test_an_end_before_enough_is_an_error() -> None:
    async with a_pair() as pair:
        pair.writer.write(b"ab")
        pair.writer.write_eof()
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await pair.side.readexactly(3)
    assert caught.value.partial == b"ab"


async def test_where_it_may_a_client_that_sends_no_more_still_reads() -> None:
    async with a_pair() as pair:
        pair.side.may_be_half_open = True
        pair.writer.write_eof()
        assert await pair.side.read() == b""
        pair.side.write(b"still here")
        pair.side.write_eof()
        assert await pair.reader.read() == b"still here"
        assert not pair.lost.is_set()


async def test_a_client_that_does_not_read_is_waited_for() -> None:
    async with a_pair() as pair:
        pair.side.write(bytes(16 * 2**20))
        waiting = asyncio.ensure_future(pair.side.drain())
        done, _ = await asyncio.wait({waiting}, timeout=0.05)
        assert not done
        assert len(await pair.reader.readexactly(16 * 2**20)) == 16 * 2**20
        async with asyncio.timeout(60):
            await waiting


async def test_a_pump_hands_on_bytes_and_their_end() -> None:
    async with a_pair() as source, a_pair() as sink:
        source.side.may_be_half_open = True
        source.writer.write(b"x" * 300_000)
        source.writer.write_eof()
        moving = asyncio.ensure_future(pump(source.side, sink.side))
        assert await sink.reader.read() == b"x" * 300_000
        await moving


async def test_two_streams_that_are_joined_end_together() -> None:
    async with a_pair() as one, a_pair() as other:
        for pair in (one, other):
            pair.side.may_be_half_open = True
        joined = asyncio.ensure_future(
            join(Stream(one.side, one.side), Stream(other.side, other.side))
        )
        one.writer.write(b"to the other")
        other.writer.write(b"to the one")
        assert await other.reader.readexactly(12) == b"to the other"
        assert await one.reader.readexactly(10) == b"to the one"
        one.writer.write_eof()
        assert await other.reader.read() == b""
        other.writer.write_eof()
        await joined
        assert one.side.is_closing()
        assert other.side.is_closing()


async def test_a_stream_that_breaks_ends_the_other() -> None:
    async with a_pair() as one, a_pair() as other:
        joined = asyncio.ensure_future(
            join(Stream(one.side, one.side), Stream(other.side, other.side))
        )
        one.side.transport.abort()
        async with asyncio.timeout(60):
            assert await other.reader.read() == b""
            await joined
        assert other.side.is_closing()
