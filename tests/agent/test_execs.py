"""A program in a container over a bare connection: its outputs, its end, its size."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from puna.agent.execs import Exec, TerminalSize, start_exec
from puna.agent.problems import EngineGone, EngineRefused
from puna.agent.shown import HEAD

API = "http://engine/v1.41"


class Begun:
    """What the engine knows of it."""

    id = "e1"

    def __init__(self) -> None:
        self.about: dict[str, Any] = {"Running": True, "Pid": 7}
        self.sizes: list[tuple[int | None, int | None]] = []

    async def inspect(self) -> dict[str, Any]:
        return self.about

    async def resize(self, *, h: int | None = None, w: int | None = None) -> None:
        self.sizes.append((h, w))


class There:
    """An engine that hands over the connection and gives back what is typed."""

    def __init__(self) -> None:
        self.status = "101 UPGRADED"
        self.body = b""
        self.asked = b""
        self.frames = True
        self.connections: list[asyncio.StreamWriter] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        self.asked = await reader.readuntil(b"\r\n\r\n")
        self.asked += await reader.readuntil(b"}")
        writer.write(f"HTTP/1.1 {self.status}\r\nX: y\r\n\r\n".encode() + self.body)
        if not self.status.startswith("101"):
            writer.close()
            return
        while piece := await reader.read(100):
            writer.write((HEAD.pack(1, len(piece)) if self.frames else b"") + piece)
        writer.write((HEAD.pack(2, 4) if self.frames else b"") + b"end\n")
        writer.close()


@pytest.fixture
def there() -> There:
    return There()


@pytest.fixture
async def socket(there: There, tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "engine.sock"
    server = await asyncio.start_unix_server(there.answer, path)
    async with server:
        yield path
        for each in there.connections:
            each.close()


async def everything(began: Exec) -> list[tuple[bool, bytes]]:
    said = []
    while (piece := await began.read()) is not None:
        said.append(piece)
    return said


async def write_much(began: Exec) -> None:
    for _ in range(100):
        await began.write(b"x" * 10_000)


async def test_outputs_are_apart_and_the_input_can_end(there: There, socket: Path) -> None:
    began = await start_exec(socket, Begun(), tty=False, api=API)
    await began.write(b"hello")
    assert await began.read() == (False, b"hello")
    await began.end_input()
    assert await everything(began) == [(True, b"end\n")]
    assert there.asked.startswith(b"POST /v1.41/exec/e1/start HTTP/1.1\r\n")
    assert b'"Tty": false' in there.asked
    await began.close()


async def test_with_a_terminal_there_is_one_output(there: There, socket: Path) -> None:
    there.frames = False
    there.body = b"$ "
    began = await start_exec(socket, Begun(), tty=True, api=API)
    assert await began.read() == (False, b"$ ")
    await began.end_input()
    assert await everything(began) == [(False, b"end\n")]
    await began.close()


async def test_what_the_engine_refuses_is_said(there: There, socket: Path) -> None:
    there.status, there.body = "409 Conflict", b'{"message": "not running"}'
    with pytest.raises(EngineRefused, match="not running"):
        await start_exec(socket, Begun(), tty=False, api=API)


async def test_a_connection_that_breaks_is_the_end(there: There, socket: Path) -> None:
    began = await start_exec(socket, Begun(), tty=False, api=API)
    await began.write(b"x")
    await began.read()
    there.connections[0].transport.abort()
    assert await began.read() is None
    with pytest.raises(EngineGone):
        await write_much(began)
    await began.end_input()
    await began.close()


async def test_sizes_and_ends_are_the_engines_to_know(socket: Path) -> None:
    begun = Begun()
    began = await start_exec(socket, begun, tty=True, api=API)
    await began.resize(TerminalSize(columns=100, rows=30))
    assert begun.sizes == [(30, 100)]
    assert await began.exit_code() is None
    assert await began.running_pid() == 7
    begun.about = {"Running": False, "ExitCode": 3, "Pid": 7}
    assert await began.exit_code() == 3
    assert await began.running_pid() == 0
    await began.close()
