"""A program that runs in a container beside the container's own, and its ends.

The engine hands over the bare connection for it, which aiodocker can write to but not end: a
program that reads to the end of its input would wait for ever. So the connection is made here.
"""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from puna.agent.problems import EngineGone, EngineRefused
from puna.agent.shown import HEAD
from puna.text import one_line

_PIECE = 32 * 1024
_LONGEST_ANSWER = 16 * 1024
_PATIENCE_S = 30.0
_BEGUN = (b"HTTP/1.1 101", b"HTTP/1.1 200")


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """A terminal's size in characters."""

    columns: int = 80
    rows: int = 24


class Begun(Protocol):
    """What aiodocker knows of it."""

    @property
    def id(self) -> str:
        """The engine's name for it."""

    async def inspect(self) -> dict[str, Any]:
        """Ask how it is."""

    async def resize(self, *, h: int | None = None, w: int | None = None) -> None:
        """Tell it the size of its terminal."""


class Exec:
    """One such program. Close it when nobody listens any more: that does not end it."""

    def __init__(
        self,
        begun: Begun,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        tty: bool,
    ) -> None:
        self._begun = begun
        self._reader = reader
        self._writer = writer
        self._tty = tty

    async def read(self) -> tuple[bool, bytes] | None:
        """Return whether it is an error output, and what was written; None at the end."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            if self._tty:
                piece = await self._reader.read(_PIECE)
                return (False, piece) if piece else None
            stream, length = HEAD.unpack(await self._reader.readexactly(HEAD.size))
            return stream == 2, await self._reader.readexactly(length)  # noqa: PLR2004 - errors
        return None

    async def write(self, piece: bytes) -> None:
        """Let it read some bytes. Raises `EngineGone` when it has ended."""
        try:
            self._writer.write(piece)
            await self._writer.drain()
        except ConnectionError as error:
            raise EngineGone("what ran in the container has ended") from error

    async def end_input(self) -> None:
        """Let it read the end."""
        with suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()

    async def resize(self, size: TerminalSize) -> None:
        """Tell it the size of its terminal; one that has ended does not mind."""
        import aiodocker  # noqa: PLC0415 - the one error of its that means nothing here

        with suppress(aiodocker.DockerError):
            await self._begun.resize(h=size.rows, w=size.columns)

    async def exit_code(self) -> int | None:
        """Return how it ended; None while it runs."""
        about = await self._begun.inspect()
        code = about.get("ExitCode")
        return None if about.get("Running") or code is None else int(code)

    async def running_pid(self) -> int:
        """Return the number of its process on this machine; zero when it has ended."""
        import aiodocker  # noqa: PLC0415 - see above

        with suppress(aiodocker.DockerError, OSError):
            about = await self._begun.inspect()
            return int(about.get("Pid") or 0) if about.get("Running") else 0
        return 0

    async def close(self) -> None:
        """Let the connection go."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


async def start_exec(socket: Path, begun: Begun, *, tty: bool, api: str) -> Exec:
    """Start what was made and take its connection over. Raises `EngineRefused`.

    `api` is the address of the engine's API, whose path says which version of it.
    """
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        body = json.dumps({"Detach": False, "Tty": tty}).encode()
        writer.write(
            f"POST {urlsplit(api).path}/exec/{begun.id}/start HTTP/1.1\r\nHost: engine\r\n"
            "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        async with asyncio.timeout(_PATIENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(_BEGUN):
            said = (await reader.read(_LONGEST_ANSWER)).decode(errors="replace")
            raise EngineRefused(one_line(said, 500))  # noqa: TRY301 - the connection goes
    except BaseException:
        writer.close()
        raise
    return Exec(begun, reader, writer, tty=tty)
