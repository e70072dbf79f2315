"""Questions survive a kept connection that ends by itself, and nothing else is asked twice."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from puna.errors import PunaError
from puna.net import engine_session
from puna.node.engine.connection import Connection
from puna.node.engine.engine import EngineDied

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
        writer.close()


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Connection]:
    async def lost() -> PunaError:
        return EngineDied("gone")

    listener = await asyncio.start_server(server.meet, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    sessions = (
        engine_session(None, base_url=url, keeps_connections=keeps) for keeps in (False, True)
    )
    connection = Connection(*sessions, lost=lost)
    yield connection
    await connection.close()
    listener.close()


async def test_questions_share_a_connection() -> None:
    server = Server(per_connection=3)
    async with connected(server) as connection:
        answers = [await connection.ask("/tokenize", {}) for _ in range(3)]
    assert answers == [{"tokens": []}] * 3
    assert server.connections == 1


async def test_a_kept_connection_that_ends_costs_no_answer() -> None:
    server = Server(per_connection=1)
    async with connected(server) as connection:
        answers = [await connection.ask("/tokenize", {}) for _ in range(3)]
    assert answers == [{"tokens": []}] * 3
    assert (server.connections, server.questions) == (3, 3)


async def test_an_engine_that_answers_on_no_connection_is_lost() -> None:
    server = Server(per_connection=0)
    async with connected(server) as connection:
        with pytest.raises(EngineDied, match="gone"):
            await connection.ask("/tokenize", {})
    assert server.connections == 2
