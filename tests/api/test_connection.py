"""What a client may send on one connection, and what happens when it stops in the middle."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from uvicorn.server import ServerState

from puna.node.api.connection import ClientConnection
from puna.node.api.server import uvicorn_config
from puna.node.engine.scripted import Script
from puna.units import Span
from tests.api.stage import Stage, staged

GREET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
SLOW = Script(token_span=Span.of(seconds=1))


def asked(body: object, path: str = "/api/generate") -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def send_without_end(stage: Stage, begin: bytes, more: bytes) -> None:
    """Send `more` until the node closes the connection. Fails if it never does."""
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(begin)
    with suppress(ConnectionError):
        for _ in range(200):
            writer.write(more)
            await writer.drain()
        pytest.fail("the node took all of it")
    writer.close()


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET /", b"a" * 65536),
        (GREET + b"X: ", b"a" * 65536),
        (GREET, b"A: b\r\n" * 10000),
        (GREET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 10000),
        (GREET + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a" * 65536),
    ],
    ids=["path", "header", "headers", "trailers", "chunk extension"],
)
async def test_what_never_ends_is_not_kept(stage: Stage, begin: bytes, more: bytes) -> None:
    await send_without_end(stage, begin, more)
    assert (await stage.ask("GET", "/")).status == 200


async def test_a_head_that_is_too_large_is_431(stage: Stage) -> None:
    reply = await stage.raw(GREET + b"X: " + b"a" * 70_000)
    assert reply.startswith(b"HTTP/1.1 431 ")


async def test_a_large_head_is_read(stage: Stage) -> None:
    reply = await stage.raw(GREET + b"Connection: close\r\nX: " + b"a" * 60_000 + b"\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 200 ")


async def test_a_body_in_tiny_chunks_is_no_head(stage: Stage) -> None:
    body = json.dumps({"model": "tiny", "prompt": "x" * 20_000, "stream": False}).encode()
    chunks = b"".join(b"1\r\n%b\r\n" % body[place : place + 1] for place in range(len(body)))
    head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    reply = await stage.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert b'"done":true' in reply


async def test_requests_sent_ahead_are_answered_in_order(stage: Stage) -> None:
    first = asked({"model": "tiny", "prompt": "one", "stream": False})
    second = asked({"model": "tiny", "prompt": "two", "stream": False})
    reply = await stage.raw(first + second + GREET + b"Connection: close\r\n\r\n")
    places = [reply.find(text) for text in (b"echo: one", b"echo: two", b"Ollama is running")]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize(
    "ahead",
    [(GREET + b"\r\n") * 200, asked({"x": "a" * 2_000_000})],
    ids=["requests", "bytes"],
)
async def test_too_much_sent_ahead_ends_the_connection(tmp_path: Path, ahead: bytes) -> None:
    async with staged(tmp_path, SLOW) as stage:
        with suppress(ConnectionResetError):  # what was not read yet makes it a reset
            assert await stage.raw(asked({"model": "tiny", "prompt": "hi"}) + ahead) == b""
        await stage.until(lambda: not any(each.in_use for each, _ in stage.node.running()))


async def test_a_client_that_vanishes_with_requests_behind_frees_the_model(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, SLOW) as stage:
        one = asked({"model": "tiny", "prompt": "hi", "stream": False})
        _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(one + one)
        await stage.until_waiting()
        writer.close()
        await stage.until(lambda: not any(each.in_use for each, _ in stage.node.running()))


async def test_a_client_that_vanishes_while_it_sends_is_no_internal_error(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(asked({"model": "tiny", "prompt": "hi"})[:-5])
    await writer.drain()
    await stage.until(lambda: len(stage.state.tasks) == 1)
    writer.close()
    await stage.until(lambda: not stage.state.tasks)
    assert caplog.messages == []


class Hasty(ClientConnection):
    patience_s = 0.05


class Unhurried(ClientConnection):
    patience_s = 1.0  # enough for one request to arrive on a machine that has other work


@asynccontextmanager
async def hasty(stage: Stage, connection: type[ClientConnection] = Hasty) -> AsyncIterator[int]:
    """Serve the stage's node without patience; yield the port."""
    config = uvicorn_config(stage.desk)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: connection(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "begin",
    [b"", b"GET / HT", GREET, asked({"model": "tiny", "prompt": "hi"})[:-5]],
    ids=["silence", "request line", "headers", "body"],
)
async def test_a_client_that_stops_in_the_middle_is_not_waited_for(
    stage: Stage, begin: bytes
) -> None:
    async with hasty(stage) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begin)
        assert await reader.read() == b""
        writer.close()


async def test_an_answer_may_take_longer_than_a_request(tmp_path: Path) -> None:
    async with staged(tmp_path, SLOW) as stage, hasty(stage, Unhurried) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(asked({"model": "tiny", "prompt": "a b", "stream": False}))
        await stage.until_waiting()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 1.2)
        writer.close()
