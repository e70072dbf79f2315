"""Questions survive a kept connection that ends by itself; a broken answer is never a whole one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from puna.errors import Invalid, PunaError
from puna.node.engine.connection import Connection
from puna.node.engine.engine import EngineDied
from puna.node.engine.events import EventReader
from puna.node.engine.line import Door
from puna.node.engine.request import Piece

REPLY = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"tokens":[]}'


@dataclass
class Server:
    """Answers so many questions on a connection, then breaks it when one more comes."""

    per_connection: int
    connections: int = 0
    questions: int = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for _ in range(self.per_connection):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            self.questions += 1
            writer.write(REPLY)
        await reader.read(1)


Meeting = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connected(meet: Meeting) -> AsyncIterator[Connection]:
    """A connection to a server that meets each asker so."""
    meetings = []

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        meetings.append(asyncio.current_task())
        with suppress(ConnectionError):
            await meet(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def lost() -> PunaError:
        return EngineDied("gone")

    listener = await asyncio.start_server(met, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    connection = Connection(Door.at(f"http://127.0.0.1:{port}", key="k"), lost=lost)
    yield connection
    await connection.close()
    listener.close()
    await asyncio.gather(*filter(None, meetings))


async def test_questions_share_a_connection() -> None:
    server = Server(per_connection=3)
    async with connected(server.meet) as connection:
        answers = [await connection.ask("/tokenize", {}) for _ in range(3)]
    assert answers == [{"tokens": []}] * 3
    assert server.connections == 1


async def test_a_kept_connection_that_ends_costs_no_answer() -> None:
    server = Server(per_connection=1)
    async with connected(server.meet) as connection:
        answers = [await connection.ask("/tokenize", {}) for _ in range(3)]
    assert answers == [{"tokens": []}] * 3
    assert (server.connections, server.questions) == (3, 3)


async def test_an_engine_that_answers_on_no_connection_is_lost() -> None:
    server = Server(per_connection=0)
    async with connected(server.meet) as connection:
        with pytest.raises(EngineDied, match="gone"):
            await connection.ask("/tokenize", {})
    assert server.connections == 2


def giving(*replies: bytes, then_closes: bool = True) -> Meeting:
    """Give each asker the next of `replies`, byte by byte."""
    waiting = list(replies)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for byte in waiting.pop(0):
            writer.write(bytes([byte]))
            await writer.drain()
        if not then_closes:
            await reader.read()

    return meet


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"content":"hi","tokens":[1],"stop":false}\n\n'


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def test_an_answer_in_single_bytes_is_read_whole() -> None:
    async with connected(giving(REPLY)) as connection:
        assert await connection.ask("/tokenize", {}) == {"tokens": []}


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(REPLY[:-1], id="in its body"),
        pytest.param(REPLY[:20], id="in its head"),
        pytest.param(b"no HTTP at all\r\n\r\n", id="before it begins"),
    ],
)
async def test_an_answer_that_breaks_off_twice_is_a_lost_engine(reply: bytes) -> None:
    async with connected(giving(reply, reply)) as connection:
        with pytest.raises(EngineDied, match="gone"):
            await connection.ask("/tokenize", {})


async def test_an_error_of_the_engine_is_told_before_a_stream_begins() -> None:
    body = b'{"error":{"code":400,"message":"too long"}}'
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with connected(giving(head + body)) as connection:
        with pytest.raises(Invalid, match="too long"):
            await anext(connection.stream({}, EventReader(context=8, alternatives=0)))


async def test_a_stream_that_breaks_off_gives_what_came_and_then_fails() -> None:
    async with connected(giving(CHUNKED + chunk(EVENT) + b"5\r\nda")) as connection:
        parts = connection.stream({}, EventReader(context=8, alternatives=0))
        assert await anext(parts) == Piece("hi", (1,))
        with pytest.raises(EngineDied, match="gone"):
            await anext(parts)


async def test_a_question_that_nobody_waits_for_leaves_no_connection_to_the_next() -> None:
    async with connected(giving(REPLY[:-1], REPLY, then_closes=False)) as connection:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.ask("/tokenize", {}), 0.05)
        assert await connection.ask("/tokenize", {}) == {"tokens": []}
